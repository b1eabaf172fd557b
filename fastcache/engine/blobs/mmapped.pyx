# cython: nonecheck=True
"""Files as memory: what is read of them is loaded when it is touched, and shared by all processes.

A map lives as long as anything looks at it, whatever becomes of the file's name. It keeps no descriptor (Python's mmap
does, so that a program with many arrays would run out of them). A private one can be written to: the system copies a page when it
is first written to, so that the file stays as it is, and the map costs nothing before. A file that somebody truncates meanwhile takes the pages
with it: touching them kills the process (SIGBUS), as it does with every map.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer

cdef extern from *:
    """
    #ifdef _WIN32
    static void *fastcache_map(int fd, size_t size, int private) { return 0; }
    static void fastcache_unmap(void *address, size_t size) {}
    #else
    #include <sys/mman.h>
    #ifndef MAP_NORESERVE
    #define MAP_NORESERVE 0
    #endif
    static void *fastcache_map(int fd, size_t size, int private) {
        void *address = private ? mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0)
                                : mmap(0, size, PROT_READ, MAP_SHARED, fd, 0);
        return address == MAP_FAILED ? 0 : address;
    }
    static void fastcache_unmap(void *address, size_t size) { munmap(address, size); }
    #endif
    """
    void* fastcache_map(int fd, size_t size, int private) nogil
    void fastcache_unmap(void* address, size_t size) nogil


cdef class Mapped:
    """The content of a file: read-only, or private."""

    cdef void* address
    cdef Py_ssize_t size
    cdef readonly bint private

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.address, self.size, not self.private, flags)

    def writable(self, part):
        """A view of a private map, and of the same part of it as a read-only one."""
        cdef Py_buffer buffer
        cdef Py_ssize_t start, size
        PyObject_GetBuffer(part, &buffer, PyBUF_SIMPLE)
        start, size = <char*>buffer.buf - <char*>self.address, buffer.len
        PyBuffer_Release(&buffer)
        if not 0 <= start <= self.size - size:
            raise ValueError("this is no part of the map")
        return memoryview(self)[start:start + size]

    def __dealloc__(self):
        if self.address != NULL:
            with nogil:
                fastcache_unmap(self.address, <size_t>self.size)


def map_file(int fd, Py_ssize_t size, bint private):
    """A view of the first ``size`` bytes of an open file, which may be closed then; None if it cannot be mapped."""
    cdef Mapped mapped = Mapped.__new__(Mapped)
    if size <= 0:
        return None
    with nogil:
        mapped.address = fastcache_map(fd, <size_t>size, private)
    if mapped.address == NULL:
        return None
    mapped.size = size
    mapped.private = private
    return memoryview(mapped)
