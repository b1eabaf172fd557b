# cython: nonecheck=True
"""What a store in memory holds: a table, within a limit, that one thread at a time changes.

What is always true, and who keeps it so:

- **The GIL is the lock of what is short.** A change outside of a transaction is one call into the table (table/table.pyx), in which
  nothing lets other threads in. So nobody takes the writer lock for it; but it waits for whoever has that (`claim`), which is who is
  inside of a transaction.
- **What runs Python code comes before, or after**: to encode a key or a value, to ask a timer (`moment`), to call maintenance (`settle`).
  What was looked up before is looked up again, or compared (`replace`, `remove_this`): an item is the entry at one moment.
- **Who is not inside of the open transaction sees what is committed** (`is_aside`).
- **Values are kept as they are if they cannot be changed, and else as the bytes that a row would have**, unsigned, since they never leave
  this process. So what is read is the reader's own, as from a disk.
- **A child that is forked has all that was committed**, for itself: what was open in its parent is undone (`notice_fork`).
"""

import _thread
from _collections import deque
from time import monotonic

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject

from fastcache.engine.codecs.keys cimport canonical_key, decode_key, encode_key
from fastcache.engine.codecs.plainness cimport NOT_PLAIN, PLAIN_KEY, plainness_of
from fastcache.engine.codecs.values cimport CODEC_NATIVE, CODEC_SERIALIZED, CODEC_VERIFIED, EncodedValue
from fastcache.engine.database.database cimport warn
from fastcache.engine.database.writer_lock cimport fork_count
from fastcache.engine.entries.content cimport name_key
from fastcache.engine.entries.entry cimport BYTES, SHARED
from fastcache.engine.memory.sieve cimport cost_of
from fastcache.engine.sqlite.cells cimport CELL_NULL, NEVER, Cell
from fastcache.engine.table.item cimport new_item, utf8_size
from fastcache.engine.table.table cimport (
    LEAST_FREQUENTLY_USED, LEAST_RECENTLY_STORED, LEAST_RECENTLY_USED, NEVER_GOES, NOT_VISITED, OLDEST, SOONEST_TO_EXPIRE, Policy,
    is_live)

from fastcache.errors import CacheFullError, ClosedError, DecodeError, ReadOnlyError, TooLargeError, UntrustedValueError
from fastcache.runtime import fork, imports

cdef extern from "<limits.h>":
    long long LLONG_MIN

