"""The shared object that holds every compiled module that does not call SQLite, and the finder of all compiled modules.

Loading a shared object takes longer than creating a module from it. So modules share one: those that call SQLite another one,
which links it. Python has to be told, because it looks for a file of each module's own. CPython asks the object for
``PyInit_`` and the last part of the module's name.
"""

import os
import sys

from cython cimport final

cdef extern from "modules.h":
    # Written by setup.py: the names of the modules in each object, with spaces between them.
    const char *FASTCACHE_COMPILED
    const char *FASTCACHE_CALLERS_OF_SQLITE

# In this object and in the other one, which has the name of a module in it.
cdef frozenset compiled = frozenset(FASTCACHE_COMPILED.decode().split())
cdef frozenset callers_of_sqlite = frozenset(FASTCACHE_CALLERS_OF_SQLITE.decode().split())
cdef str folder = os.path.dirname(__file__)
cdef str linked = os.path.join(
    folder, "engine", "sqlite", "connection" + os.path.basename(__file__).removeprefix("_compiled"))

MODULES = compiled | callers_of_sqlite

# From what has loaded this module: to import Python's own names of them takes a tenth as long as to import us all.
cdef object build_spec = type(__spec__)
cdef object build_loader = type(__spec__.loader)


@final
cdef class Finder:
    """The finder of the modules in the two shared objects."""

    def find_spec(self, name, path=None, target=None):
        """Return how to load a module, or None if it is in neither of them."""
        if name not in MODULES:
            return None
        origin = __file__ if name in compiled else linked
        spec = build_spec(name, build_loader(name, origin), origin=origin)
        spec.has_location = True
        return spec


sys.meta_path.insert(0, Finder())
