# The time that only ever goes forward.

cdef extern from *:
    """
    #ifndef FASTCACHE_SECONDS
    #define FASTCACHE_SECONDS
    #if defined(_WIN32)
    #include <windows.h>
    static double fastcache_seconds(void) { return (double)GetTickCount64() * 1e-3; }
    #else
    #include <time.h>
    static inline double fastcache_seconds(void)
    {
        struct timespec now;
        return clock_gettime(CLOCK_MONOTONIC, &now) == 0 ? (double)now.tv_sec + (double)now.tv_nsec * 1e-9 : 0.0;
    }
    #endif
    #endif
    """
    # The system's monotonic clock, without any Python code that might fail or let others in.
    double seconds "fastcache_seconds"() noexcept nogil
