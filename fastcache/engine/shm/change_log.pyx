"""The change log: a ring in a file of ours, mapped by every process, that tells which keys each commit has changed.

Who writes appends a record *while it holds SQLite's write lock and before it commits* (SQLite's commit hook), and
confirms it *after the commit has become visible* (SQLite's WAL hook). A record says:

    word 0      FOLLOWS: the checksum of the wal-index header before the commit
    word 1      LEAVES: the checksum of the header after it; 0 until it is confirmed
    word 2      the number of the commit (high half); how many hashes follow, or EVERYTHING (low half)
    then        the hash of every key that the commit changes

A reader whose epoch is E and who sees N wants *confirmed* records that lead from the one header to the other: the first
follows E, each of the others what the one before it leaves, and the last one leaves N. Then it knows every key that has
changed. If there is no such chain (a foreign program has written, the ring was overrun, the WAL was restarted by hand, a
recovery has set the clock back), it drops all that it knows. What never confirms:

- a statement that changed nothing, a commit that failed, a writer that died before its commit. The next writer's record
  follows the same header; the unconfirmed one is passed over. A foreign program's commit may come instead: that is why a
  record which was only announced proves nothing.
- a writer that died, or was stopped, between its commit and its confirmation. Readers ask SQLite until they lose
  patience, and then drop everything. One that comes to confirm when others have committed already does not know what it
  has left any more, and says so (UNKNOWN); its readers drop everything, too.

**Lives.** The ring outlives the WAL: the last connection to close removes that, and the next opener begins anew with
small numbers and few frames, which fit what was logged in an earlier life. The header's checksum covers the WAL's salts, which
are random in each life, and the checksum of all of its frames. So no record of one life leaves a header of another, and a chain
that arrives at N is of N's life alone. The one header that all lives share is that of an empty WAL; a record never leaves it.

`head` is moved once a record is complete, `reserved` before the first word is written: a reader that finds its position
overtaken by `reserved` has read what was being overwritten. Hashes it has handed out until then cost needless drops.

Two words of the file are no records. SETTINGS is another one whenever a limit or a policy was changed. STARVING: SQLite's
write lock goes to whoever asks for it in the right moment, and a writer that asks again and again asks best. Whoever has
waited for too long therefore says so there, and the others stand back before they begin to write, until that one has
written. It is a hint, with a time in it, so that one that dies delays the others by milliseconds.

No one trusts the ring for anything but this: a record that lies costs its reader a stale value, and whoever can write it
can write the database. Whoever truncates a mapped file kills those who touch it (SIGBUS): it is the user's own (0600), and its
size is looked at when it is mapped.
"""

import os
import sys
from time import monotonic, time as wall_clock

from cpython.mem cimport PyMem_RawRealloc
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

from fastcache.engine.shm.wal_clock cimport commit_number, fingerprint, is_empty, load, read, replace, store, wal_frames

from fastcache.engine.shm.sharing import file_mode, settle_mode
from fastcache.runtime import imports

cdef extern from *:
    """
    #if defined(_WIN32)
    #include <io.h>
    #define fastcache_exists(path) (_access(path, 0) == 0)
    #else
    #include <unistd.h>
    #define fastcache_exists(path) (access(path, F_OK) == 0)
    #endif
    """
    bint fastcache_exists(const char* path) nogil

cdef enum:
    # Words at the beginning of the file.
    MAGIC, CAPACITY, RESERVED, HEAD, LATEST, STARVING, SETTINGS, _UNUSED_7, RECORDS
    # Words of a record before its hashes.
    RECORD_WORDS = 3

