"""Whole databases, copied by SQLite's online backup."""

from collections.abc import Callable

from fastcache.engine.sqlite.connection import Connection

def copy_database(source: Connection, target: Connection, progress: Callable[[int, int], object]) -> None: ...
