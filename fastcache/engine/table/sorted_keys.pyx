# cython: nonecheck=True
"""Keys in their own order: as a database has them in the index of its keys (codecs/ranges.py).

A list of lists of some hundred keys each: a key comes in, goes, or is found by two searches by halves, and what moves is one list. It is
made when somebody first asks for an order, and kept from then on.

Keys are str, bytes, int and float: comparing them runs no Python code. Of what may start the garbage collector (making a list), nothing
is in between two steps that belong together.
"""

from _bisect import bisect_left, bisect_right

cimport cython

# A list of more keys is split.
cdef Py_ssize_t LONGEST = 512


@cython.final
cdef class SortedKeys:
    """Keys of one kind."""

    def __cinit__(self):
        self.blocks = []
        self.lasts = []
        self.spare = []

    cdef int fill(self, list keys) except -1:
        """Begin with these."""
        cdef Py_ssize_t at
        keys.sort()
        self.blocks = [keys[at:at + LONGEST // 2] for at in range(0, len(keys), LONGEST // 2)]
        self.lasts = [block[len(block) - 1] for block in self.blocks]
        return 0

    cdef int add(self, object key) except -1:
        """Add a key that is not here."""
        cdef Py_ssize_t at, place
        cdef list block
        if self.spare is None:
            self.spare = []
        if not self.blocks:
            block, self.spare = self.spare, None
            block.append(key)
            self.blocks.append(block)
            self.lasts.append(key)
            return 0
        at = bisect_left(self.lasts, key)
        if at == len(self.lasts):
            at -= 1
            block = self.blocks[at]
            block.append(key)
            self.lasts[at] = key
        else:
            block = self.blocks[at]
            block.insert(bisect_left(block, key), key)
        if len(block) > LONGEST:
            self.split(at, block)
        return 0

    cdef int split(self, Py_ssize_t at, list block) except -1:
        cdef Py_ssize_t place, half = len(block) // 2
        cdef list rest
        rest, self.spare = self.spare, None
        for place in range(half, len(block)):
            rest.append(block[place])
        del block[half:]
        self.blocks.insert(at + 1, rest)
        self.lasts.insert(at + 1, self.lasts[at])
        self.lasts[at] = block[half - 1]
        return 0

    cdef int remove(self, object key) except -1:
        """Remove a key that is here."""
        cdef Py_ssize_t at = bisect_left(self.lasts, key)
        cdef list block = self.blocks[at]
        del block[<Py_ssize_t>bisect_left(block, key)]
        if block:
            self.lasts[at] = block[len(block) - 1]
        else:
            del self.blocks[at]
            del self.lasts[at]
        return 0

    cdef list portion(self, object low, object high, bint beyond, bint backward, Py_ssize_t limit):
        """The first keys (backward, the last) from ``low``, or ``beyond`` it, to before ``high``; None for no end."""
        cdef list found = []
        cdef Py_ssize_t at, begin, end
        cdef list block
        if not self.blocks:
            return found
        if backward:
            at = len(self.lasts) - 1 if high is None else min(<Py_ssize_t>bisect_left(self.lasts, high), len(self.lasts) - 1)
        else:
            at = 0 if low is None else bisect_right(self.lasts, low) if beyond else bisect_left(self.lasts, low)
        while 0 <= at < len(self.blocks) and len(found) < limit:
            block = self.blocks[at]
            begin = 0 if low is None else bisect_right(block, low) if beyond else bisect_left(block, low)
            end = len(block) if high is None else bisect_left(block, high)
            if backward:
                begin = max(begin, end - (limit - len(found)))
                found += reversed(block[begin:end])
                if begin > 0:
                    break
                at -= 1
            else:
                begin, end = begin, min(end, begin + limit - len(found))
                found += block[begin:end]
                if end < len(block):
                    break
                at += 1
        return found


@cython.final
cdef class KeyOrder:
    """Keys of all kinds."""

    def __cinit__(self):
        self.numbers = SortedKeys()
        self.texts = SortedKeys()
        self.blobs = SortedKeys()

    cdef SortedKeys of_kind(self, int kind):
        return self.texts if kind == 1 else self.blobs if kind == 2 else self.numbers

    cdef int fill(self, list keys) except -1:
        """Begin with these."""
        cdef int kind
        for kind in range(3):
            self.of_kind(kind).fill([key for key in keys if kind_of(key) == kind])
        return 0

    cdef int add(self, object key) except -1:
        """Add a key that is not here."""
        return self.of_kind(kind_of(key)).add(key)

    cdef int remove(self, object key) except -1:
        """Remove a key that is here."""
        return self.of_kind(kind_of(key)).remove(key)

    cdef list portion(self, object low, object high, bint beyond, bint backward, Py_ssize_t limit):
        """The first keys (backward, the last) from ``low``, or ``beyond`` it, to before ``high``; None for no end."""
        cdef int first = 0 if low is None else kind_of(low)
        cdef int last = 2 if high is None else kind_of(high)
        cdef int step, kind
        cdef list found = []
        for step in range(last - first + 1):
            kind = last - step if backward else first + step
            found += self.of_kind(kind).portion(
                low if kind == first else None, high if kind == last else None, beyond, backward, limit - len(found))
            if len(found) >= limit:
                break
        return found


cdef int kind_of(object key) noexcept:
    """Which of the three kinds come first, second and last."""
    return 1 if type(key) is str else 2 if type(key) is bytes else 0
