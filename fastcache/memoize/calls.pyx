# cython: nonecheck=True
"""Calls of memoized functions: the key of a call, and the result that lies under it.

The key is a flat tuple: the function's name with its signature (a str), then the arguments in the order of the signature, with
defaults filled in, then the tuple of ``*args``, then the sorted tuple of the items of ``**kwargs``, each only if the
function takes them. What is plain (str, bytes, int, float, bool, None, and tuples and frozensets of these) stands for
itself, and so counts as equal where Python says so. Of anything else stands a hash of its contents (content_hash.py), and the
tuple of the places of these is the last part of the key. With ``typed`` a str with a letter for each type comes before it.

No two calls have one key: the signature says how many parts there are, so that whether one was replaced can be told from
the length, and which one from the last part. Nothing that a caller passes looks like it.

What is called by place alone, with plain arguments, takes the short way: no dict, no list, and, by the vectorcall protocol
(PEP 590), no tuple but the key. `Call` holds what each call needs, also one that finds nothing; all that is rare is in the
subclasses (decorators.py).
"""

from collections import namedtuple
from time import monotonic
from types import MappingProxyType

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM

from fastcache.engine.codecs.plainness cimport PLAIN_KEY, plainness_of
from fastcache.engine.computing cimport find_again
from fastcache.engine.mapping cimport StoreMapping
from fastcache.sync.flights cimport Flights, number_of

from fastcache.errors import DecodeError, DirectoryGoneError, ReadOnlyError, UntrustedValueError
from fastcache.runtime.imports import load

cdef extern from *:
    """
    /* Cython has no way of its own to give a class the protocol that its functions have. */
    static void fastcache_quicken(PyObject *kind, Py_ssize_t offset)
    {
        ((PyTypeObject *)kind)->tp_vectorcall_offset = offset;
        ((PyTypeObject *)kind)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    }
    """
    void fastcache_quicken(object kind, Py_ssize_t offset)

cdef extern from "Python.h":
    ctypedef PyObject* (*vectorcallfunc)(PyObject*, PyObject* const*, size_t, PyObject*) noexcept
    Py_ssize_t PyVectorcall_NARGS(size_t count)
    PyObject* PyTuple_GET_ITEM(object parts, Py_ssize_t index)

cdef object MISSING = object()
# What is nested deeper is no plain key part. The engine takes keys that are nested twice as deep.
cdef int DEEPEST = 50
# Of how many results, at most, one knows when they were stored.
cdef Py_ssize_t REMEMBERED = 1000

ABSENT = MISSING
"""In place of a value that is not in the cache."""
NO_DEFAULT = MISSING
"""In place of the default of a parameter that has none."""

CacheInfo = namedtuple("CacheInfo", ["hits", "misses"], module=__name__)
CacheInfo.__doc__ = "How many calls of this process were answered from the cache, and for how many one had to compute."


