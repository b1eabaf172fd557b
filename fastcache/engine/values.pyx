"""Python value <-> what a row or a file holds.

str, bytes, int, float and None are SQLite's own values (CODEC_NATIVE): no serializer, no wrapping. The codec column
tells the rest apart; for a value in a file it always names how to read the bytes, since a file has no storage class:

    BYTES, TEXT     the bytes themselves; UTF-8 with lone surrogates let through (in a row only if it has some)
    INTEGER         two's complement, little-endian, for ints beyond 64 bits
    REAL            8 bytes little-endian: NaN, which SQLite would turn into NULL
    BOOLEAN         0 or 1
    SERIALIZED      what the cache's serializer made of it

Only the exact types are native. A subclass goes through the serializer, so that it comes back as what it was.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.unicode cimport PyUnicode_AsEncodedString, PyUnicode_AsUTF8String

from fastcache.engine.connection cimport CELL_BLOB, CELL_INTEGER, CELL_NULL, CELL_REAL, CELL_TEXT

from fastcache.engine.errors import CacheError, DecodeError, EncodeError
from fastcache.engine.lazy import load

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1


cdef object encode_value(object value, object serializer, Cell* cell, int* codec):
    """Fill the cell and the codec; returns the object that the cell borrows from.

    Raises:
        EncodeError: the serializer cannot store it.
    """
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
    try:
        payload = serializer.dumps(value)
    except (MemoryError, CacheError):
        raise
    except Exception as error:
        raise EncodeError(f"serializer {serializer.name!r} cannot store a {kind.__name__}") from error
    if not PyBytes_CheckExact(payload):
        raise EncodeError(
            f"serializer {serializer.name!r} must return bytes from dumps, not {type(payload).__name__}")
    return blob(payload, cell)


cdef object blob(bytes payload, Cell* cell):
    cell.kind = CELL_BLOB
    cell.data = PyBytes_AS_STRING(payload)
    cell.size = PyBytes_GET_SIZE(payload)
    return payload


cdef object decode_value(int codec, object stored, object serializer):
    """The Python value of what the row's column, or the file, holds.

    Raises:
        DecodeError: it does not fit the codec, or the serializer refuses it.
    """
    if codec == CODEC_NATIVE:
        return stored
    try:
        if codec == CODEC_SERIALIZED and type(stored) is bytes:
            return serializer.loads(stored)
        if codec == CODEC_BYTES and type(stored) is bytes:
            return stored
        if codec == CODEC_TEXT and type(stored) is bytes:
            return (<bytes>stored).decode("utf-8", "surrogatepass")
        if codec == CODEC_BOOLEAN and type(stored) is int:
            return stored != 0
        if codec == CODEC_INTEGER and type(stored) is bytes:
            return int.from_bytes(stored, "little", signed=True)
        if codec == CODEC_REAL and type(stored) is bytes:
            return load("struct").unpack("<d", stored)[0]
    except (MemoryError, CacheError):
        raise
    except Exception as error:
        raise DecodeError(
            f"a stored value (codec {codec}, {len(stored)} bytes) cannot be decoded by serializer "
            f"{serializer.name!r}; delete the entry or set it anew"
        ) from error
    raise DecodeError(f"a stored value has the unknown codec {codec}: another version wrote it, or it is damaged")
