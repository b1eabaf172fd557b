"""A pickle, and beside it the buffers of its arrays, which are written and read without being copied.

Count, length of the pickle, and lengths of the buffers (8 bytes each, little-endian), the pickle, then each buffer from the
next multiple of ALIGNMENT on, counted from where the value begins.
"""

cimport cython

from fastcache.errors import DecodeError

# Of buffers, for whoever computes with them in vectors.
cdef Py_ssize_t ALIGNMENT = 64


@cython.final
cdef class SplitPayload:
    """A value with buffers that is a map of its file, where it may be changed at any time: what decides is a copy."""


cdef list lay_out(bytes payload, list buffers):
    """The parts of a value with buffers, as they are written one after the other."""
    cdef list raws = [buffer.raw() for buffer in buffers]
    head = b"".join([
        len(raws).to_bytes(8, "little"), len(payload).to_bytes(8, "little"),
        *[raw.nbytes.to_bytes(8, "little") for raw in raws], payload])
    cdef list parts = [head]
    cdef Py_ssize_t end = len(head)
    for raw in raws:
        if end % ALIGNMENT:
            parts.append(bytes(ALIGNMENT - end % ALIGNMENT))
        parts.append(raw)
        end = raw.nbytes
    return parts


cdef Py_ssize_t head_size(bytes whole, Py_ssize_t size=-1) except -1:
    """Of what stands before the first buffer, told from its first 16 bytes, and the size of all."""
    if size < 0:
        size = len(whole)
    if len(whole) >= 16:
        count = int.from_bytes(whole[:8], "little")
        length = int.from_bytes(whole[8:16], "little")
        if 16 + 8 * count + length <= size:
            return 16 + 8 * count + length
    raise DecodeError("a stored value ends before its buffers do")


cdef tuple take_apart(bytes head, object whole):
    """The pickle and the buffers (memoryviews, which keep what they look at)."""
    cdef Py_ssize_t total = len(whole)
    cdef Py_ssize_t end = head_size(head, total)
    cdef Py_ssize_t at
    count = int.from_bytes(head[:8], "little")
    cdef Py_ssize_t start = 16 + 8 * count
    payload = head[start:end]
    cdef list buffers = []
    for index in range(count):
        at = 16 + 8 * index
        length = int.from_bytes(head[at:at + 8], "little")
        end += -end % ALIGNMENT
        if length > total - end:
            raise DecodeError("a stored value ends before its buffers do")
        buffers.append(whole[end:end + length])
        end += length
    if end != total:
        raise DecodeError("a stored value goes on behind its buffers")
    return payload, buffers
