"""All SQL text of the engine, each statement named for what it does.

Times are milliseconds since the epoch. An entry is *live* while ``expire`` is NULL or lies after now; what
is not live is invisible to every statement but those that remove it. Parameters are numbered alike
wherever they mean the same: ?1 the key, ?8 now (single-parameter statements aside).
"""

import os

APPLICATION_ID = 0x66_63_61_63
"""Marks a database as ours (``PRAGMA application_id``): the letters "fcac"."""

FORMAT = 3
"""The version of everything below and of the codecs; a newer one is refused."""

# The schema. Rowid order is insertion order, which iteration promises. The small columns come before the
# value, so that a scan never walks overflow pages. No index but the key's is touched by a plain set.
# The columns `key`, `tag` and `value` have no type, so that SQLite keeps each value's own.
SCHEMA = (
    """
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        key NOT NULL,
        codec INTEGER NOT NULL,
        size INTEGER NOT NULL,
        expire INTEGER,
        tag,
        file TEXT,
        value
    )
    """,
    "CREATE UNIQUE INDEX entry_key ON entry (key)",
    "CREATE INDEX entry_expire ON entry (expire) WHERE expire IS NOT NULL",
    "CREATE INDEX entry_tag ON entry (tag) WHERE tag IS NOT NULL",
    "CREATE TABLE trash (file TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID",
    "CREATE TABLE reserved (file TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    # A file whose row goes is put into the trash in the same transaction, whoever deletes. No trigger on updates or
    # inserts, which every set would pay for (measured: a quarter of an insert, and more than half of SET_MANY): of our
    # statements only REPLACE updates a row that has a file, or gives it one, and INSERT, SET and ADD may insert one.
    # `file_bytes` in meta counts what files take, or are about to: those of the rows, of the trash, and the reserved.
    """
    CREATE TRIGGER file_dropped AFTER DELETE ON entry WHEN old.file IS NOT NULL BEGIN
        INSERT OR IGNORE INTO trash (file, size) VALUES (old.file, old.size);
    END
    """,
)
# Pages that are free can be given back to the file system a few at a time. Before the first page is written.
USE_INCREMENTAL_VACUUM = "PRAGMA auto_vacuum = INCREMENTAL"
MARK_AS_OURS = f"PRAGMA application_id = {APPLICATION_ID}"
PUT_META = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2"
# The journal that belongs to the database, by its identity, and up to where it is applied.
GET_JOURNAL = "SELECT value FROM meta WHERE name = 'journal'"
GET_APPLIED = "SELECT value FROM meta WHERE name = 'applied'"
PUT_APPLIED = "UPDATE meta SET value = ?1 WHERE name = 'applied'"
GET_SHARDS = "SELECT value FROM meta WHERE name = 'shards'"
GET_LIMIT = "SELECT value FROM meta WHERE name = 'max_size'"
GET_META = "SELECT name, value FROM meta"
GET_APPLICATION_ID = "PRAGMA application_id"
COUNT_SCHEMA = "SELECT count(*) FROM sqlite_schema"

# Bytes that the write-ahead log keeps when it starts over; more than it grows to if nobody is in the way, since a file
# that is there already is faster to write to.
LARGEST_WAL = 32 << 20
# A commit that changes nothing that anybody reads: with it the log starts over, and gets shorter.
START_OVER = """
    INSERT INTO meta (name, value) VALUES ('restarts', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1
"""

# Until its end, write nothing of a transaction, however large it is; and the usual way.
KEEP_IN_MEMORY = "PRAGMA cache_spill = OFF"
LET_SPILL = "PRAGMA cache_spill = ON"
GET_SECURE_DELETE = "PRAGMA secure_delete"
SECURE_DELETE = "PRAGMA secure_delete = {}"
KEEP_WAL = "PRAGMA journal_size_limit = {}"

