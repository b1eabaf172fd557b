# How plain a value is: whether it can be kept, compared and hashed as it is, without Python code that runs meanwhile.

cdef enum Plainness:
    NOT_PLAIN = 0
    # It holds NaN, which does not equal itself, so that it can be no key.
    PLAIN_VALUE = 1
    PLAIN_KEY = 2


cdef inline Plainness plainness_of(object value, int levels) noexcept:
    """Plain are str, bytes, int, float, bool and None, and no subclasses; and so many levels of tuples and frozensets of
    these."""
    cdef Plainness least, part_plainness
    kind = type(value)
    if kind is str or kind is int or kind is bytes or kind is bool or value is None:
        return PLAIN_KEY
    if kind is float:
        return PLAIN_KEY if value == value else PLAIN_VALUE
    if levels == 0 or not (kind is tuple or kind is frozenset):
        return NOT_PLAIN
    least = PLAIN_KEY
    for part in value:
        part_plainness = plainness_of(part, levels - 1)
        if part_plainness == NOT_PLAIN:
            return NOT_PLAIN
        if part_plainness < least:
            least = part_plainness
    return least
