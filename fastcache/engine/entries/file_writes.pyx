# cython: nonecheck=True
"""Values in files: a large one is a file first, and then a row.

It is written before the write lock is taken, and renamed under it (blobs/files.pyx). Whatever is raised before the commit removes
the file, and nothing that is raised after it does.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory

from fastcache.engine.database.blocks cimport enter, leave, remove_later
from fastcache.engine.codecs.values cimport CODEC_BYTES, CODEC_NATIVE, CODEC_TEXT
from fastcache.engine.database.database cimport SOON, warn
from fastcache.engine.eviction.limit cimport cost_of_row
from fastcache.engine.sqlite.cells cimport CELL_NULL, CELL_TEXT, Cell, cell_of_plain

from fastcache.errors import CacheError, StorageError


cdef inline void in_file(const Row* row, Row* filed) noexcept:
    """The same entry with its value in a file."""
    filed[0] = row[0]
    filed.codec = codec_in_file(row.codec, &row.value)
    filed.value.kind = CELL_NULL
    filed.value.size = 0


cdef int codec_in_file(int codec, const Cell* value) noexcept:
    """How a value is stored in a file: there it has no type of SQLite's."""
    if codec != CODEC_NATIVE:
        return codec
    return CODEC_TEXT if value.kind == CELL_TEXT else CODEC_BYTES


@cython.final
cdef class FileWrites:
    """Writes entries whose values go into files of their own."""

    def __cinit__(self, Writes writes, Leftovers leftovers):
        self.writes = writes
        self.limit = writes.limit
        self.space = writes.space
        self.leftovers = leftovers

    cdef bint put_file(
            self, Database database, const Row* row, bint only_if_absent, list parts, object name, object cached, int cached_codec) except -1:
        """Store a value in a file: written before the lock is taken, and given its name under it."""
        cdef PendingFile pending
        cdef Row filed
        cdef bint stored = False
        cdef bint inside = database.depth != 0 and database.writer_lock.held_by_me()
        cdef bint reserved = self.limit.max_size != 0
        database.refuse_writing()
        if inside and reserved:
            return self.put_file_inside(database, row, only_if_absent, parts)
        in_file(row, &filed)
        if parts is None:
            parts = [PyMemoryView_FromMemory(<char*>row.value.data, row.size, PyBUF_READ)]
        try:
            pending = database.files.begin()
        except StorageError:
            # Is it for that?
            database.refuse_if_gone()
            raise
        try:
            if reserved:
                self.space.reserve_file(database, pending.name, row.size)
            pending.write(parts)
            database.acquire_writer_lock()
        except BaseException:
            self.abandon_file(database, pending, reserved)
            raise
        try:
            try:
                enter(database)
            except BaseException:
                self.abandon_file(database, pending, reserved)
                raise
            try:
                if reserved:
                    self.leftovers.give_back(database, pending.name)
                database.created.append(pending)
                pending.rename()
                stored = self.writes.write_row(database, &filed, only_if_absent, pending.name)
            except BaseException:
                leave(database, False)
                raise
            try:
                leave(database, stored)
            finally:
                self.files_stored += pending.committed
            if stored and database.depth == 0 and name is not None:
                self.writes.fill_own(database, row, name, cached, cached_codec)
        except BaseException:
            if reserved and not pending.committed:
                self.abandon_file(database, pending, True)
            raise
        finally:
            database.writer_lock.release()
        if reserved and not stored:
            self.abandon_file(database, pending, True)
        return stored

    cdef bint put_file_inside(self, Database database, const Row* row, bint only_if_absent, list parts) except -1:
        """The same inside a transaction, with a limit: there nobody else can take the room that is made, so that the file is
        written when there is some. If it is in pages, the value goes into them."""
        cdef PendingFile pending
        cdef Row whole
        cdef bint stored
        enter(database)
        try:
            if not self.space.make_room_inside(database, row.size + cost_of_row(&row.key, 0)):
                self.space.raise_full(database)
            if self.space.room.has_room_for_file(database, row.size):
                pending = database.files.begin()
                database.created.append(pending)
                pending.write(parts or [PyMemoryView_FromMemory(<char*>row.value.data, row.size, PyBUF_READ)])
                pending.rename()
                in_file(row, &whole)
                stored = self.writes.write_row(database, &whole, only_if_absent, pending.name)
            else:
                whole = row[0]
                if parts is not None:
                    joined = b"".join(parts)
                    cell_of_plain(joined, &whole.value)
                stored = self.writes.write_row(database, &whole, only_if_absent, None)
        except BaseException:
            leave(database, False)
            raise
        leave(database, stored)
        return stored

    cdef int abandon_file(self, Database database, PendingFile pending, bint reserved) except -1:
        """Remove a file that will not be named by a row, and give back the room that was made for it.

        Should that fail, maintenance does it."""
        pending.discard()
        remove_later(database)
        if reserved:
            self.leftovers.owes_room = True
            try:
                self.leftovers.release_dead(database)
            except (CacheError, OSError) as error:
                warn("room that was reserved in %r is given back later: %s", database.directory, error)
                database.schedule(SOON)
        return 0
