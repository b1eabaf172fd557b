# cython: nonecheck=True
"""What a pickle would do if it were loaded, found out without loading it.

A pickle is a program for a stack machine (the opcodes: CPython's Lib/pickletools.py). `examine` walks over one and knows
each opcode that CPython's pickler writes for protocol 5 and plain data, with the exact length of its argument; anything
else it refuses. So it sees every opcode that a load would carry out, and says

- nothing (0): builds builtin containers and scalars and nothing else; it may be loaded as it is;
- CALLS: it names globals (STACK_GLOBAL), and calls them (REDUCE). What they may be has to be decided at the load;
- SETS: there is a set in it, whose order differs between processes;
- REFUSED: opcodes that change what exists (BUILD), make objects without a call (NEWOBJ), look into registries (EXT), are
  of older protocols, are cut off, or build tuples in tuples deeper than DEEPEST: hashing such a one, which CPython does by
  recursion in C, would overflow the stack.

What is left to a load is to fail with an exception, or to waste time and memory.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.string cimport memset

cdef enum:
    CALLS_FOUND = 1
    SETS_FOUND = 2
    REFUSED_FOUND = 4

CALLS = <int>CALLS_FOUND
SETS = <int>SETS_FOUND
REFUSED = <int>REFUSED_FOUND

# Deeper than CPython's pickler goes before it raises RecursionError, and harmless for the stack.
cdef int DEEPEST = 1000

cdef enum:
    MARK = 0x28             # (
    EMPTY_TUPLE = 0x29      # )
    STOP = 0x2E             # .
    POP = 0x30              # 0
    POP_MARK = 0x31         # 1
    BINBYTES = 0x42         # B
    SHORT_BINBYTES = 0x43   # C
    BINFLOAT = 0x47         # G
    BININT = 0x4A           # J
    BININT1 = 0x4B          # K
    BININT2 = 0x4D          # M
    NONE = 0x4E             # N
    REDUCE = 0x52           # R
    BINUNICODE = 0x58       # X
    EMPTY_LIST = 0x5D       # ]
    APPEND = 0x61           # a
    APPENDS = 0x65          # e
    BINGET = 0x68           # h
    LONG_BINGET = 0x6A      # j
    SETITEM = 0x73          # s
    TUPLE = 0x74            # t
    SETITEMS = 0x75         # u
    EMPTY_DICT = 0x7D       # }
    PROTO = 0x80
    TUPLE1 = 0x85
    TUPLE2 = 0x86
    TUPLE3 = 0x87
    NEWTRUE = 0x88
    # These are refused.
    BUILD = 0x62            # b
    NEWOBJ = 0x81
    EXT1 = 0x82
    EXT2 = 0x83
    EXT4 = 0x84
    NEWOBJ_EX = 0x92
    # These are not.
    NEWFALSE = 0x89
    LONG1 = 0x8A
    LONG4 = 0x8B
    SHORT_BINUNICODE = 0x8C
    BINUNICODE8 = 0x8D
    BINBYTES8 = 0x8E
    EMPTY_SET = 0x8F
    ADDITEMS = 0x90
    FROZENSET = 0x91
    STACK_GLOBAL = 0x93
    MEMOIZE = 0x94
    FRAME = 0x95
    BYTEARRAY8 = 0x96
    NEXT_BUFFER = 0x97
    READONLY_BUFFER = 0x98

# What follows an opcode: so many bytes, or a length of so many bytes and as much as it says.
cdef enum:
    UNKNOWN = -1
    SIZED = 16

cdef signed char ARGUMENT[256]

cdef struct Machine:
    # How deep each thing on the stack is, where marks were set, and what was remembered.
    int* stack
    Py_ssize_t* marks
    int* memo
    Py_ssize_t room, height, marked, remembered


cdef void fill_table() noexcept:
    cdef int opcode
    for opcode in range(256):
        ARGUMENT[opcode] = UNKNOWN
    for opcode in (
            MARK, EMPTY_TUPLE, STOP, POP, POP_MARK, NONE, REDUCE, EMPTY_LIST, APPEND, APPENDS, SETITEM, TUPLE, SETITEMS,
            EMPTY_DICT, TUPLE1, TUPLE2, TUPLE3, NEWTRUE, NEWFALSE, EMPTY_SET, ADDITEMS, FROZENSET, STACK_GLOBAL, MEMOIZE,
            NEXT_BUFFER, READONLY_BUFFER, BUILD, NEWOBJ, NEWOBJ_EX):
        ARGUMENT[opcode] = 0
    for opcode in (BININT1, BINGET, PROTO, EXT1):
        ARGUMENT[opcode] = 1
    ARGUMENT[BININT2] = ARGUMENT[EXT2] = 2
    ARGUMENT[BININT] = ARGUMENT[LONG_BINGET] = ARGUMENT[EXT4] = 4
    ARGUMENT[BINFLOAT] = ARGUMENT[FRAME] = 8
    for opcode in (LONG1, SHORT_BINBYTES, SHORT_BINUNICODE):
        ARGUMENT[opcode] = SIZED + 1
    for opcode in (LONG4, BINBYTES, BINUNICODE):
        ARGUMENT[opcode] = SIZED + 4
    for opcode in (BINBYTES8, BINUNICODE8, BYTEARRAY8):
        ARGUMENT[opcode] = SIZED + 8


fill_table()


cdef inline unsigned long long number_at(const unsigned char* at, int size) noexcept nogil:
    cdef unsigned long long number = 0
    cdef int index
    for index in range(size):
        number |= <unsigned long long>at[index] << (8 * index)
    return number


cdef Py_ssize_t length_of(const unsigned char* at) noexcept nogil:
    """Bytes of an opcode and its argument, which are known to be there."""
    cdef int argument = ARGUMENT[at[0]]
    if argument < SIZED:
        return 1 + argument
    argument -= SIZED
    return 1 + argument + <Py_ssize_t>number_at(at + 1, argument)


cdef const unsigned char* next_opcode(const unsigned char* at, const unsigned char* end) noexcept nogil:
    """Where the opcode behind the one at ``at`` begins; NULL if that is unknown, or cut off."""
    cdef int argument = ARGUMENT[at[0]]
    cdef unsigned long long size
    at += 1
    if argument == UNKNOWN:
        return NULL
    if argument < SIZED:
        return at + argument if argument <= end - at else NULL
    argument -= SIZED
    if argument > end - at:
        return NULL
    size = number_at(at, argument)
    at += argument
    return at + size if size <= <unsigned long long>(end - at) else NULL


cdef int walk(const unsigned char* start, Py_ssize_t length) noexcept:
    cdef const unsigned char* end = start + length
    cdef const unsigned char* at = start
    cdef int found = 0
    cdef Py_ssize_t tuples = 0, memoized = 0
    cdef unsigned char opcode
    while at < end:
        opcode = at[0]
        if opcode == STOP:
            if at + 1 != end or (tuples > DEEPEST and depth(start, memoized) > DEEPEST):
                found |= REFUSED_FOUND
            return found
        if opcode == MEMOIZE:
            memoized += 1
        elif opcode == STACK_GLOBAL:
            found |= CALLS_FOUND
        elif opcode == EMPTY_SET or opcode == FROZENSET:
            found |= SETS_FOUND
        elif opcode == REDUCE or opcode == TUPLE or TUPLE1 <= opcode <= TUPLE3:
            tuples += 1
        elif opcode == BUILD or opcode == NEWOBJ or EXT1 <= opcode <= EXT4 or opcode == NEWOBJ_EX:
            found |= REFUSED_FOUND
        at = next_opcode(at, end)
        if at == NULL:
            break
    return found | REFUSED_FOUND


cdef int depth(const unsigned char* start, Py_ssize_t memoized) noexcept:
    """How deep tuples are nested in tuples, found by simulating the stack; DEEPEST + 1 if that fails."""
    cdef Machine machine
    cdef int deepest = DEEPEST + 1
    memset(&machine, 0, sizeof(machine))
    machine.memo = <int*>PyMem_Malloc((memoized + 1) * sizeof(int))
    if machine.memo != NULL:
        deepest = simulate(start, &machine)
    PyMem_Free(machine.stack)
    PyMem_Free(machine.marks)
    PyMem_Free(machine.memo)
    return deepest


cdef bint make_room(Machine* machine) noexcept:
    """For one more on the stack, and one more mark. False if there is none to be had."""
    cdef Py_ssize_t room
    cdef int* stack
    cdef Py_ssize_t* marks
    if machine.height < machine.room and machine.marked < machine.room:
        return True
    room = max(<Py_ssize_t>256, 2 * machine.room)
    stack = <int*>PyMem_Realloc(machine.stack, room * sizeof(int))
    if stack == NULL:
        return False
    machine.stack = stack
    marks = <Py_ssize_t*>PyMem_Realloc(machine.marks, room * sizeof(Py_ssize_t))
    if marks == NULL:
        return False
    machine.marks = marks
    machine.room = room
    return True


cdef int simulate(const unsigned char* at, Machine* machine) noexcept:
    """Walk over what was walked over already, so that it is known to have an end."""
    cdef Py_ssize_t taken, index
    cdef unsigned long long which
    cdef int deepest = 0, inner
    cdef bint pushes
    cdef unsigned char opcode
    while True:
        opcode = at[0]
        taken = 0
        pushes = False
        if opcode == STOP:
            return deepest
        if not make_room(machine):
            return DEEPEST + 1
        if opcode in (PROTO, FRAME, READONLY_BUFFER):
            pass
        elif opcode == MARK:
            machine.marks[machine.marked] = machine.height
            machine.marked += 1
        elif opcode == MEMOIZE:
            if machine.height == 0:
                return DEEPEST + 1
            machine.memo[machine.remembered] = machine.stack[machine.height - 1]
            machine.remembered += 1
        elif opcode in (BINGET, LONG_BINGET):
            which = number_at(at + 1, 1 if opcode == BINGET else 4)
            if which >= <unsigned long long>machine.remembered:
                return DEEPEST + 1
            machine.stack[machine.height] = machine.memo[which]
            machine.height += 1
        elif opcode == POP and machine.marked and machine.marks[machine.marked - 1] == machine.height:
            machine.marked -= 1
        elif opcode in (POP, APPEND):
            taken = 1
        elif opcode == SETITEM:
            taken = 2
        elif opcode in (POP_MARK, APPENDS, SETITEMS, ADDITEMS, FROZENSET, TUPLE):
            if not machine.marked:
                return DEEPEST + 1
            machine.marked -= 1
            taken = machine.height - machine.marks[machine.marked]
            pushes = opcode == TUPLE or opcode == FROZENSET
        elif opcode in (TUPLE1, TUPLE2, TUPLE3):
            taken = opcode - TUPLE1 + 1
            pushes = True
        elif opcode in (REDUCE, STACK_GLOBAL):
            taken = 2
            pushes = True
        else:
            machine.stack[machine.height] = 0
            machine.height += 1
        if taken < 0 or taken > machine.height:
            return DEEPEST + 1
        inner = 0
        for index in range(machine.height - taken, machine.height):
            inner = max(inner, machine.stack[index])
        machine.height -= taken
        if pushes:
            # What hashes by recursion.
            machine.stack[machine.height] = inner + 1 if opcode in (TUPLE, TUPLE1, TUPLE2, TUPLE3, REDUCE) else 0
            deepest = max(deepest, machine.stack[machine.height])
            machine.height += 1
        at += length_of(at)


def examine(data):
    """What a pickle (bytes-like) would do: 0 for nothing but plain data, else a sum of CALLS, SETS and REFUSED."""
    cdef Py_buffer view
    cdef int found
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    found = walk(<const unsigned char*>view.buf, view.len)
    PyBuffer_Release(&view)
    return found
