# cython: nonecheck=True
"""Changes of one entry: it is set, added, deleted, popped, touched or counted up, in the way that is right just now.

A value is encoded first, and then goes one of five ways (`Changes.put`): it goes into the journal, is committed together with what
other threads write, deferred to the end of the open transaction, written into a file, or written as a row at once.
"""

cimport cython
from cpython.number cimport PyNumber_Index

from fastcache.engine.codecs.keys cimport encode_key
from fastcache.engine.codecs.values cimport CODEC_NATIVE, EncodedValue
from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.full_disk cimport end_way, make_way
from fastcache.engine.entries.appends cimport DONE, ELSEWHERE, REFUSED, Outcome
from fastcache.engine.entries.at_once cimport put_row_at_once
from fastcache.engine.entries.entry cimport check_tag
from fastcache.engine.entries.pending cimport begin_row
from fastcache.engine.memory.sieve cimport ABSENT
from fastcache.engine.sqlite.cells cimport NEVER, cell_of_plain

from fastcache.engine.sqlite import sql
from fastcache.errors import FullError

# What a row takes beside its value, about, in bytes.
cdef long long ROW_COST = 128


@cython.final
cdef class Changes:
    """Changes entries of one store, one at a time.

    Args:
        reads, rows, flusher, appends: what reads, what writes rows and files, what batches put off, what goes into the journal.
        checkpoints: what makes room on a full disk.
        format: how values are kept.
    """

    def __cinit__(
            self, Reads reads, RowWrites rows, Flusher flusher, Appends appends, Checkpoints checkpoints, ValueFormat format):
        self.reads = reads
        self.lookup = reads.lookup
        self.limit = reads.limit
        self.serializer = reads.serializer
        self.rows = rows
        self.filed = rows.filed
        self.writes = rows.filed.writes
        self.flusher = flusher
        self.appends = appends
        self.checkpoints = checkpoints
        self.format = format

    cdef bint put(
            self, Database database, object key, object value, long long expire, object tag, bint only_if_absent,
            bint at_once=False) except -1:
        """Store an entry; with ``only_if_absent``, unless a live one is there. Returns whether it was stored.

        With ``at_once``, nothing is waited for, neither the disk nor a lock; where that cannot be, it is not stored."""
        cdef Row row
        cdef Outcome outcome
        if database.read_only:
            database.refuse_writing()
        begin_row(&row, expire)
        key_keepalive = encode_key(key, self.serializer, &row.key)
        name = self.reads.name_of(key, key_keepalive, &row.key)
        value_keepalive = self.format.encode(value, &row.key, &row.value, &row.codec)
        self.limit.refuse_too_large(database, &row.key, row.value.size)
        tag_keepalive = check_tag(tag, &row.tag)
        cdef bint large = self.rows.is_large(&row.value)
        # What stays in the tier: what will be read, or what it is decoded from.
        cached = value
        cdef int cached_codec = CODEC_NATIVE
        parts = None
        if type(value_keepalive) is EncodedValue:
            # What waits must not change any more.
            if not large or self.group is not None:
                (<EncodedValue>value_keepalive).join(&row.value)
            parts = (<EncodedValue>value_keepalive).parts
            cached = (<EncodedValue>value_keepalive).cached
            cached_codec = (<EncodedValue>value_keepalive).cached_codec
        row.size = row.value.size
        self.written += row.size + ROW_COST
        if self.appends.wanted and not large:
            if only_if_absent:
                outcome = self.appends.add(database, key, &row, name, cached, cached_codec)
            else:
                outcome = self.appends.put(database, &row, name, cached, cached_codec, at_once)
            if outcome != ELSEWHERE:
                if at_once and outcome != DONE:
                    # It will be counted by whoever does it.
                    self.written -= row.size + ROW_COST
                return outcome == DONE
        if not only_if_absent:
            if at_once:
                if not large and put_row_at_once(
                        database, self.checkpoints, self.writes, &row, name, cached, cached_codec):
                    return True
                # It will be counted by whoever does it.
                self.written -= row.size + ROW_COST
                return False
            if self.group is not None and database.writer_lock.owner != 0 and not database.writer_lock.held_by_me():
                return self.group.put(database, &row, key_keepalive, value_keepalive, tag_keepalive)
            if not large and database.depth != 0 and database.writer_lock.held_by_me():
                return self.rows.defer(database, &row, key_keepalive, value_keepalive, tag_keepalive)
            if large:
                return self.filed.put_file(database, &row, False, parts, name, cached, cached_codec)
            return self.writes.put_row(database, &row, False, name, cached, cached_codec)
        # A row in the way may be one whose file is lost, which reads as absent: looking at it removes it.
        while True:
            if large:
                if self.reads.contains(database, key):
                    return False
                if self.filed.put_file(database, &row, True, parts, name, cached, cached_codec):
                    return True
            elif self.writes.put_row(database, &row, True, name, cached, cached_codec):
                return True
            elif self.reads.contains(database, key):
                return False

    cdef bint put_in_file(
            self, Database database, object key, bytes data, long long expire, object tag, bint only_if_absent) except -1:
        """Store bytes in a file of their own, however few they are. What is pending is written first."""
        cdef Row row
        database.flush_first()
        begin_row(&row, expire)
        key_keepalive = encode_key(key, self.serializer, &row.key)
        self.reads.name_of(key, key_keepalive, &row.key)
        tag_keepalive = check_tag(tag, &row.tag)
        cell_of_plain(data, &row.value)
        row.codec = CODEC_NATIVE
        row.size = row.value.size
        self.written += row.size + ROW_COST
        self.limit.refuse_too_large(database, &row.key, row.size)
        while True:
            if only_if_absent and self.reads.contains(database, key):
                return False
            if self.filed.put_file(database, &row, only_if_absent, None, None, None, 0):
                return True

    cdef int add_row(
            self, Database database, Rows rows, object key, object value, long long expire, object tag_keepalive, const Cell* tag) except -1:
        """Append an entry to be set to what waits to be written."""
        cdef Row row
        begin_row(&row, expire)
        row.tag = tag[0]
        key_keepalive = encode_key(key, self.serializer, &row.key)
        self.reads.name_of(key, key_keepalive, &row.key)
        value_keepalive = self.encode_whole(database, value, &row)
        return rows.add(&row, key_keepalive, value_keepalive, tag_keepalive)

    cdef object encode_whole(self, Database database, object value, Row* row):
        """Encode a value that has to wait, in one piece: what was given may change meanwhile. The row has its key."""
        keepalive = self.format.encode(value, &row.key, &row.value, &row.codec)
        self.limit.refuse_too_large(database, &row.key, row.value.size)
        if type(keepalive) is EncodedValue:
            (<EncodedValue>keepalive).join(&row.value)
        row.size = row.value.size
        return keepalive

    cdef int add_deletion(self, Database database, Rows rows, object key) except -1:
        """Append a key to be deleted to what waits to be written."""
        cdef Cell cell
        keepalive = encode_key(key, self.serializer, &cell)
        self.reads.name_of(key, keepalive, &cell)
        return rows.add_deletion(&cell, keepalive)

    cdef bint remove(self, Database database, object key) except -1:
        """Delete the live entry of a key. Returns whether there was one."""
        try:
            return self.change_keyed(database, sql.DELETE, key, NEVER)
        except FullError:
            if not make_way(database, self.checkpoints):
                raise
        try:
            return self.change_keyed(database, sql.DELETE, key, NEVER)
        finally:
            end_way(database, self.checkpoints)

    cdef bint set_expiry(self, Database database, object key, long long expire) except -1:
        """Give the live entry of a key another expiry. Returns whether there was one."""
        return self.change_keyed(database, sql.TOUCH, key, expire)

    cdef bint change_keyed(self, Database database, str text, object key, long long expire) except -1:
        cdef Cell cell
        cdef Outcome outcome
        cdef bint changed
        if database.read_only:
            database.refuse_writing()
        keepalive = encode_key(key, self.serializer, &cell)
        name = self.reads.name_of(key, keepalive, &cell)
        if self.appends.wanted:
            if text is sql.DELETE:
                outcome = self.appends.remove(database, key, name, &cell)
            else:
                outcome = self.appends.touch(database, key, keepalive, name, &cell, expire)
            if outcome != ELSEWHERE:
                return outcome == DONE
        cdef long long now = database.now()
        database.acquire_writer_lock()
        try:
            changed = self.writes.run_keyed(database, text, &cell, expire, now) > 0
            if database.depth == 0:
                if changed and text is sql.DELETE:
                    self.lookup.fill(database.own_era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
                database.settle()
        finally:
            database.writer_lock.release()
        return changed

    cdef Entry take_entry(self, Database database, object key):
        """Remove the live entry of a key and return it with its value decoded, or None.

        What cannot be decoded is not removed."""
        try:
            return self.take_once(database, key)
        except FullError:
            if not make_way(database, self.checkpoints):
                raise
        try:
            return self.take_once(database, key)
        finally:
            end_way(database, self.checkpoints)

    cdef Entry take_once(self, Database database, object key):
        cdef Cell cell
        cdef Entry entry
        cdef Outcome outcome = ELSEWHERE
        keepalive = encode_key(key, self.serializer, &cell)
        name = self.reads.name_of(key, keepalive, &cell)
        if self.appends.wanted:
            entry = self.appends.take(database, key, name, &cell, &outcome)
            if outcome != ELSEWHERE:
                self.reads.hits += outcome == DONE
                self.reads.misses += outcome != DONE
                return entry
        cdef long long now = database.now()
        database.acquire_writer_lock()
        try:
            entry = self.writes.pop_native(database, &cell, now)
            if entry is not None:
                self.reads.hits += 1
                if database.depth == 0:
                    database.follow_commit()
                    self.lookup.fill(database.own_era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
                    database.settle()
                return entry
            if not self.reads.contains(database, key):
                self.reads.misses += 1
                return None
            enter(database)
            try:
                entry = self.reads.fetch_entry(database, key)
                if entry is not None:
                    database.will_change(&cell)
                    database.writing().connection.query(sql.DELETE_ROW, (entry.id,))
                    database.has_trash = database.has_trash or entry.file is not None
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
            return entry
        finally:
            database.writer_lock.release()

    cdef object increment(self, Database database, object key, object delta, object default):
        """Add to the number of a key, an int as one statement; returns the sum.

        With the default None, raises KeyError if there is none."""
        cdef Cell cell
        cdef Entry entry
        cdef Outcome outcome = ELSEWHERE
        cdef long long total = 0
        delta = check_number(delta, "delta")
        start = None if default is None else check_number(default, "default") + delta
        keepalive = encode_key(key, self.serializer, &cell)
        name = self.reads.name_of(key, keepalive, &cell)
        self.limit.refuse_too_large(database, &cell, 8)
        if self.appends.wanted:
            value = self.appends.increment(database, key, keepalive, name, &cell, delta, start, &outcome)
            if outcome == DONE:
                return value
            if outcome == REFUSED:
                raise KeyError(key)
        cdef long long now = database.now()
        database.acquire_writer_lock()
        try:
            if self.limit.max_size:
                self.writes.make_room_for_number(database, &cell)
            if (type(delta) is int and type(start) is int and -(1 << 63) <= delta < 1 << 63 and -(1 << 63) <= start < 1 << 63
                    and self.writes.increment_native(database, &cell, delta, start, now, &total)):
                if database.depth == 0:
                    database.follow_commit()
                    database.settle()
                return total
            # An expired entry is in the way, an int beyond 64 bits, or no int at all; or there has to be one.
            enter(database)
            try:
                entry = self.reads.fetch_entry(database, key)
                if entry is None:
                    if start is None:
                        raise KeyError(key)
                    value = start
                    self.put(database, key, value, NEVER, None, False)
                elif isinstance(entry.stored, (int, float)):
                    value = entry.stored + delta
                    self.put(database, key, value, entry.expire, entry.tag, False)
                else:
                    raise TypeError(f"incr needs a number, and the stored value is of type {type(entry.stored).__name__}")
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
            return value
        finally:
            database.writer_lock.release()


cdef object check_number(object number, str name):
    """The int or float that something is, or stands for."""
    if isinstance(number, float):
        return float(number)
    try:
        return PyNumber_Index(number)
    except TypeError:
        raise TypeError(f"{name} must be a number (int or float), not {type(number).__name__}") from None
