# SQLite's C API, declarations alone, as far as the engine uses it. https://sqlite.org/c3ref/intro.html

from fastcache.engine.sqlite.handles cimport sqlite3, sqlite3_stmt

cdef extern from "sqlite3.h" nogil:
    ctypedef long long sqlite3_int64
    ctypedef struct sqlite3_backup
    ctypedef struct sqlite3_file:
        const sqlite3_io_methods* pMethods
    ctypedef struct sqlite3_io_methods:
        int iVersion
        int (*xClose)(sqlite3_file* file) noexcept nogil
        int (*xSync)(sqlite3_file* file, int flags) noexcept nogil
        int (*xFileControl)(sqlite3_file* file, int op, void* argument) noexcept nogil
        int (*xShmMap)(sqlite3_file* file, int region, int size, int extend, void* mapped) noexcept nogil
        int (*xShmLock)(sqlite3_file* file, int offset, int count, int flags) noexcept nogil
    ctypedef void (*sqlite3_destructor_type)(void*)

    # Library version
    const char* sqlite3_libversion()
    int sqlite3_threadsafe()

    # Result codes
    int SQLITE_OK, SQLITE_ROW, SQLITE_DONE
    int SQLITE_ERROR, SQLITE_PERM, SQLITE_BUSY, SQLITE_LOCKED, SQLITE_NOMEM
    int SQLITE_READONLY, SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_CANTOPEN
    int SQLITE_PROTOCOL, SQLITE_TOOBIG, SQLITE_NOTADB
    int SQLITE_AUTH, SQLITE_IOERR_NOMEM, SQLITE_CONSTRAINT_COMMITHOOK

    # Connections
    int SQLITE_OPEN_READWRITE, SQLITE_OPEN_CREATE, SQLITE_OPEN_NOMUTEX, SQLITE_OPEN_EXRESCODE
    int SQLITE_OPEN_READONLY, SQLITE_OPEN_URI
    int sqlite3_open_v2(const char* filename, sqlite3** db, int flags, const char* vfs)
    int sqlite3_close(sqlite3* db)
    int sqlite3_close_v2(sqlite3* db)
    void sqlite3_interrupt(sqlite3* db)
    int sqlite3_db_readonly(sqlite3* db, const char* name)
    int SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, SQLITE_DBCONFIG_DEFENSIVE
    int sqlite3_db_config(sqlite3* db, int op, ...)

    int SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_LAST_ERRNO
    int sqlite3_file_control(sqlite3* db, const char* name, int op, void* argument)

    # Locks in shared memory
    int SQLITE_SHM_UNLOCK, SQLITE_SHM_LOCK, SQLITE_SHM_SHARED, SQLITE_SHM_EXCLUSIVE

    # Virtual tables
    ctypedef struct sqlite3_context
    ctypedef struct sqlite3_value
    ctypedef struct sqlite3_vtab:
        char* zErrMsg
    ctypedef struct sqlite3_vtab_cursor:
        sqlite3_vtab* pVtab
    ctypedef struct sqlite3_index_info:
        double estimatedCost
        sqlite3_int64 estimatedRows
    ctypedef struct sqlite3_module:
        int (*xCreate)(
            sqlite3* db, void* aux, int count, const char* const* arguments, sqlite3_vtab** table,
            char** message) noexcept nogil
        int (*xConnect)(
            sqlite3* db, void* aux, int count, const char* const* arguments, sqlite3_vtab** table,
            char** message) noexcept nogil
        int (*xBestIndex)(sqlite3_vtab* table, sqlite3_index_info* info) noexcept nogil
        int (*xDisconnect)(sqlite3_vtab* table) noexcept nogil
        int (*xDestroy)(sqlite3_vtab* table) noexcept nogil
        int (*xOpen)(sqlite3_vtab* table, sqlite3_vtab_cursor** cursor) noexcept nogil
        int (*xClose)(sqlite3_vtab_cursor* cursor) noexcept nogil
        int (*xFilter)(
            sqlite3_vtab_cursor* cursor, int number, const char* text, int count, sqlite3_value** values) noexcept nogil
        int (*xNext)(sqlite3_vtab_cursor* cursor) noexcept nogil
        int (*xEof)(sqlite3_vtab_cursor* cursor) noexcept nogil
        int (*xColumn)(sqlite3_vtab_cursor* cursor, sqlite3_context* context, int column) noexcept nogil
        int (*xRowid)(sqlite3_vtab_cursor* cursor, sqlite3_int64* row) noexcept nogil
    int sqlite3_create_module_v2(
        sqlite3* db, const char* name, const sqlite3_module* module, void* aux, void (*destroy)(void*) noexcept nogil)
    int sqlite3_declare_vtab(sqlite3* db, const char* text)
    void* sqlite3_malloc(int size)
    void sqlite3_free(void* memory)
    void sqlite3_result_null(sqlite3_context* context)
    void sqlite3_result_int64(sqlite3_context* context, sqlite3_int64 value)
    void sqlite3_result_double(sqlite3_context* context, double value)
    void sqlite3_result_text64(
        sqlite3_context* context, const char* value, unsigned long long size, sqlite3_destructor_type destructor,
        unsigned char encoding)
    void sqlite3_result_blob64(
        sqlite3_context* context, const void* value, unsigned long long size, sqlite3_destructor_type destructor)

    # Errors
    const char* sqlite3_errmsg(sqlite3* db)
    int sqlite3_extended_errcode(sqlite3* db)
    int sqlite3_system_errno(sqlite3* db)

    # Prepared statements
    unsigned int SQLITE_PREPARE_PERSISTENT
    int sqlite3_prepare_v3(
        sqlite3* db, const char* text, int size, unsigned int flags, sqlite3_stmt** statement, const char** tail)
    int sqlite3_finalize(sqlite3_stmt* statement)
    sqlite3_stmt* sqlite3_next_stmt(sqlite3* db, sqlite3_stmt* statement)
    int sqlite3_step(sqlite3_stmt* statement)
    int sqlite3_reset(sqlite3_stmt* statement)

    # Parameters
    sqlite3_destructor_type SQLITE_STATIC
    int sqlite3_bind_int64(sqlite3_stmt* statement, int index, sqlite3_int64 value)
    int sqlite3_bind_double(sqlite3_stmt* statement, int index, double value)
    int sqlite3_bind_null(sqlite3_stmt* statement, int index)
    int sqlite3_bind_text64(
        sqlite3_stmt* statement, int index, const char* value, unsigned long long size,
        sqlite3_destructor_type destructor, unsigned char encoding)
    int sqlite3_bind_blob64(
        sqlite3_stmt* statement, int index, const void* value, unsigned long long size,
        sqlite3_destructor_type destructor)
    unsigned char SQLITE_UTF8

    # Columns
    int SQLITE_INTEGER, SQLITE_NULL
    int sqlite3_column_count(sqlite3_stmt* statement)
    int sqlite3_column_type(sqlite3_stmt* statement, int index)
    sqlite3_int64 sqlite3_column_int64(sqlite3_stmt* statement, int index)
    double sqlite3_column_double(sqlite3_stmt* statement, int index)
    const unsigned char* sqlite3_column_text(sqlite3_stmt* statement, int index)
    const void* sqlite3_column_blob(sqlite3_stmt* statement, int index)
    int sqlite3_column_bytes(sqlite3_stmt* statement, int index)

    # Changes and transactions
    int sqlite3_changes(sqlite3* db)
    int sqlite3_total_changes(sqlite3* db)
    int sqlite3_get_autocommit(sqlite3* db)
    void* sqlite3_update_hook(
        sqlite3* db, void (*hook)(void*, int, const char*, const char*, sqlite3_int64) noexcept nogil, void* argument)
    void* sqlite3_commit_hook(sqlite3* db, int (*hook)(void*) noexcept nogil, void* argument)

    # Write-ahead log
    int SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_RESTART
    ctypedef struct sqlite3_vfs:
        sqlite3_vfs* pNext
        const char* zName
        int (*xFullPathname)(sqlite3_vfs* vfs, const char* name, int size, char* full) noexcept nogil
        int (*xSleep)(sqlite3_vfs* vfs, int microseconds) noexcept nogil
    sqlite3_vfs* sqlite3_vfs_find(const char* name)
    int sqlite3_vfs_register(sqlite3_vfs* vfs, int as_default)
    int sqlite3_busy_handler(sqlite3* db, int (*handler)(void*, int) noexcept nogil, void* argument)
    void* sqlite3_wal_hook(sqlite3* db, int (*hook)(void*, sqlite3*, const char*, int) noexcept nogil, void* argument)
    int sqlite3_wal_checkpoint_v2(sqlite3* db, const char* name, int mode, int* log_frames, int* checkpointed)

    # Online backup
    sqlite3_backup* sqlite3_backup_init(
        sqlite3* target, const char* target_name, sqlite3* source, const char* source_name)
    int sqlite3_backup_step(sqlite3_backup* backup, int pages)
    int sqlite3_backup_remaining(sqlite3_backup* backup)
    int sqlite3_backup_pagecount(sqlite3_backup* backup)
    int sqlite3_backup_finish(sqlite3_backup* backup)
