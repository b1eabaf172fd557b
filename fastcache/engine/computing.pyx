# cython: nonecheck=True
"""A value that is made when it is missing: `setdefault`, `get_or_set`, and what memoize asks."""

from fastcache.engine.entries.expiry cimport expiry

from fastcache.errors import DecodeError, DirectoryGoneError, UntrustedValueError

cdef object MISSING = object()


cdef object get_or_put(Store store, object key, object given, object expire, object tag):
    """The value of a key; if absent, ``given`` is added first. What cannot be decoded is not absent: it is not what was given."""
    while True:
        found = store.fetch(key, MISSING)
        if found is not MISSING:
            return found
        if store.put(key, given, expiry(store.scope, expire), tag, True):
            return given


cdef object get_or_make(
        StoreMapping mapping, object key, object factory, object expire, object tag, object timeout, bint copy):
    """The value of a key; if absent, what ``factory`` returns is added first, by one caller at a time."""
    found = find(mapping, key, copy)
    if found is not MISSING:
        return found
    if mapping.store.read_only:
        # Before anything is computed.
        mapping.store.refuse_writing()
    made = _make_once(mapping, key, factory, expire, tag, timeout)
    if copy:
        return made
    # As a hit would give it.
    found = find(mapping, key, False)
    return made if found is MISSING else found


cdef object find(StoreMapping mapping, object key, bint copy):
    """What is stored, or MISSING. What cannot be decoded, whoever put it there, is of no use here, and can be made again."""
    try:
        return mapping.fetch(key, MISSING) if copy else mapping.fetch_shared(key, MISSING)
    except (UntrustedValueError, DecodeError):
        return MISSING


def _make_once(StoreMapping mapping, key, factory, expire, tag, timeout):
    """The same for a key that was found absent."""
    return mapping._compute_once(key, lambda: put_made(mapping.store_of(key), key, factory, expire, tag), timeout)


cdef object put_made(Store store, object key, object factory, object expire, object tag):
    """Add what ``factory`` returns; the value that is there then, whoever has stored it."""
    value = factory()
    # Counted from when the value is there.
    while not store.put(key, value, expiry(store.scope, expire), tag, True):
        try:
            found = store.fetch(key, MISSING)
        except (UntrustedValueError, DecodeError):
            store.put(key, value, expiry(store.scope, expire), tag, False)
            return value
        if found is not MISSING:
            return found
    return value


cpdef object find_again(StoreMapping mapping, object key, object missing):
    """The value of a key that was found absent, or ``missing``; that is no miss once more. What cannot be decoded, whoever put
    it there, can be made again."""
    try:
        return mapping.fetch(key, missing) if key in mapping else missing
    except (UntrustedValueError, DecodeError, DirectoryGoneError):
        return missing
