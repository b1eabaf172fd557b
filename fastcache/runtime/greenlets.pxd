# Who runs: a thread of the system, or a greenlet on it.

cpdef bint may_be()
cpdef object current()
cpdef object identity()
