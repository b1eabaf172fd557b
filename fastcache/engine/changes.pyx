"""The change log: a ring in a file of ours, mapped by every process, that tells which keys each commit has changed.

Who writes appends a record *while it holds SQLite's write lock and before it commits* (SQLite's commit hook), and
confirms it *after the commit has become visible* (SQLite's WAL hook). A record says:

    word 0      the checksum of the wal-index header that the commit follows
    word 1      the number of the commit (high half); the frames in the WAL after it, once confirmed (low half)
    word 2      the frames in the WAL before it (high half); how many hashes follow, or EVERYTHING (low half)
    then        the hash of every key that the commit changes

A reader whose epoch is E and who sees N wants a *confirmed* record for each number E+1..N, the first one following E
itself, each following the frames that the one before it left, the last one leaving the frames that N has. Then it knows
every key that has changed. If a number is missing (a foreign program has written, the ring was overrun, a recovery has
set the clock back), it drops all that it knows. What never confirms:

- a statement that changed nothing, a commit that failed, a writer that died before its commit. The next writer's record
  has the same number; the unconfirmed one is passed over. A foreign program's commit may take that number, too: that is
  why a record which was only announced proves nothing.
- a writer that died, or was stopped, between its commit and its confirmation. Readers ask SQLite until they lose
  patience, and then drop everything.

`head` is moved once a record is complete, `reserved` before the first word is written: a reader that finds its position
overtaken by `reserved` has read what was being overwritten. Hashes it has handed out until then cost needless drops.

Two words of the file are no records. SETTINGS is another one whenever a limit or a policy was changed. STARVING: SQLite's write lock goes to whoever asks for it in the right moment, and a
writer that asks again and again asks best. Whoever has waited for too long therefore says so there, and the others stand
back before they begin to write, until that one has written. It is a hint, with a time in it, so that one that dies
delays the others by milliseconds.

No one trusts the ring for anything but this: a record that lies costs its reader a stale value, and whoever can write it
can write the database.
"""

import os
from time import monotonic

from cpython.mem cimport PyMem_RawRealloc
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

from fastcache.engine.clock cimport commit_number, fingerprint, load, read, replace, store, wal_frames

from fastcache.engine import lazy

cdef enum:
    # Words at the beginning of the file.
    MAGIC, CAPACITY, RESERVED, HEAD, LATEST, STARVING, SETTINGS, _UNUSED_7, RECORDS
    # Words of a record before its hashes.
    RECORD_WORDS = 3

cdef unsigned int EVERYTHING = 0xFFFFFFFF
cdef unsigned long long SIGNATURE = 0x3130676F6C636166ULL

# Of a commit that changes more keys than this, the log says no more than that.
cdef size_t MOST_ANNOUNCED = 8192

capacity = 32768
"""Words of 8 bytes in a new log; 0 for none. A commit of one key takes four of them."""


