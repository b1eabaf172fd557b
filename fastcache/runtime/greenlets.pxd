# Who runs: a thread of the system, or a greenlet on it.

cpdef object current()
cpdef object identity()
