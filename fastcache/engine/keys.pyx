"""Python key <-> SQLite key. What is one key in a dict is one key here.

str, bytes, 64-bit int and float are SQLite's own TEXT, BLOB, INTEGER and REAL, and SQLite compares INTEGER with REAL
by value, as Python does: 1, 1.0 and True are one key. Everything else becomes a BLOB that starts with MARK: one tag
letter, then a canonical encoding, so that equal keys give equal bytes (P aside):

    N            None
    I  J         int: 8 bytes; beyond 64 bits: length and bytes. A float or bool of the same value is the same key,
                 so inside tuples, and beyond 64 bits, 2.0 and True are stored (and come back) as the int
    F            float that is no integer: 8 bytes
    S  B         str (lone surrogates included), bytes: length and bytes
    T  Z         tuple, frozenset: count and elements (a frozenset's sorted by their encodings)
    P            anything else: what the cache's serializer made of it. Two of these are one key if those bytes are the
                 same, which equal objects' are if their parts are of the same types (Decimal("0.1") and ("0.10") are two)

A bytes key that itself starts with MARK is wrapped as B, so nothing a user can pass collides with an encoding. NaN is
refused: it does not equal itself. An object that does not come back equal from the serializer is refused, because it
could never be found again.
"""

import struct

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from libc.string cimport memcmp

from fastcache.engine.connection cimport CELL_BLOB, CELL_INTEGER, CELL_REAL, CELL_TEXT

from fastcache.engine.errors import CacheError, DecodeError

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef bytes MARK = b"\xfcfc\x01"
cdef Py_ssize_t MARK_SIZE = 4
cdef int DEEPEST = 100
cdef double TWO_TO_63 = 9223372036854775808.0

cdef object pack_integer = struct.Struct(">q").pack
cdef object unpack_integer = struct.Struct(">q").unpack_from
cdef object pack_real = struct.Struct(">d").pack
cdef object unpack_real = struct.Struct(">d").unpack_from
cdef object pack_length = struct.Struct(">I").pack
cdef object unpack_length = struct.Struct(">I").unpack_from


cdef object encode_key(object key, object serializer, Cell* cell):
    """Fill the cell with the key; returns the object that the cell borrows from.

    Raises:
        TypeError: the object is not hashable, or cannot be stored so that it comes back equal.
        ValueError: NaN.
    """
    cdef int overflow = 0
    kind = type(key)
    if kind is str:
        try:
            cell.data = PyUnicode_AsUTF8AndSize(key, &cell.size)
        except UnicodeEncodeError:
            return encoded(key, serializer, cell)
        cell.kind = CELL_TEXT
        return key
    if kind is int:
        cell.integer = PyLong_AsLongLongAndOverflow(key, &overflow)
        if overflow:
            return encoded(key, serializer, cell)
        cell.kind = CELL_INTEGER
        return key
    if kind is bytes:
        cell.data = PyBytes_AS_STRING(key)
        cell.size = PyBytes_GET_SIZE(key)
        if cell.size >= MARK_SIZE and memcmp(cell.data, PyBytes_AS_STRING(MARK), MARK_SIZE) == 0:
            return encoded(key, serializer, cell)
        cell.kind = CELL_BLOB
        return key
    if kind is float:
        cell.real = PyFloat_AS_DOUBLE(key)
        if not -TWO_TO_63 <= cell.real < TWO_TO_63 and cell.real - cell.real == 0.0:
            return encoded(key, serializer, cell)
        if cell.real != cell.real:
            refuse_nan()
        cell.kind = CELL_REAL
        return key
    if kind is bool:
        cell.kind = CELL_INTEGER
        cell.integer = key is True
        return key
    plain = plain_equal(key)
    if plain is not key:
        return encode_key(plain, serializer, cell)
    return encoded(key, serializer, cell)


cdef object encoded(object key, object serializer, Cell* cell):
    cdef bytearray out = bytearray(MARK)
    append(out, key, serializer, 0)
    whole = bytes(out)
    cell.kind = CELL_BLOB
    cell.data = PyBytes_AS_STRING(whole)
    cell.size = PyBytes_GET_SIZE(whole)
    return whole


cdef int refuse_nan() except -1:
    raise ValueError("NaN cannot be a key: it does not equal itself, so it could never be found again")


cdef object plain_equal(object key):
    """The str, bytes, int, float, tuple or frozenset that is the same dict key as ``key``; else ``key`` itself.

    That is so for most subclasses and foreign numbers (IntEnum, numpy's scalars, Decimal("0.5")), and not for those
    with an equality or a hash of their own.
    """
    try:
        hashed = hash(key)
    except TypeError as error:
        raise TypeError(f"a key must be hashable, and {type(key).__name__} is not") from error
    if key is None:
        return key
    if isinstance(key, float) and key != key:
        refuse_nan()
    for kind in (str, bytes, int, float, tuple, frozenset):
        if isinstance(key, kind):
            if type(key) is kind:
                return key
            candidates = (kind,)
            break
    else:
        # A number of another kind equals an int or a float if anything plain.
        if not (hasattr(key, "__int__") or hasattr(key, "__float__")):
            return key
        candidates = (int, float)
    for kind in candidates:
        try:
            plain = kind.__str__(key) if kind is str else kind(key)
            if type(plain) is not kind:
                continue
            if plain == key and hash(plain) == hashed:
                return plain
        except (TypeError, ValueError, OverflowError):
            continue
    return key


