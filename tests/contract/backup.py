"""A backup is the cache as it was at one moment, whoever writes meanwhile, and there as a whole or not at all."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

import fastcache
from fastcache.tools.cli import main

from .store import StoreContract, value_files

LARGE = b"x" * 200_000


class BackupContract(StoreContract):
    def test_a_backup_holds_what_the_cache_holds(self, open_store, tmp_path):
        store = open_store()
        store.update({"a": 1, "b": [2, "two"], "large": LARGE, ("t", 1): None, b"k": 1.5})
        store.backup(tmp_path / "copy")
        store["a"] = "later"
        with self.store_type(tmp_path / "copy") as copy:
            assert dict(copy.items()) == {"a": 1, "b": [2, "two"], "large": LARGE, ("t", 1): None, b"k": 1.5}
            assert copy.check()
            copy["new"] = LARGE
            assert copy["new"] == LARGE
            assert copy.check()
        assert "new" not in store
        assert os.stat(tmp_path / "copy").st_mode & 0o777 == 0o700
        for path in (tmp_path / "copy").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)

    @pytest.mark.parametrize("in_use", [False, True])
    def test_who_may_only_read_can_make_one(self, open_store, tmp_path, in_use):
        store = open_store()
        store.update(a=1, large=LARGE)
        if not in_use:
            store.close()
        with open_store(read_only=True) as reader:
            reader.backup(tmp_path / "copy")
        with self.store_type(tmp_path / "copy") as copy:
            assert dict(copy.items()) == {"a": 1, "large": LARGE}
            copy["new"] = 1
            assert copy.check()

    def test_its_files_are_files_of_its_own(self, open_store, tmp_path):
        store = open_store()
        store["large"] = LARGE
        store.backup(tmp_path / "copy")
        (original,), (copied,) = value_files(store.directory), value_files(tmp_path / "copy")
        assert original.stat().st_ino != copied.stat().st_ino
        assert copied.read_bytes() == original.read_bytes()
        store.clear()
        store.close()
        with self.store_type(tmp_path / "copy") as copy:
            assert copy["large"] == LARGE

    def test_an_empty_cache_can_be_backed_up_too_into_an_empty_folder_and_below_new_ones(self, open_store, tmp_path):
        store = open_store()
        (tmp_path / "empty").mkdir()
        store.backup(tmp_path / "empty")
        store.backup(str(tmp_path / "new" / "er" / "copy"))
        for place in (tmp_path / "empty", tmp_path / "new" / "er" / "copy"):
            with self.store_type(place) as copy:
                assert len(copy) == 0
                assert copy.check()

    @pytest.mark.parametrize("obstacle", ["a file", "a cache", "a folder", "a link", "the cache itself", "inside"])
    def test_what_is_in_its_place_is_left_alone(self, open_store, tmp_path, obstacle):
        store = open_store()
        store["a"] = 1
        place = tmp_path / "place"
        if obstacle == "a file":
            place.write_bytes(b"precious")
        elif obstacle == "a cache":
            with self.store_type(place) as other:
                other["precious"] = 1
        elif obstacle == "a folder":
            place.mkdir()
            (place / "file").write_bytes(b"precious")
        elif obstacle == "a link":
            (tmp_path / "elsewhere").mkdir()
            place.symlink_to(tmp_path / "elsewhere")
        else:
            place = tmp_path / "store" if obstacle == "the cache itself" else tmp_path / "store" / "copy"
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(fastcache.OpenError) as refusal:
            store.backup(place)
        assert str(place) in str(refusal.value)
        assert sorted(tmp_path.rglob("*")) == before
        assert dict(store.items()) == {"a": 1}

    def test_inside_a_transaction_it_is_refused(self, open_store, tmp_path):
        store = open_store()
        with store.transact("a"), pytest.raises(fastcache.TransactionError):
            store.backup(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    def test_what_was_closed_cannot_be_backed_up(self, open_store, tmp_path):
        store = open_store()
        store.close()
        with pytest.raises(fastcache.ClosedError):
            store.backup(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    def test_its_locks_are_free_while_they_are_held_here(self, open_store, tmp_path):
        store = open_store()
        with store.lock("lock"):
            store.backup(tmp_path / "copy")
            with self.store_type(tmp_path / "copy") as copy:
                assert copy.lock("lock").acquire(timeout=0)

    def test_progress_comes_to_an_end_and_may_end_it(self, open_store, tmp_path):
        store = open_store()
        store.update(dict.fromkeys(range(5), LARGE))
        steps = []
        store.backup(tmp_path / "copy", progress=lambda done, total: steps.append((done, total)))
        assert steps[-1][0] == steps[-1][1] > 5 * len(LARGE)
        assert all(0 <= done <= total for done, total in steps)
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)

        class NoMoreError(OSError):
            pass

        def refuse(done, total):
            raise NoMoreError(28, "enough")

        before = sorted(tmp_path.iterdir())
        with pytest.raises(NoMoreError):
            store.backup(tmp_path / "other", progress=refuse)
        assert sorted(tmp_path.iterdir()) == before
        store["after"] = 1
        assert store.check()

    def test_files_that_are_replaced_meanwhile_are_those_of_one_moment(self, open_store, tmp_path):
        """Whatever is replaced while it is copied, even all the time."""
        store = open_store()
        store.update(dict.fromkeys(range(20), LARGE))
        turns = 0

        def replace(done, total):
            nonlocal turns
            turns += 1
            if turns < 200:
                for number in range(20):
                    store[number] = LARGE + b"%d" % turns
                # Unlinked at once, and not in a moment.
                for part in store.stores.all():
                    part.tidy()

        store.backup(tmp_path / "copy", progress=replace)
        assert turns
        with self.store_type(tmp_path / "copy") as copy:
            assert copy.check()
            found = [copy[number] for number in range(20)]
            assert all(value.startswith(LARGE) for value in found)
            if getattr(store, "shards", 1) == 1:
                assert len(set(found)) <= 2
        assert store.check()

    def test_an_entry_whose_file_is_lost_is_not_part_of_it(self, open_store, tmp_path, capsys):
        store = open_store(memory=0)
        store.update(a=LARGE, b=LARGE, c=1)
        sorted(value_files(store.directory))[0].unlink()
        store.backup(tmp_path / "copy")
        with self.store_type(tmp_path / "copy") as copy:
            assert copy.check()
            assert set(copy) in ({"a", "c"}, {"b", "c"})
        store.check(fix=True)
        assert set(store) in ({"a", "c"}, {"b", "c"})

    def test_while_processes_write_pairs_each_backup_has_both_of_a_pair_or_none(
        self, open_store, directory, tmp_path, start
    ):
        store = open_store()
        writers = [start("write_pairs", self.kind, str(directory), f"pair {number}") for number in range(3)]
        pairs = [[tuple(key) for key in writer.hear()] for writer in writers]
        for number in range(6):
            if number == 3:
                os.kill(writers[0].popen.pid, signal.SIGKILL)
            place = tmp_path / f"copy {number}"
            store.backup(place)
            with self.store_type(place) as copy:
                assert copy.check()
                for first, second in pairs:
                    assert copy[first] == copy[second]
        for writer in writers[1:]:
            writer.tell()
            assert writer.hear() > 0
            writer.finish()
        for first, second in pairs:
            assert store[first] == store[second]

    @pytest.mark.skipif(os.name == "nt", reason="kills as Unix does")
    def test_a_backup_that_is_killed_is_none(self, open_store, directory, tmp_path, start):
        store = open_store()
        store.update(dict.fromkeys(range(30), LARGE))
        content = dict(store.items())
        place = tmp_path / "copies" / "copy"
        for steps in (0, 1, 5, 20, 29, 30, 31):
            process = start("back_up_and_say", self.kind, str(directory), str(place))
            assert process.hear() == "begins"
            for _ in range(steps):
                if process.hear() == "done":
                    break
            os.kill(process.popen.pid, signal.SIGKILL)
            process.popen.wait()
            if place.exists():
                with self.store_type(place) as copy:
                    assert dict(copy.items()) == content
                    assert copy.check()
                break
            # What is left is no cache, unless all of it is there but for its name.
            for left in place.parent.glob(".*"):
                if (left / "cache.db").exists():
                    with self.store_type(left) as copy:
                        assert dict(copy.items()) == content
        for path in place.parent.glob(".*"):
            os.utime(path, (0, 0))
        if not place.exists():
            store.backup(place)
        else:
            with pytest.raises(fastcache.OpenError):
                store.backup(place)
            store.backup(place.with_name("other"))
        with self.store_type(place) as copy:
            assert dict(copy.items()) == content

    def test_what_a_killed_one_has_left_goes_with_the_next(self, open_store, directory, tmp_path, start):
        store = open_store()
        store.update(dict.fromkeys(range(10), LARGE))
        place = tmp_path / "copies" / "copy"
        process = start("back_up_to_the_first_step", self.kind, str(directory), str(place))
        process.hear()
        os.kill(process.popen.pid, signal.SIGKILL)
        process.popen.wait()
        (left,) = place.parent.iterdir()
        os.utime(left, (0, 0))
        store.backup(place)
        assert list(place.parent.iterdir()) == [place]

    def test_threads_go_on_while_it_is_made(self, open_store, tmp_path):
        store = open_store()
        store.update(dict.fromkeys(range(3000), "x" * 1000))
        stop = threading.Event()
        failures = []

        def write():
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    store[number % 3000] = "y" * 1000
                    store["large", number % 7] = LARGE
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(3):
                store.backup(tmp_path / f"copy {number}")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failures
        for number in range(3):
            with self.store_type(tmp_path / f"copy {number}") as copy:
                assert len(copy) >= 3000
                assert copy.check()

    def test_the_command_does_it_too(self, open_store, tmp_path, capsys):
        store = open_store()
        store.update(a=1, large=LARGE)
        assert main(["backup", store.directory, str(tmp_path / "copy")]) == 0
        assert "bytes were copied" in capsys.readouterr().out
        assert main(["backup", store.directory, str(tmp_path / "copy")]) == 2
        assert "not empty" in capsys.readouterr().err
        assert main(["backup", str(tmp_path / "absent"), str(tmp_path / "other")]) == 2
        assert not (tmp_path / "other").exists()
        assert main(["check", str(tmp_path / "copy")]) == 0
        with self.store_type(tmp_path / "copy") as copy:
            assert dict(copy.items()) == {"a": 1, "large": LARGE}

    @pytest.mark.skipif(sys.platform != "linux" or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts")
    def test_a_disk_that_gets_full_leaves_nothing_of_it(self, open_store, tmp_path):
        store = open_store()
        store.update(dict.fromkeys(range(10), LARGE))
        store.update({("row", number): "x" * 1000 for number in range(1000)})
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip("no file system can be mounted here")
        try:
            for left in (3_000_000, 1_500_000, 500_000, 100_000, 0):
                with open(disk / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
                    ballast.write(bytes(4_100_000 - left))
                with pytest.raises(fastcache.FullError):
                    store.backup(disk / "copy")
                assert [path.name for path in disk.iterdir()] == ["ballast"]
        finally:
            subprocess.run(["umount", "-l", disk], check=False)
        assert store.check()


class CacheBackupContract(StoreContract):
    """What only a cache has: expiry, tags and a limit."""

    def test_expiry_tags_and_settings_are_kept(self, open_store, tmp_path):
        store = open_store(max_size=20_000_000, eviction="lfu")
        store.set("a", 1, expire=3600, tag="t")
        before = store.get("a", expire_time=True, tag=True)
        store.backup(tmp_path / "copy")
        with self.store_type(tmp_path / "copy") as copy:
            assert copy.get("a", expire_time=True, tag=True) == before
            assert (copy.max_size, copy.eviction) == (20_000_000, "lfu")
            assert copy.evict_tag("t") == 1