PAGE_CACHE_KIB = 16384
PAGE_CACHE = "PRAGMA cache_size = -{}"
# Each connection, when opened.
# cell_size_check and trusted_schema: a planted or damaged file must not be able to do harm.
PRAGMAS = (
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    # What is read without a lock (read_lock.pxd) must not change under SQLite's hands.
    "PRAGMA mmap_size = 0",
    PAGE_CACHE.format(PAGE_CACHE_KIB),
    KEEP_WAL.format(LARGEST_WAL),
)
# Lets a repair read a file that is shorter than its header says.
LENIENT = "PRAGMA writable_schema = ON"
# Keeps everybody else out, as long as the connection is open.
EXCLUSIVE = "PRAGMA locking_mode = EXCLUSIVE"
USE_WAL = "PRAGMA journal_mode = WAL"
GET_JOURNAL_MODE = "PRAGMA journal_mode"
# Without a WAL, NORMAL is not safe against power loss.
SYNC_FULL = "PRAGMA synchronous = FULL"

BEGIN = "BEGIN IMMEDIATE"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
SAVEPOINT = "SAVEPOINT inner_block"
RELEASE = "RELEASE inner_block"
ROLLBACK_TO = "ROLLBACK TO inner_block"

LIVE = "(expire IS NULL OR expire > ?8)"

# Reads: one entry. What EXISTS leaves out it leaves empty, so that the columns stand where GET has them.
GET = "SELECT codec, expire, value, file, size, tag, id FROM entry WHERE key = ?1"
EXISTS = "SELECT NULL, expire, NULL, file, size FROM entry WHERE key = ?1"

# The tables that are no tables (row_source.pyx): a key asked for after the other, without end, and the rows of a batch.
# Nobody knows their names beforehand, so that no table in a planted file can stand for them.
FEED = f"fastcache_feed_{os.urandom(8).hex()}"
BATCH = f"fastcache_batch_{os.urandom(8).hex()}"

# The same for one key after the other: each step gives the row of the key
# that is asked for then, or one of nulls. While it stands, so does its snapshot. Measured: half to two thirds of the
# price of GET inside a transaction, since nothing has to be set up and taken down.
GET_NEXT = f"""
    SELECT codec, expire, value, file, size, tag, id
    FROM {FEED} AS feed LEFT JOIN main.entry ON entry.key = feed.key
"""

# Writes: one entry. The upsert keeps the row and with it the place in the order. It leaves alone, changing no row, what
# the store then replaces: an entry that has expired, by DELETE_ROW and INSERT (it is no entry any more: a set over it
# is an insertion, at the end), and one that has a file or is to get one, by DROP_FILE and REPLACE.
SET = f"""
    INSERT INTO entry (key, codec, size, expire, tag, file, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (key) DO UPDATE SET codec = ?2, size = ?3, expire = ?4, tag = ?5, value = ?7
    WHERE {LIVE} AND file IS NULL AND ?6 IS NULL
"""
ADD = """
    INSERT INTO entry (key, codec, size, expire, tag, file, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (key) DO NOTHING
"""
COUNT_FILE = "UPDATE meta SET value = value + ?1 WHERE name = 'file_bytes'"
ROW_OF_KEY = "SELECT id, expire, file FROM entry WHERE key = ?1"
INSERT = "INSERT INTO entry (key, codec, size, expire, tag, file, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
REPLACE = "UPDATE entry SET codec = ?2, size = ?3, expire = ?4, tag = ?5, file = ?6, value = ?7 WHERE id = ?8"
DROP_FILE = "INSERT OR IGNORE INTO trash (file, size) SELECT file, size FROM entry WHERE id = ?1"
DELETE = f"DELETE FROM entry WHERE key = ?1 AND {LIVE}"
DELETE_ROW = "DELETE FROM entry WHERE id = ?1"
DELETE_DANGLING = "DELETE FROM entry WHERE id = ?1 AND file = ?2"
TOUCH = f"UPDATE entry SET expire = ?2 WHERE key = ?1 AND {LIVE}"

