"""How a contract gets the store it speaks about."""

import collections
import gc
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
    def open_store(self, directory, request):
        """Open a store, in the test's directory if no other is named; all are validated, and closed, after the test.

        A test that leaves damage behind, or what its stores cannot decode, is marked with ``leaves_damage``.
        """
        opened = []

        def open_store(path=directory, *arguments, **options):
            store = self.store_type(path, *arguments, **options)
            opened.append(store)
            return store

        yield open_store
        try:
            if request.node.get_closest_marker("leaves_damage") is None:
                validate(opened, may_have_killed="start" in request.fixturenames)
        finally:
            for store in opened:
                store.close()

    @pytest.fixture
    def store(self, open_store):
        return open_store()


def validate(stores, *, may_have_killed):
    """Look for damage that a test was not about, in those of its stores that are open."""
    left = [store for store in stores if not store.stores.closed]
    for store in left:
        recount(store)
    for store in {store.directory: store for store in left}.values():
        found = store.check()
        if found.orphaned_files and may_have_killed:
            # What a process leaves that is killed is removed by the others, but not at once.
            store.check(fix=True)
            found = store.check()
        assert found.ok, f"{store.directory}: {found}"


def recount(store):
    """Count the bytes of the memory tier anew, and compare."""
    collects = gc.isenabled()
    # What is collected may change the tier meanwhile.
    gc.disable()
    try:
        assert store.stores.recount_memory() == store.stores.memory_used
    finally:
        if collects:
            gc.enable()


def value_files(directory):
    """The files that hold values in this directory, by path."""
    folders = (pathlib.Path(directory), *pathlib.Path(directory).glob("shard-*"))
    found = (path for folder in folders for path in (folder / "values").rglob("*") if path.is_file())
    # What says who is writing holds nothing.
    return {path for path in found if path.suffix != ".writer"}


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
