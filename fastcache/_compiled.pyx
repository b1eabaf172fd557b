"""The shared object that holds every compiled module but the one that links SQLite, and the finder of these modules.

Loading a shared object takes longer than creating a module from it. So the modules share one, which Python has to be
told, because it looks for a file of each module's own. CPython asks the object for ``PyInit_`` and the last part of the
module's name.
"""

import sys

from cython cimport final

cdef extern from "modules.h":
    const char *FASTCACHE_MODULES  # written by setup.py: their names, with spaces between them

MODULES = frozenset(FASTCACHE_MODULES.decode().split())

# From what has loaded this module: to import Python's own names of them takes a tenth as long as to import us all.
cdef object build_spec = type(__spec__)
cdef object build_loader = type(__spec__.loader)


@final
cdef class Finder:
    """The finder of the modules in this shared object."""

    def find_spec(self, name, path=None, target=None):
        """Return how to load a module, or None if it is not in here."""
        if name not in MODULES:
            return None
        spec = build_spec(name, build_loader(name, __file__), origin=__file__)
        spec.has_location = True
        return spec


sys.meta_path.insert(0, Finder())
