"""Values as SQLite knows them: a cell from a Python object, and a Python object from a cell. Calls nothing of SQLite's."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    Py_UCS4 PyUnicode_MAX_CHAR_VALUE(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    Py_UCS4 PyUnicode_READ_CHAR(object text, Py_ssize_t index)


cdef bint has_surrogate(object text) noexcept:
    cdef Py_ssize_t index
    for index in range(PyUnicode_GET_LENGTH(text)):
        if 0xD800 <= PyUnicode_READ_CHAR(text, index) <= 0xDFFF:
            return True
    return False


cdef object cell_object(const Cell* cell):
    """The Python object of a cell: str, bytes, int, float or None. None of these is a container."""
    if cell.kind == CELL_TEXT:
        if cell.data == NULL:
            raise MemoryError()
        # Not strictly: raising runs Python code. We only ever store valid UTF-8; what else a foreign program has
        # planted comes out as bytes.
        text = PyUnicode_DecodeUTF8(cell.data, cell.size, "surrogateescape")
        if PyUnicode_MAX_CHAR_VALUE(text) > 0xFF and has_surrogate(text):
            return PyBytes_FromStringAndSize(cell.data, cell.size)
        return text
    if cell.kind == CELL_BLOB:
        if cell.size == 0:
            return b""
        if cell.data == NULL:
            raise MemoryError()
        return PyBytes_FromStringAndSize(cell.data, cell.size)
    if cell.kind == CELL_INTEGER:
        return cell.integer
    if cell.kind == CELL_REAL:
        return cell.real
    return None


cdef object cell_of_plain(object value, Cell* cell):
    """Fill the cell from a str, bytes, int, float or None; returns the object that it borrows from."""
    if value is None:
        cell.kind = CELL_NULL
    elif isinstance(value, int):
        cell.kind = CELL_INTEGER
        cell.integer = value
    elif isinstance(value, float):
        cell.kind = CELL_REAL
        cell.real = value
    elif isinstance(value, str):
        cell.kind = CELL_TEXT
        cell.data = PyUnicode_AsUTF8AndSize(value, &cell.size)
    elif isinstance(value, bytes):
        cell.kind = CELL_BLOB
        cell.data = PyBytes_AS_STRING(value)
        cell.size = PyBytes_GET_SIZE(value)
    else:
        raise TypeError(f"SQLite has no value of type {type(value).__name__}")
    return value