cdef class ChangeLog:
    """The mapped file.

    Args:
        path: where it is; made (0600) if absent.
    Raises:
        OSError: it cannot be made or mapped.
        ValueError: it is something else.
    """

    def __init__(self, path):
        cdef Py_buffer view
        cdef unsigned long long beginning[2]
        beginning[0] = SIGNATURE
        beginning[1] = capacity
        content = (<const char*>beginning)[:sizeof(beginning)].ljust(8 * (RECORDS + capacity), b"\0")
        self.mapping = map_shared(path, content)
        PyObject_GetBuffer(self.mapping, &view, PyBUF_WRITABLE)
        self.ring = <unsigned long long*>view.buf
        size = view.len
        # The mapping never moves, and is closed only when it is collected, together with this object.
        PyBuffer_Release(&view)
        self.capacity = self.ring[CAPACITY]
        if (self.ring[MAGIC] != SIGNATURE or self.capacity < 16
                or self.capacity > <unsigned long long>(size // 8 - RECORDS)):
            raise ValueError("not a change log")

    cdef unsigned long long latest(self, const Tick* now) noexcept nogil:
        """The position to follow the log from, for a reader that starts from this reading of the clock."""
        cdef unsigned long long head = load(&self.ring[HEAD])
        cdef unsigned long long last = load(&self.ring[LATEST])
        # The one that may be under way is still to come for this reader.
        if last < head and head - last <= self.capacity:
            if <unsigned int>(load(&self.ring[RECORDS + (last + 1) % self.capacity]) >> 32) == commit_number(now) + 1:
                return last
        return head

    cdef Followed follow(
            self, unsigned long long* position, const Tick* since, const Tick* now, Forget forget,
            void* tier) noexcept:
        """Hand out what the commits after ``since`` up to ``now`` have changed, and move the position behind them."""
        cdef unsigned long long* records = self.ring + RECORDS
        cdef unsigned long long size = self.capacity
        cdef unsigned long long at = position[0]
        cdef unsigned long long behind = at
        cdef unsigned long long head = load(&self.ring[HEAD])
        cdef unsigned long long word, count, index
        cdef unsigned int number = commit_number(since)
        cdef unsigned int left = wal_frames(since)
        cdef unsigned int last = commit_number(now)
        cdef bint first = True
        cdef bint waiting = False
        if number == last:
            # The WAL starts over, and its first commit is on the way; unless it was restarted by hand, or recovered.
            return NOT_YET
        if head < at or head - at > size:
            return LOST
        while number != last:
            if at + RECORD_WORDS > head:
                break
            word = load(&records[(at + 1) % size])
            if <unsigned int>(word >> 32) != number + 1:
                break
            count = load(&records[(at + 2) % size])
            if <unsigned int>word == 0:
                waiting = True
            else:
                if (first and load(&records[at % size]) != fingerprint(since)) or <unsigned int>(count >> 32) != left:
                    return LOST
                first = False
                waiting = False
                number += 1
                left = <unsigned int>word
            if <unsigned int>count == EVERYTHING:
                at += RECORD_WORDS
                if not waiting:
                    forget(tier, True, 0)
            else:
                count = <unsigned int>count
                if at + RECORD_WORDS + count > head:
                    return LOST
                if not waiting:
                    for index in range(at + RECORD_WORDS, at + RECORD_WORDS + count):
                        forget(tier, False, load(&records[index % size]))
                at += RECORD_WORDS + count
            if not waiting:
                behind = at
        if load(&self.ring[RESERVED]) - position[0] > size:
            return LOST
        if number != last:
            return NOT_YET if waiting else LOST
        if left != wal_frames(now):
            return NOT_YET if wal_frames(now) == 0 else LOST
        position[0] = behind
        return FOLLOWED


cdef int announce(Commit* commit, unsigned long long hashed) except -1:
    """The commit to come changes this key, too."""
    cdef size_t room
    cdef unsigned long long* larger
    if commit.everything:
        return 0
    if commit.count == MOST_ANNOUNCED:
        commit.everything = True
        return 0
    if commit.count == commit.room:
        room = max(<size_t>16, 2 * commit.room)
        larger = <unsigned long long*>PyMem_RawRealloc(commit.hashes, room * sizeof(unsigned long long))
        if larger == NULL:
            commit.everything = True
            return 0
        commit.hashes = larger
        commit.room = room
    commit.hashes[commit.count] = hashed
    commit.count += 1
    return 0


cdef void announce_nothing(Commit* commit) noexcept nogil:
    """Begin: no key is known to change."""
    commit.count = 0
    commit.everything = False
    commit.frames = 0


cdef void before_commit(void* witness) noexcept nogil:
    """SQLite's commit hook: the write lock is held, and nobody sees the commit yet."""
    cdef Commit* commit = <Commit*>witness
    cdef unsigned long long* records
    cdef unsigned long long head, size, count, index
    commit.frames = 0
    if commit.header == NULL:
        return
    # Under the write lock the clock stands, and was repaired if it had to be.
    if not read(commit.header, &commit.before):
        commit.everything = True
    commit.number = commit_number(&commit.before) + 1
    if commit.ring == NULL:
        return
    records = commit.ring + RECORDS
    size = commit.capacity
    head = load(&commit.ring[HEAD])
    count = 0 if commit.everything else commit.count
    if commit.everything or count > size // 4:
        commit.everything = True
        count = 0
    commit.record = head
    store(&commit.ring[RESERVED], head + RECORD_WORDS + count)
    store(&records[head % size], fingerprint(&commit.before))
    store(&records[(head + 1) % size], <unsigned long long>commit.number << 32)
    store(
        &records[(head + 2) % size],
        (<unsigned long long>wal_frames(&commit.before) << 32) | (EVERYTHING if commit.everything else count))
    for index in range(count):
        store(&records[(head + RECORD_WORDS + index) % size], commit.hashes[index])
    store(&commit.ring[LATEST], head)
    store(&commit.ring[HEAD], head + RECORD_WORDS + count)


cdef void after_commit(void* witness, int frames) noexcept nogil:
    """SQLite's WAL hook: the commit is visible."""
    cdef Commit* commit = <Commit*>witness
    cdef unsigned long long unconfirmed
    commit.frames = <unsigned int>frames
    if commit.header != NULL and commit.ring != NULL:
        # Unless the ring has been overrun meanwhile: then the word is another record's.
        unconfirmed = <unsigned long long>commit.number << 32
        replace(
            &commit.ring[RECORDS + (commit.record + 1) % commit.capacity], unconfirmed,
            unconfirmed | <unsigned int>frames)


cdef unsigned long long settings_version(unsigned long long* ring) noexcept nogil:
    """Is another one when somebody has changed the settings."""
    return load(&ring[SETTINGS])


cdef void settings_changed(unsigned long long* ring) noexcept nogil:
    """Say so, after the commit."""
    cdef unsigned long long before = load(&ring[SETTINGS])
    while not replace(&ring[SETTINGS], before, before + 1):
        before = load(&ring[SETTINGS])


# How long a word in STARVING counts that is not renewed, in microseconds; and the bits of it that are the time.
cdef unsigned long long STARVING_FOR = 5000
cdef unsigned long long TIME_BITS = 40


cdef unsigned long long starving_word(unsigned long long token) noexcept:
    cdef unsigned long long now = <unsigned long long>(monotonic() * 1e6)
    return (now & ((1ULL << TIME_BITS) - 1)) | (token << TIME_BITS)


cdef bint is_anyone_starving(unsigned long long* ring, unsigned long long token) noexcept:
    """Whether another than ``token`` (24 bits) has waited for long, and should come first."""
    cdef unsigned long long word = load(&ring[STARVING])
    cdef unsigned long long age
    if word == 0 or word >> TIME_BITS == token:
        return False
    age = (starving_word(0) - word) & ((1ULL << TIME_BITS) - 1)
    if age > STARVING_FOR:
        replace(&ring[STARVING], word, 0)
        return False
    return True


cdef void starve(unsigned long long* ring, unsigned long long token) noexcept:
    """Say that this one has waited for long, unless another does."""
    if not is_anyone_starving(ring, token):
        store(&ring[STARVING], starving_word(token))


cdef void starve_no_more(unsigned long long* ring, unsigned long long token) noexcept:
    cdef unsigned long long word = load(&ring[STARVING])
    if word >> TIME_BITS == token:
        replace(&ring[STARVING], word, 0)


def map_shared(path, content):
    """Map a file that processes share; make it first, with this content, if need be, whoever else is doing the same."""
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        fd = _make(path, flags, content)
    try:
        return lazy.load("mmap").mmap(fd, 0)
    finally:
        os.close(fd)


def _make(path, flags, content):
    """Make the file under another name first: nobody must map one that is not complete.

    Its content takes space, zeros or not: where a hole cannot be filled, writing to the map would kill the process."""
    temporary = f"{path}.{os.urandom(8).hex()}"
    fd = os.open(temporary, flags | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            written = os.write(fd, content)
            if written < len(content):
                raise OSError("the disk is full")
        finally:
            os.close(fd)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
    finally:
        os.unlink(temporary)
    return os.open(path, flags)
