"""How a contract gets the store it speaks about."""

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
    return {path for path in (pathlib.Path(directory) / "values").rglob("*") if path.is_file()}


def in_order(store):
    """Keys and values as the store iterates over them."""
    return list(store.items())
