"""Workers that use the database as any other program may, with SQL."""

import contextlib
import os
import sqlite3

from .commands import command, hear, say
from .files import FILE


def execute(directory, statements):
    """Run SQL on the database as any other program could; return the rows of the last statement."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"), isolation_level=None)) as database:
        rows = []
        for statement in statements:
            rows = database.execute(statement).fetchall()
        return rows


@command
def sql(directory, *statements):
    """Run SQL on the database as any other program could; say the rows of the last statement."""
    say(execute(directory, statements))


@command
def answer_sql(directory):
    """Run each SQL statement that comes in, as any other program could; say its rows."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"), isolation_level=None)) as database:
        while (statement := hear()) is not None:
            say(database.execute(statement).fetchall())


@command
def blobs(directory):
    """Say every blob in every table of the database, in hexadecimal."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"))) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = set()
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                found.update(cell.hex() for cell in row if isinstance(cell, bytes))
        say(sorted(found))


@command
def hold_exclusively(directory):
    """Keep the database to itself, as a foreign program may, until told to let go."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"), isolation_level=None)) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("CREATE TABLE of_another_program (a)")
        database.execute("DROP TABLE of_another_program")
        say("holding")
        hear()


@command
def lock_a_file(path):
    """Create a file and keep it locked, as a writer of the version before did, until told to end."""
    import fcntl

    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"x" * FILE)
        file.flush()
        say("locked")
        hear()