# Only native values in the row (codec 0), whose decoding cannot fail after the row is gone.
POP_NATIVE = f"""
    DELETE FROM entry WHERE key = ?1 AND codec = 0 AND {LIVE}
    RETURNING codec, expire, value, file, size, tag, id
"""
# ?2 is delta, ?3 is what a missing key becomes. A sum beyond 64 bits would turn into a float: left to the store.
INCR = f"""
    INSERT INTO entry (key, codec, size, value) VALUES (?1, 0, 8, ?3)
    ON CONFLICT (key) DO UPDATE SET value = value + ?2
    WHERE {LIVE} AND codec = 0 AND typeof(value) = 'integer' AND typeof(value + ?2) = 'integer'
    RETURNING value
"""

# Writes: the rows of a batch in one statement. Measured: a third of what one
# statement for each row costs, since its cursors are opened once. They are used where no row is in the way that SET and
# ADD would leave to the store; where MAY_CONFLICT is false, there can be none.
SET_MANY = f"""
    INSERT INTO main.entry (key, codec, size, expire, tag, value)
    SELECT key, codec, size, expire, tag, value FROM {BATCH} WHERE true
    ON CONFLICT (key) DO UPDATE
    SET codec = excluded.codec, size = excluded.size, expire = excluded.expire, tag = excluded.tag,
        value = excluded.value
    WHERE (entry.expire IS NULL OR entry.expire > ?8) AND entry.file IS NULL
"""
ADD_MANY = f"""
    INSERT INTO main.entry (key, codec, size, expire, tag, value)
    SELECT key, codec, size, expire, tag, value FROM {BATCH} WHERE true
    ON CONFLICT (key) DO NOTHING
"""
DELETE_MANY = f"DELETE FROM main.entry WHERE key IN (SELECT key FROM {BATCH}) AND {LIVE}"
# Of those that somebody has deleted before, while they were live.
DELETE_ALL_OF = f"DELETE FROM main.entry WHERE key IN (SELECT key FROM {BATCH})"
MAY_CONFLICT = """
    SELECT EXISTS (SELECT 1 FROM entry WHERE expire IS NOT NULL AND expire <= ?8)
        OR coalesce((SELECT value FROM meta WHERE name = 'file_bytes'), 1) <> 0
"""
CONFLICT = f"""
    SELECT 1 FROM {BATCH} AS batch CROSS JOIN main.entry ON entry.key = batch.key
    WHERE entry.expire <= ?8 OR entry.file IS NOT NULL LIMIT 1
"""

# Scans, a batch at a time in the order of rowids: ?1 the last rowid seen, ?2 how many, ?3 where a scan forward ends.
SCAN_KEYS = f"SELECT id, key FROM entry WHERE id > ?1 AND id <= ?3 AND {LIVE} ORDER BY id LIMIT ?2"
SCAN_KEYS_BACK = f"SELECT id, key FROM entry WHERE id < ?1 AND {LIVE} ORDER BY id DESC LIMIT ?2"
SCAN_ITEMS = (
    f"SELECT id, key, codec, file, size, value FROM entry WHERE id > ?1 AND id <= ?3 AND {LIVE} ORDER BY id LIMIT ?2"
)
SCAN_ITEMS_BACK = (
    f"SELECT id, key, codec, file, size, value FROM entry WHERE id < ?1 AND {LIVE} ORDER BY id DESC LIMIT ?2"
)

