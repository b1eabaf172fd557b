"""Python key <-> SQLite key. What is one key in a dict is one key here.

str, bytes, 64-bit int and float are SQLite's own TEXT, BLOB, INTEGER and REAL, and SQLite compares INTEGER with REAL
by value, as Python does: 1, 1.0 and True are one key. Everything else becomes a BLOB that starts with KEY_MARK: one tag
letter, then a canonical encoding, so that equal keys give equal bytes (P aside):

    N            None
    I  J         int: 8 bytes; beyond 64 bits: length and bytes. A float or bool of the same value is the same key,
                 so inside tuples, and beyond 64 bits, 2.0 and True are stored (and come back) as the int
    F            float that is no integer: 8 bytes
    S  B         str (lone surrogates included), bytes: length and bytes
    T  Z         tuple, frozenset: count and elements (a frozenset's sorted by their encodings)
    P            anything else: what the cache's serializer made of it. Two of these are one key if those bytes are the
                 same, which equal objects' are if their parts are of the same types (Decimal("0.1") and ("0.10") are two)

A bytes key that itself starts with KEY_MARK is wrapped as B, so nothing a user can pass collides with an encoding. NaN is
refused: it does not equal itself. An object that does not come back equal from the serializer is refused, because it
could never be found again.

The hash of a key is the same in every process, on every platform, and for all keys that are one: it picks the shard, so that
it is part of the format (sql.FORMAT). For that, what is not plain (one of the
exact types above, with nothing but these inside) is first brought into the form in which it would be read back.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.ref cimport PyObject
from libc.string cimport memcmp, memcpy

from fastcache.engine.sqlite.cells cimport CELL_BLOB, CELL_INTEGER, CELL_REAL, CELL_TEXT, cell_object

from fastcache.errors import CacheError, DecodeError

cdef extern from *:
    """
    /* Eight bytes of memory as a machine reads them that has the lowest first, where they hold units of this width. */
    static unsigned long long fastcache_little(unsigned long long word, int width)
    {
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        unsigned long long turned = 0, units = (width == 8 ? 0 : 1ULL << (8 * width)) - 1;
        int place;
        for (place = 0; place < 64; place += 8 * width)
            turned |= (word >> place & units) << (64 - 8 * width - place);
        return turned;
    #else
        (void)width;
        return word;
    #endif
    }
    """
    unsigned long long little "fastcache_little"(unsigned long long word, int width) noexcept nogil

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    bint PyUnicode_CheckExact(object key)
    bint PyLong_CheckExact(object key)
    int PyUnicode_KIND(object text)
    const char* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    Py_ssize_t PyTuple_GET_SIZE(object parts)
    PyObject* PyTuple_GET_ITEM(object parts, Py_ssize_t index)

# Odd constants with their bits well spread: from pi and e, and the two of MurmurHash3's finalizer.
cdef unsigned long long SPREAD = 0x9E3779B97F4A7C15ULL
cdef unsigned long long SEED_TEXT = 0x243F6A8885A308D3ULL
cdef unsigned long long SEED_BYTES = 0xB7E151628AED2A6BULL
cdef unsigned long long SEED_REAL = 0x13198A2E03707345ULL
cdef unsigned long long SEED_LARGE = 0xBF7158809CF4F3C7ULL
cdef unsigned long long SEED_TUPLE = 0xA4093822299F31D1ULL
cdef unsigned long long SEED_FROZENSET = 0x082EFA98EC4E6C89ULL
cdef unsigned long long HASH_NONE = 0x452821E638D01377ULL

cdef bytes KEY_MARK = b"\xfcfc\x01"
cdef Py_ssize_t KEY_MARK_SIZE = 4
cdef int DEEPEST = 100
cdef double TWO_TO_63 = 9223372036854775808.0


cdef object encode_key(object key, object serializer, Cell* cell):
    """Fill the cell with the key; returns the object that the cell borrows from.

    Raises:
        TypeError: the object is not hashable, or cannot be stored so that it comes back equal.
        ValueError: NaN.
    """
    cdef int overflow = 0
    kind = type(key)
    if kind is str:
        try:
            cell.data = PyUnicode_AsUTF8AndSize(key, &cell.size)
        except UnicodeEncodeError:
            return encoded(key, serializer, cell)
        cell.kind = CELL_TEXT
        return key
    if kind is int:
        cell.integer = PyLong_AsLongLongAndOverflow(key, &overflow)
        if overflow:
            return encoded(key, serializer, cell)
        cell.kind = CELL_INTEGER
        return key
    if kind is bytes:
        cell.data = PyBytes_AS_STRING(key)
        cell.size = PyBytes_GET_SIZE(key)
        if cell.size >= KEY_MARK_SIZE and memcmp(cell.data, PyBytes_AS_STRING(KEY_MARK), KEY_MARK_SIZE) == 0:
            return encoded(key, serializer, cell)
        cell.kind = CELL_BLOB
        return key
    if kind is float:
        cell.real = PyFloat_AS_DOUBLE(key)
        if not -TWO_TO_63 <= cell.real < TWO_TO_63 and cell.real - cell.real == 0.0:
            return encoded(key, serializer, cell)
        if cell.real != cell.real:
            refuse_nan()
        cell.kind = CELL_REAL
        return key
    if kind is bool:
        cell.kind = CELL_INTEGER
        cell.integer = key is True
        return key
    plain = plain_equal(key)
    if plain is not key:
        return encode_key(plain, serializer, cell)
    return encoded(key, serializer, cell)


cdef object encoded(object key, object serializer, Cell* cell):
    cdef bytearray out = bytearray(KEY_MARK)
    append(out, key, serializer, 0)
    whole = bytes(out)
    cell.kind = CELL_BLOB
    cell.data = PyBytes_AS_STRING(whole)
    cell.size = PyBytes_GET_SIZE(whole)
    return whole


cdef int refuse_nan() except -1:
    raise ValueError("NaN cannot be a key: it does not equal itself, so it could never be found again")


cdef object plain_equal(object key):
    """The str, bytes, int, float, tuple or frozenset that is the same dict key as ``key``; else ``key`` itself.

    That is so for most subclasses and foreign numbers (IntEnum, numpy's scalars, Decimal("0.5")), and not for those
    with an equality or a hash of their own.
    """
    try:
        hashed = hash(key)
    except TypeError as error:
        raise TypeError(f"a key must be hashable, and {type(key).__name__} is not") from error
    if key is None:
        return key
    if isinstance(key, float) and key != key:
        refuse_nan()
    for kind in (str, bytes, int, float, tuple, frozenset):
        if isinstance(key, kind):
            if type(key) is kind:
                return key
            candidates = (kind,)
            break
    else:
        # A number of another kind equals an int or a float if anything plain.
        if not (hasattr(key, "__int__") or hasattr(key, "__float__")):
            return key
        candidates = (int, float)
    for kind in candidates:
        try:
            plain = kind.__str__(key) if kind is str else kind(key)
            if type(plain) is not kind:
                continue
            if plain == key and hash(plain) == hashed:
                return plain
        except (TypeError, ValueError, OverflowError):
            continue
    return key


# -- hashes --------------------------------------------------------------------------------------------------

cdef inline unsigned long long finish(unsigned long long hashed) noexcept nogil:
    # The finalizer of MurmurHash3 (Austin Appleby): every bit of the input changes half of the output's.
    hashed ^= hashed >> 33
    hashed *= 0xFF51AFD7ED558CCDULL
    hashed ^= hashed >> 33
    hashed *= 0xC4CEB9FE1A85EC53ULL
    hashed ^= hashed >> 33
    return hashed


cdef inline unsigned long long mix(unsigned long long hashed, unsigned long long word) noexcept nogil:
    hashed = (hashed ^ word) * SPREAD
    return hashed ^ (hashed >> 32)


cdef unsigned long long hash_bytes(
        const char* data, Py_ssize_t size, unsigned long long hashed, int width) noexcept nogil:
    """Of bytes, or of numbers that are ``width`` bytes wide each."""
    cdef unsigned long long word
    hashed ^= <unsigned long long>size
    while size >= 8:
        memcpy(&word, data, 8)
        hashed = mix(hashed, little(word, width))
        data += 8
        size -= 8
    if size:
        word = 0
        memcpy(&word, data, <size_t>size)
        hashed = mix(hashed, little(word, width))
    return finish(hashed)


cdef bint hash_plain(object key, int depth, unsigned long long* hashed) except -1:
    """Hash a key that is read back as it is. False, without touching it, for any other. Runs no Python code."""
    cdef int overflow = 0
    cdef int width
    cdef long long integer
    cdef double real
    cdef unsigned long long part = 0
    cdef unsigned long long total
    cdef Py_ssize_t index
    if PyUnicode_CheckExact(key):
        # Python keeps equal texts alike: one, two or four bytes for each character.
        width = PyUnicode_KIND(key)
        if width == 0:
            return False
        hashed[0] = hash_bytes(PyUnicode_DATA(key), PyUnicode_GET_LENGTH(key) * width, SEED_TEXT + <unsigned>width, width)
        return True
    if PyLong_CheckExact(key):
        integer = PyLong_AsLongLongAndOverflow(key, &overflow)
        if overflow:
            hashed[0] = hash_large(key)
        else:
            hashed[0] = finish(<unsigned long long>integer * SPREAD + 1)
        return True
    kind_of_key = type(key)
    if kind_of_key is bytes:
        if (depth == 0 and PyBytes_GET_SIZE(key) >= KEY_MARK_SIZE
                and memcmp(PyBytes_AS_STRING(key), PyBytes_AS_STRING(KEY_MARK), KEY_MARK_SIZE) == 0):
            return False
        hashed[0] = hash_bytes(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), SEED_BYTES, 1)
        return True
    if kind_of_key is bool:
        hashed[0] = finish((key is True) * SPREAD + 1)
        return True
    if key is None:
        hashed[0] = HASH_NONE
        return True
    if kind_of_key is float:
        real = PyFloat_AS_DOUBLE(key)
        if -TWO_TO_63 <= real < TWO_TO_63 and real == <double><long long>real:
            hashed[0] = finish(<unsigned long long><long long>real * SPREAD + 1)
        elif real - real != 0.0:
            # NaN is no key, and equals nothing.
            if real != real:
                return False
            hashed[0] = SEED_REAL + (real > 0.0)
        elif -TWO_TO_63 <= real < TWO_TO_63:
            memcpy(&part, &real, sizeof(real))
            hashed[0] = finish(mix(SEED_REAL, part))
        else:
            hashed[0] = hash_large(int(key))
        return True
    if depth >= DEEPEST:
        return False
    if kind_of_key is tuple:
        total = SEED_TUPLE + <unsigned long long>PyTuple_GET_SIZE(key)
        for index in range(PyTuple_GET_SIZE(key)):
            if not hash_plain(<object>PyTuple_GET_ITEM(key, index), depth + 1, &part):
                return False
            total = mix(total, part)
        hashed[0] = finish(total)
        return True
    if kind_of_key is frozenset:
        total = SEED_FROZENSET
        for member in key:
            if not hash_plain(member, depth + 1, &part):
                return False
            # In whatever order.
            total += part
        hashed[0] = finish(total)
        return True
    return False


cdef unsigned long long hash_large(object number) except? 0:
    """Of an int beyond 64 bits."""
    encoded = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    return hash_bytes(PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded), SEED_LARGE, 1)


cdef unsigned long long hash_key(object key, object serializer) except? 0:
    """The hash of any key; raises what encode_key raises."""
    cdef unsigned long long hashed = 0
    cdef Cell cell
    if not hash_plain(key, 0, &hashed):
        keepalive = encode_key(key, serializer, &cell)
        canonical_key(key, keepalive, serializer, &hashed)
    return hashed


cdef int shard_of(unsigned long long hashed, int count) noexcept:
    """Which of so many shards has a key of this hash. By the high half: the low one picks the place in the memory tier."""
    return <int>((hashed >> 32) * <unsigned long long>count >> 32)


def shard_of_stored(stored, serializer, int count):
    """The same of a key as it is stored."""
    cdef unsigned long long hashed = 0
    if not hash_plain(stored, 0, &hashed):
        canonical_key(stored, stored, serializer, &hashed)
    return shard_of(hashed, count)


cdef object canonical_key(object key, object keepalive, object serializer, unsigned long long* hashed):
    """What stands for a key, and for all that are one with it, in this process's memory; and its hash.

    That is the key itself if it is plain; else the plain key that it is read back as; else its encoding, which no plain
    key equals. ``keepalive`` is what encode_key has returned for it."""
    if hash_plain(key, 0, hashed):
        return key
    try:
        key = decode_key(keepalive, serializer)
        # None is plain, too, and is stored in the long form.
        if hash_plain(key, 0, hashed):
            return key
    except CacheError:
        pass
    hashed[0] = hash_bytes(PyBytes_AS_STRING(keepalive), PyBytes_GET_SIZE(keepalive), SEED_BYTES, 1)
    return keepalive


# -- encoding ------------------------------------------------------------------------------------------------

cdef int append(bytearray out, object key, object serializer, int depth) except -1:
    """Append the canonical encoding of one key or part of a key."""
    if depth > DEEPEST:
        raise TypeError(f"a key cannot be nested more than {DEEPEST} deep")
    kind = type(key)
    if key is None:
        out += b"N"
    elif kind is str:
        sized(out, b"S", key.encode("utf-8", "surrogatepass"))
    elif kind is bytes:
        sized(out, b"B", key)
    elif kind is int or kind is bool:
        append_integer(out, int(key))
    elif kind is float:
        if key != key:
            refuse_nan()
        if key.is_integer():
            append_integer(out, int(key))
        else:
            out += b"F"
            out += packed(bits_of(key), 8)
    elif kind is tuple:
        out += b"T"
        out += packed(len(key), 4)
        for part in key:
            append(out, part, serializer, depth + 1)
    elif kind is frozenset:
        parts = []
        for part in key:
            encoding = bytearray()
            append(encoding, part, serializer, depth + 1)
            parts.append(bytes(encoding))
        out += b"Z"
        out += packed(len(parts), 4)
        out += b"".join(sorted(parts))
    else:
        plain = plain_equal(key)
        if plain is not key:
            append(out, plain, serializer, depth)
        else:
            sized(out, b"P", serialized(key, serializer))
    return 0


cdef int sized(bytearray out, bytes tag, bytes payload) except -1:
    if len(payload) > 0x7FFF_FFFF:
        raise TypeError("a key cannot be larger than 2 GiB")
    out += tag
    out += packed(len(payload), 4)
    out += payload
    return 0


cdef int append_integer(bytearray out, object number) except -1:
    if -(1 << 63) <= number < 1 << 63:
        out += b"I"
        out += packed(<unsigned long long><long long>number, 8)
    else:
        sized(out, b"J", number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))
    return 0


cdef bytes packed(unsigned long long number, int size):
    """The last ``size`` bytes of a number, the highest first."""
    cdef unsigned char digits[8]
    cdef int index
    for index in range(size):
        digits[size - 1 - index] = <unsigned char>(number >> (8 * index))
    return PyBytes_FromStringAndSize(<const char*>digits, size)


cdef unsigned long long bits_of(double real) noexcept:
    cdef unsigned long long bits
    memcpy(&bits, &real, sizeof(bits))
    return bits


class NeverFoundError(TypeError):
    """A key does not come back equal from the serializer, so that no entry can be its."""


cdef bytes serialized(object key, object serializer):
    """What the serializer makes of a key that has no encoding of its own; refused if it does not come back equal."""
    try:
        dumps = getattr(serializer, "dumps_key", serializer.dumps)
        payload = dumps(key)
        back = serializer.loads(payload)
        same = type(back) is type(key) and bool(back == key) and hash(back) == hash(key)
    except (MemoryError, CacheError):
        raise
    except Exception as error:
        raise TypeError(
            f"{type(key).__name__} cannot be a key: serializer {serializer.name!r} cannot store it as one"
        ) from error
    if not same:
        raise NeverFoundError(
            f"{type(key).__name__} cannot be a key: it does not come back equal from serializer {serializer.name!r}"
        )
    return payload


def hash_of(key, serializer):
    """The hash of a key (int of 64 bits); raises what storing under it would raise."""
    return hash_key(key, serializer)


def stored_form(key, serializer):
    """A key as it is stored."""
    cdef Cell cell
    keepalive = encode_key(key, serializer, &cell)
    return cell_object(&cell)


cdef object decode_key(object stored, object serializer):
    """The Python key of what SQLite stores."""
    if type(stored) is not bytes or not (<bytes>stored).startswith(KEY_MARK):
        return stored
    cdef Py_ssize_t end = KEY_MARK_SIZE
    try:
        key, end = parse(stored, end, serializer, 0)
    except (MemoryError, CacheError):
        raise
    except Exception as error:
        raise DecodeError("a stored key cannot be decoded; remove the entry with clear() or check") from error
    if end != len(stored):
        raise DecodeError("a stored key has bytes behind its end")
    return key


cdef tuple parse(bytes stored, Py_ssize_t at, object serializer, int depth):
    """Decode one part at ``at``; returns it and where the next begins. Raises on anything malformed."""
    if depth > DEEPEST:
        raise DecodeError("a stored key is nested too deep")
    tag = stored[at:at + 1]
    at += 1
    if tag == b"N":
        return None, at
    if tag == b"I":
        return <long long>unpacked(stored, at, 8), at + 8
    if tag == b"F":
        return real_of(unpacked(stored, at, 8)), at + 8
    cdef Py_ssize_t length = <Py_ssize_t>unpacked(stored, at, 4)
    at += 4
    if tag == b"T" or tag == b"Z":
        parts = []
        if length > len(stored) - at:
            raise DecodeError("a stored key ends too early")
        for _ in range(length):
            part, at = parse(stored, at, serializer, depth + 1)
            parts.append(part)
        return (tuple(parts) if tag == b"T" else frozenset(parts)), at
    payload = stored[at:at + length]
    if len(payload) != length:
        raise DecodeError("a stored key ends too early")
    at += length
    if tag == b"S":
        return payload.decode("utf-8", "surrogatepass"), at
    if tag == b"B":
        return payload, at
    if tag == b"J":
        return int.from_bytes(payload, "big", signed=True), at
    if tag == b"P":
        key = serializer.loads(payload)
        # What was planted may be no key at all.
        hash(key)
        return key, at
    raise DecodeError("a stored key has an unknown tag")


cdef unsigned long long unpacked(bytes stored, Py_ssize_t at, int size) except? 0:
    """The number whose ``size`` bytes begin at ``at``."""
    cdef const unsigned char* digits = <const unsigned char*>PyBytes_AS_STRING(stored)
    cdef unsigned long long number = 0
    cdef int index
    if size > PyBytes_GET_SIZE(stored) - at:
        raise DecodeError("a stored key ends too early")
    for index in range(size):
        number = number << 8 | digits[at + index]
    return number


cdef double real_of(unsigned long long bits) noexcept:
    cdef double real
    memcpy(&real, &bits, sizeof(real))
    return real