cdef int append(bytearray out, object key, object serializer, int depth) except -1:
    """Append the canonical encoding of one key or part of a key."""
    if depth > DEEPEST:
        raise TypeError(f"a key cannot be nested more than {DEEPEST} deep")
    kind = type(key)
    if key is None:
        out += b"N"
    elif kind is str:
        sized(out, b"S", key.encode("utf-8", "surrogatepass"))
    elif kind is bytes:
        sized(out, b"B", key)
    elif kind is int or kind is bool:
        append_integer(out, int(key))
    elif kind is float:
        if key != key:
            refuse_nan()
        if key.is_integer():
            append_integer(out, int(key))
        else:
            out += b"F"
            out += pack_real(key)
    elif kind is tuple:
        out += b"T"
        out += pack_length(len(key))
        for part in key:
            append(out, part, serializer, depth + 1)
    elif kind is frozenset:
        parts = []
        for part in key:
            encoding = bytearray()
            append(encoding, part, serializer, depth + 1)
            parts.append(bytes(encoding))
        out += b"Z"
        out += pack_length(len(parts))
        out += b"".join(sorted(parts))
    else:
        plain = plain_equal(key)
        if plain is not key:
            append(out, plain, serializer, depth)
        else:
            sized(out, b"P", serialized(key, serializer))
    return 0


cdef int sized(bytearray out, bytes tag, bytes payload) except -1:
    if len(payload) > 0x7FFF_FFFF:
        raise TypeError("a key cannot be larger than 2 GiB")
    out += tag
    out += pack_length(len(payload))
    out += payload
    return 0


cdef int append_integer(bytearray out, object number) except -1:
    if -(1 << 63) <= number < 1 << 63:
        out += b"I"
        out += pack_integer(number)
    else:
        sized(out, b"J", number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))
    return 0


cdef bytes serialized(object key, object serializer):
    """What the serializer makes of a key that has no encoding of its own; refused if it does not come back equal."""
    try:
        dumps = getattr(serializer, "dumps_key", serializer.dumps)
        payload = dumps(key)
        back = serializer.loads(payload)
        same = type(back) is type(key) and bool(back == key) and hash(back) == hash(key)
    except (MemoryError, CacheError):
        raise
    except Exception as error:
        raise TypeError(
            f"{type(key).__name__} cannot be a key: serializer {serializer.name!r} cannot store it as one"
        ) from error
    if not same:
        raise TypeError(
            f"{type(key).__name__} cannot be a key: it does not come back equal from serializer {serializer.name!r}"
        )
    return payload


cdef object decode_key(object stored, object serializer):
    """The Python key of what SQLite stores."""
    if type(stored) is not bytes or not (<bytes>stored).startswith(MARK):
        return stored
    cdef Py_ssize_t end = MARK_SIZE
    try:
        key, end = parse(stored, end, serializer, 0)
    except (MemoryError, CacheError):
        raise
    except Exception as error:
        raise DecodeError("a stored key cannot be decoded; remove the entry with clear() or check") from error
    if end != len(stored):
        raise DecodeError("a stored key has bytes behind its end")
    return key


cdef tuple parse(bytes stored, Py_ssize_t at, object serializer, int depth):
    """Decode one part at ``at``; returns it and where the next begins. Raises on anything malformed."""
    if depth > DEEPEST:
        raise DecodeError("a stored key is nested too deep")
    tag = stored[at:at + 1]
    at += 1
    if tag == b"N":
        return None, at
    if tag == b"I":
        return unpack_integer(stored, at)[0], at + 8
    if tag == b"F":
        return unpack_real(stored, at)[0], at + 8
    cdef Py_ssize_t length = unpack_length(stored, at)[0]
    at += 4
    if tag == b"T" or tag == b"Z":
        parts = []
        if length > len(stored) - at:
            raise DecodeError("a stored key ends too early")
        for _ in range(length):
            part, at = parse(stored, at, serializer, depth + 1)
            parts.append(part)
        return (tuple(parts) if tag == b"T" else frozenset(parts)), at
    payload = stored[at:at + length]
    if len(payload) != length:
        raise DecodeError("a stored key ends too early")
    at += length
    if tag == b"S":
        return payload.decode("utf-8", "surrogatepass"), at
    if tag == b"B":
        return payload, at
    if tag == b"J":
        return int.from_bytes(payload, "big", signed=True), at
    if tag == b"P":
        key = serializer.loads(payload)
        # What was planted may be no key at all.
        hash(key)
        return key, at
    raise DecodeError("a stored key has an unknown tag")