cdef class Call:
    """What is called in place of a function.

    Args:
        cache: where the results are.
        function: what is called for those that are not there.
        names: of the parameters, but ``*args`` and ``**kwargs``.
        defaults: of each of these, or NO_DEFAULT.
        positional_only, positional: how many of them can only, and how many can be given by place.
        more, named: what ``*args`` and ``**kwargs`` are called; None where there is none.
        ignored: of what does not count the places among ``names`` (int), -1 less the places in ``*args`` (int), and the
            names in ``**kwargs`` (str).
        typed: whether what is equal but of another type is another argument.
        copy: whether arrays in results may be written to.
        timeout: for how many seconds to wait for others that compute (float); None for the cache's.
        how: what ``set`` is told beside the key and the value.
        opening: the first part of the key; None if ``prepare`` finds it when it is first needed.
    """

    cdef readonly StoreMapping cache
    cdef readonly object function
    cdef public object opening
    # What that was made of, if it may change while the program runs: (where, name, what was there). Else None.
    cdef public list seen
    cdef readonly tuple names
    cdef readonly tuple defaults
    cdef dict places
    cdef readonly frozenset ignored
    cdef readonly Py_ssize_t positional
    cdef readonly object more
    cdef readonly object named
    cdef readonly bint typed
    cdef readonly bint copy
    cdef readonly object timeout
    cdef readonly dict how
    # When results were stored, by the hash of the key: some of the newest, for ``explain``.
    cdef readonly dict stored_lately
    # Who computes what is missing in the cache's directory, once that was asked.
    cdef Flights single_flight
    cdef bint direct
    cdef public long long hits
    cdef public long long misses
    cdef vectorcallfunc called

    def __cinit__(self):
        self.called = <vectorcallfunc>call_quickly

    def __init__(
            self, StoreMapping cache not None, function, *, tuple names, tuple defaults, Py_ssize_t positional_only,
            Py_ssize_t positional, str more, str named, frozenset ignored, bint typed, bint copy, timeout, dict how, str opening):
        self.cache = cache
        self.function = function
        self.opening = opening
        self.names = names
        self.defaults = defaults
        self.places = {name: place for place, name in enumerate(names) if place >= positional_only}
        self.ignored = ignored
        self.positional = positional
        self.more = more
        self.named = named
        self.typed = typed
        self.copy = copy
        self.timeout = timeout
        # What is as it is without being said is not said.
        self.how = {name: value for name, value in how.items() if value is not None}
        self.stored_lately = {}
        self.direct = more is None and named is None and not (typed or ignored)

    @classmethod
    def __class_getitem__(cls, parameters):
        """The class itself: its parameters are for type checkers alone."""
        return cls

    def __call__(self, *args, **kwargs):
        return self.answer(self.key_of(args, kwargs), args, kwargs)

    def __get__(self, instance, owner):
        return self if instance is None else self.bind(instance)

    def cache_key(self, *args, **kwargs):
        """The key under which the result of this call is, or would be, in the cache."""
        return self.key_of(args, kwargs)

    def find(self, key):
        """What is stored under a key, or ABSENT. What cannot be decoded, whoever put it there, can be computed again; and so
        can all if the directory is gone."""
        return self.look_up(key)

    cdef inline object look_up(self, object key):
        try:
            return self.cache.fetch(key, MISSING) if self.copy else self.cache.fetch_shared(key, MISSING)
        except (UntrustedValueError, DecodeError, DirectoryGoneError):
            return MISSING

    # -- what was not found ---------------------------------------------------------------------------------------

    def compute(self, tuple key, tuple args, dict kwargs):
        """What is stored of a call that was not found: computed, by this one or by another."""
        cdef StoreMapping cache = self.cache
        cdef Flights flights = self.flights_for(key)
        cdef Missed missed = Missed.__new__(Missed)
        missed.call, missed.key, missed.args, missed.kwargs = self, key, args, kwargs
        if flights is None:
            found = missed.compute()
        else:
            # Named, since no subclass has another one, which need not be looked for.
            found = Flights.run(
                flights, number_of(key, cache.store.serializer), missed.look, missed.compute,
                cache.timeout if self.timeout is None else self.timeout)
        if not missed.made:
            self.hits += 1
            return found if self.copy else self.as_found(key, found)
        self.misses += 1
        return found

    cdef Flights flights_for(self, object key):
        """Who computes what is missing in the cache's directory; None where all do: inside of a transaction, before whose end others
        cannot store, and where nobody can."""
        cdef StoreMapping cache = self.cache
        try:
            if cache.store.read_only or cache.store_of(key).held_by_me():
                return None
            if self.single_flight is None:
                self.single_flight = load("fastcache.sync.single_flight").single_flight_of(cache.store)
        except DirectoryGoneError:
            return None
        return self.single_flight

    def flights_of(self, key):
        """Who computes what is missing in the cache's directory (SingleFlight), if that is one for this key now; else None."""
        return self.flights_for(key)

    def make(self, tuple key, tuple args, dict kwargs):
        """Call the function, and store what it returns."""
        begun = monotonic()
        return self.store(key, self.function(*args, **kwargs), begun)

    def store(self, key, result, begun):
        """Store the result of a call that has begun then; return what was stored."""
        try:
            if self.how:
                self.cache.set(key, result, **self.how)
            else:
                self.cache.set(key, result)
        except (ReadOnlyError, DirectoryGoneError) as error:
            self.tell_unstored(error)
            return result
        if len(self.stored_lately) >= REMEMBERED:
            self.stored_lately.clear()
        self.stored_lately[hash(key)] = monotonic()
        return result if self.copy else self.as_found(key, result)

    def as_found(self, key, result):
        """A result as a hit gives it, where that differs: without ``copy``."""
        found = self.look_up(key)
        return result if found is MISSING else found

    def count(self, bint made):
        """Count one call that had to compute, or that found what another one has computed meanwhile."""
        if made:
            self.misses += 1
        else:
            self.hits += 1

    cdef object answer(self, object key, tuple args, dict kwargs):
        found = self.look_up(key)
        if found is MISSING:
            return self.compute(key, args, kwargs)
        self.hits += 1
        return found

    cdef object key_of(self, tuple args, dict kwargs):
        cdef Py_ssize_t count = PyTuple_GET_SIZE(args)
        cdef Py_ssize_t size = PyTuple_GET_SIZE(self.names)
        cdef Py_ssize_t place
        cdef PyObject* part
        if self.opening is None or (self.seen is not None and not still_stands(self.seen)):
            self.prepare()
        if not self.direct or count > self.positional or kwargs:
            return self.long_key(args, kwargs)
        key = PyTuple_New(size + 1)
        Py_INCREF(self.opening)
        PyTuple_SET_ITEM(key, 0, self.opening)
        for place in range(size):
            part = PyTuple_GET_ITEM(args if place < count else self.defaults, place)
            if plainness_of(<object>part, DEEPEST) != PLAIN_KEY:
                return self.long_key(args, kwargs)
            Py_INCREF(<object>part)
            PyTuple_SET_ITEM(key, place + 1, <object>part)
        return key

    cdef object long_key(self, tuple args, dict kwargs):
        """The same for any call."""
        cdef Py_ssize_t given = min(PyTuple_GET_SIZE(args), self.positional)
        cdef list values = list(self.defaults)
        cdef dict named = {}
        cdef list key = [self.opening]
        cdef list types = []
        cdef list replaced = []
        cdef Py_ssize_t place
        if PyTuple_GET_SIZE(args) > self.positional and self.more is None:
            self.refuse(args, kwargs)
        values[:given] = args[:given]
        for name, value in (kwargs or {}).items():
            found = self.places.get(name)
            if found is None:
                if self.named is None:
                    self.refuse(args, kwargs)
                if name not in self.ignored:
                    named[name] = value
            elif found < given:
                self.refuse(args, kwargs)
            else:
                values[found] = value
        for place, value in enumerate(values):
            if value is MISSING:
                self.refuse(args, kwargs)
            if place not in self.ignored:
                self.add(key, types, replaced, value, self.names[place])
        if self.more is not None:
            more = tuple([
                None if -1 - place in self.ignored else value
                for place, value in enumerate(args[self.positional:], self.positional)])
            self.add(key, types, replaced, more, self.more)
        if self.named is not None:
            self.add(key, types, replaced, tuple(sorted(named.items())), self.named)
        if self.typed:
            key.append("".join(types))
        if replaced:
            key.append(tuple(replaced))
        return tuple(key)

    cdef int add(self, list key, list types, list replaced, object value, object name) except -1:
        """Append what stands for an argument."""
        letters = letters_of(value, 0) if self.typed else ""
        if letters is not None and plainness_of(value, DEEPEST) == PLAIN_KEY:
            key.append(value)
        else:
            replaced.append(len(key))
            key.append(self.content(value, name))
            letters = "#"
        types.append(letters)
        return 0

    cdef object refuse(self, tuple args, dict kwargs):
        """Raise the TypeError that the call itself would."""
        load("inspect").signature(self.function).bind(*args, **(kwargs or {}))
        raise TypeError(f"{self.opening} cannot be called with these arguments")


