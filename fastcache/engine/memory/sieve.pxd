# A hash table bounded in bytes, whose replacement is SIEVE.

from cpython.ref cimport PyObject


cdef enum Kind:
    ABSENT = 0      # there is no entry; no value
    PRESENT = 1     # there is one, whose value is not known
    OBJECT = 2      # the value itself, which cannot be changed
    ENCODED = 3     # the bytes that the value is decoded from each time
    UNDECODED = 4   # the same, never decoded yet: it may turn out to be unchangeable


cdef struct Node:
    unsigned long long hashed
    PyObject* key
    PyObject* value
    long long expire
    unsigned int older
    unsigned int newer
    # In units of 16 bytes.
    unsigned int cost
    # Its row in the access table, or 0, and when that was last told.
    unsigned int row
    unsigned int used_at
    unsigned short codec
    unsigned char kind
    unsigned char visited


cdef class Budget:
    cdef readonly unsigned long long limit
    cdef readonly unsigned long long used
    cdef PyObject** members
    cdef Py_ssize_t count

    cdef bint join(self, Sieve sieve) noexcept
    cdef void leave(self, Sieve sieve) noexcept
    cdef Sieve largest(self)
    cdef bint make_room(self) noexcept
    cdef bint make_room_for(self, Sieve smaller) noexcept


cdef class Sieve:
    cdef readonly unsigned long long limit
    cdef readonly unsigned long long used
    cdef Budget budget
    cdef readonly Py_ssize_t count
    cdef Node* nodes
    cdef unsigned int room
    cdef unsigned int unused
    cdef unsigned long long* slots
    cdef unsigned long long mask
    cdef unsigned int oldest
    cdef unsigned int newest
    cdef unsigned int hand

    cdef Node* find(self, object key, unsigned long long hashed) noexcept
    cdef bint keep(
        self, object key, unsigned long long hashed, Kind kind, object value, int codec, long long expire,
        unsigned long long key_cost, unsigned long long value_cost, unsigned int row) noexcept
    cdef void become(self, object key, unsigned long long hashed, object encoded, object value) noexcept
    cdef void forget(self, unsigned long long hashed) noexcept
    cdef void clear(self) noexcept

    cdef void take(self, long long bytes) noexcept
    cdef unsigned int claim(self, unsigned long long cost) noexcept
    cdef bint grow(self) noexcept
    cdef bint enter(self, unsigned int place, unsigned long long hashed) noexcept
    cdef void evict(self) noexcept
    cdef void remove(self, unsigned int place) noexcept
    cdef void drop(self, unsigned int place) noexcept
    cdef void release(self, unsigned int place) noexcept
    cdef void free_lost(self, unsigned int lost, size_t count) noexcept
    cdef void leave(self, unsigned long long at) noexcept
    cdef void link(self, unsigned int place) noexcept
    cdef void unlink(self, unsigned int place) noexcept


cdef unsigned long long cost_of(object value) noexcept
cdef unsigned long long cost_of_utf8(object key) noexcept
