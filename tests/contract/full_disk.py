"""Where the disk is full, what gives room can be done, and all else says what is wrong."""

import contextlib
import os
import subprocess
import sys

import pytest

import fastcache

from .store import StoreContract

LARGE = 150_000


def fill(disk):
    """Have nothing left on it."""
    with open(disk / "ballast", "ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def left_on(disk):
    """Bytes that are free, or kept for the next time."""
    system = os.statvfs(disk)
    return system.f_bavail * system.f_frsize + sum(path.stat().st_size for path in disk.rglob("cache.reserve"))


@pytest.mark.skipif(sys.platform != "linux", reason="mounts the way Linux does")
class FullDiskContract(StoreContract):
    @pytest.fixture
    def disk(self, tmp_path):
        """A file system of 24 MB; what lies on it is gone afterwards."""
        if os.geteuid() != 0:
            pytest.skip("only root may mount a file system")
        place = tmp_path / "disk"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=24m", "fastcache-tests", place]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("no file system can be mounted here")
        yield place
        subprocess.run(["umount", "-l", place], check=False)

    @pytest.fixture
    def full(self, disk, open_store):
        """Open a store on a disk that got full while it wrote; with what it holds."""

        def full(*, reopened, **options):
            store = open_store(disk / "cache", timeout=5, memory=0, **options)
            written = dict.fromkeys(range(1000), "x" * 500)
            written |= {("large", number): b"l" * LARGE for number in range(5)}
            store.update(written)
            expected = dict(store.items())
            # By now it is in the database, and not in the log.
            store.close()
            if not reopened:
                store = open_store(disk / "cache", timeout=5, memory=0, **options)
            fill(disk)
            if reopened:
                store = open_store(disk / "cache", timeout=5, memory=0, **options)
            # All that is left goes into the log.
            with pytest.raises(fastcache.FullError):  # noqa: PT012
                for number in range(10_000):
                    store["new", number] = "y" * 1000
                    expected["new", number] = "y" * 1000
            assert dict(store.items()) == expected
            return store, expected

        return full

    @pytest.mark.parametrize("reopened", [False, True])
    def test_entries_can_be_deleted(self, full, reopened):
        store, expected = full(reopened=reopened)
        for key in (3, ("large", 1)):
            assert store.delete(key)
            del expected[key]
        assert store.pop(4) == expected.pop(4)
        assert store.pop(("large", 2)) == expected.pop(("large", 2))
        key, value = store.popitem()
        assert expected.pop(key) == value
        assert store.delete_many(range(100, 150)) == 50
        for number in range(100, 150):
            del expected[number]
        assert dict(store.items()) == expected
        for part in store.stores.all():
            part.tidy()
        store["after"] = "y" * 1000
        assert store["after"] == "y" * 1000
        assert store.check()

    @pytest.mark.parametrize("reopened", [False, True])
    def test_everything_can_be_removed_and_the_room_is_there_again(self, full, disk, reopened):
        store, expected = full(reopened=reopened)
        before = left_on(disk)
        assert store.clear() == len(expected)
        assert len(store) == 0
        for part in store.stores.all():
            part.tidy()
        assert left_on(disk) > before + 5 * LARGE
        store["after"] = b"a" * LARGE
        assert dict(store.items()) == {"after": b"a" * LARGE}
        assert store.check()

    def test_free_space_can_be_given_back(self, full, disk):
        store, _ = full(reopened=False)
        before = left_on(disk)
        store.delete_many(range(1000))
        store.vacuum()
        assert left_on(disk) > before + 300_000
        assert store.check()

    def test_a_cache_that_was_closed_can_be_opened_and_cleared(self, disk, open_store):
        with open_store(disk / "cache") as store:
            store.update(dict.fromkeys(range(1000), "x" * 500))
        fill(disk)
        store = open_store(disk / "cache", timeout=5)
        assert len(store) == 1000
        store.clear()
        store.vacuum()
        store["after"] = "x" * 500
        assert dict(store.items()) == {"after": "x" * 500}
        assert store.check()

    def test_one_that_has_filled_the_disk_by_itself_can_be_cleared(self, disk, open_store):
        store = open_store(disk / "cache", timeout=5)
        with pytest.raises(fastcache.FullError):  # noqa: PT012
            for number in range(200_000):
                store[number] = "x" * 3000
        assert len(store) > 1000
        fill(disk)
        assert store.delete(0)
        store.clear()
        assert len(store) == 0
        (disk / "ballast").unlink()
        store.update(dict.fromkeys(range(1000), "x" * 3000))
        assert len(store) == 1000
        assert store.check()

    def test_in_a_transaction_the_error_says_so_and_nothing_is_lost(self, full):
        store, expected = full(reopened=False)
        with contextlib.suppress(fastcache.FullError, fastcache.TransactionError), store.transact(3):
            store.delete(3)
            store[3] = "z" * 10_000_000
        assert dict(store.items()) == expected
        assert store.delete(3)

    def test_what_computes_and_what_locks_says_that_the_disk_is_full(self, full):
        store, _ = full(reopened=False)
        calls = []

        @store.memoize
        def function(number):
            calls.append(number)
            return "r" * 5000

        for _ in range(2):
            with pytest.raises(fastcache.FullError):
                function(1)
            with pytest.raises(fastcache.FullError):
                store.get_or_set("absent", lambda: "z" * 5000) if hasattr(store, "get_or_set") else function(2)
            with pytest.raises(fastcache.FullError):
                store.lock("lock").acquire(timeout=1)
        store.clear()
        for part in store.stores.all():
            part.tidy()
        assert function(1) == "r" * 5000
        assert store.lock("lock").acquire(timeout=1)


class CacheFullDiskContract(FullDiskContract):
    def test_what_has_expired_or_carries_a_tag_can_be_removed(self, disk, open_store, full):
        store = open_store(disk / "cache", timeout=5)
        for number in range(50):
            store.set(("old", number), "x" * 500, expire=-1)
            store.set(("tagged", number), "x" * 500, tag="t")
        store, expected = full(reopened=False)
        assert store.expire() in (0, 50)
        assert store.evict_tag("t") == 50
        assert len(store) == len(expected) - 50
        assert store.check()

    def test_a_limit_can_be_lowered(self, full):
        store, expected = full(reopened=False)
        store.max_size = 1_000_000
        store.evict()
        assert 0 < len(store) < len(expected)
        store["after"] = "y" * 1000
        assert store["after"] == "y" * 1000
        assert store.check()
