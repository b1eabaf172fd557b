# Spans in which no Python code may run: from a step to the last column of its row, and while a pointer into the memory tier is
# used. There, no other thread can come in, so that nothing is closed, reset or moved meanwhile.
#
# They cost nothing, and check nothing, unless FASTCACHE_DEBUG is set when building. Then every evaluation of a Python frame, in
# whatever thread, looks whether a span is open (PEP 523), and ends the process if one is. The tests run with it in CI.

cdef extern from *:
    """
    #ifndef FASTCACHE_SPANS
    #define FASTCACHE_SPANS
    #ifdef FASTCACHE_DEBUG
    #define fastcache_begin_span(count) ((count)++)
    #define fastcache_end_span(count) ((count)--)
    #else
    #define fastcache_begin_span(count) ((void)0)
    #define fastcache_end_span(count) ((void)0)
    #endif
    #endif
    """
    void begin_span "fastcache_begin_span"(int count) noexcept nogil
    void end_span "fastcache_end_span"(int count) noexcept nogil


cdef int spans