@cython.freelist(16)
@cython.final
cdef class Missed:
    """A call that was not found, as it is told to those who see to it that one computes."""

    cdef Call call
    cdef tuple key
    cdef tuple args
    cdef dict kwargs
    # Whether it was this one that has computed.
    cdef bint made

    def look(self, absent):
        """What has been stored meanwhile; ``absent`` if nothing was."""
        return find_again(self.call.cache, self.key, absent)

    def compute(self):
        """Compute, and store."""
        self.made = True
        return self.call.make(self.key, self.args, self.kwargs)


cdef bint still_stands(list seen) except -1:
    """Whether the same is still found where it was."""
    cdef tuple each
    for each in seen:
        where, name, found = each
        if type(where) is dict:
            if (<dict>where).get(name) is not found:
                return False
        elif (where.get(name) if type(where) is MappingProxyType else getattr(where, name, None)) is not found:
            return False
    return True


cdef object call_quickly(Call self, PyObject* const* args, size_t flagged, PyObject* names):
    """A call whose arguments lie in an array: those by place, then those by the names in a tuple."""
    cdef Py_ssize_t count = PyVectorcall_NARGS(flagged)
    cdef Py_ssize_t size, place
    cdef PyObject* part
    if names == NULL and self.direct and count <= self.positional and self.opening is not None and self.seen is None:
        size = PyTuple_GET_SIZE(self.names)
        key = PyTuple_New(size + 1)
        Py_INCREF(self.opening)
        PyTuple_SET_ITEM(key, 0, self.opening)
        for place in range(size):
            part = args[place] if place < count else PyTuple_GET_ITEM(self.defaults, place)
            if plainness_of(<object>part, DEEPEST) != PLAIN_KEY:
                break
            Py_INCREF(<object>part)
            PyTuple_SET_ITEM(key, place + 1, <object>part)
        else:
            found = self.look_up(key)
            if found is not MISSING:
                self.hits += 1
                return found
            return self.compute(key, tuple([<object>args[place] for place in range(count)]), {})
    given = tuple([<object>args[place] for place in range(count)])
    named = {}
    if names != NULL:
        for place in range(PyTuple_GET_SIZE(<object>names)):
            named[<object>PyTuple_GET_ITEM(<object>names, place)] = <object>args[count + place]
    return self.answer(self.key_of(given, named), given, named)


