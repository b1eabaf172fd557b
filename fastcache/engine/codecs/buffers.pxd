# A pickle and the buffers beside it.

cdef Py_ssize_t ALIGNMENT


cdef class SplitPayload:
    cdef object whole
    cdef bytes payload
    cdef list buffers


cdef list lay_out(bytes payload, list buffers)
cdef Py_ssize_t head_size(bytes whole, Py_ssize_t size=*) except -1
cdef tuple take_apart(bytes head, object whole)
