# Python value <-> what a row or a file holds, and the codec that says which.

from fastcache.engine.codecs.buffers cimport SplitPayload
from fastcache.engine.sqlite.cells cimport Cell


cdef enum Codec:
    # Stored in the `codec` column. 0 to 15 are the engine's own; 16 went through the serializer.
    CODEC_NATIVE = 0
    CODEC_BYTES = 1
    CODEC_TEXT = 2
    CODEC_INTEGER = 3
    CODEC_REAL = 4
    CODEC_BOOLEAN = 5
    CODEC_SERIALIZED = 16
    # Flags.
    CODEC_SIGNED = 0x100
    CODEC_BUFFERS = 0x200
    COMPRESSION_SHIFT = 12
    CODEC_ON_DISK = 0xF3FF
    # In memory alone.
    CODEC_VERIFIED = 0x800


cdef class EncodedValue:
    # As it is stored: one piece, or several that follow each other.
    cdef bytes payload
    cdef list parts
    # What the tier keeps of it, and the codec of that; None for nothing.
    cdef object cached
    cdef int cached_codec

    cdef int join(self, Cell* cell) except -1


cdef class ValueFormat:
    cdef readonly object serializer
    # Whether the serializer has one, and which.
    cdef bint trusts
    cdef object trust
    # Whether what has to be signed is: not where it never leaves this process.
    cdef bint signs
    # pickle's, of what is plain.
    cdef object loads
    cdef object compressor
    cdef int compression

    cdef object rules(self)
    cdef object encode(self, object value, const Cell* key, Cell* cell, int* codec)
    cdef object pack(self, object value, const Cell* key, Cell* cell, int* codec)
    cdef int sign(self, EncodedValue encoded, const Cell* key, int codec) except -1
    cdef bint compress(self, EncodedValue encoded, int* codec, int itemsize) except -1
    cdef object compress_native(self, object keepalive, object value, Cell* cell, int* codec)
    cdef object unwrap(self, object stored, const Cell* key, int* codec)
    cdef int expect_signature(self, Py_ssize_t size, Py_ssize_t needed) except -1
    cdef object verified(self, object stored, const Cell* key, int codec)
    cdef SplitPayload split(self, object view, const Cell* key, int codec)
    cdef bytes decompressed(self, object stored, int number)
    cdef object decode(self, int codec, object stored, bint copy)
