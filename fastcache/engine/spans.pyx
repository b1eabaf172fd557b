"""Spans in which no Python code may run, and what makes sure of it where FASTCACHE_DEBUG was set when building."""

cdef extern from *:
    """
    #ifdef FASTCACHE_DEBUG
    #if PY_VERSION_HEX < 0x030B0000
    #error FASTCACHE_DEBUG needs Python 3.11 or newer
    #endif
    #define FASTCACHE_CHECKS 1
    static const int *fastcache_open_spans;
    static PyObject *fastcache_evaluate(PyThreadState *thread, struct _PyInterpreterFrame *frame, int throws)
    {
        if (*fastcache_open_spans)
            Py_FatalError("fastcache: Python code runs within a span in which none may");
        return _PyEval_EvalFrameDefault(thread, frame, throws);
    }
    static void fastcache_check_spans(const int *open_spans)
    {
        fastcache_open_spans = open_spans;
        _PyInterpreterState_SetEvalFrameFunc(PyInterpreterState_Get(), fastcache_evaluate);
    }
    #else
    #define FASTCACHE_CHECKS 0
    static void fastcache_check_spans(const int *open_spans) {}
    #endif
    """
    bint FASTCACHE_CHECKS
    void fastcache_check_spans(const int* open_spans)

are_checked = bool(FASTCACHE_CHECKS)
"""Whether this build looks after its spans."""

fastcache_check_spans(&spans)


def run_in_span(function):
    """Call a function where none may be called: a test of the test."""
    begin_span(spans)
    try:
        return function()
    finally:
        end_span(spans)