cdef extern from "Python.h":
    Py_UCS4 PyUnicode_MAX_CHAR_VALUE(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    Py_ssize_t PY_SSIZE_T_MAX

# As deep as a key may be nested (keys.pyx), and a value that is kept as it is.
cdef int DEEPEST_KEY = 100
cdef int DEEPEST_VALUE = 8
# A value of fewer bytes is not compressed (values.pyx).
cdef Py_ssize_t SMALLEST_COMPRESSED = 1024
# A text whose greatest character may be beyond this one may have lone surrogates.
cdef Py_UCS4 BEFORE_SURROGATES = 0xD7FF
cdef bytes KEY_MARK = encode_mark()


cdef bytes encode_mark():
    """What the encoding of a key begins with that is no value of a row's own."""
    cdef Cell cell
    cdef bytes encoded = encode_key(None, None, &cell)
    return encoded[:len(encoded) - 1]


cdef object POLICIES = {
    "none": NEVER_GOES, "fifo": OLDEST, "ttl": SOONEST_TO_EXPIRE, "lru": LEAST_RECENTLY_USED, "lrs": LEAST_RECENTLY_STORED,
    "lfu": LEAST_FREQUENTLY_USED, "sieve": NOT_VISITED}


@cython.final
cdef class Held:
    """The entries of one store.

    Args:
        scope: its writer lock and clock.
        format: how values are kept that cannot be kept as they are.
        on_evict: called with the key and the reason of what has gone by itself; None for nobody.
        keeps_limit: whether there may be a limit.
        read_only: whether nothing is to be written.
    """

    def __cinit__(self, Scope scope, ValueFormat format, on_evict, bint keeps_limit, bint read_only):
        self.scope = scope
        self.format = format
        self.serializer = format.serializer
        self.table = Table()
        self.on_evict = on_evict
        self.keeps_limit = keeps_limit
        self.read_only = read_only
        self.eviction = "lru"
        self.removed = []
        self.reasons = []
        self.untold = deque()
        self.telling = imports.new_lock(_thread.RLock)
        self.marks = []
        self.batches = []
        self.expected = NEVER

    cdef int refuse(self) except -1:
        """Raise ClosedError if it is closed."""
        if self.closed:
            raise ClosedError(f"the cache in {self.scope.directory!r} is closed")
        return 0

    cdef int refuse_writing(self) except -1:
        """Before a write: raise ReadOnlyError if there is to be none."""
        self.refuse()
        if self.read_only:
            raise ReadOnlyError(f"{self.scope.directory!r} is open for reading alone; nothing was written")
        return 0

    # -- reading ------------------------------------------------------------------------------------------------

    cdef object name_of(self, object key):
        """What stands for a key in the table; raises what a key that cannot be one raises."""
        cdef Cell cell
        kind = type(key)
        if kind is str or kind is int:
            return key
        if plainness_of(key, DEEPEST_KEY) == PLAIN_KEY and not (kind is bytes and (<bytes>key).startswith(KEY_MARK)):
            return key
        return canonical_key(key, encode_key(key, self.serializer, &cell), self.serializer, &cell.hashed)

    cdef Item find(self, object key):
        """The item of a key, which may have expired; None if there is none."""
        kind = type(key)
        return self.find_name(key if kind is str or kind is int else self.name_of(key))

    cdef Item find_name(self, object name):
        """The same by what stands for the key."""
        cdef PyObject* found
        if self.closed:
            self.refuse()
        if self.scope.depth != 0 and self.is_aside():
            return self.table.committed(name)
        found = PyDict_GetItemWithError(self.table.items, name)
        return None if found == NULL else <Item>found

    cdef bint is_aside(self) except -1:
        """Whether a transaction is open that this thread, and this task of it, is not inside of."""
        if self.scope.depth == 0:
            return False
        self.notice_fork()
        return self.scope.depth != 0 and not self.scope.writer_lock.held_by_me()

    cdef int notice_fork(self) except -1:
        """In a child that was forked inside of a transaction: this is the parent's."""
        if self.scope.writer_lock.born != fork_count():
            # Whoever has forked: all others are told, too.
            fork.notice_fork()
            self.end_blocks()
        return 0

    cdef object value_of(self, Item item, ReadMode mode):
        """The value of an item, as wanted."""
        cdef int codec = item.codec
        cdef bint verified = codec & CODEC_VERIFIED != 0
        cdef Cell key
        stored = item.value
        if codec == CODEC_NATIVE and mode != BYTES:
            return stored
        try:
            if codec == CODEC_NATIVE:
                return self.buffer_of(stored)
            codec &= ~CODEC_VERIFIED
            # Nothing is signed, so that nobody asks for the key.
            key.kind = CELL_NULL
            stored = self.format.unwrap(stored, &key, &codec)
            if mode == BYTES:
                return memoryview(stored).toreadonly()
            return self.format.decode(codec | (CODEC_VERIFIED if verified else 0), stored, mode != SHARED)
        except (DecodeError, UntrustedValueError) as error:
            name_key(decode_key(item.key, self.serializer), error)
            raise

    cdef object buffer_of(self, object value):
        """The bytes that a value that is kept as it is would be stored as."""
        cdef Cell cell, key
        cdef int codec = CODEC_SERIALIZED
        if value is None or type(value) in (int, float, bool):
            raise TypeError(f"buffer=True is for what is stored as bytes, and this is of the type {type(value).__name__}")
        if type(value) is str:
            return memoryview((<str>value).encode("utf-8", "surrogatepass"))
        if type(value) is bytes:
            return memoryview(value)
        key.kind = CELL_NULL
        encoded = self.format.pack(value, &key, &cell, &codec)
        return memoryview((<EncodedValue>encoded).payload)

    # -- what is to be stored -----------------------------------------------------------------------------------

    cdef Item new_entry(self, object key, object value, long long expire, object tag):
        """An entry that is to be stored, by its key. Encodes what has to be, which may run Python code."""
        cdef Cell cell
        cdef int overflow = 0
        self.refuse_writing()
        kind = type(key)
        if kind is str:
            if PyUnicode_MAX_CHAR_VALUE(key) <= BEFORE_SURROGATES:
                return self.make_entry(key, key, value, expire, tag)
        elif kind is int:
            PyLong_AsLongLongAndOverflow(key, &overflow)
            if not overflow:
                return self.make_entry(key, key, value, expire, tag)
        stored = encode_key(key, self.serializer, &cell)
        name = canonical_key(key, stored, self.serializer, &cell.hashed)
        if type(stored) is bool:
            stored = name = int(stored)
        elif type(name) is type(stored) and name == stored:
            name = stored
        return self.make_entry(name, stored, value, expire, tag)

    cdef Item make_entry(self, object name, object stored, object value, long long expire, object tag):
        """The same by what stands for the key, and what a row would have."""
        cdef long long size
        cdef Item item
        kind = type(value)
        if kind is str:
            size = utf8_size(value)
        elif kind is bytes:
            size = PyBytes_GET_SIZE(value)
        elif kind is int or kind is float:
            size = 8
        elif kind is bool:
            size = 1
        elif value is None:
            size = 0
        elif (kind is tuple or kind is frozenset) and self.format.trusts and (
                plainness_of(value, DEEPEST_VALUE) != NOT_PLAIN) and not self.format.compression:
            size = <long long>cost_of(value)
        else:
            return self.encode_entry(name, stored, value, expire, tag)
        if self.format.compression and size >= SMALLEST_COMPRESSED:
            return self.encode_entry(name, stored, value, expire, tag)
        item = new_item(name, stored, value, CODEC_NATIVE, size, expire, tag)
        if self.max_size:
            self.refuse_too_large(item)
        return item

    cdef Item encode_entry(self, object name, object stored, object value, long long expire, object tag):
        """The same with a value that is kept as bytes."""
        cdef Cell key, cell
        cdef int codec = CODEC_NATIVE
        cdef EncodedValue encoded
        cdef Item item
        key.kind = CELL_NULL
        kept = self.format.encode(value, &key, &cell, &codec)
        if type(kept) is EncodedValue:
            encoded = kept
            encoded.join(&cell)
            kept = encoded.payload
            codec |= encoded.cached_codec & CODEC_VERIFIED
        else:
            # Nothing was to be gained by compressing it.
            kept, codec = value, CODEC_NATIVE
        item = new_item(name, stored, kept, codec, cell.size, expire, tag)
        if self.max_size:
            self.refuse_too_large(item)
        return item

    cdef int refuse_too_large(self, Item item) except -1:
        """Raise TooLargeError for what would not fit if nothing else was there."""
        if self.max_size and item.cost > self.max_size:
            raise TooLargeError(
                f"{self.scope.directory!r}: an entry of {item.cost} bytes does not fit in a cache whose max_size is "
                f"{self.max_size} bytes; nothing was evicted for it")
        return 0

    # -- changes ------------------------------------------------------------------------------------------------

    cdef long long moment(self) except? -1:
        """What time it is, if that makes a difference to anything."""
        return self.scope.now() if self.table.due.count or self.scope.depth else LLONG_MIN

    cdef bint claim(self) except -1:
        """Before a change: wait for who is inside of a transaction. Returns whether the writer lock was taken for it."""
        if self.scope.writer_lock.owner == 0 and self.scope.depth == 0:
            self.refuse_writing()
            return False
        self.notice_fork()
        if self.scope.writer_lock.owner == 0 or self.scope.writer_lock.held_by_me():
            self.refuse_writing()
            return False
        self.scope.writer_lock.acquire(self.scope.patience())
        try:
            self.refuse_writing()
        except BaseException:
            self.scope.writer_lock.release()
            raise
        return True

    cdef void release(self, bint claimed):
        if claimed:
            self.scope.writer_lock.release()

    cdef Item live(self, object name, long long now):
        """The live item of a name, for who changes it; None if there is none."""
        cdef PyObject* found = PyDict_GetItemWithError(self.table.items, name)
        if found == NULL or not is_live(<Item>found, now):
            return None
        return <Item>found

    cdef bint put(self, Item item, bint only_if_absent) except -1:
        """Store an entry; with ``only_if_absent``, unless a live one is there. Returns whether it was stored."""
        cdef long long now = self.moment()
        cdef bint stored
        cdef bint claimed = self.claim()
        if not claimed:
            stored = self.enter(item, only_if_absent, now)
        else:
            try:
                stored = self.enter(item, only_if_absent, now)
            finally:
                self.release(claimed)
        if item.expire < self.expected:
            self.expect(item.expire)
        if self.removed:
            self.settle()
        return stored

    cdef bint enter(self, Item item, bint only_if_absent, long long now) except -1:
        """The same where nobody is in the way."""
        cdef PyObject* found = PyDict_GetItemWithError(self.table.items, item.name)
        cdef Item old = None
        if found != NULL:
            old = <Item>found
            if not is_live(old, now):
                # It is no entry any more: this one comes at the end.
                self.table.remove(old)
                old = None
            elif only_if_absent:
                return False
        if self.max_size and self.table.cost + item.cost > self.max_size:
            old = self.make_room(item, old, now)
        self.table.enter(item, old)
        return True

    cdef bint replace(self, Item item, Item by) except -1:
        """Have another item in the place of one, if that is still there. Returns whether it was."""
        cdef long long now = self.moment()
        cdef bint claimed = self.claim()
        cdef bint found
        try:
            found = self.live(item.name, now) is item
            if found:
                self.enter(by, False, now)
        finally:
            self.release(claimed)
        self.expect(by.expire)
        self.settle()
        return found

    cdef bint remove(self, object name, long long now) except -1:
        """Remove the live entry of a name; returns whether there was one. Nobody is in the way."""
        cdef Item item = self.live(name, now)
        if item is None:
            return False
        self.table.remove(item)
        return True

    cdef bint remove_this(self, Item item, str reason) except -1:
        """Remove an item, if it is still there; returns whether it was. A reason is told, and counted."""
        cdef bint claimed = self.claim()
        cdef PyObject* found
        try:
            found = PyDict_GetItemWithError(self.table.items, item.name)
            if found != <PyObject*>item:
                return False
            self.table.remove(item)
            if reason is not None:
                self.note_removal(item, reason)
        finally:
            self.release(claimed)
        return True

    cdef Py_ssize_t remove_expired(self, Py_ssize_t limit) except -1:
        """Remove entries that have expired, so many at most; returns how many."""
        cdef Py_ssize_t removed = 0
        cdef Item item
        cdef long long now = self.moment()
        cdef bint claimed = self.claim()
        try:
            while removed < limit:
                item = self.table.due.first()
                if item is None or is_live(item, now):
                    break
                self.table.remove(item)
                self.note_removal(item, "expired")
                removed += 1
        finally:
            self.release(claimed)
        self.settle()
        return removed

    # -- the limit ----------------------------------------------------------------------------------------------

    cdef Item make_room(self, Item item, Item old, long long now):
        """Evict until an item fits in, which takes the place of ``old``; returns that, None if it has gone, too."""
        cdef Item going
        cdef str reason
        while self.table.cost + item.cost - (0 if old is None else old.cost) > self.max_size:
            going = self.table.due.first()
            reason = "expired"
            if going is None or is_live(going, now):
                going = self.table.victim()
                reason = "evicted"
            if going is None:
                why = "nothing is ever evicted from it" if self.eviction == "none" else "what is left cannot be evicted"
                raise CacheFullError(
                    f"{self.scope.directory!r}: the cache is full (max_size is {self.max_size} bytes), and {why}; delete "
                    "something, or raise max_size. Nothing was changed")
            self.table.remove(going)
            if going is old:
                old = None
            else:
                self.note_removal(going, reason)
        return old

    cdef Py_ssize_t shrink(self) except -1:
        """Evict what is more than the limit; returns how many entries that were."""
        cdef Py_ssize_t removed = 0
        cdef Item going
        cdef str reason
        cdef long long now = self.moment()
        cdef bint claimed = self.claim()
        try:
            while self.max_size and self.table.cost > self.max_size:
                going = self.table.due.first()
                reason = "expired"
                if going is None or is_live(going, now):
                    going = self.table.victim()
                    reason = "evicted"
                if going is None:
                    break
                self.table.remove(going)
                self.note_removal(going, reason)
                removed += 1
        finally:
            self.release(claimed)
        self.settle()
        return removed

    cdef int use_limit(self, long long max_size, str eviction) except -1:
        """Keep to a limit and a policy."""
        if self.keeps_limit:
            self.max_size = max_size
            self.eviction = eviction
            self.table.use_policy(<Policy><int>POLICIES[eviction] if max_size else NEVER_GOES)
        return 0

    cdef int note_removal(self, Item item, str reason) except -1:
        """An entry was removed by nobody who has named its key."""
        self.removed.append(item)
        self.reasons.append(reason)
        return 0

    cdef int settle(self) except -1:
        """Outside of transactions: count what has gone, and have it told."""
        if self.scope.depth or not self.removed:
            return 0
        removed, reasons = self.removed, self.reasons
        self.removed, self.reasons = [], []
        self.evictions += reasons.count("evicted")
        self.expirations += reasons.count("expired")
        if self.on_evict is not None:
            self.untold.extend(zip(removed, reasons))
            self.scope.schedule(0.0)
        return 0

    cdef int tell(self) except -1:
        """Call ``on_evict`` with what has gone, in the order in which it went; with no lock but that of who tells."""
        cdef Item item
        telling = self.telling
        if self.on_evict is None or not self.untold:
            return 0
        telling.acquire()
        try:
            # What it evicts itself is for the next time.
            for _ in range(len(self.untold)):
                item, reason = self.untold.popleft()
                try:
                    self.on_evict(decode_key(item.key, self.serializer), reason)
                except Exception as error:
                    warn("on_evict of %r has failed: %s", self.scope.directory, type(error).__name__)
        except IndexError:
            # It has called this, which has told the rest.
            pass
        finally:
            telling.release()
        return 0

    cdef int expect(self, long long expire) except -1:
        """An entry expires at this time: maintenance is to remove it then. (A cache with a timer of its own does not tell when that
        is.)"""
        if expire < self.expected and self.scope.timer is None:
            self.expected = expire
            self.scope.schedule(max(0.0, (expire - self.scope.now()) / 1000.0))
        return 0

    # -- transactions -------------------------------------------------------------------------------------------

    cdef int enter_block(self) except -1:
        """Begin a transaction, or a block inside of the one that is open."""
        cdef object place
        self.refuse_writing()
        self.notice_fork()
        self.scope.writer_lock.acquire(self.scope.patience())
        try:
            self.refuse_writing()
            while len(self.scope.blocks) <= self.scope.depth:
                self.scope.blocks.append(0)
            while len(self.marks) <= self.scope.depth:
                self.marks.append(None)
            self.scope.entered += 1
            place = len(self.table.log), len(self.removed)
            self.marks[self.scope.depth] = place
            self.scope.blocks[self.scope.depth] = self.scope.entered
            if self.scope.depth == 0:
                self.table.begin_log()
        except BaseException:
            self.scope.writer_lock.release()
            raise
        self.scope.depth += 1
        return 0

    cdef int leave_block(self, bint keep) except -1:
        """End the innermost block."""
        try:
            if not keep:
                mark, removed = self.marks[self.scope.depth - 1]
                self.table.roll_back(mark)
                del self.removed[removed:], self.reasons[removed:]
            self.scope.depth -= 1
            if self.scope.depth == 0:
                self.table.end_log()
        finally:
            self.scope.writer_lock.release()
        return self.settle()

    cdef int end_blocks(self) except -1:
        """In a child that was forked: undo what was open in its parent, and tell nothing of what is the parent's to tell."""
        self.scope.writer_lock.notice_fork()
        if self.scope.depth:
            self.table.roll_back(0)
            self.scope.depth = 0
            self.table.end_log()
        self.removed, self.reasons = [], []
        self.untold = deque()
        self.telling = imports.new_lock(_thread.RLock)
        self.batches = []
        self.expected = NEVER
        return 0