# The same in the order of keys, by their index: ?1 where it begins, ?2 before which it ends, ?3 the last rowid, ?4 how
# many. For items or keys alone, backward or not, with a beginning that is met (>=) or not (>) or none, and with an end
# or none.
SCAN_IN_ORDER = {
    (items, backward, low, has_high): (
        f"SELECT key{', codec, file, size, value' if items else ''} FROM entry INDEXED BY entry_key WHERE id <= ?3"
        f"{f' AND key {low} ?1' if low else ''}{' AND key < ?2' if has_high else ''} AND {LIVE}"
        f" ORDER BY key{' DESC' if backward else ''} LIMIT ?4"
    )
    for items in (False, True)
    for backward in (False, True)
    for low in (None, ">=", ">")
    for has_high in (False, True)
}
# The least and the greatest key, as of one moment; expired ones, too.
FIRST_AND_LAST_KEY = "SELECT (SELECT min(key) FROM entry), (SELECT max(key) FROM entry)"

NEWEST = "SELECT max(id) FROM entry"

# The whole table.
COUNT = """
    SELECT (SELECT count(*) FROM entry)
         - (SELECT count(*) FROM entry WHERE expire IS NOT NULL AND expire <= ?1)
"""
SIZE = "SELECT coalesce(sum(size), 0) FROM entry WHERE expire IS NULL OR expire > ?1"
VOLUME = """
    SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)
         + coalesce((SELECT value FROM meta WHERE name = 'file_bytes'), 0)
"""
# The same of what is in use: without free pages, and without files that are yet to be unlinked.
USED = """
    SELECT ((SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count))
         * (SELECT page_size FROM pragma_page_size)
         + coalesce((SELECT value FROM meta WHERE name = 'file_bytes'), 0)
         - (SELECT coalesce(sum(size), 0) FROM trash)
"""
CLEAR = "DELETE FROM entry"
EXPIRE = "DELETE FROM entry WHERE expire IS NOT NULL AND expire <= ?1"
KEYS_EXPIRED = "SELECT key FROM entry WHERE expire IS NOT NULL AND expire <= ?1 LIMIT ?2"
KEYS_EXPIRED_FIRST = """
    SELECT key FROM entry WHERE expire IS NOT NULL AND expire <= ?1 ORDER BY expire, id LIMIT ?2
"""
EXPIRE_FIRST = """
    DELETE FROM entry WHERE id IN (
        SELECT id FROM entry WHERE expire IS NOT NULL AND expire <= ?1 ORDER BY expire, id LIMIT ?2
    )
"""
# Eviction: rows in the order of insertion, after ?1 and up to ?2, or in that of their expiry; ?3 how many.
ROWS_FROM = "SELECT id FROM entry WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3"
ROWS_THAT_EXPIRE = "SELECT id FROM entry WHERE expire > ?1 AND expire < ?2 ORDER BY expire, id LIMIT ?3"
NEWEST_ROW = "SELECT max(id) FROM entry"
EXPIRED_ROW = "SELECT id FROM entry WHERE expire IS NOT NULL AND expire <= ?1 ORDER BY expire LIMIT 1"
ROW_TO_EVICT = "SELECT key, size, file FROM entry WHERE id = ?1"
ITEM_TO_EVICT = "SELECT key, codec, file, size, value FROM entry WHERE id = ?1"
PAGE_COUNT = "PRAGMA page_count"
FREE_PAGES = "PRAGMA freelist_count"
PAGE_SIZE = "PRAGMA page_size"
COUNTED_BYTES = "SELECT value FROM meta WHERE name = 'file_bytes'"
TRASH_BYTES = "SELECT coalesce(sum(size), 0) FROM trash"
# Files that somebody is about to write, for which room was made.
RESERVE = "INSERT INTO reserved (file, size) VALUES (?1, ?2)"
LIST_RESERVED = "SELECT file, size FROM reserved"
COUNT_RESERVED = "SELECT count(*) FROM reserved"
GIVE_BACK = "DELETE FROM reserved WHERE file = ?1 RETURNING size"
# As many pages as there are, in one go.
VACUUM_SOME = "PRAGMA incremental_vacuum(64)"
# The same where the disk is full.
VACUUM_FEW = "PRAGMA incremental_vacuum(8)"

