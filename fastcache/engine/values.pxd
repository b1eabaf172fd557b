# Python value <-> what a row or a file holds, and the codec that says which.

from fastcache.engine.connection cimport Cell


cdef enum Codec:
    # Stored in the `codec` column. 0 to 15 are the engine's own; 16 and above went through the serializer. Bits from
    # 0x100 up are left for what wraps a payload (compression, a signature).
    CODEC_NATIVE = 0
    CODEC_BYTES = 1
    CODEC_TEXT = 2
    CODEC_INTEGER = 3
    CODEC_REAL = 4
    CODEC_BOOLEAN = 5
    CODEC_SERIALIZED = 16


cdef object encode_value(object value, object serializer, Cell* cell, int* codec)
cdef object decode_value(int codec, object stored, object serializer)
