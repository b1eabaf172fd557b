"""The directory is somewhere, is a group's maybe, and may go while it is open, or be one that nobody can write to."""

import asyncio
import contextlib
import os
import pathlib
import pickle
import shutil
import stat
import subprocess
import tempfile
import time
import warnings

import pytest

import fastcache

from .store import StoreContract

# Longer than nobody looks, before a write and before a read (engine/database/watch.pyx), in seconds.
A_MOMENT = 0.0005
SOON = 0.03

LARGE = b"x" * 3_000_000


class NameContract(StoreContract):
    """How a directory is named."""

    def test_home_and_variables_stand_for_what_they_do_in_a_shell(self, open_store, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("CACHES", str(tmp_path / "caches"))
        for given, meant in (
            ("~/one", tmp_path / "home" / "one"),
            (pathlib.Path("~/two"), tmp_path / "home" / "two"),
            ("$CACHES/three", tmp_path / "caches" / "three"),
            ("${CACHES}/four", tmp_path / "caches" / "four"),
            (b"~/five", tmp_path / "home" / "five"),
            ("~/$UNKNOWN", tmp_path / "home" / "$UNKNOWN"),
        ):
            store = open_store(given)
            assert store.directory == str(meant)
            store["a"] = 1
            assert (meant / "cache.db").is_file()

    @pytest.mark.parametrize("name", ["", b"", "$NOTHING", "a\0b", "~nobody-has-this-name/x"])
    def test_a_name_that_is_none_is_refused_before_anything_is_made(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NOTHING", "")
        with pytest.raises(fastcache.DirectoryNameError) as error:
            self.store_type(name)
        assert isinstance(error.value, (fastcache.OpenError, ValueError))
        assert list(tmp_path.iterdir()) == []

    def test_a_name_may_be_bytes_in_no_encoding(self, open_store, tmp_path):
        name = os.fsencode(tmp_path) + b"/\xff\xfe"
        with open_store(name) as store:
            store["a"] = LARGE
            again = pickle.loads(pickle.dumps(store))
            assert again["a"] == LARGE
            again.close()
        assert open_store(name)["a"] == LARGE

    @pytest.mark.parametrize("below", ["", "below", "below/and/below"])
    def test_a_link_that_leads_nowhere_is_called_that(self, tmp_path, below):
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(fastcache.OpenError) as error:
            self.store_type(tmp_path / "link" / below)
        assert "link" in str(error.value)
        assert str(tmp_path / "nowhere") in str(error.value)
        assert not (tmp_path / "nowhere").exists()

    def test_where_the_current_directory_is_gone_a_relative_name_is_refused(self, tmp_path, monkeypatch):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        (tmp_path / "here").rmdir()
        with pytest.raises(fastcache.OpenError):
            self.store_type("store")

    @pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="SQLite's limit is the system's here")
    @pytest.mark.parametrize("length", [490, 505, 520, 3600])
    def test_a_path_may_be_as_long_as_the_system_allows(self, open_store, tmp_path, start, length):
        path = str(tmp_path)
        while len(path) < length:
            path += "/" + "d" * min(200, max(1, length - len(path) - 1))
        try:
            with open_store(path) as store:
                store["a"] = LARGE
                with store.lock("lock"):
                    assert store.get_or_set("b", lambda: 2) == 2
                assert store.check()
                assert start("store_in", self.kind, path, "c", 3).finish() == ["a", "b", "c"]
                assert store["c"] == 3
            store = open_store(path)
            assert store["a"] == LARGE
            store.close()
            with open_store(path, read_only=True) as store:
                assert store["a"] == LARGE
        finally:
            shutil.rmtree(path)

    def test_a_path_that_is_too_long_for_the_system_is_refused(self, tmp_path):
        with pytest.raises(fastcache.OpenError):
            self.store_type(f"{tmp_path}/{'/'.join(['d' * 200] * 30)}")


class GoneContract(StoreContract):
    """The directory is removed, renamed or replaced while it is open."""

    def remove(self, directory):
        shutil.rmtree(directory)

    def rename(self, directory):
        directory.rename(directory.with_name("renamed"))

    def empty(self, directory):
        for path in directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def replace(self, directory):
        directory.rename(directory.with_name("renamed"))
        self.store_type(directory).close()

    @pytest.fixture(params=["remove", "rename", "empty", "replace"])
    def goes(self, request):
        return getattr(self, request.param)

    @pytest.mark.parametrize(
        "write",
        [
            lambda store: store.set("a", 2),
            lambda store: store.set("large", LARGE),
            lambda store: store.add("new", 2),
            lambda store: store.incr("number"),
            lambda store: store.delete("a"),
            lambda store: store.pop("a", None),
            lambda store: store.set_many({"a": 2}),
            lambda store: store.delete_many(["a"]),
            lambda store: store.clear(),
            lambda store: store.popitem(),
            lambda store: store.get_or_set("new", int),
            lambda store: store.transact("a").__enter__(),
            lambda store: store.batch(),
            lambda store: store.lock("lock").acquire(),
        ],
    )
    def test_every_write_says_so(self, directory, goes, write):
        store = self.store_type(directory)
        store["a"] = 1
        goes(directory)
        there = sorted(directory.rglob("*")) if directory.exists() else None
        time.sleep(SOON)
        for _ in range(3):
            with pytest.raises(fastcache.DirectoryGoneError) as error:
                write(store)
            assert isinstance(error.value, fastcache.StorageError)
            assert str(directory) in str(error.value)
        assert (sorted(directory.rglob("*")) if directory.exists() else None) == there
        store.close()

    def test_no_write_that_begins_a_moment_later_is_lost_without_a_word(self, directory):
        for number in range(30):
            store = self.store_type(directory)
            for each in range(number):
                store[each] = each
            self.remove(directory)
            time.sleep(A_MOMENT)
            with pytest.raises(fastcache.DirectoryGoneError):
                store["a"] = 1
            store.close()

    def test_a_transaction_that_was_begun_before_is_not_committed(self, directory, goes):
        store = self.store_type(directory)

        def write():
            with store.transact("a"):
                store["a"] = 1
                goes(directory)

        with pytest.raises(fastcache.DirectoryGoneError):
            write()
        with pytest.raises(fastcache.DirectoryGoneError):
            store["a"] = 1
        store.close()

    def test_what_asks_the_database_says_so_soon(self, directory, goes):
        store = self.store_type(directory, memory=0)
        store["a"] = 1
        goes(directory)
        time.sleep(SOON)
        for read in (lambda: store["a"], lambda: len(store), lambda: list(store), lambda: "b" in store, store.check):
            with pytest.raises(fastcache.DirectoryGoneError):
                read()
        store.close()

    def test_what_is_put_back_is_used_again(self, directory, open_store):
        store = open_store()
        store["a"] = 1
        store["large"] = LARGE
        self.rename(directory)
        time.sleep(A_MOMENT)
        with pytest.raises(fastcache.DirectoryGoneError):
            store["a"] = 2
        directory.with_name("renamed").rename(directory)
        assert store["a"] == 1
        assert store["large"] == LARGE
        store["a"] = 2
        store["large"] = LARGE[1:]
        assert store.check()

    def test_closing_it_harms_nobody(self, directory, open_store):
        store = self.store_type(directory)
        store["a"] = 1
        self.rename(directory)
        with open_store() as other:
            other["b"] = 2
            store.close()
            assert dict(other) == {"b": 2}
            other["c"] = 3
        assert dict(open_store()) == {"b": 2, "c": 3}
        assert dict(open_store(directory.with_name("renamed"))) == {"a": 1}

    def test_asked_to_it_begins_anew(self, directory, goes, open_store, start):
        store = open_store(recreate=True)
        assert store.recreate
        store["a"] = 1
        store["large"] = LARGE
        with store.lock("lock"):
            pass
        goes(directory)
        time.sleep(SOON)
        assert store.set("b", 2)
        assert dict(store) == {"b": 2}
        store["large"] = LARGE
        assert start("store_in", self.kind, str(directory), "c", 3).finish() == ["b", "c", "large"]
        assert store["c"] == 3
        assert store["large"] == LARGE
        with store.lock("lock"):
            assert store.get_or_set("d", lambda: 4) == 4
            assert start("acquire_in", self.kind, str(directory), "lock").finish() is False
        assert store.check()
        assert pickle.loads(pickle.dumps(store)).recreate

    def test_asked_to_a_read_begins_anew_as_well(self, directory, open_store):
        store = open_store(recreate=True)
        store["a"] = 1
        self.remove(directory)
        time.sleep(SOON)
        assert store.get("b") is None
        assert list(store) == []
        assert (directory / "cache.db").exists()

    def test_it_begins_anew_outside_of_transactions_alone(self, directory, open_store):
        store = open_store(recreate=True)

        def write():
            with store.transact("a"):
                store["a"] = 1
                self.remove(directory)
                store["a"] = 2

        with pytest.raises(fastcache.DirectoryGoneError):
            write()
        store["c"] = 3
        assert dict(store) == {"c": 3}

    def test_it_begins_anew_as_what_it_was(self, directory):
        store = self.store_type(directory, recreate=True)
        self.remove(directory)
        directory.mkdir()
        options = {} if "Fanout" in self.kind else {"shards": 3}
        fastcache.FanoutIndex(directory, **{"shards": 3, **options}).close()
        time.sleep(SOON)
        with pytest.raises(fastcache.FormatError):
            store["a"] = 1
        store.close()

    def test_a_lock_is_never_held_twice_without_a_word(self, directory, start):
        store = self.store_type(directory)
        lock, other, inside = store.lock("lock"), store.lock("other"), store.rlock("inside")
        lock.acquire()
        inside.acquire()
        other.__enter__()
        self.remove(directory)
        # From here on others may hold it.
        holder = start("acquire_in", self.kind, str(directory), "lock")
        assert holder.hear() is True
        with pytest.raises(fastcache.DirectoryGoneError):
            other.__exit__(None, None, None)
        for ask in (
            lock.release,
            lock.locked,
            inside.acquire,
            inside.release,
            lock.acquire,
            lambda: store.lock("third").acquire(),
            lambda: store.bounded_semaphore("fourth", 2).acquire(blocking=False),
        ):
            with pytest.raises((fastcache.DirectoryGoneError, fastcache.LockError)):
                ask()
        holder.tell()
        holder.finish()
        store.close()

    def test_the_folder_of_the_locks_alone_may_go(self, directory, open_store, start):
        store = open_store()
        lock = store.lock("lock")
        lock.acquire()
        shutil.rmtree(directory / "locks")
        holder = start("acquire_in", self.kind, str(directory), "lock")
        assert holder.hear() is True
        with pytest.raises(fastcache.DirectoryGoneError):
            lock.extend(10)
        with pytest.raises(fastcache.DirectoryGoneError):
            store.lock("lock").acquire(blocking=False)
        holder.tell()
        holder.finish()
        store["a"] = 1
        assert open_store().lock("lock").acquire(blocking=False)

    def test_what_is_memoized_is_computed(self, directory, goes):
        store = self.store_type(directory)

        @store.memoize
        def double(number):
            return 2 * number

        assert double(1) == 2
        goes(directory)
        time.sleep(SOON)
        with pytest.warns(fastcache.ReadOnlyWarning, match="not stored") as told:
            assert [double(number) for number in (2, 3, 2)] == [4, 6, 4]
        assert len(told) == 1
        store.close()

    @pytest.mark.parametrize("name", ["cache.changes", "values", "values/tmp", "locks"])
    def test_of_what_is_made_anew_a_part_may_go(self, directory, open_store, start, name):
        store = open_store()
        store["a"] = 1
        store["large"] = LARGE
        with store.lock("lock"):
            store["b"] = 2
        # Of shards, that of any.
        for path in [directory / name, *directory.glob(f"shard-*/{name}")]:
            if path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert start("store_in", self.kind, str(directory), "c", 3).finish() == ["a", "b", "c", "large"]
        assert (store["a"], store["b"], store["c"]) == (1, 2, 3)
        store["a"] = 2
        store["large"] = LARGE
        assert start("store_in", self.kind, str(directory), "c", 4).finish() == ["a", "b", "c", "large"]
        assert (store["a"], store["c"]) == (2, 4)
        assert store.check(fix=True) is not None

    @pytest.mark.parametrize("name", ["cache.db-shm", "cache.db-wal", "cache.db-[sw]*"])
    def test_a_file_of_sqlites_may_go_while_nobody_writes(self, directory, open_store, start, name):
        stores = [open_store() for _ in range(3)]
        expected = {}
        for turn in range(3):
            for store in stores:
                for number in range(20):
                    expected[f"{turn} {number}"] = turn
                    store[f"{turn} {number}"] = turn
                # Or maintenance writes.
                store.flush()
            for path in [*directory.glob(name), *directory.glob(f"shard-*/{name}")]:
                path.unlink()
            time.sleep(SOON)
            # Whoever is here notices first, in each shard.
            for key, value in expected.items():
                stores[turn][key] = value
            start("store_in", self.kind, str(directory), "there", turn).finish()
            expected["there"] = turn
            assert all(dict(store) == expected for store in stores)
            time.sleep(SOON)
        assert dict(open_store()) == expected
        assert stores[0].check()

    def test_a_temporary_one_that_is_removed_says_so(self):
        store = self.store_type()
        store["a"] = 1
        shutil.rmtree(store.directory)
        time.sleep(A_MOMENT)
        with pytest.raises(fastcache.DirectoryGoneError):
            store["a"] = 2
        store.close()

    def test_after_a_fork_it_is_still_the_one_that_was_opened(self, directory):
        store = self.store_type(directory)
        store["a"] = 1
        self.replace(directory)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(fastcache.DirectoryGoneError):
                store["a"] = 2
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        store.close()


class GoneJournalContract(GoneContract):
    """What is in the journal of a directory that goes."""

    @pytest.fixture(autouse=True)
    def _nobody_drains(self, request, monkeypatch):
        if "pending" in request.node.name:
            monkeypatch.setattr("fastcache.runtime.background.schedule", lambda store, seconds: True)

    def test_what_is_pending_goes_nowhere_without_a_word(self, directory):
        store = self.store_type(directory, journal=True)
        store["a"] = 1
        self.remove(directory)
        time.sleep(A_MOMENT)
        with pytest.raises(fastcache.DirectoryGoneError):
            store.flush()
        store.close()
        with pytest.raises(fastcache.ClosedError):
            store["b"] = 2

    def test_a_fork_closes_all_others_where_the_directory_of_one_has_gone_with_what_is_pending(
        self, directory, tmp_path
    ):
        store = self.store_type(directory, journal=True)
        others = [self.store_type(tmp_path / f"other {number}") for number in range(3)]
        for other in others:
            other["a"] = 1
        store["a"] = 1
        self.remove(directory)
        time.sleep(A_MOMENT)
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(fastcache.CacheError):
                for other in others:
                    other["b"] = other["a"]
                code = 0
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert [other["b"] for other in others] == [1, 1, 1]
        for each in (store, *others):
            each.close()


class GoneShardContract(GoneContract):
    """Of several shards, one may go alone."""

    def test_a_shard_alone_may_go(self, directory, open_store):
        store = self.store_type(directory)
        store.update({number: number for number in range(100)})
        shutil.rmtree(directory / "shard-003")
        time.sleep(SOON)
        refused = []
        for number in range(100):
            try:
                store[number] = -number
            except fastcache.DirectoryGoneError as error:
                refused.append(str(error))
        assert 1 <= len(refused) <= 50
        assert all("shard-003" in each for each in refused)
        store.close()
        with open_store(recreate=True) as store:
            store.update({number: number for number in range(100)})
            shutil.rmtree(directory / "shard-003")
            time.sleep(SOON)
            store.update({number: -number for number in range(100)})
            assert dict(store) == {number: -number for number in range(100)}
            assert store.check()


def mounts():
    """Whether this process may mount file systems."""
    return os.getuid() == 0 and shutil.which("mount") and os.path.exists("/proc/self/mountinfo")


@contextlib.contextmanager
def read_only_mount(fill):
    """A file system that is filled, and then mounted read-only; its path."""
    place = pathlib.Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=False, capture_output=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted: {done.stderr}")
        try:
            fill(place)
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        place.rmdir()


class ReadOnlyContract(StoreContract):
    """What cannot be written to, or is not to be."""

    def fill(self, directory):
        with self.store_type(directory) as store:
            for number in range(20):
                store[number] = number
            store["list"] = [1, 2, 3]
            store["large"] = LARGE

    def test_it_reads_and_iterates_and_counts(self, directory):
        self.fill(directory)
        before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            store = self.store_type(directory, read_only=True)
        assert store.read_only
        assert len(store) == 22
        assert store[3] == 3
        assert store["list"] == [1, 2, 3]
        assert store["large"] == store.get("large") == LARGE
        assert 5 in store
        assert "absent" not in store
        assert store.get("absent", 7) == 7
        assert sorted(map(str, store)) == sorted(map(str, [*range(20), "list", "large"]))
        assert dict(store.items())["list"] == [1, 2, 3]
        assert store.get_many([1, "absent", "large"]) == {1: 1, "large": LARGE}
        assert store.size() > len(LARGE)
        assert store.volume() > len(LARGE)
        assert store.check()
        with pickle.loads(pickle.dumps(store)) as again:
            assert again.read_only
            assert again[3] == 3
        store.close()
        assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before

    @pytest.mark.parametrize(
        "write",
        [
            lambda store: store.set("a", 1),
            lambda store: store.set("large", LARGE),
            lambda store: store.__setitem__(1, 1),
            lambda store: store.__delitem__(1),
            lambda store: store.add("a", 1),
            lambda store: store.incr("a"),
            lambda store: store.decr("a"),
            lambda store: store.delete(1),
            lambda store: store.pop(1, None),
            lambda store: store.popitem(),
            lambda store: store.clear(),
            lambda store: store.update({"a": 1}),
            lambda store: store.set_many({"a": 1}),
            lambda store: store.add_many({"a": 1}),
            lambda store: store.delete_many([1]),
            lambda store: store.setdefault("a", 1),
            lambda store: store.get_or_set("a", int),
            lambda store: store.transact(1).__enter__(),
            lambda store: store.batch(),
            lambda store: store.vacuum(),
            lambda store: store.lock("lock").acquire(),
            lambda store: store.averager("a").add(1),
            lambda store: store.check(fix=True),
            lambda store: store.touch(1) if hasattr(store, "touch") else store.clear(),
            lambda store: store.expire() if hasattr(store, "expire") else store.clear(),
            lambda store: store.evict_tag("a") if hasattr(store, "evict_tag") else store.clear(),
            lambda store: setattr(store, "max_size", 1 << 30) if hasattr(store, "max_size") else store.clear(),
        ],
    )
    def test_every_write_is_refused(self, directory, write):
        self.fill(directory)
        with self.store_type(directory, read_only=True) as store:
            for _ in range(2):
                with pytest.raises(fastcache.ReadOnlyError) as error:
                    write(store)
                assert isinstance(error.value, (fastcache.CacheError, PermissionError))
            assert store[1] == 1
            assert len(store) == 22

    def test_what_is_memoized_is_found_or_computed(self, directory):
        calls = []

        def double(number):
            calls.append(number)
            return 2 * number

        with self.store_type(directory) as store:
            store.memoize(name="double")(double)(1)
        with self.store_type(directory, read_only=True) as store:
            memoized = store.memoize(name="double")(double)
            with pytest.warns(fastcache.ReadOnlyWarning, match="not stored") as told:
                assert [memoized(number) for number in (1, 2, 2)] == [2, 4, 4]
            assert len(told) == 1
            assert calls == [1, 2, 2]

    def test_what_is_memoized_by_tasks_or_renewed_early_is_computed(self, directory):
        self.fill(directory)

        async def double(number):
            return 2 * number

        with self.store_type(directory, read_only=True) as store:
            with pytest.warns(fastcache.ReadOnlyWarning, match="not stored"):
                assert asyncio.run(store.memoize(name="double")(double)(2)) == 4
            if hasattr(store, "memoize_stampede"):
                renewed = store.memoize_stampede(expire=60)(abs)
                with pytest.warns(fastcache.ReadOnlyWarning, match="not stored"):
                    assert [renewed(-1), renewed(-1)] == [1, 1]

    def test_where_there_is_none_it_makes_none(self, directory, tmp_path):
        for place in (directory, tmp_path):
            with pytest.raises(fastcache.OpenError) as error:
                self.store_type(place, read_only=True)
            assert str(place) in str(error.value)
        assert not directory.exists()
        (tmp_path / "cache.db").touch()
        with pytest.raises(fastcache.OpenError):
            self.store_type(tmp_path, read_only=True)
        assert (tmp_path / "cache.db").stat().st_size == 0

    @pytest.mark.parametrize("wrong", [0, 1, "yes"])
    def test_it_is_asked_for_by_a_bool(self, directory, wrong):
        with pytest.raises(TypeError):
            self.store_type(directory, read_only=wrong)

    def test_what_others_write_is_seen(self, directory, open_store, start):
        self.fill(directory)
        store = self.store_type(directory, read_only=True)
        assert store.get("a") is None
        for number in range(5):
            start("store_in", self.kind, str(directory), "a", number).finish()
            assert store["a"] == number
            with open_store() as writer:
                assert store["a"] == number
                writer["a"] = "here"
                assert store["a"] == "here"
                writer["large"] = LARGE[number:]
                assert store["large"] == LARGE[number:]
                assert len(store) == 23
        assert store["a"] == "here"
        store.close()

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
    def test_what_an_account_cannot_write_to_it_reads_with_a_warning(self, start):
        with in_reach() as directory:
            self.read_as_another_account(directory, start)

    def read_as_another_account(self, directory, start):
        def open_store():
            return self.store_type(directory)

        with open_store() as store:
            # So many that there is something in each shard.
            store.update({f"a{number:02}": number for number in range(50)})
            expected = sorted(store)
        for path in (directory, *directory.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        reader = start("read_as", self.kind, str(directory), 65534, 65534, None)
        answer = reader.hear()
        assert answer[0] == "", answer
        _, told, keys, refused = answer
        assert len(told) == 1
        assert "ReadOnlyWarning" in told[0]
        assert "65534" in told[0]
        assert str(directory) in told[0]
        assert keys == expected
        assert refused == "ReadOnlyError"
        with open_store() as store:
            store["b"] = 2
            reader.tell("look")
            assert reader.hear() == [*expected, "b"]
            store["c"] = 3
            reader.tell("look")
            assert reader.hear() == [*expected, "b", "c"]
        reader.tell("look")
        assert reader.hear() == [*expected, "b", "c"]
        reader.tell("end")
        reader.finish()
        kinds, text = start("read_as", self.kind, str(directory), 65534, 65534, False).finish()
        assert "OpenError" in kinds
        assert "65534" in text

    @pytest.mark.skipif(not mounts(), reason="only root can mount a file system")
    def test_it_works_on_a_read_only_file_system(self, start):
        def fill(place):
            start("fill_and_copy", self.kind, str(place / "store"), str(place)).finish()

        with read_only_mount(fill) as place:
            for way in ("closed", "open", "without index"):
                readers = [start("use_read_only", self.kind, str(place / way)) for _ in range(3)]
                for reader in readers:
                    read_only, count, late, found, size, keys = reader.hear()
                    assert read_only
                    assert (count, late, found, size) == (23, 1, [1, 2, 3], len(LARGE)), way
                    assert len(keys) == 23
                for reader in readers:
                    reader.tell()
                for reader in readers:
                    assert reader.finish() == [], way
            with pytest.raises(fastcache.OpenError, match="read-only"):
                self.store_type(place / "new")
            with pytest.raises(fastcache.OpenError, match="read-only"):
                self.store_type(place / "closed", read_only=False)

    @pytest.mark.skipif(not mounts(), reason="only root can mount a file system")
    def test_what_others_write_is_seen_through_a_read_only_mount(self, directory, tmp_path, start):
        self.fill(directory)
        place = tmp_path / "mounted"
        place.mkdir()
        done = subprocess.run(["mount", "--bind", str(directory), str(place)], check=False, capture_output=True)
        if done.returncode:
            pytest.skip(f"no directory can be mounted: {done.stderr}")
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
            with pytest.warns(fastcache.ReadOnlyWarning, match="read-only"):
                store = self.store_type(place)
            for number in range(3):
                assert store.get("a") == (number - 1 if number else None)
                start("store_in", self.kind, str(directory), "a", number).finish()
                assert store["a"] == number
            writer = start("answer", self.kind, str(directory))
            for number in range(30):
                writer.tell(["set", "a", number])
                assert writer.hear() is True
                assert store["a"] == store["a"] == number
            writer.finish()
            assert store["a"] == 29
            store.close()
        finally:
            subprocess.run(["umount", str(place)], check=True)


@contextlib.contextmanager
def in_reach():
    """A directory that all accounts can get to: those of pytest are private, and get so anew whenever it starts."""
    with tempfile.TemporaryDirectory(prefix="fastcache-tests-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder) / "store"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
class SharingContract(StoreContract):
    """Two accounts of a group use one directory."""

    GROUP = 54321

    @pytest.fixture
    def directory(self):
        with in_reach() as directory:
            yield directory

    @pytest.fixture
    def shared(self, directory):
        directory.mkdir()
        os.chown(directory, 0, self.GROUP)
        directory.chmod(0o2770)
        return directory

    @pytest.mark.parametrize("umask", [0o002, 0o077])
    def test_both_use_all_of_it(self, shared, start, umask):
        if "Cache" in self.kind:
            self.store_type(shared, max_size=200_000_000).close()
        started = []
        seen = set()
        for turn, uid in enumerate((60001, 60002, 60001, 60002)):
            process = start("use_as", self.kind, str(shared), uid, self.GROUP, umask)
            keys, count, check = process.hear()
            assert seen - {f"gone {60003 - uid % 60000}"} <= set(keys) | {"gone 60001", "gone 60002"}
            assert count == turn + 1
            assert check == "ok"
            seen = {f"large {uid}", "shared"}
            if started:
                # While the other one has it open yet.
                started[-1].tell()
                started[-1].finish()
            started.append(process)
        self.all_the_groups(shared)
        started[-1].tell()
        started[-1].finish()
        self.all_the_groups(shared)

    def all_the_groups(self, shared):
        for path in shared.rglob("*"):
            found = path.lstat()
            assert stat.S_IMODE(found.st_mode) & 0o777 == (0o770 if path.is_dir() else 0o660), path
            assert found.st_gid == self.GROUP, path

    def test_one_that_is_made_by_us_stays_its_owners(self, shared, open_store):
        with open_store(shared / "mine") as store:
            store["large"] = LARGE
            for path in (shared / "mine", *(shared / "mine").rglob("*")):
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path

    def test_what_would_be_another_groups_stays_its_owners(self, shared, start):
        shared.chmod(0o770)
        os.chown(shared, 60001, self.GROUP)
        process = start("use_as", self.kind, str(shared), 60001, self.GROUP, 0o002)
        assert process.hear()[2] == "ok"
        for path in shared.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        process.tell()
        process.finish()

    def test_whose_permission_is_missing_is_said(self, shared, start):
        start("use_as", self.kind, str(shared), 60001, self.GROUP, 0o002).finish()
        (shared / "cache.db").chmod(0o600)
        kinds, text = start("read_as", self.kind, str(shared), 60002, self.GROUP, None).finish()
        assert "OpenError" in kinds
        for part in ("60002", str(shared / "cache.db"), "rw", "-rw-------", "60001", str(self.GROUP)):
            assert part in text, (part, text)

    def test_what_one_has_signed_needs_a_common_secret(self, shared, start):
        for uid in (60001, 60002):
            home = shared / f"home-{uid}"
            home.mkdir()
            os.chown(home, uid, uid)
        assert start("sign_as", self.kind, str(shared), 60001, self.GROUP).finish() == "stored"
        text = start("sign_as", self.kind, str(shared), 60002, self.GROUP).finish()
        assert "accounts that share a cache need in common" in text
        assert "FASTCACHE_SECRET" in text
