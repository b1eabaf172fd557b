# The ways to SQLite's files that are not its usual one: by a descriptor of their folder, and without locks.
#
# SQLite takes no path of more than 512 bytes (MAX_PATHNAME in os_unix.c), which the system does. Where a path is longer, its
# folder is opened, and the files are reached as /proc/self/fd/N/NAME for as long as the connection is open. SQLite would look
# up where that leads, and refuse the long path all the same: so the VFS is a copy of SQLite's own, all of whose methods stay,
# but for xFullPathname, which leaves such a name as it is.

from fastcache.engine.sqlite.sqlite3 cimport SQLITE_CANTOPEN, SQLITE_OK, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register

from libc.string cimport memcpy, strlen


cdef inline int keep_name(sqlite3_vfs* vfs, const char* name, int size, char* full) noexcept nogil:
    """xFullPathname: the name as it was given."""
    cdef size_t length = strlen(name)
    if length >= <size_t>size:
        return SQLITE_CANTOPEN
    memcpy(full, name, length + 1)
    return SQLITE_OK


cdef inline bint add_copy(sqlite3_vfs* copy, const char* origin, const char* name) noexcept:
    """Have a copy of a VFS under a name of its own; whether it is there now. It is never taken back."""
    cdef sqlite3_vfs* system
    if sqlite3_vfs_find(name) != NULL:
        return True
    system = sqlite3_vfs_find(origin)
    if system == NULL:
        return False
    memcpy(copy, system, sizeof(sqlite3_vfs))
    copy.pNext = NULL
    copy.zName = name
    copy.xFullPathname = keep_name
    return sqlite3_vfs_register(copy, 0) == SQLITE_OK
