# cython: nonecheck=True
"""The value of an entry: from what its row says, by way of a value file maybe, to the Python object.

Three steps, in this order: `load` brings what is stored, from the file if it is in one; `unwrap` has it verified and
decompressed; `decode` makes the object, or `as_mode` what the reader wants.
"""

cimport cython

from fastcache.engine.blobs.files import MissingFileError
from fastcache.engine.codecs.buffers cimport SplitPayload
from fastcache.engine.codecs.values cimport CODEC_BUFFERS, COMPRESSION_SHIFT
from fastcache.engine.entries.entry cimport BYTES, SHARED, VALUE
from fastcache.engine.sqlite.cells cimport NEVER, cell_of_plain

cdef str KEY_OF = " (the key is of the type "


cdef int name_key(object key, object error) except -1:
    """Say in the message of a DecodeError or UntrustedValueError of what type the key of the entry is: never which it is."""
    if len(error.args) == 1 and type(error.args[0]) is str and KEY_OF not in error.args[0]:
        error.args = (f"{error.args[0]}{KEY_OF}{type(key).__name__})",)
    return 0


@cython.final
cdef class Content:
    """Reads the values of one store."""

    def __cinit__(self, ValueFormat format, ValueFiles files):
        self.format = format
        self.files = files

    cdef bint load(self, Database database, Entry entry, ReadMode mode=VALUE) except -1:
        """Read ``stored`` from the file, if it is in one, or map it. False if the entry has expired (then ``file`` becomes
        None) or its file is missing."""
        if entry.expire != NEVER and entry.expire <= database.now():
            entry.file = None
            return False
        if entry.file is not None:
            try:
                entry.stored = self.read_file(entry.codec, entry.file, entry.size, mode)
            except MissingFileError:
                return False
        return True

    cdef object read_file(self, int codec, object file, object size, ReadMode mode):
        """The content of a value file, of what is in a row: a view of it if that is how it will be used, else bytes."""
        if not codec >> COMPRESSION_SHIFT and (codec & CODEC_BUFFERS or mode == BYTES):
            return self.files.map(file, size, mode == VALUE)
        return self.files.read(file, size)

    cdef int unwrap(self, Entry entry, const Cell* key) except -1:
        """Have ``stored`` verified and decompressed, if need be."""
        cdef int codec = entry.codec
        entry.stored = self.format.unwrap(entry.stored, key, &codec)
        entry.codec = codec
        return 0

    cdef int decode(self, Entry entry, ReadMode mode=VALUE) except -1:
        """Turn ``stored``, once it is unwrapped, into the Python value."""
        entry.stored = self.format.decode(entry.codec, entry.stored, mode != SHARED)
        return 0

    cdef int as_mode(self, Entry entry, ReadMode mode) except -1:
        """Turn ``stored``, once it is unwrapped, into what is wanted of it."""
        if mode != BYTES:
            return self.decode(entry, mode)
        if type(entry.stored) is SplitPayload:
            entry.stored = (<SplitPayload>entry.stored).whole
        if type(entry.stored) is str:
            entry.stored = (<str>entry.stored).encode("utf-8", "surrogatepass")
        if entry.stored is None or type(entry.stored) in (int, float):
            raise TypeError(f"buffer=True is for what is stored as bytes, and this is of the type {type(entry.stored).__name__}")
        entry.stored = memoryview(entry.stored).toreadonly()
        return 0

    cdef object of_scanned(self, object key, object codec, object file, object size, object stored):
        """The value of a scanned row, its key as it is stored; raises MissingFileError."""
        cdef Cell cell
        cdef int number = codec if type(codec) is int and 0 <= codec < 1 << 31 else -1
        if file is not None:
            stored = self.read_file(number, file, size, VALUE)
        cell_of_plain(key, &cell)
        stored = self.format.unwrap(stored, &cell, &number)
        return self.format.decode(number, stored, True)
