# How plain a value is: whether it can be kept, compared and hashed as it is, without Python code that runs meanwhile.

cdef enum Plainness:
    NOT_PLAIN = 0
    # It holds NaN, which does not equal itself, so that it can be no key.
    PLAIN_VALUE = 1
    PLAIN_KEY = 2


cdef inline Plainness plainness_of(object value, int levels) noexcept:
    """Plain are str, bytes, int, float, bool and None, and no subclasses; and so many levels of tuples and frozensets of
    these."""
    kind = type(value)
    if kind is str or kind is int or kind is bytes or kind is bool or value is None:
        return PLAIN_KEY
    if kind is float:
        return PLAIN_KEY if value == value else PLAIN_VALUE
    if levels > 0 and (kind is tuple or kind is frozenset):
        return plainness_of_parts(value, levels - 1)
    return NOT_PLAIN


cdef inline Plainness plainness_of_parts(object parts, int levels) noexcept:
    """The plainness of the one that is least plain."""
    cdef Plainness found, least = PLAIN_KEY
    for part in parts:
        found = plainness_of(part, levels)
        if found < least:
            least = found
            if found == NOT_PLAIN:
                break
    return least