cdef unsigned int EVERYTHING = 0xFFFFFFFF
# Of a record that was confirmed too late to know what it has left; no header has this checksum.
cdef unsigned long long UNKNOWN = 1
cdef unsigned long long MAGIC_NUMBER = 0x3230676F6C636166ULL

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
        beginning[0] = MAGIC_NUMBER
        beginning[1] = capacity
        content = (<const char*>beginning)[:sizeof(beginning)].ljust(8 * (RECORDS + capacity), b"\0")
        self.mapping = map_shared(path, content, is_change_log)
        PyObject_GetBuffer(self.mapping, &view, PyBUF_WRITABLE)
        self.ring = <unsigned long long*>view.buf
        # The mapping never moves, and is closed only when it is collected, together with this object.
        PyBuffer_Release(&view)
        self.capacity = self.ring[CAPACITY]
        # Somebody may have changed it since it was looked at.
        if not 16 <= self.capacity <= <unsigned long long>(view.len // 8 - RECORDS):
            raise ValueError("not a change log")

    cdef unsigned long long latest(self, const Tick* now) noexcept nogil:
        """The position to follow the log from, for a reader that starts from this reading of the clock."""
        cdef unsigned long long head = load(&self.ring[HEAD])
        cdef unsigned long long last = load(&self.ring[LATEST])
        cdef unsigned long long* records = self.ring + RECORDS
        # The one that may be under way is still to come for this reader. One that follows an empty WAL and is confirmed
        # may be of an earlier life.
        if (last < head and head - last <= self.capacity and load(&records[last % self.capacity]) == fingerprint(now)
                and (load(&records[(last + 1) % self.capacity]) == 0 or not is_empty(now))):
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
        cdef unsigned long long here = fingerprint(since), goal = fingerprint(now)
        cdef unsigned long long left, word, count, index
        cdef unsigned int number = commit_number(since)
        cdef bint waiting = False
        if number == commit_number(now):
            # The WAL starts over, and its first commit is on the way; unless it was restarted by hand, or recovered.
            return NOT_YET
        if head < at or head - at > size:
            return LOST
        while here != goal and at + RECORD_WORDS <= head:
            left = load(&records[(at + 1) % size])
            word = load(&records[(at + 2) % size])
            count = <unsigned int>word
            if load(&records[at % size]) != here or <unsigned int>(word >> 32) != number + 1:
                break
            if left == UNKNOWN:
                return LOST
            at += RECORD_WORDS
            if left != 0 and count == EVERYTHING:
                forget(tier, True, 0)
            if count != EVERYTHING:
                if at + count > head:
                    return LOST
                if left != 0:
                    for index in range(at, at + count):
                        forget(tier, False, load(&records[index % size]))
                at += count
            waiting = left == 0
            if not waiting:
                here = left
                number += 1
                behind = at
        if load(&self.ring[RESERVED]) - position[0] > size:
            return LOST
        if here != goal:
            return NOT_YET if waiting else LOST
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
    commit.left = 0


cdef bint before_commit(void* argument) noexcept nogil:
    """SQLite's commit hook: the write lock is held, and nobody sees the commit yet. Returns whether there may be one."""
    cdef Commit* commit = <Commit*>argument
    cdef unsigned long long* records
    cdef unsigned long long head, size, count, index
    commit.frames = 0
    commit.left = 0
    if commit.header == NULL:
        return True
    if commit.guarded and has_journal_since(commit):
        return False
    # Under the write lock the clock stands, and was repaired if it had to be.
    if not read(commit.header, &commit.before):
        commit.everything = True
    commit.number = commit_number(&commit.before) + 1
    if commit.ring == NULL:
        return True
    records = commit.ring + RECORDS
    size = commit.capacity
    head = load(&commit.ring[HEAD])
    count = 0 if commit.everything else commit.count
    if commit.everything or count > size // 4:
        commit.everything = True
        count = 0
    commit.record = head
    commit.head = head + RECORD_WORDS + count
    store(&commit.ring[RESERVED], commit.head)
    store(&records[head % size], fingerprint(&commit.before))
    store(&records[(head + 1) % size], 0)
    store(
        &records[(head + 2) % size],
        (<unsigned long long>commit.number << 32) | (EVERYTHING if commit.everything else count))
    for index in range(count):
        store(&records[(head + RECORD_WORDS + index) % size], commit.hashes[index])
    store(&commit.ring[LATEST], head)
    store(&commit.ring[HEAD], commit.head)
    return True


cdef bint has_journal_since(const Commit* commit) noexcept nogil:
    """Whether a journal may have been made since one was looked for: whoever makes one changes the settings' version before."""
    if commit.ring == NULL:
        return commit.journal != NULL and fastcache_exists(commit.journal)
    return settings_version(commit.ring) != commit.sought


cdef void after_commit(void* argument, int frames) noexcept nogil:
    """SQLite's WAL hook: the commit is visible, and the write lock is free again."""
    cdef Commit* commit = <Commit*>argument
    cdef Tick now
    commit.frames = <unsigned int>frames
    if commit.header == NULL:
        return
    # Whoever has begun to commit since has moved the head, and may have moved the clock, too.
    if (read(commit.header, &now) and commit_number(&now) == commit.number and wal_frames(&now) == commit.frames
            and (commit.ring == NULL or load(&commit.ring[HEAD]) == commit.head)):
        commit.left = fingerprint(&now)
    if commit.ring != NULL:
        # Unless the ring has been overrun meanwhile: then the word is another record's.
        replace(
            &commit.ring[RECORDS + (commit.record + 1) % commit.capacity], 0,
            commit.left if commit.left != 0 else UNKNOWN)


cdef unsigned long long settings_version(unsigned long long* ring) noexcept nogil:
    """Is another one when somebody has changed the settings."""
    return load(&ring[SETTINGS])


cdef void settings_changed(unsigned long long* ring) noexcept nogil:
    """Say so, after the commit (of a journal that is made, before)."""
    cdef unsigned long long before = load(&ring[SETTINGS])
    while not replace(&ring[SETTINGS], before, before + 1):
        before = load(&ring[SETTINGS])


# How long a word in STARVING counts that is not renewed, in microseconds; and the bits of it that are the time.
cdef unsigned long long STARVING_FOR = 5000
cdef unsigned long long TIME_BITS = 40


cdef unsigned long long starving_word(unsigned long long token) noexcept:
    cdef unsigned long long now = <unsigned long long>(monotonic() * 1e6)
    return (now & ((1ULL << TIME_BITS) - 1)) | (token << TIME_BITS)


cdef bint is_priority_requested(unsigned long long* ring, unsigned long long token) noexcept:
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


cdef void request_priority(unsigned long long* ring, unsigned long long token) noexcept:
    """Say that this one has waited for long, unless another does."""
    if not is_priority_requested(ring, token):
        store(&ring[STARVING], starving_word(token))


cdef void withdraw_priority(unsigned long long* ring, unsigned long long token) noexcept:
    cdef unsigned long long word = load(&ring[STARVING])
    if word >> TIME_BITS == token:
        replace(&ring[STARVING], word, 0)


# -- files that processes map together --------------------------------------------------------------------------------

# How often a file is mapped that turns out to have been replaced meanwhile.
cdef int MOST_TRIES = 4
# A file that is being made is there for milliseconds; after so many seconds, whoever made it is dead.
cdef double MAKING = 60.0
cdef int SUFFIX = 16


def map_shared(path, content, is_sound=None):
    """Map a file that processes share. It is made first, with this content, if it is not there, or not what it should be.

    Args:
        path: of the file; made with the mode 0600.
        content: bytes of a new one; what is there has to begin with the first 8 of them.
        is_sound: called with the size in bytes and the first 24 bytes of what is there; whether it can be used.
    Raises:
        OSError: it cannot be made or mapped.
    """
    cdef int tries
    for tries in range(MOST_TRIES):
        fd = open_shared(path)
        if fd < 0 and tries < MOST_TRIES - 1:
            # Not there, or a symlink, which whoever put it there can put there again.
            remove_link(path)
            make_shared(path, content)
            continue
        if fd < 0:
            break
        try:
            found = os.fstat(fd)
            if is_usable(fd, found, content, is_sound):
                mapped = imports.load("mmap").mmap(fd, found.st_size)
                if is_there(path, found):
                    return mapped
            elif is_there(path, found):
                os.unlink(path)
        finally:
            close_quietly(fd)
    raise OSError(0, "something else takes its place again and again", path)


cdef int FLAGS = os.O_RDWR
for _flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NONBLOCK"):
    FLAGS |= getattr(os, _flag, 0)


cdef int close_quietly(int fd) except -1:
    """Close what was not written to: whatever the system says of it, it is closed."""
    try:
        os.close(fd)
    except OSError:
        pass
    return 0


cdef int open_shared(path) except -2:
    """Open a file; -1 if there is none, or a symlink."""
    try:
        return os.open(path, FLAGS)
    except FileNotFoundError:
        return -1
    except OSError:
        if os.path.islink(path):
            return -1
        raise


cdef bint is_usable(int fd, object found, bytes content, object is_sound) except -1:
    """Whether this is such a file, and not one that a kill, a full disk, another version or a stranger has left."""
    cdef long long size = found.st_size
    if not imports.load("stat").S_ISREG(found.st_mode) or size < 24:
        return False
    beginning = os.read(fd, 24)
    return beginning[:8] == content[:8] and (size >= len(content) if is_sound is None else is_sound(size, beginning))


def is_change_log(size, beginning):
    """Whether a file of this size and beginning can be a change log."""
    return 16 <= int.from_bytes(beginning[8:16], sys.byteorder) <= size // 8 - RECORDS


cdef bint is_there(path, found) except -1:
    """Whether the path still leads to the file that was opened."""
    try:
        return os.path.samestat(os.lstat(path), found)
    except FileNotFoundError:
        return False


cdef int remove_link(path) except -1:
    if os.path.islink(path):
        os.unlink(path)
    return 0


cdef int make_shared(path, bytes content) except -1:
    """Make the file under another name, or none, and then give it its own: nobody must map one that is not complete.

    Its content takes space, zeros or not: where a hole cannot be filled, writing to the map would kill the process."""
    cdef object fd = None
    mode = file_mode(os.path.dirname(path))
    temporary = f"{path}.{os.urandom(SUFFIX // 2).hex()}"
    if hasattr(os, "O_TMPFILE"):
        # Without a name, it is gone with its maker.
        try:
            fd = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
        except OSError:
            # Not every file system has it.
            fd = None
    if fd is not None:
        try:
            settle_mode(fd, mode)
            write_whole(fd, content)
            os.link(f"/proc/self/fd/{fd}", path, follow_symlinks=True)
            return 0
        except FileExistsError:
            return 0
        except OSError as error:
            # If there is no memory for it either, Python hands out a MemoryError instead.
            if not isinstance(error, OSError) or error.errno in no_space():
                raise
            # Without /proc, or where links are not permitted.
        finally:
            os.close(fd)
    write_temporary(temporary, content)
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return 0
        except OSError:
            # Links are not permitted here. Of two that come at once the first one's is replaced; it finds out (is_there).
            os.rename(temporary, path)
    finally:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
    return 0


def replace_shared(path, content):
    """Put a file with this content in the place of the one that is there; those who map that go on doing so."""
    temporary = f"{path}.{os.urandom(SUFFIX // 2).hex()}"
    write_temporary(temporary, content)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


cdef int write_temporary(path, bytes content) except -1:
    """Make a file of this content under a name that nobody else has."""
    mode = file_mode(os.path.dirname(path))
    fd = os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            settle_mode(fd, mode)
            write_whole(fd, content)
        finally:
            os.close(fd)
    except BaseException:
        os.unlink(path)
        raise
    return 0


cdef object no_space():
    errno = imports.load("errno")
    return errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)


cdef int write_whole(fd, bytes content) except -1:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view):]
    return 0


def remove_unfinished(directory, names):
    """Remove what whoever died while making one of these files has left in a directory."""
    now = wall_clock()
    try:
        entries = os.scandir(directory)
        try:
            for entry in entries:
                stem, _, suffix = entry.name.rpartition(".")
                if (stem in names and len(suffix) == SUFFIX and not suffix.strip("0123456789abcdef")
                        and entry.is_file(follow_symlinks=False)
                        and abs(now - entry.stat(follow_symlinks=False).st_mtime) > MAKING):
                    os.unlink(entry.path)
        finally:
            entries.close()
    except OSError:
        # Others do the same; and who cannot remove them can use the cache all the same.
        return