def quicken(kind):
    """Let a subclass of Call, which has no ``__call__`` of its own, be called by the vectorcall protocol."""
    cdef Call probe = Call.__new__(Call)
    fastcache_quicken(kind, <char*>&probe.called - <char*><PyObject*>probe)


cdef class BoundCall:
    """A memoized function together with the object that it is looked up on."""

    cdef readonly Call __func__
    cdef readonly object __self__

    def __init__(self, Call function not None, instance):
        self.__func__ = function
        self.__self__ = instance

    @classmethod
    def __class_getitem__(cls, parameters):
        """The class itself: its parameters are for type checkers alone."""
        return cls

    def __call__(self, *args, **kwargs):
        return self.__func__(self.__self__, *args, **kwargs)

    def cache_key(self, *args, **kwargs):
        """The key under which the result of this call is, or would be, in the cache."""
        return self.__func__.cache_key(self.__self__, *args, **kwargs)

    def invalidate(self, *args, **kwargs):
        """Remove the result of this call; returns whether there was one (bool)."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)

    def explain(self, *args, **kwargs):
        """Why this call is answered from the cache, or is not; see Memoized.explain."""
        return self.__func__.explain(self.__self__, *args, **kwargs)

    def cache_info(self):
        """Hits and misses of the function, whatever it is called on."""
        return self.__func__.cache_info()

    def cache_clear(self):
        """Remove all results of the function, whatever it was called on; returns how many (int)."""
        return self.__func__.cache_clear()


cdef str letters_of(object value, int depth):
    """The types of a value and its parts; None if not all are plain, or stand in no order."""
    kind = type(value)
    if kind is str:
        return "s"
    if kind is int:
        return "i"
    if kind is bool:
        return "b"
    if kind is float:
        return "f"
    if kind is bytes:
        return "y"
    if value is None:
        return "n"
    if kind is not tuple or depth >= DEEPEST:
        return None
    parts = [letters_of(part, depth + 1) for part in value]
    return None if None in parts else f"({''.join(parts)})"
