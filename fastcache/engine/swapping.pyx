# cython: nonecheck=True
"""Compare and swap: a small value is replaced by what is made of it, unless it has changed meanwhile.

A transaction could do that, and costs a hundred times as much as the journal. It is what locks are made of (sync/records.py): one is handed
over in this moment, while somebody waits.
"""

from fastcache.engine.codecs.keys cimport encode_key
from fastcache.engine.codecs.values cimport CODEC_NATIVE
from fastcache.engine.database.database cimport Database
from fastcache.engine.disk_store cimport DiskStore
from fastcache.engine.entries.appends cimport DONE, REFUSED, Appends, Attempt, Outcome
from fastcache.engine.entries.entry cimport VALUE, Entry
from fastcache.engine.entries.pending cimport begin_row
from fastcache.engine.mapping cimport StoreMapping
from fastcache.engine.sqlite.cells cimport NEVER, ROW_DELETE, Cell, Row, cell_of_plain


def swap(StoreMapping mapping not None, key, renew):
    """Replace a value by way of the journal.

    Args:
        key: of the value.
        renew: called with what is stored, None for nothing, each time that this has changed meanwhile; returns the bytes that are
            to be stored, None for nothing, or its argument for no change.
    Returns:
        Whether it was done. If not, it has to be done in a transaction: there is no journal, this is inside of a transaction, somebody
        writes to SQLite, or others are faster again and again.
    Raises:
        Whatever ``renew`` does, and what reading does.
    """
    cdef DiskStore store
    cdef Database database
    cdef Appends appends
    cdef Entry entry
    cdef Cell cell
    cdef Row row
    cdef Outcome outcome
    cdef Attempt attempt = Attempt()
    if mapping.store.in_memory:
        return False
    store = <DiskStore?>mapping.store_of(key)
    database, appends = store.database, store.appends
    keepalive = encode_key(key, store.serializer, &cell)
    name = appends.reads.name_of(key, keepalive, &cell)
    while appends.begin(database, attempt, True):
        entry = appends.reads.find_entry(database, key, VALUE)
        stored = None if entry is None else entry.stored
        fresh = renew(stored)
        if fresh is stored:
            return True
        begin_row(&row, NEVER)
        row.key = cell
        if fresh is None:
            row.kind = ROW_DELETE
        else:
            cell_of_plain(<bytes?>fresh, &row.value)
            row.codec = CODEC_NATIVE
            row.size = row.value.size
        outcome = appends.append(database, &row, name, fresh, CODEC_NATIVE, attempt)
        if outcome != REFUSED:
            return outcome == DONE
    return False
