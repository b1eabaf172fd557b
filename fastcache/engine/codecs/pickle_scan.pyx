# cython: nonecheck=True
"""What a pickle would do if it were loaded, found out without loading it.

A pickle is a program for a stack machine (the opcodes: CPython's Lib/pickletools.py). `examine` walks over one and knows
each opcode that CPython's pickler writes for protocol 5, with the exact length of its argument, and where its frames end;
anything else it refuses. So it sees every opcode that a load would carry out, and says

- nothing (0): builds builtin containers and scalars and nothing else; it may be loaded as it is;
- CALLS: it names globals (STACK_GLOBAL), and calls them (REDUCE). What they may be has to be decided at the load. The stack
  is simulated: only a global is called, and only lists, dicts and sets that the pickle has made itself are added to, so that
  what a call has returned stays as it is;
- SETS: there is a set in it, whose order differs between processes;
- REFUSED: opcodes that change what exists (BUILD), make objects without a call (NEWOBJ), look into registries (EXT), are
  of older protocols, or are cut off. And what overflows CPython's stack or takes for ever, though it is plain: containers
  nested deeper than DEEPEST (tuples are hashed, deques and defaultdicts freed, by recursion in C), and tuples or arguments
  that hold the same parts so often that they would have more than MOST_PARTS for each byte of the pickle.

What is left to a load is to fail with an exception, or to waste time and memory in proportion to what is there.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.string cimport memset

CALLS = <int>CALLS_FOUND
SETS = <int>SETS_FOUND
REFUSED = <int>REFUSED_FOUND

# Deeper than CPython's pickler goes before it raises RecursionError, and harmless for the stack.
cdef int DEEPEST = 1000
# Of so few tuples, 2 ** 20 parts can be made.
cdef Py_ssize_t FEW = 20
cdef double MOST_PARTS = 64.0
cdef double MANY = 1e6

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
    # These are refused.
    BUILD = 0x62            # b
    NEWOBJ = 0x81
    EXT1 = 0x82
    EXT2 = 0x83
    EXT4 = 0x84
    NEWOBJ_EX = 0x92

# What follows an opcode: so many bytes, or a length of so many bytes and as much as it says.
cdef enum:
    UNKNOWN = -1
    SIZED = 16

cdef signed char ARGUMENT[256]

cdef enum Kind:
    ATOM
    LIST
    DICT
    A_SET
    A_TUPLE
    GLOBAL
    RESULT

cdef struct Thing:
    # How deep containers are nested in it, and how many parts it has, counted as often as they occur.
    int depth
    Kind kind
    double parts

cdef struct Machine:
    # All things that were made; by their numbers: the stack, and what was remembered; and where marks were set.
    Thing* things
    Py_ssize_t* stack
    Py_ssize_t* memo
    Py_ssize_t* marks
    Py_ssize_t room, made, height, marked, remembered
    # What calls are given, in parts.
    double given


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
    cdef const unsigned char* frame_end = NULL
    cdef const unsigned char* behind
    cdef int found = 0
    cdef Py_ssize_t containers = 0, tuples = 0, memoized = 0, recalled = 0
    cdef unsigned char opcode
    while at < end:
        opcode = at[0]
        behind = next_opcode(at, end)
        if behind == NULL:
            break
        if frame_end != NULL:
            # An unpickler that reads from a file would go on elsewhere.
            if behind > frame_end or opcode == FRAME:
                break
            if behind == frame_end:
                frame_end = NULL
        elif opcode == FRAME:
            if number_at(at + 1, 8) > <unsigned long long>(end - behind):
                break
            frame_end = behind + number_at(at + 1, 8) if number_at(at + 1, 8) else NULL
        if opcode == STOP:
            if behind != end:
                break
            if (found & CALLS_FOUND or containers > DEEPEST or (recalled and tuples > FEW)) and not found & REFUSED_FOUND:
                if not is_harmless(start, length, memoized):
                    break
            return found
        if opcode == MEMOIZE:
            memoized += 1
        elif opcode == BINGET or opcode == LONG_BINGET:
            recalled += 1
        elif opcode == STACK_GLOBAL:
            found |= CALLS_FOUND
        elif opcode == REDUCE or opcode == TUPLE or TUPLE1 <= opcode <= TUPLE3:
            tuples += 1
            containers += 1
        elif opcode == EMPTY_LIST or opcode == EMPTY_DICT:
            containers += 1
        elif opcode == EMPTY_SET or opcode == FROZENSET:
            found |= SETS_FOUND
            containers += 1
        elif opcode == BUILD or opcode == NEWOBJ or EXT1 <= opcode <= EXT4 or opcode == NEWOBJ_EX:
            found |= REFUSED_FOUND
        at = behind
    return found | REFUSED_FOUND


cdef bint is_harmless(const unsigned char* start, Py_ssize_t length, Py_ssize_t memoized) noexcept:
    """Simulate the stack; False for what is refused, or if there is no memory for that."""
    cdef Machine machine
    cdef bint harmless = False
    memset(&machine, 0, sizeof(machine))
    machine.memo = <Py_ssize_t*>PyMem_Malloc((memoized + 1) * sizeof(Py_ssize_t))
    if machine.memo != NULL:
        harmless = simulate(start, start + length, &machine, MANY + MOST_PARTS * length)
    PyMem_Free(machine.things)
    PyMem_Free(machine.stack)
    PyMem_Free(machine.marks)
    PyMem_Free(machine.memo)
    return harmless


cdef bint make_room(Machine* machine) noexcept:
    """For one thing more, and one mark. False if there is none to be had."""
    cdef Py_ssize_t room
    cdef void* larger
    if machine.made < machine.room and machine.marked < machine.room:
        return True
    room = max(<Py_ssize_t>256, 2 * machine.room)
    larger = PyMem_Realloc(machine.things, room * sizeof(Thing))
    if larger == NULL:
        return False
    machine.things = <Thing*>larger
    larger = PyMem_Realloc(machine.marks, room * sizeof(Py_ssize_t))
    if larger == NULL:
        return False
    machine.marks = <Py_ssize_t*>larger
    machine.room = room
    return True


cdef bint push(Machine* machine, Py_ssize_t which) noexcept:
    """Push a thing. The stack grows by itself, at powers of two: what was remembered makes it higher than things were made."""
    cdef void* larger
    cdef Py_ssize_t height = machine.height
    if height & (height - 1) == 0 and (height == 0 or height >= 256):
        larger = PyMem_Realloc(machine.stack, max(<Py_ssize_t>256, 2 * height) * sizeof(Py_ssize_t))
        if larger == NULL:
            return False
        machine.stack = <Py_ssize_t*>larger
    machine.stack[height] = which
    machine.height = height + 1
    return True


cdef bint make(Machine* machine, Kind kind, int depth, double parts) noexcept:
    machine.things[machine.made].kind = kind
    machine.things[machine.made].depth = depth
    machine.things[machine.made].parts = parts
    machine.made += 1
    return push(machine, machine.made - 1)


cdef bint simulate(const unsigned char* at, const unsigned char* end, Machine* machine, double most) noexcept:
    """Walk over what was walked over already, so that it is known to have an end."""
    cdef Py_ssize_t taken, index
    cdef unsigned long long which
    cdef const unsigned char* behind
    cdef unsigned char opcode
    cdef Thing* target
    cdef Thing* child
    cdef int deepest
    cdef double parts
    cdef Kind kind
    while True:
        opcode = at[0]
        behind = next_opcode(at, end)
        if opcode == STOP:
            return True
        if not make_room(machine):
            return False
        if opcode in (PROTO, FRAME, READONLY_BUFFER):
            pass
        elif opcode == MARK:
            machine.marks[machine.marked] = machine.height
            machine.marked += 1
        elif opcode == MEMOIZE:
            if machine.height == 0:
                return False
            machine.memo[machine.remembered] = machine.stack[machine.height - 1]
            machine.remembered += 1
        elif opcode in (BINGET, LONG_BINGET):
            which = number_at(at + 1, 1 if opcode == BINGET else 4)
            if which >= <unsigned long long>machine.remembered or not push(machine, machine.memo[which]):
                return False
        elif opcode == POP and machine.marked and machine.marks[machine.marked - 1] == machine.height:
            machine.marked -= 1
        elif opcode in (EMPTY_LIST, EMPTY_DICT, EMPTY_SET, EMPTY_TUPLE):
            kind = LIST if opcode == EMPTY_LIST else DICT if opcode == EMPTY_DICT else A_SET
            if not make(machine, A_TUPLE if opcode == EMPTY_TUPLE else kind, 0, 1):
                return False
        elif opcode in (POP, APPEND, SETITEM, POP_MARK, APPENDS, SETITEMS, ADDITEMS, FROZENSET, TUPLE, TUPLE1, TUPLE2,
                        TUPLE3, REDUCE, STACK_GLOBAL):
            if opcode in (POP_MARK, APPENDS, SETITEMS, ADDITEMS, FROZENSET, TUPLE):
                if not machine.marked:
                    return False
                machine.marked -= 1
                taken = machine.height - machine.marks[machine.marked]
            elif opcode in (TUPLE1, TUPLE2, TUPLE3):
                taken = opcode - TUPLE1 + 1
            else:
                taken = 1 if opcode in (POP, APPEND) else 2
            # What lies below a mark belongs to others.
            if taken < 0 or machine.height - taken < (machine.marks[machine.marked - 1] if machine.marked else 0):
                return False
            machine.height -= taken
            deepest = -1
            parts = 0
            for index in range(machine.height, machine.height + taken):
                child = &machine.things[machine.stack[index]]
                deepest = max(deepest, child.depth)
                parts += child.parts
            if opcode in (APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS):
                if machine.height == 0:
                    return False
                target = &machine.things[machine.stack[machine.height - 1]]
                kind = DICT if opcode in (SETITEM, SETITEMS) else A_SET if opcode == ADDITEMS else LIST
                if target.kind != kind:
                    return False
                target.depth = max(target.depth, deepest + 1)
                target.parts += parts
                deepest = target.depth
                # That of a list does not matter before it is given to a call.
                parts = 0
            elif opcode == STACK_GLOBAL:
                if not make(machine, GLOBAL, 0, 1):
                    return False
            elif opcode == REDUCE:
                if machine.things[machine.stack[machine.height]].kind != GLOBAL:
                    return False
                if machine.things[machine.stack[machine.height + 1]].kind != A_TUPLE:
                    return False
                machine.given += parts
                deepest += 1
                if not make(machine, RESULT, deepest, parts):
                    return False
            elif opcode not in (POP, POP_MARK):
                deepest += 1
                if not make(machine, A_TUPLE if opcode != FROZENSET else RESULT, deepest, parts + 1):
                    return False
            if deepest > DEEPEST or parts > most or machine.given > most:
                return False
        else:
            # Of a text or bytes, the length counts, too.
            if not make(machine, ATOM, 0, 1 + (behind - at) // 16):
                return False
        at = behind


def examine(data):
    """What a pickle (bytes-like) would do: 0 for nothing but plain data, else a sum of CALLS, SETS and REFUSED."""
    cdef Py_buffer view
    cdef int found
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    found = walk(<const unsigned char*>view.buf, view.len)
    PyBuffer_Release(&view)
    return found
