# cython: nonecheck=True
"""Opening a database: the directory, the file, its tables, and the settings that are stored in it.

Each function is right whoever else does the same at the same time, and whatever was there before: nothing, a cache of ours,
another program's database, a link, a file that is no database.
"""

import os
import stat

from fastcache.engine.shm.change_log cimport settings_changed
from fastcache.engine.shm.journal cimport Journal, at_place, boot_number, make_journal, open_journal
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.connection cimport STEP_BUSY, STEP_ROW, Statement

from fastcache.engine.descriptions cimport FASTCACHE_HAS_DESCRIPTIONS

from fastcache.engine.database import reading, reserve
from fastcache.engine.shm import change_log
from fastcache.engine.shm.journal import capacity_for
from fastcache.engine.shm.sharing import file_mode, make_folder, settle_mode
from fastcache.engine.sqlite import fork_safety, sql
from fastcache.errors import (
    CacheError,
    FormatError,
    NotACacheError,
    OpenError,
    StorageError,
    Timeout,
    TransactionError,
    system_error,
)
from fastcache.runtime.imports import warn

# How long opening waits for others to let it restore the journal mode, in seconds.
cdef double WAL_PATIENCE = 0.5
# The databases of whose journal mode was told.
cdef set told_of_journal = set()
# Of each of many shards, in KiB; SQLite's own default.
cdef int LEAST_PAGE_CACHE = 2048
# How long to wait for others before what a database says of itself is read, in seconds.
cdef double LOOK_PATIENCE = 60.0
# How often what cannot be read is tried anew while it lies there as it was.
cdef int MOST_TRIES = 3


cdef int make_directory(str directory) except -1:
    """Make the cache's directory and what leads to it; raise OpenError where that is not possible."""
    try:
        try:
            try:
                make_own(directory)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(directory), exist_ok=True)
                make_own(directory)
        except FileExistsError:
            # Not isdir(), which takes any error for a no.
            if not stat.S_ISDIR(os.stat(directory).st_mode):
                raise OpenError(f"{directory!r} is a file, and a cache needs a directory") from None
    except CacheError:
        raise
    except OSError as error:
        refuse_dangling(directory)
        raise system_error(error.errno, f"make the directory {directory!r}", OpenError) from error
    return 0


cdef int make_own(str directory) except -1:
    """Make a directory for its owner alone; one in a cache's directory, a shard say, for all for whom that is."""
    if os.path.exists(os.path.join(os.path.dirname(directory), "cache.db")):
        make_folder(directory)
    else:
        os.mkdir(directory, 0o700)
    return 0


cdef int refuse_dangling(str directory) except -1:
    """Raise OpenError for a link that leads nowhere, in the place of the directory or on the way to it."""
    path = directory
    while not os.path.exists(path):
        if os.path.islink(path):
            raise OpenError(
                f"cannot make the directory {directory!r}: {path!r} is a link to {os.readlink(path)!r}, which is not there; make "
                "that directory, or remove the link")
        path, before = os.path.dirname(path), path
        if path == before:
            break
    return 0


def refuse_link(path):
    """Raise OpenError for a link: who could plant it could have us write elsewhere. (The cache's directory may be one.)"""
    if os.path.islink(path):
        raise OpenError(f"{path!r} is a link, and a cache keeps what it has in its own directory; put the file or folder itself "
                        "there, or make the whole directory a link")


