"""Directories that are removed when the interpreter is gone, and nobody can use them any more.

Exit handlers that were registered early, and finalizers of globals, run after all that Python could call for us. What comes
after them is C code (Py_AtExit), and so is this.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport strcmp, strdup

cdef extern from *:
    """
    #ifdef _WIN32
    #define getpid() 0
    static int fastcache_remove_tree(const char *path) { return -1; }
    static const int fastcache_removes_trees = 0;
    #else
    #include <ftw.h>
    #include <stdio.h>
    #include <unistd.h>
    static int fastcache_remove(const char *path, const struct stat *found, int kind, struct FTW *place) {
        remove(path);
        return 0;
    }
    static int fastcache_remove_tree(const char *path) {
        return nftw(path, fastcache_remove, 16, FTW_DEPTH | FTW_PHYS);
    }
    static const int fastcache_removes_trees = 1;
    #endif
    """
    int getpid() nogil
    int fastcache_remove_tree(const char* path) nogil
    bint fastcache_removes_trees

cdef extern from "Python.h":
    int Py_AtExit(void (*function)() noexcept nogil)

cdef struct Doomed:
    char* path
    int owner
    Doomed* next

cdef Doomed* doomed = NULL
cdef bint registered = False


def remove_afterwards(bytes path not None):
    """Have a directory of this process removed in the end; returns whether it will be (bool)."""
    global doomed, registered
    if not registered:
        if not fastcache_removes_trees or Py_AtExit(remove_all) != 0:
            return False
        registered = True
    cdef Doomed* new = <Doomed*>malloc(sizeof(Doomed))
    if new == NULL:
        raise MemoryError("there is no memory to remember a temporary directory")
    new.path = strdup(path)
    if new.path == NULL:
        free(new)
        raise MemoryError("there is no memory to remember a temporary directory")
    new.owner = getpid()
    new.next = doomed
    doomed = new
    return True


def forget(bytes path not None):
    """It has been removed."""
    cdef Doomed** place = &doomed
    cdef Doomed* found
    while place[0] != NULL:
        if strcmp(place[0].path, path) == 0:
            found = place[0]
            place[0] = found.next
            free(found.path)
            free(found)
            return
        place = &place[0].next


cdef void remove_all() noexcept nogil:
    """Called by what is left of the process. A child that was forked has nothing to remove; what cannot be removed stays."""
    global doomed, registered
    cdef Doomed* found
    registered = False
    while doomed != NULL:
        found = doomed
        doomed = found.next
        if found.owner == getpid():
            fastcache_remove_tree(found.path)
        free(found.path)
        free(found)
