"""How a contract gets the store it speaks about."""

import collections
import pathlib

import pytest


class StoreContract:
    """The ground of every contract: a fresh directory and a store in it."""

    store_type = None

    @property
    def kind(self):
        """The name under which a worker process opens the same kind of store."""
        return self.store_type.__name__

    @pytest.fixture
    def directory(self, tmp_path):
        return tmp_path / "store"

    @pytest.fixture
    def open_store(self, directory):
        """Open a store, in the test's directory if no other is named; all are closed after the test."""
        opened = []

        def open_store(path=directory, *arguments, **options):
            store = self.store_type(path, *arguments, **options)
            opened.append(store)
            return store

        yield open_store
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_store):
        return open_store()


def value_files(directory):
    """The files that hold values in this directory, by path."""
    folders = (pathlib.Path(directory), *pathlib.Path(directory).glob("shard-*"))
    return {path for folder in folders for path in (folder / "values").rglob("*") if path.is_file()}


class InAnyOrder(list):
    """What equals a list with the same elements, in whatever order."""

    __hash__ = None

    def __eq__(self, other):
        try:
            return collections.Counter(self) == collections.Counter(other)
        except TypeError:
            left = list(other)
            return len(self) == len(left) and all(each in left and not left.remove(each) for each in self)


def as_promised(store, found):
    """What iterating gave: a store of several shards promises no order among them."""
    return InAnyOrder(found) if getattr(store, "shards", 1) > 1 else list(found)


def in_order(store):
    """Keys and values as the store iterates over them."""
    return as_promised(store, store.items())


def keys_in_order(store):
    """Keys as the store iterates over them."""
    return as_promised(store, store)


def values_in_order(store):
    """Values as the store iterates over them."""
    return as_promised(store, store.values())
