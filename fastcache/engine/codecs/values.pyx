"""Python value <-> what a row or a file holds.

str, bytes, int, float and None are SQLite's own values (CODEC_NATIVE): no serializer, no wrapping. The codec column
tells the rest apart; for a value in a file it always names how to read the bytes, since a file has no storage class:

    BYTES, TEXT     the bytes themselves; UTF-8 with lone surrogates let through (in a row only if it has some)
    INTEGER         two's complement, little-endian, for ints beyond 64 bits
    REAL            8 bytes little-endian: NaN, which SQLite would turn into NULL
    BOOLEAN         0 or 1
    SERIALIZED      what the cache's serializer made of it

Only the exact types are native. A subclass goes through the serializer, so that it comes back as what it was. Flags say
what was done to the bytes, in this order; reading undoes it in the other (unwrap, then decode):

    BUFFERS         a pickle, and beside it the buffers of its arrays (buffers.pyx)
    compression     its number in four bits: 8 bytes for the length, then what the library made of it
    SIGNED          a signature of 32 bytes, and as many zeros if buffers follow. It covers the cache's key, the codec, and
                    all that follows but uncompressed buffers: array bytes are data (trust.py)

VERIFIED is no flag on disk: it says of bytes in this process's memory that their signature was checked, or is our own.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.unicode cimport PyUnicode_AsEncodedString, PyUnicode_AsUTF8String

from fastcache.engine.sqlite.cells cimport CELL_BLOB, CELL_INTEGER, CELL_NULL, CELL_REAL, CELL_TEXT
from fastcache.engine.codecs.buffers cimport ALIGNMENT, head_size, lay_out, take_apart
from fastcache.engine.codecs.pickle_scan cimport SETS_FOUND, walk

from fastcache.errors import CacheError, DecodeError, EncodeError
from fastcache.runtime.imports import load

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef Py_ssize_t SIGNATURE_SIZE = 32
# A value of fewer bytes is not compressed, nor one that would not shrink to this share. Measured (bench/compression.py).
cdef Py_ssize_t SMALLEST_COMPRESSED = 1024
cdef double WORTH_IT = 0.75


cdef object encode_native(object value, Cell* cell, int* codec):
    """Fill the cell and the codec for a value that needs no serializer; returns the object that the cell borrows from.

    CODEC_SERIALIZED, and nothing else, for any other."""
    cdef int overflow = 0
    kind = type(value)
    codec[0] = CODEC_NATIVE
    if kind is bytes:
        return blob(value, cell)
    if kind is str:
        if PyUnicode_IS_COMPACT_ASCII(value):
            cell.kind = CELL_TEXT
            cell.data = PyUnicode_AsUTF8AndSize(value, &cell.size)
            return value
        try:
            # Not AsUTF8AndSize: that would leave a copy in the caller's object for as long as it lives.
            text = PyUnicode_AsUTF8String(value)
        except UnicodeEncodeError:
            codec[0] = CODEC_TEXT
            return blob(PyUnicode_AsEncodedString(value, "utf-8", "surrogatepass"), cell)
        blob(text, cell)
        cell.kind = CELL_TEXT
        return text
    if kind is int:
        cell.integer = PyLong_AsLongLongAndOverflow(value, &overflow)
        cell.kind = CELL_INTEGER
        cell.size = 8
        if overflow:
            codec[0] = CODEC_INTEGER
            return blob(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True), cell)
        return value
    if kind is float:
        cell.real = PyFloat_AS_DOUBLE(value)
        cell.kind = CELL_REAL
        cell.size = 8
        if cell.real != cell.real:
            codec[0] = CODEC_REAL
            return blob(load("struct").pack("<d", value), cell)
        return value
    if value is None:
        cell.kind = CELL_NULL
        cell.size = 0
        return value
    if kind is bool:
        codec[0] = CODEC_BOOLEAN
        cell.kind = CELL_INTEGER
        cell.integer = value is True
        cell.size = 1
        return value
    codec[0] = CODEC_SERIALIZED
    return None


cdef object blob(bytes payload, Cell* cell):
    cell.kind = CELL_BLOB
    cell.data = PyBytes_AS_STRING(payload)
    cell.size = PyBytes_GET_SIZE(payload)
    return payload


@cython.final
cdef class EncodedValue:
    """A value that went through the serializer, or was compressed."""

    cdef int join(self, Cell* cell) except -1:
        """Make one piece of it, which the cell then borrows."""
        if self.parts is not None:
            self.payload = b"".join(self.parts)
            self.parts = None
            if self.cached_codec & CODEC_BUFFERS and self.cached is None:
                self.cached = self.payload if not self.cached_codec & CODEC_VERIFIED else self.payload[ALIGNMENT:]
        blob(self.payload, cell)
        return 0


@cython.final
cdef class ValueFormat:
    """How a store keeps values: its serializer, and what compresses.

    One that ``packs_values`` is asked for them by its ``trust`` (trust.py)."""

    def __init__(self, serializer, compression):
        self.serializer = serializer
        # The trust is not asked for yet, since that loads it.
        self.trusts = getattr(serializer, "packs_values", False) is True
        self.signs = True
        if compression is not None:
            self.compressor = load("fastcache.engine.codecs.compression").compressor(compression)
            self.compression = self.compressor.number

    cdef object rules(self):
        """What packs and signs."""
        if self.trust is None:
            self.trust = self.serializer.trust
        return self.trust

    cdef object encode(self, object value, const Cell* key, Cell* cell, int* codec):
        """Fill the cell and the codec; returns what the cell borrows from, an EncodedValue if that is not all of it.

        Raises:
            EncodeError: the serializer cannot store it.
            UntrustedValueError: it would have to be signed, and there is no secret.
        """
        keepalive = encode_native(value, cell, codec)
        if codec[0] == CODEC_SERIALIZED:
            return self.pack(value, key, cell, codec)
        if self.compression and cell.kind in (CELL_TEXT, CELL_BLOB) and cell.size >= SMALLEST_COMPRESSED:
            return self.compress_native(keepalive, value, cell, codec)
        return keepalive

    cdef object pack(self, object value, const Cell* key, Cell* cell, int* codec):
        cdef EncodedValue encoded = EncodedValue.__new__(EncodedValue)
        cdef bint signed = False
        cdef list buffers = None
        cdef int itemsize = 1
        try:
            if self.trusts:
                payload, buffers, itemsize, signed = self.rules().pack(value)
            else:
                payload = self.serializer.dumps(value)
        except (MemoryError, CacheError):
            raise
        except Exception as error:
            raise EncodeError(
                f"serializer {self.serializer.name!r} cannot store a {type(value).__name__}") from error
        if not PyBytes_CheckExact(payload):
            raise EncodeError(
                f"serializer {self.serializer.name!r} must return bytes from dumps, not {type(payload).__name__}")
        encoded.cached = payload
        encoded.cached_codec = CODEC_SERIALIZED | (CODEC_VERIFIED if signed else 0)
        encoded.payload = payload
        if buffers:
            encoded.cached = None
            encoded.cached_codec |= CODEC_BUFFERS
            encoded.parts = lay_out(payload, buffers)
            codec[0] |= CODEC_BUFFERS
        if self.compression:
            self.compress(encoded, codec, itemsize)
        if signed and self.signs:
            codec[0] |= CODEC_SIGNED
            self.sign(encoded, key, codec[0])
        if encoded.parts is None:
            blob(encoded.payload, cell)
        else:
            cell.kind = CELL_BLOB
            cell.data = NULL
            cell.size = sum(map(len, encoded.parts))
        return encoded

    cdef int sign(self, EncodedValue encoded, const Cell* key, int codec) except -1:
        if encoded.parts is None:
            encoded.payload = self.rules().sign(key_bytes(key), codec, encoded.payload) + encoded.payload
        else:
            signature = self.rules().sign(key_bytes(key), codec, encoded.parts[0])
            encoded.parts.insert(0, signature.ljust(ALIGNMENT, b"\0"))
        return 0

    cdef bint compress(self, EncodedValue encoded, int* codec, int itemsize) except -1:
        """Compress what is encoded, if it is worth it."""
        whole = encoded.payload if encoded.parts is None else b"".join(encoded.parts)
        cdef Py_ssize_t size = len(whole)
        if size < SMALLEST_COMPRESSED:
            return False
        try:
            compressed = self.compressor.compress(whole, min(itemsize, 255))
        except Exception as error:
            raise EncodeError(f"compression {self.compressor.name!r} cannot compress a value of {size} bytes") from error
        if compressed is None or len(compressed) > WORTH_IT * size:
            return False
        if encoded.cached is None:
            encoded.cached = whole
        encoded.parts = None
        encoded.payload = size.to_bytes(8, "little") + compressed
        codec[0] |= self.compression << COMPRESSION_SHIFT
        return True

    cdef object compress_native(self, object keepalive, object value, Cell* cell, int* codec):
        cdef EncodedValue encoded = EncodedValue.__new__(EncodedValue)
        cdef int native_codec = codec[0]
        encoded.payload = keepalive if PyBytes_CheckExact(keepalive) else PyBytes_FromStringAndSize(cell.data, cell.size)
        encoded.cached = value
        encoded.cached_codec = CODEC_NATIVE
        if native_codec == CODEC_NATIVE:
            codec[0] = CODEC_TEXT if cell.kind == CELL_TEXT else CODEC_BYTES
        if not self.compress(encoded, codec, 1):
            codec[0] = native_codec
            return keepalive
        blob(encoded.payload, cell)
        return encoded

    cdef object unwrap(self, object stored, const Cell* key, int* codec):
        """Undo what the flags tell of, but for the buffers: returns what ``decode`` takes, and leaves its codec.

        Raises:
            UntrustedValueError: the signature does not hold.
            DecodeError: it does not fit the codec.
        """
        cdef int number
        cdef bint signed
        if codec[0] & ~0xFF == 0:
            return stored
        number = codec[0] >> COMPRESSION_SHIFT & 0xF
        signed = codec[0] & CODEC_SIGNED != 0
        if codec[0] & ~CODEC_ON_DISK or not isinstance(stored, (bytes, memoryview)) or (
                codec[0] & 0xFF != CODEC_SERIALIZED and codec[0] & (CODEC_SIGNED | CODEC_BUFFERS)):
            refuse_codec(codec[0])
        if codec[0] & CODEC_BUFFERS and type(stored) is memoryview:
            stored = self.split(stored, key, codec[0])
        elif signed:
            stored = self.verified(stored, key, codec[0])
        if number:
            stored = self.decompressed(stored, number)
        codec[0] &= 0xFF | CODEC_BUFFERS
        if signed:
            codec[0] |= CODEC_VERIFIED
        return stored

    cdef int expect_signature(self, Py_ssize_t size, Py_ssize_t needed) except -1:
        """Raise DecodeError if nobody here knows of signatures, or there is no room for one."""
        if not self.trusts:
            raise DecodeError(
                f"a stored value is signed, and serializer {self.serializer.name!r} knows nothing of signatures")
        if size < needed:
            raise DecodeError("a stored value ends before its signature does")
        return 0

    cdef object verified(self, object stored, const Cell* key, int codec):
        """What stands behind a signature that holds."""
        cdef bint beside = codec & CODEC_BUFFERS and not codec >> COMPRESSION_SHIFT & 0xF
        cdef Py_ssize_t start = ALIGNMENT if beside else SIGNATURE_SIZE
        cdef bytes whole = stored if type(stored) is bytes else bytes(stored)
        self.expect_signature(len(whole), start)
        rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(whole) + start, len(whole) - start)
        covered = memoryview(rest)[:head_size(rest)] if beside else rest
        signature = PyBytes_FromStringAndSize(PyBytes_AS_STRING(whole), SIGNATURE_SIZE)
        self.rules().verify(signature, key_bytes(key), codec, covered)
        return rest

    cdef SplitPayload split(self, object view, const Cell* key, int codec):
        """The same for a map, with its head copied before it is looked at."""
        cdef SplitPayload found = SplitPayload.__new__(SplitPayload)
        cdef bytes signature = b""
        if codec & CODEC_SIGNED:
            self.expect_signature(len(view), ALIGNMENT)
            signature = bytes(view[:SIGNATURE_SIZE])
            view = view[ALIGNMENT:]
        cdef bytes start = bytes(view[:16])
        head = bytes(view[:head_size(start, len(view))])
        # It may have changed in between, but not any more.
        if not head.startswith(start):
            raise DecodeError("a value file is being written to by others")
        if signature:
            self.rules().verify(signature, key_bytes(key), codec, head)
        found.whole = view
        found.payload, found.buffers = take_apart(head, view)
        return found

    cdef bytes decompressed(self, object stored, int number):
        if len(stored) < 8:
            raise DecodeError("a stored value ends before the size that it should have")
        view = memoryview(stored)
        size = int.from_bytes(view[:8], "little")
        try:
            whole = load("fastcache.engine.codecs.compression").by_number(number).decompress(view[8:], size)
        except CacheError:
            raise
        except Exception as error:
            raise DecodeError(f"a stored value of {size} bytes cannot be decompressed: it is damaged") from error
        if type(whole) is not bytes or len(whole) != size:
            raise DecodeError("a stored value has another size than it states")
        return whole

    cdef object decode(self, int codec, object stored, bint copy):
        """The Python value of what the row's column, or the file, holds, once it is unwrapped.

        Raises:
            DecodeError: it does not fit the codec, or the serializer refuses it.
        """
        if codec == CODEC_NATIVE:
            return stored
        kind = type(stored)
        try:
            if codec == CODEC_SERIALIZED and kind is bytes:
                if not self.trusts:
                    return self.serializer.loads(stored)
                # What trust.unpack would do first, without the way there.
                if walk(<const unsigned char*>PyBytes_AS_STRING(stored), PyBytes_GET_SIZE(stored)) & ~SETS_FOUND == 0:
                    if self.loads is None:
                        self.loads = load("pickle").loads
                    return self.loads(stored)
                return self.rules().unpack(stored, None, False, copy)
            elif codec & 0xFF == CODEC_SERIALIZED and self.trusts and kind in (bytes, SplitPayload):
                buffers = None
                if kind is SplitPayload:
                    payload, buffers = (<SplitPayload>stored).payload, (<SplitPayload>stored).buffers
                elif codec & CODEC_BUFFERS:
                    payload, buffers = take_apart(stored, memoryview(stored))
                else:
                    payload = stored
                return self.rules().unpack(payload, buffers, codec & CODEC_VERIFIED != 0, copy)
            elif codec == CODEC_BYTES and kind is bytes:
                return stored
            elif codec == CODEC_TEXT and kind is bytes:
                return (<bytes>stored).decode("utf-8", "surrogatepass")
            elif codec == CODEC_BOOLEAN and kind is int:
                return stored != 0
            elif codec == CODEC_INTEGER and kind is bytes:
                return int.from_bytes(stored, "little", signed=True)
            elif codec == CODEC_REAL and kind is bytes:
                return load("struct").unpack("<d", stored)[0]
        except (MemoryError, CacheError):
            raise
        except Exception as error:
            raise DecodeError(
                f"a stored value (codec {codec & 0xFFFF}) cannot be decoded by serializer {self.serializer.name!r}; delete "
                "the entry or set it anew"
            ) from error
        refuse_codec(codec)


cdef int refuse_codec(int codec) except -1:
    raise DecodeError(f"a stored value has the unknown codec {codec}: another version wrote it, or it is damaged")


cdef bytes key_bytes(const Cell* key):
    """A key as its signatures cover it: keys that are one give the same."""
    if key.kind == CELL_INTEGER:
        return b"i%d" % key.integer
    if key.kind == CELL_REAL:
        if -9.3e18 < key.real < 9.3e18 and key.real == <double><long long>key.real:
            return b"i%d" % <long long>key.real
        return b"f" + load("struct").pack("<d", key.real)
    if key.kind == CELL_TEXT or key.kind == CELL_BLOB:
        return (b"t" if key.kind == CELL_TEXT else b"b") + PyBytes_FromStringAndSize(key.data, key.size)
    # Of a row that was planted.
    return b"n"
