# What keeps forks and SQLite apart.

cdef int begin_free_call(bint waits=*) except -1
cdef bint try_begin_free_call(bint waits=*) noexcept
cdef int wait_for_fork() except -1
cdef void end_free_call() noexcept
cdef int count_opened(str path) except -1
cdef int count_closed(str path) except -1
cdef int connections_to(str path) except -1
