# cython: nonecheck=True
"""Files as memory: what is read of them is loaded when it is touched, and shared by all processes.

A map lives as long as anything looks at it, whatever becomes of the file's name. It keeps no descriptor (Python's mmap
does, so that a program with many arrays would run out of them). A file that somebody truncates meanwhile takes the pages
with it: touching them kills the process (SIGBUS), as it does with every map.
"""

from cpython.buffer cimport PyBuffer_FillInfo

cdef extern from *:
    """
    #ifdef _WIN32
    static void *fastcache_map(int fd, size_t size) { return 0; }
    static void fastcache_unmap(void *address, size_t size) {}
    #else
    #include <sys/mman.h>
    static void *fastcache_map(int fd, size_t size) {
        void *address = mmap(0, size, PROT_READ, MAP_SHARED, fd, 0);
        return address == MAP_FAILED ? 0 : address;
    }
    static void fastcache_unmap(void *address, size_t size) { munmap(address, size); }
    #endif
    """
    void* fastcache_map(int fd, size_t size) nogil
    void fastcache_unmap(void* address, size_t size) nogil


cdef class Mapped:
    """The content of a file, read-only."""

    cdef void* address
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.address, self.size, 1, flags)

    def __dealloc__(self):
        if self.address != NULL:
            with nogil:
                fastcache_unmap(self.address, <size_t>self.size)


def map_file(int fd, Py_ssize_t size):
    """A view of the first ``size`` bytes of an open file, which may be closed then; None if it cannot be mapped."""
    cdef Mapped mapped = Mapped.__new__(Mapped)
    if size <= 0:
        return None
    with nogil:
        mapped.address = fastcache_map(fd, <size_t>size)
    if mapped.address == NULL:
        return None
    mapped.size = size
    return memoryview(mapped)
