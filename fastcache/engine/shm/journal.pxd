# The journal: a ring of changes that are not in SQLite yet, which all processes map.

from fastcache.engine.shm.byte_locks cimport ByteLocks
from fastcache.engine.shm.change_log cimport Forget
from fastcache.engine.shm.wal_clock cimport load
from fastcache.engine.sqlite.cells cimport Cell, Row


cdef enum:
    # Words at the beginning of the file; what is written often is apart from the rest, and from each other.
    MAGIC = 0
    IDENTITY = 1
    CAPACITY = 2
    BOOT = 3
    TAIL = 8
    HEAD = 16
    OWNER = 24
    RESERVED = 25
    CLOSER = 32
    GENERATION = 33
    HEADER_WORDS = 512
    # Words of a record before its bytes.
    RECORD_WORDS = 10
    HEADER_BYTES = 4096
    RECORD_BYTES = 80


cdef enum Appended:
    APPENDED = 0
    # Another one is at it, and was for longer than it takes.
    BUSY = 1
    # Somebody writes to the database itself.
    SHUT = 2
    # There is no room before something is drained.
    FULL = 3
    # Something has happened since what was to be built upon was read.
    MOVED = 4


cdef enum Pending:
    NOT_PENDING = 0
    IS_PENDING = 1
    # Something else with the same hash is, or the journal is damaged: drain it first.
    UNCLEAR = 2


cdef enum Taken:
    TAKEN_ALL = 0
    TAKEN = 1
    DAMAGED = 2


cdef struct Slot:
    unsigned long long hashed
    # Of the record, and one more; 0 for a free slot.
    unsigned long long place


cdef class Journal:
    cdef readonly str path
    cdef object mapping
    cdef unsigned long long* words
    cdef char* ring
    cdef readonly unsigned long long capacity
    cdef readonly unsigned long long id
    cdef readonly bint read_only
    # How many bytes may be pending before sets are refused.
    cdef unsigned long long allowed
    # What this object is known by, to whom it would wait for; 0 before it was first needed.
    cdef ByteLocks numbers
    cdef readonly unsigned long long number
    cdef bint is_closed
    # The device and inode of the file.
    cdef readonly tuple identity
    # Whether the gate is shut by us, and whether we hold the lock for a commit.
    cdef readonly bint shut_here
    cdef bint locked_here

    # The index of what is pending: everything from some place before the head up to `followed` is in it.
    cdef Slot* slots
    cdef size_t room
    cdef size_t count
    cdef unsigned long long followed
    cdef bint broken
    # Of our last append: where the tail was before, where the record begins, and where the tail is after.
    cdef unsigned long long before
    cdef unsigned long long at
    cdef unsigned long long after

    cdef int take_number(self) except -1
    cdef bint fits(self, const Row* row) noexcept nogil
    cdef bint is_empty(self) noexcept nogil
    cdef unsigned long long head(self) noexcept nogil
    cdef unsigned long long tail(self) noexcept nogil
    cdef unsigned long long generation(self) noexcept nogil
    cdef bint is_shut(self) noexcept nogil

    cdef bint lock(self) noexcept nogil
    cdef void unlock(self) noexcept nogil
    cdef Appended append(
        self, const Row* row, bint strictly, unsigned long long tail, unsigned long long generation, bint drains) noexcept
    cdef void write_record(self, unsigned long long place, const Row* row, unsigned long long size) noexcept nogil

    cdef Appended try_shut(self) noexcept
    cdef void open_gate(self) noexcept
    cdef bint look_after(self) except -1
    cdef bint is_nobody(self, unsigned long long number) except -1
    cdef bint try_hold(self) noexcept
    cdef void let_go(self, bint changed) noexcept

    cdef unsigned long long follow(self) noexcept
    cdef bint tell(self, unsigned long long since, unsigned long long until, Forget forget, void* tier) noexcept
    cdef Pending find(self, const Cell* key, Row* row, unsigned long long* place) noexcept
    cdef bint holds(self, unsigned long long place) noexcept nogil
    cdef int pass_by(self, unsigned long long* place, unsigned long long* hashed) noexcept
    cdef bint take_in(self, unsigned long long since, unsigned long long until) noexcept
    cdef bint note(self, unsigned long long hashed, unsigned long long place) noexcept
    cdef bint make_slots(self, size_t least) noexcept
    cdef void begin_index(self, unsigned long long place) noexcept

    cdef Taken next(self, unsigned long long* place, unsigned long long until, Row* row, bint verified) noexcept nogil
    cdef void drained(self, unsigned long long place) noexcept nogil
    cdef bint is_sound(self) noexcept nogil
    cdef int take_over(self, Journal other, unsigned long long applied) except -1
    cdef void write_filler(self, unsigned long long place) noexcept nogil
    cdef void clear_from(self, unsigned long long place, unsigned long long until) noexcept nogil
    cdef int cut(self, unsigned long long place) except -1
    cdef unsigned long long boot(self) noexcept nogil


cdef void at_place(int place) noexcept nogil
cdef unsigned long long boot_number() except? 0
cdef Journal open_journal(str path, unsigned long long identity, bint read_only)
cdef int make_journal(str path, unsigned long long identity, unsigned long long capacity, unsigned long long boot) except -1
