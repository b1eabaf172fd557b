/* The floor: what each operation costs when nothing but SQLite's C API stands between a loop in C and the file.
 *
 * It opens a database that fastcache made, with fastcache's own pragmas and SQL text, and does for each entry what
 * no caller of SQLite could leave out: bind, step, look at the columns that decide on the entry, copy the value,
 * reset. It has no Python objects, no encoding of keys, no locks between threads and no value files.
 *
 * Every function returns an SQLite result code, or UNEXPECTED where SQLite was content but the entries were not
 * what the caller had promised; floor_message() says more.
 */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <time.h>

enum { UNEXPECTED = -1, BUSY_TIMEOUT_MS = 60000 };

typedef struct {
    const char *begin, *commit, *get, *exists, *set, *add, *delete, *incr, *scan_keys, *count;
} FloorSQL;

typedef struct {
    const char *const *texts;
    const int *sizes;
    int count;
} FloorKeys;

typedef struct {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *get, *exists, *set, *add, *delete, *incr, *scan_keys, *count;
    char *copy;
    sqlite3_int64 copy_size;
    char message[512];
} Floor;

static sqlite3_int64 now_ms(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (sqlite3_int64)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int fail(Floor *floor, int code)
{
    snprintf(floor->message, sizeof floor->message, "%s", sqlite3_errmsg(floor->db));
    return code;
}

static int unexpected(Floor *floor, const char *what)
{
    snprintf(floor->message, sizeof floor->message, "%s", what);
    return UNEXPECTED;
}

const char *floor_message(Floor *floor)
{
    return floor->message;
}

/* The number of parameters is the one thing about the SQL text that this program takes for granted. */
static int prepare(Floor *floor, const char *text, int parameters, sqlite3_stmt **statement)
{
    int code = sqlite3_prepare_v3(floor->db, text, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    if (code != SQLITE_OK)
        return fail(floor, code);
    if (sqlite3_bind_parameter_count(*statement) != parameters) {
        snprintf(floor->message, sizeof floor->message, "%d parameters instead of %d in: %s",
                 sqlite3_bind_parameter_count(*statement), parameters, text);
        return UNEXPECTED;
    }
    return SQLITE_OK;
}

int floor_close(Floor *floor)
{
    sqlite3_stmt *statement;
    int code;
    while ((statement = sqlite3_next_stmt(floor->db, NULL)) != NULL)
        sqlite3_finalize(statement);
    code = sqlite3_close(floor->db);
    if (code != SQLITE_OK)
        return fail(floor, code);
    free(floor->copy);
    free(floor);
    return SQLITE_OK;
}

int floor_open(const char *path, const char *pragmas, const FloorSQL *sql, Floor **opened)
{
    Floor *floor = calloc(1, sizeof *floor);
    int code;
    *opened = floor;
    if (floor == NULL)
        return SQLITE_NOMEM;
    code = sqlite3_open_v2(path, &floor->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return fail(floor, code);
    if ((code = sqlite3_busy_timeout(floor->db, BUSY_TIMEOUT_MS)) != SQLITE_OK ||
        (code = sqlite3_wal_autocheckpoint(floor->db, 0)) != SQLITE_OK ||
        (code = sqlite3_exec(floor->db, pragmas, NULL, NULL, NULL)) != SQLITE_OK)
        return fail(floor, code);
    if ((code = prepare(floor, sql->begin, 0, &floor->begin)) != SQLITE_OK ||
        (code = prepare(floor, sql->commit, 0, &floor->commit)) != SQLITE_OK ||
        (code = prepare(floor, sql->get, 1, &floor->get)) != SQLITE_OK ||
        (code = prepare(floor, sql->exists, 1, &floor->exists)) != SQLITE_OK ||
        (code = prepare(floor, sql->set, 8, &floor->set)) != SQLITE_OK ||
        (code = prepare(floor, sql->add, 7, &floor->add)) != SQLITE_OK ||
        (code = prepare(floor, sql->delete, 8, &floor->delete)) != SQLITE_OK ||
        (code = prepare(floor, sql->incr, 8, &floor->incr)) != SQLITE_OK ||
        (code = prepare(floor, sql->scan_keys, 8, &floor->scan_keys)) != SQLITE_OK ||
        (code = prepare(floor, sql->count, 1, &floor->count)) != SQLITE_OK)
        return code;
    return SQLITE_OK;
}

static int run(Floor *floor, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    return code == SQLITE_DONE && reset == SQLITE_OK ? SQLITE_OK : fail(floor, code);
}

int floor_begin(Floor *floor)
{
    return run(floor, floor->begin);
}

int floor_commit(Floor *floor)
{
    return run(floor, floor->commit);
}

/* Let the coming commits overwrite the WAL from its beginning, so that none of them makes the file longer.
 *
 * No commit of this program ever checkpoints: what a round writes is checkpointed here, outside of what is timed. The
 * first commit after that begins the WAL anew and syncs its header, so it is made here as well: of page 1, unchanged. */
int floor_recycle(Floor *floor)
{
    int frames, copied;
    int code = sqlite3_wal_checkpoint_v2(floor->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
    if (code != SQLITE_OK)
        return fail(floor, code);
    if (copied != frames)
        return unexpected(floor, "recycle: somebody still reads from the WAL");
    code = sqlite3_exec(floor->db, "PRAGMA user_version = 0", NULL, NULL, NULL);
    return code == SQLITE_OK ? SQLITE_OK : fail(floor, code);
}

static int bind_key(Floor *floor, sqlite3_stmt *statement, const FloorKeys *keys, int index)
{
    int code = sqlite3_bind_text(statement, 1, keys->texts[index], keys->sizes[index], SQLITE_STATIC);
    return code == SQLITE_OK ? SQLITE_OK : fail(floor, code);
}

static int bind_integer(Floor *floor, sqlite3_stmt *statement, int parameter, sqlite3_int64 value)
{
    int code = sqlite3_bind_int64(statement, parameter, value);
    return code == SQLITE_OK ? SQLITE_OK : fail(floor, code);
}

static int copy_value(Floor *floor, sqlite3_stmt *statement, int column)
{
    const void *value = sqlite3_column_blob(statement, column);
    int size = sqlite3_column_bytes(statement, column);
    if (size > floor->copy_size) {
        char *larger = realloc(floor->copy, size);
        if (larger == NULL)
            return unexpected(floor, "out of memory");
        floor->copy = larger;
        floor->copy_size = size;
    }
    if (size > 0)
        memcpy(floor->copy, value, size);
    return SQLITE_OK;
}

/* What it takes to keep one snapshot for many reads. Own text: how fastcache keeps one is its own affair. */
int floor_begin_read(Floor *floor)
{
    int code = sqlite3_exec(floor->db, "BEGIN", NULL, NULL, NULL);
    return code == SQLITE_OK ? SQLITE_OK : fail(floor, code);
}

static int get_one(Floor *floor, const FloorKeys *keys, int index, int *found)
{
    int code, row;
    if ((code = bind_key(floor, floor->get, keys, index)) != SQLITE_OK)
        return code;
    row = sqlite3_step(floor->get);
    if (row == SQLITE_ROW) {
        if (sqlite3_column_int64(floor->get, 0) != 0 || sqlite3_column_type(floor->get, 1) != SQLITE_NULL)
            code = unexpected(floor, "get: not a native value without expiry");
        else if (sqlite3_column_type(floor->get, 2) == SQLITE_NULL)
            code = unexpected(floor, "get: no value in the row");
        else
            code = copy_value(floor, floor->get, 2);
        ++*found;
    } else if (row != SQLITE_DONE) {
        code = fail(floor, row);
    }
    sqlite3_reset(floor->get);
    return code;
}

int floor_get(Floor *floor, const FloorKeys *keys, int *found)
{
    int index, code = SQLITE_OK;
    *found = 0;
    for (index = 0; index < keys->count && code == SQLITE_OK; index++)
        code = get_one(floor, keys, index, found);
    return code;
}

int floor_contains(Floor *floor, const FloorKeys *keys, int *found)
{
    int index, code, row;
    *found = 0;
    for (index = 0; index < keys->count; index++) {
        if ((code = bind_key(floor, floor->exists, keys, index)) != SQLITE_OK)
            return code;
        row = sqlite3_step(floor->exists);
        if (row == SQLITE_ROW && sqlite3_column_type(floor->exists, 1) == SQLITE_NULL)
            ++*found;
        else if (row != SQLITE_ROW && row != SQLITE_DONE)
            code = fail(floor, row);
        sqlite3_reset(floor->exists);
        if (code != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}

static int write_one(Floor *floor, sqlite3_stmt *statement, const FloorKeys *keys, int index, const char *value,
                     int size)
{
    int code;
    if ((code = bind_key(floor, statement, keys, index)) != SQLITE_OK ||
        (code = bind_integer(floor, statement, 2, 0)) != SQLITE_OK ||
        (code = bind_integer(floor, statement, 3, size)) != SQLITE_OK)
        return code;
    if ((code = sqlite3_bind_null(statement, 4)) != SQLITE_OK ||
        (code = sqlite3_bind_null(statement, 5)) != SQLITE_OK ||
        (code = sqlite3_bind_null(statement, 6)) != SQLITE_OK ||
        (code = sqlite3_bind_blob(statement, 7, value, size, SQLITE_STATIC)) != SQLITE_OK)
        return fail(floor, code);
    if (statement == floor->set && (code = bind_integer(floor, statement, 8, now_ms())) != SQLITE_OK)
        return code;
    if ((code = run(floor, statement)) != SQLITE_OK)
        return code;
    return sqlite3_changes(floor->db) == 1 ? SQLITE_OK : unexpected(floor, "a write did not change one row");
}

int floor_set(Floor *floor, const FloorKeys *keys, const char *value, int size)
{
    int index, code = SQLITE_OK;
    for (index = 0; index < keys->count && code == SQLITE_OK; index++)
        code = write_one(floor, floor->set, keys, index, value, size);
    return code;
}

int floor_add(Floor *floor, const FloorKeys *keys, const char *value, int size)
{
    int index, code = SQLITE_OK;
    for (index = 0; index < keys->count && code == SQLITE_OK; index++)
        code = write_one(floor, floor->add, keys, index, value, size);
    return code;
}

int floor_delete(Floor *floor, const FloorKeys *keys)
{
    int index, code;
    for (index = 0; index < keys->count; index++) {
        if ((code = bind_key(floor, floor->delete, keys, index)) != SQLITE_OK ||
            (code = bind_integer(floor, floor->delete, 8, now_ms())) != SQLITE_OK ||
            (code = run(floor, floor->delete)) != SQLITE_OK)
            return code;
        if (sqlite3_changes(floor->db) != 1)
            return unexpected(floor, "a delete did not find its key");
    }
    return SQLITE_OK;
}

int floor_incr(Floor *floor, const FloorKeys *keys)
{
    int index, code, row;
    for (index = 0; index < keys->count; index++) {
        if ((code = bind_key(floor, floor->incr, keys, index)) != SQLITE_OK ||
            (code = bind_integer(floor, floor->incr, 2, 1)) != SQLITE_OK ||
            (code = bind_integer(floor, floor->incr, 3, 1)) != SQLITE_OK ||
            (code = bind_integer(floor, floor->incr, 8, now_ms())) != SQLITE_OK)
            return code;
        row = sqlite3_step(floor->incr);
        if (row != SQLITE_ROW)
            return row == SQLITE_DONE ? unexpected(floor, "incr: not an integer") : fail(floor, row);
        if (sqlite3_column_type(floor->incr, 0) != SQLITE_INTEGER)
            return unexpected(floor, "incr: the answer is no integer");
        /* RETURNING gives its row before the commit: the statement has to be stepped to its end. */
        if ((code = run(floor, floor->incr)) != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}

/* In batches, as a caller must that does not keep a read transaction open between two keys. */
int floor_iterate(Floor *floor, int batch, int *found)
{
    sqlite3_int64 last = 0;
    int code, row, rows;
    *found = 0;
    do {
        if ((code = bind_integer(floor, floor->scan_keys, 1, last)) != SQLITE_OK ||
            (code = bind_integer(floor, floor->scan_keys, 2, batch)) != SQLITE_OK ||
            (code = bind_integer(floor, floor->scan_keys, 3, INT64_MAX)) != SQLITE_OK ||
            (code = bind_integer(floor, floor->scan_keys, 8, now_ms())) != SQLITE_OK)
            return code;
        rows = 0;
        while ((row = sqlite3_step(floor->scan_keys)) == SQLITE_ROW) {
            last = sqlite3_column_int64(floor->scan_keys, 0);
            if (sqlite3_column_text(floor->scan_keys, 1) == NULL)
                return unexpected(floor, "iterate: a row without a key");
            rows++;
        }
        sqlite3_reset(floor->scan_keys);
        if (row != SQLITE_DONE)
            return fail(floor, row);
        *found += rows;
    } while (rows == batch);
    return SQLITE_OK;
}

int floor_count(Floor *floor, int times, int *found)
{
    int code;
    while (times-- > 0) {
        if ((code = bind_integer(floor, floor->count, 1, now_ms())) != SQLITE_OK)
            return code;
        code = sqlite3_step(floor->count);
        if (code != SQLITE_ROW)
            return fail(floor, code);
        *found = sqlite3_column_int(floor->count, 0);
        sqlite3_reset(floor->count);
    }
    return SQLITE_OK;
}

/* Reads, with every `period`-th operation a set of the same key; none if `period` is 0. */
int floor_mixed(Floor *floor, const FloorKeys *keys, const char *value, int size, int period)
{
    int index, code = SQLITE_OK, found = 0;
    for (index = 0; index < keys->count && code == SQLITE_OK; index++) {
        if (period != 0 && index % period == 0)
            code = write_one(floor, floor->set, keys, index, value, size);
        else
            code = get_one(floor, keys, index, &found);
    }
    return code;
}