cdef Connection connect(str path, str directory, int shards, double timeout, bint lenient):
    """A connection to the database file; a new one is for its keepalive alone."""
    cdef Connection connection
    new = True
    refuse_link(path)
    mode = 0o600
    try:
        try:
            mode = file_mode(directory)
            found = os.stat(path)
        except FileNotFoundError:
            # Without a descriptor, since closing one would drop the locks that others of this process may have by then.
            if hasattr(os, "mknod"):
                os.mknod(path, mode | stat.S_IFREG)
            found = os.stat(path)
    except (FileNotFoundError, FileExistsError, PermissionError):
        # It is SQLite's to make, or to say why not.
        pass
    except OSError as error:
        raise system_error(error.errno, f"look at {path!r}", OpenError) from error
    else:
        new = found.st_size == 0
        # SQLite would take less than its smallest page for an empty database.
        if 0 < found.st_size < 512:
            raise NotACacheError(f"{path!r} is not a database; choose another directory")
        if (found.st_dev, found.st_ino) in fork_safety.inherited:
            raise TransactionError(
                f"{directory!r} was in use, in a transaction or a check, when this process was forked, so that "
                "its locks cannot be trusted here; fork outside of these, or start the process with spawn")
    connection = Connection(path, lenient, timeout)
    if not lenient:
        # The first look opens the write-ahead log, and its index.
        connection.query(sql.GET_APPLICATION_ID)
    if shards > 1:
        # Together they have what one would have.
        connection.execute(sql.PAGE_CACHE.format(max(LEAST_PAGE_CACHE, sql.PAGE_CACHE_KIB // shards)))
    if new:
        try:
            settle_mode(path, mode)
        except OSError as error:
            raise system_error(error.errno, f"protect {path!r}", OpenError) from error
    return connection


cdef Connection connect_to_read(str path, int shards, double timeout, bint lenient):
    """A connection that writes nothing, in whatever way the file can be read just now."""
    cdef Connection connection
    cdef BusyWait wait = None
    cdef int tries = 0
    refuse_link(path)
    while True:
        connection = None
        way = reading.choose_way(path)
        try:
            connection = Connection(path, lenient, timeout, False, way)
            connection.query(sql.GET_APPLICATION_ID)
            break
        except NotACacheError:
            raise
        except CacheError:
            # Somebody may have come, or gone, since the way was chosen.
            tries += 1
            if tries >= MOST_TRIES and reading.choose_way(path) == way and not (
                    connection is not None and connection.has_changed()):
                raise
            if wait is None:
                wait = BusyWait(timeout, "waiting to read the database")
            wait.pause()
    if shards > 1:
        connection.execute(sql.PAGE_CACHE.format(max(LEAST_PAGE_CACHE, sql.PAGE_CACHE_KIB // shards)))
    return connection


def look_into(str path):
    """A connection to a database that is there, to read what it says of itself: nothing is written, or made.

    Raises:
        OpenError: (NotACacheError) it cannot be read.
    """
    return connect_to_read(path, 1, LOOK_PATIENCE, False)


cdef int refuse_uninitialized(Connection connection) except -1:
    """Raise NotACacheError for what is no cache, or none yet."""
    if not is_ours(connection):
        raise NotACacheError(f"{connection.path!r} is no cache yet, and reading alone makes none; open it once for writing")
    return 0


cdef bint use_wal(Connection connection) except -1:
    """Have the database use a WAL if it is new; returns whether it does.

    Without shared memory (a network file system) SQLite stays with its rollback journal; but also if it fails in the
    moment, and does not say so."""
    if is_ours(connection):
        connection.refuse_read_only()
        return connection.query(sql.GET_JOURNAL_MODE)[0][0] == "wal" or restore_wal(connection)
    connection.execute(sql.USE_INCREMENTAL_VACUUM)
    return connection.query(sql.USE_WAL)[0][0] == "wal"


cdef bint restore_wal(Connection connection) except -1:
    """Have a database of ours use a WAL again, of which another program has taken it away; returns whether it does. It cannot as long as
    anybody uses it: then that is said, once, and the next one who opens it tries again."""
    cdef Statement statement = Statement(connection, sql.USE_WAL)
    cdef BusyWait wait = BusyWait(WAL_PATIENCE, "waiting to restore the journal mode")
    cdef int step
    mode = None
    try:
        while True:
            step = statement.step(True)
            if step == STEP_ROW:
                mode = statement.column_object(0)
            if step != STEP_BUSY:
                statement.reset()
                break
            wait.pause()
    except Timeout:
        pass
    if mode == "wal":
        return True
    if mode is None:
        mode = connection.query(sql.GET_JOURNAL_MODE)[0][0]
    if connection.path not in told_of_journal:
        told_of_journal.add(connection.path)
        warn("%r is in journal mode %r instead of 'wal', in which each write takes many times as long. Another program has set it, or the "
             "file system has no shared memory; it is set back when the cache is opened while nobody else uses it",
             connection.path, mode)
    return False


cdef Session initialize(Session session, dict settings, bint syncs):
    """Make sure that the database is ours and has its tables, whoever else is doing the same."""
    cdef Connection connection = session.connection
    # Undoing must not fail for want of memory.
    session.rollback.prepare()
    session.rollback_to.prepare()
    session.release.prepare()
    if not session.has_wal or syncs:
        connection.execute(sql.SYNC_FULL)
    if is_ours(connection):
        return session
    connection.execute(sql.BEGIN)
    try:
        if not is_ours(connection):
            for statement in sql.SCHEMA:
                connection.execute(statement)
            for name, value in settings.items():
                connection.query(sql.PUT_META, (name, value))
            connection.query(sql.PUT_META, ("file_bytes", 0))
            connection.execute(sql.MARK_AS_OURS)
        connection.execute(sql.COMMIT)
    except BaseException:
        connection.roll_back()
        raise
    return session


cdef bint is_ours(Connection connection) except -1:
    """Whether the database is a cache; False if it is empty. Raises NotACacheError if it is neither."""
    # In this order: whoever makes the tables marks them in the same transaction.
    tables = connection.query(sql.COUNT_SCHEMA)[0][0]
    mark = connection.query(sql.GET_APPLICATION_ID)[0][0]
    if mark == sql.APPLICATION_ID:
        return True
    if mark or tables:
        raise NotACacheError(
            f"{connection.path!r} is a database of another program; choose another directory")
    return False


cdef dict take_settings(Connection connection, str directory, dict settings, dict asked):
    """The settings that are stored, once what was ``asked`` for is among them.

    Raises FormatError where they are at odds with those that a new database would have."""
    stored = dict(connection.query(sql.GET_META))
    for counter in ("file_bytes", "restarts", "journal", "applied"):
        stored.pop(counter, None)
    if stored.get("format") != settings["format"]:
        raise FormatError(
            f"{directory!r} is stored in format {stored.get('format')}, and this version of fastcache "
            f"reads format {sql.FORMAT}; use the version that wrote it, or another directory")
    if stored.get("shards") != settings["shards"] or stored.get("resharding") is not None:
        refuse_shards(directory, stored, settings["shards"])
    if stored.get("serializer") != settings["serializer"]:
        raise FormatError(
            f"{directory!r} is stored with serializer {stored.get('serializer')!r}, but was asked for with "
            f"{settings['serializer']!r}; open it with {stored.get('serializer')!r}, or use another directory")
    if type(stored.get("max_size")) is not int and connection.reading is None:
        asked = {**asked, "max_size": asked.get("max_size") or 0}
    for name, value in asked.items():
        if value is not None and stored.get(name) != value:
            connection.query(sql.PUT_META, (name, value))
            stored[name] = value
    return stored


cdef int refuse_shards(str directory, dict stored, object asked) except -1:
    """Say how to open what has another number of shards, or how to convert it."""
    if stored.get("resharding") is not None:
        raise FormatError(
            f"{directory!r}: a conversion to another number of shards is under way, or was interrupted; to go on with it, run: "
            f"fastcache reshard {directory} {stored.get('resharding')}")
    found = stored.get("shards")
    how = "a Cache or an Index" if found == 1 else f"shards={found}"
    raise FormatError(
        f"{directory!r} is stored with {found} shards, but was asked for with {asked}; open it with {how}, or convert it: "
        f"fastcache reshard {directory} {asked}")


cdef ChangeLog open_log(str directory):
    """The change log; None, and everything works without, if there is to be none or it cannot be had."""
    if not change_log.capacity:
        return None
    try:
        return ChangeLog(os.path.join(directory, "cache.changes"))
    except (OSError, ValueError) as error:
        warn("%r has no change log, so that each commit of others empties the memory: %s", directory, error)
        return None


cdef Journal find_journal(
        Connection connection, str directory, Journal known, bint read_only, unsigned long long* ring):
    """The journal of a database, or None. ``known`` if that is still the one; with the ring of a change log, one is made if it can be
    had."""
    cdef Journal journal = None
    cdef unsigned long long boot
    path = os.path.join(directory, "cache.journal")
    identity = stored_number(connection, sql.GET_JOURNAL)
    if identity:
        if known is not None and known.id == identity and is_in_place(path, known.identity):
            return known
        journal = open_journal(path, identity, read_only)
    # Without shared memory none is made; but what is in one is not forgotten.
    if journal is None and (read_only or ring == NULL):
        return None
    boot = boot_number()
    if boot == 0 or not FASTCACHE_HAS_DESCRIPTIONS:
        return journal
    if journal is None:
        return begin_journal(connection, path, boot, ring)
    if journal.boot() != boot or not journal.is_sound():
        # The machine was off since, or somebody has written to it.
        return None if read_only else recover_journal(connection, path, journal, boot)
    return journal


cdef object stored_number(Connection connection, str text):
    """The one number of a statement; 0 for none."""
    for (value,) in connection.query(text):
        return value if type(value) is int else 0
    return 0


cdef bint is_in_place(str path, tuple identity) except -1:
    """Whether a file is still the one that was opened."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == identity


cdef Journal begin_journal(Connection connection, str path, unsigned long long boot, unsigned long long* ring):
    """Make a journal, unless somebody else does meanwhile; None, of which is told, if it cannot be made.

    In this order: the file, the version of the settings, the commit. So whoever sees the commit, in a snapshot or by the clock, sees the
    version, and who sees that and no commit yet finds the file (``journal_is_unborn``)."""
    cdef Journal journal
    refuse_link(path)
    connection.execute(sql.BEGIN)
    try:
        identity = stored_number(connection, sql.GET_JOURNAL)
        journal = open_journal(path, identity, False) if identity else None
        if journal is None:
            limit = max(0, stored_number(connection, sql.GET_LIMIT))
            shards = max(1, stored_number(connection, sql.GET_SHARDS))
            capacity = capacity_for(limit // shards, reserve.room(os.path.dirname(path)))
            if capacity:
                identity = new_identity()
                make_journal(path, identity, capacity, boot)
                settings_changed(ring)
                at_place(8)
                connection.query(sql.PUT_META, ("journal", identity))
                connection.query(sql.PUT_META, ("applied", 0))
        connection.execute(sql.COMMIT)
    except (CacheError, OSError) as error:
        connection.roll_back()
        warn("%r has no journal, so that each write is a transaction of its own: %s", os.path.dirname(path), error)
        return None
    except BaseException:
        connection.roll_back()
        raise
    return open_journal(path, identity, False) if journal is None else journal


cdef bint journal_is_unborn(Connection connection, str path) except -1:
    """Whether somebody may be making the journal of which there is a file, and the database does not know. The file is removed if that
    one is dead."""
    cdef Statement begin = Statement(connection, sql.BEGIN)
    if begin.step() == STEP_BUSY:
        return True
    begin.reset()
    try:
        if not stored_number(connection, sql.GET_JOURNAL):
            unlink_if_there(path)
    finally:
        connection.execute(sql.ROLLBACK)
    return False


cdef int unlink_if_there(str path) except -1:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    return 0


cdef Journal recover_journal(Connection connection, str path, Journal journal, unsigned long long boot):
    """What is whole in a journal goes into a new one, in its place; unless somebody else has seen to that meanwhile."""
    cdef Journal recovered
    connection.execute(sql.BEGIN)
    try:
        identity = stored_number(connection, sql.GET_JOURNAL)
        if identity != journal.id:
            recovered = open_journal(path, identity, False)
        elif journal.boot() == boot and journal.is_sound():
            recovered = journal
        else:
            identity = new_identity()
            make_journal(path, identity, journal.capacity, boot)
            recovered = open_journal(path, identity, False)
            if recovered is None:
                raise StorageError(f"{path!r} was replaced while it was made")
            recovered.take_over(journal, max(0, stored_number(connection, sql.GET_APPLIED)))
            connection.query(sql.PUT_META, ("journal", identity))
            connection.query(sql.PUT_META, ("applied", 0))
        connection.execute(sql.COMMIT)
    except BaseException:
        connection.roll_back()
        raise
    return recovered


cdef object new_identity():
    """A number that no other journal has."""
    return int.from_bytes(os.urandom(8), "little") >> 1 | 1