FIRST_EXPIRY = "SELECT min(expire) FROM entry WHERE expire IS NOT NULL"
NEXT_EXPIRY = "SELECT min(expire) FROM entry WHERE expire IS NOT NULL AND expire > ?1"
KEYS_TAGGED = """
    SELECT key FROM entry WHERE tag = ?1 AND tag IS NOT NULL AND (expire IS NULL OR expire > ?2) LIMIT ?3
"""
EVICT_TAG = "DELETE FROM entry WHERE tag = ?1 AND tag IS NOT NULL AND (expire IS NULL OR expire > ?2)"

# Files that no row names any more.
LIST_TRASH = "SELECT file FROM trash LIMIT 256"
EMPTY_TRASH = "DELETE FROM trash WHERE file = ?1 RETURNING size"

# A copy, which begins with nothing in the trash, and nothing that somebody is about to write.
FORGET_TRASH = "DELETE FROM trash"
FORGET_RESERVED = "DELETE FROM reserved"
CHECKPOINT_ALL = "PRAGMA wal_checkpoint(TRUNCATE)"

# The check.
INTEGRITY = "PRAGMA integrity_check(100)"
REINDEX = "REINDEX"
BEGIN_SNAPSHOT = "BEGIN"
FILE_ROWS = "SELECT id, file, size FROM entry WHERE file IS NOT NULL"
ALL_TRASH = "SELECT file FROM trash"
COUNT_ALL_FILES = """
    (SELECT coalesce(sum(size), 0) FROM entry WHERE file IS NOT NULL)
    + (SELECT coalesce(sum(size), 0) FROM trash) + (SELECT coalesce(sum(size), 0) FROM reserved)
"""
FILE_BYTES = f"SELECT (SELECT value FROM meta WHERE name = 'file_bytes'), {COUNT_ALL_FILES}"
RECOUNT_FILE_BYTES = f"INSERT OR REPLACE INTO meta (name, value) SELECT 'file_bytes', {COUNT_ALL_FILES}"
SERIALIZED_ROWS = """
    SELECT id, key, codec, file, size, value FROM entry
    WHERE id > ?1 AND (codec NOT BETWEEN 0 AND 15 OR (typeof(key) = 'blob' AND substr(key, 1, 4) = x'fc666301'))
    ORDER BY id LIMIT ?2
"""
# All but what is SQLite's own, and bytes in files, which are whatever they are.
ENCODED_ROWS = """
    SELECT id, key, codec, file, size, value FROM entry
    WHERE id > ?1 AND ((codec <> 0 AND (codec <> 1 OR file IS NULL))
        OR (typeof(key) = 'blob' AND substr(key, 1, 4) = x'fc666301'))
    ORDER BY id LIMIT ?2
"""
ROW_FOR_SIGNING = "SELECT expire, tag, codec, file, size, value FROM entry WHERE id = ?1 AND key IS ?2"
SALVAGE = """
    SELECT id, key, codec, size, expire, tag, file, value FROM entry NOT INDEXED
    WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3
"""
SALVAGE_ONE = "SELECT id, key, codec, size, expire, tag, file, value FROM entry NOT INDEXED WHERE id = ?1"
# Resharding. What an interrupted one has copied already is copied again.
DROP_META = "DELETE FROM meta WHERE name = ?1"
ROWS_TO_MOVE = "SELECT id, key, codec, size, expire, tag, file, value FROM entry WHERE id > ?1 ORDER BY id LIMIT ?2"
DELETE_KEY = "DELETE FROM entry WHERE key = ?1"
VACUUM_ALL = "PRAGMA incremental_vacuum"
LAST_ROW = "SELECT max(id) FROM entry NOT INDEXED"
LAST_INDEXED_ROW = "SELECT max(id) FROM entry INDEXED BY entry_key WHERE key IS NOT NULL"
RESTORE = """
    INSERT OR IGNORE INTO entry (id, key, codec, size, expire, tag, file, value)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
"""
