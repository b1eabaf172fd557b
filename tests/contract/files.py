"""Value files: nothing of others is touched, nothing is left over, and what is committed stays."""

import contextlib
import os
import random
import shutil
import time

import pytest

import fastcache

from .batch import wait_until
from .bounded import MOST_OCCUPIED, occupied
from .maintenance import rows
from .store import StoreContract, value_files

FILE = 90_000
LARGE = b"x" * FILE
LIMIT = 4_000_000


class LinkContract(StoreContract):
    """What somebody else has put in the place of our folders is not followed."""

    @pytest.fixture
    def victim(self, tmp_path):
        """A folder of somebody's, with names like ours in it."""
        victim = tmp_path / "victim"
        for folder in (victim, victim / "tmp"):
            folder.mkdir()
            for name in ("a" * 32, f"{'2' * 16}.writer", "notes"):
                (folder / name).write_bytes(b"precious")
        before = self.content(victim)
        yield victim
        assert self.content(victim) == before

    def content(self, folder):
        return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}

    def use(self, open_store, **options):
        with open_store(**options) as store:
            store.set_many((number, LARGE) for number in range(10))
            store.check(fix=True)
            with store.lock("k"):
                pass

    @pytest.mark.parametrize("place", ["values", "values/tmp", "locks", "cache.db"])
    def test_a_link_in_the_place_of_ours_is_refused_and_not_followed(self, open_store, directory, victim, place):
        link = directory / place
        link.parent.mkdir(parents=True)
        link.symlink_to(victim / "notes" if place == "cache.db" else victim)
        with pytest.raises((fastcache.OpenError, fastcache.StorageError), match=f"{link.name}'.* link"):
            self.use(open_store)
        assert link.is_symlink()

    @pytest.mark.parametrize("place", ["values", "values/tmp"])
    def test_a_folder_that_becomes_a_link_is_not_followed(self, open_store, directory, victim, place):
        store = open_store()
        store.set_many((number, LARGE) for number in range(10))
        shutil.rmtree(directory / place)
        (directory / place).symlink_to(victim)
        for use in (
            lambda: store.get(1),
            lambda: store.set_many((number, LARGE[1:]) for number in range(10)),
            lambda: store.check(fix=True),
            store.clear,
            store.close,
        ):
            with contextlib.suppress(fastcache.CacheError):
                use()

    def test_a_file_in_the_place_of_a_folder_is_refused(self, open_store, directory):
        directory.mkdir()
        (directory / "values").write_bytes(b"mine")
        with pytest.raises(fastcache.OpenError, match=r"values' has to be a folder"):
            self.use(open_store)
        assert (directory / "values").read_bytes() == b"mine"

    def test_the_directory_itself_may_be_a_link(self, open_store, directory, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        directory.symlink_to(tmp_path / "elsewhere")
        self.use(open_store)
        assert value_files(tmp_path / "elsewhere")

    def test_what_is_not_ours_stays_where_it_is(self, open_store, directory, victim):
        with open_store() as store:
            store.update(dict.fromkeys(range(30), LARGE))
        strange = [
            "notes",
            "A" * 32,
            "a" * 31,
            "stranger.tmp",
            "tmp/notes",
            "tmp/a.writer",
            f"tmp/{'f' * 16}.writer.old",
        ]
        for name in strange:
            (directory / "values" / name).write_bytes(b"mine")
        (directory / "values" / ("c" * 32)).symlink_to(victim / "notes")
        (directory / "values" / ("d" * 32)).mkdir()
        with open_store() as store:
            store.check(fix=True)
            assert store.check()
            store.clear()
        assert all((directory / "values" / name).read_bytes() == b"mine" for name in strange)
        assert (directory / "values" / ("c" * 32)).is_symlink()
        assert (directory / "values" / ("d" * 32)).is_dir()

    def test_a_link_in_the_place_of_a_value_reads_as_missing(self, open_store, victim, directory):
        store = open_store(memory=0)
        store["k"] = LARGE
        (path,) = value_files(directory)
        secret = victim.parent / "secret"
        secret.write_bytes(LARGE)
        path.unlink()
        path.symlink_to(secret)
        assert store.get("k") is None
        assert secret.read_bytes() == LARGE


class ShardLinkContract(LinkContract):
    def test_a_shard_that_is_a_link_is_refused(self, open_store, directory, victim):
        open_store().close()
        for place in directory.glob("shard-*"):
            shutil.rmtree(place)
        for number in range(1, 8):
            (directory / f"shard-{number:03}").symlink_to(victim)
        with pytest.raises(fastcache.OpenError, match="is a link"):
            self.use(open_store)


class FolderContract(StoreContract):
    """A folder that is elsewhere, or nowhere, is no lost value."""

    def test_a_directory_can_be_removed_as_soon_as_it_is_closed(self, directory):
        """Nobody unlinks what was replaced any more."""
        for moment in range(20):
            store = self.store_type(directory)
            for _ in range(200):
                store["a"] = LARGE
            time.sleep(moment / 1000)
            store.close()
            shutil.rmtree(directory)

    def test_a_directory_that_is_renamed_is_gone_and_keeps_its_large_values(self, open_store, directory, tmp_path):
        store = open_store(memory=0)
        store["first"] = LARGE
        os.rename(directory, tmp_path / "elsewhere")
        with pytest.raises(fastcache.DirectoryGoneError):
            store["second"] = LARGE
        store.close()
        with open_store(tmp_path / "elsewhere") as store:
            assert store == {"first": LARGE}
            assert store.check()
            os.rename(tmp_path / "elsewhere", directory)
            store.close()
        with open_store() as store:
            assert store["first"] == LARGE

    def test_a_renamed_directory_keeps_its_large_values(self, open_store, directory, tmp_path):
        with open_store() as store:
            store["k"] = LARGE
        store = open_store(memory=0)
        os.rename(directory / "values", tmp_path / "values")
        for _ in range(3):
            with contextlib.suppress(fastcache.StorageError):
                store["k"]
        os.rename(tmp_path / "values", directory / "values")
        assert store["k"] == LARGE

    @pytest.mark.parametrize("opened", ["before", "after"])
    def test_without_its_folder_reading_says_so_and_removes_nothing(self, open_store, directory, opened):
        store = open_store(memory=0)
        store["large"] = LARGE
        store["small"] = 1
        if opened == "after":
            store.close()
        shutil.rmtree(directory / "values")
        if opened == "after":
            store = open_store(memory=0)
        for read in (
            lambda: store["large"],
            lambda: store.get("large"),
            lambda: "large" in store,
            lambda: store.get_many(["large"]),
            lambda: list(store.items()),
        ):
            with pytest.raises(fastcache.StorageError, match=r"values': the folder is not there"):
                read()
        assert store["small"] == 1
        assert len(store) == 2
        found = store.check()
        assert not found
        assert any("values' , which" in line or "values', which is not there" in line for line in found.details)
        assert len(store) == 2
        store.check(fix=True)
        assert store.check()
        assert list(store) == ["small"]
        store["large"] = LARGE
        assert store["large"] == LARGE


class InterruptContract(StoreContract):
    """What a signal handler interrupts is done or not done, and leaves nothing."""

    def stopped(self, start, directory, options, way, times):
        said = start("store_and_be_stopped", self.kind, str(directory), options, way, times).finish()
        lost, strange, stopped, left, grown, check = said
        assert stopped > times / 10, said
        assert (lost, strange, left, check) == (0, 0, {"tmp": 0, "files": 0}, "ok"), said
        # A second connection, and what it maps.
        assert grown < 10, said

    @pytest.mark.parametrize("limit", [0, LIMIT])
    def test_a_large_set_that_is_interrupted_loses_nothing(self, start, directory, limit):
        self.stopped(start, directory, {"max_size": limit} if limit else {}, "set", 800)

    @pytest.mark.parametrize("way", ["set_many", "transact"])
    def test_a_transaction_that_is_interrupted_is_done_as_a_whole_or_not_at_all(self, start, directory, way):
        self.stopped(start, directory, {"max_size": LIMIT}, way, 250)

    def test_what_a_batch_has_put_off_comes_over_nothing_newer(self, start, directory):
        stopped, overwritten = start("flush_and_be_stopped", self.kind, str(directory), 300).finish()
        assert stopped > 30
        assert overwritten == 0

    def test_at_the_end_of_the_stack_nothing_is_left(self, start, directory):
        temporary, files, grown, check = start("recurse_and_set", self.kind, str(directory), 200).finish()
        assert (temporary, files, check) == (0, 1, "ok")
        assert grown < 10


class KillContract(StoreContract):
    """What the killed leave does not stay."""

    def kill(self, start, chance, directory, options, way):
        process = start("store_on", self.kind, str(directory), options, way, chance.random())
        assert process.hear() == "ready"
        time.sleep(chance.random() * 0.03)
        process.popen.kill()
        process.popen.wait()
        process.end()

    def is_settled(self, ask, directory):
        """Whether exactly those files are there that rows name, and nothing else is counted."""
        try:
            files = [path.stat().st_size for path in value_files(directory)]
        except FileNotFoundError:
            return False
        found = [
            ask(f"SELECT {what} FROM entry WHERE file IS NOT NULL") for what in ("count(*)", "coalesce(sum(size), 0)")
        ]
        return found == [len(files), sum(files)]

    @pytest.mark.parametrize("way", ["set", "set_many", "transact"])
    @pytest.mark.parametrize("limit", [0, 2_000_000])
    def test_whoever_opens_next_finds_no_more_than_the_rows_name(self, start, open_store, directory, way, limit):
        chance = random.Random(f"{way} {limit}")
        options = {"max_size": limit} if limit else {}
        open_store().close()
        with rows(start, directory) as ask:
            for _ in range(8):
                self.kill(start, chance, directory, options, way)
                with open_store() as store:
                    wait_until(lambda: self.is_settled(ask, directory))
                    assert store.check()
        left = [path for path in directory.rglob("*.writer") if path.parent.name == "tmp"]
        assert left == []

    @pytest.mark.parametrize("limit", [0, 2_000_000])
    def test_whoever_lives_on_gives_back_what_the_killed_have_left(self, start, open_store, directory, limit):
        chance = random.Random(limit)
        options = {"max_size": limit} if limit else {}
        store = open_store(**options)
        store["mine"] = LARGE

        def is_settled():
            store["small"] = 1
            return self.is_settled(ask, directory)

        with rows(start, directory) as ask:
            for kill in range(6):
                self.kill(start, chance, directory, options, "set_many")
                if kill % 3 == 2:
                    wait_until(is_settled)
                    assert store.check()

    def test_a_parent_and_its_child_do_not_take_each_other_for_dead(self, start, directory):
        process = start("fork_in_the_middle", self.kind, str(directory))
        found, has_child, files, temporary, check = process.hear()
        assert found == [["after", FILE], ["before", FILE], ["inside", FILE]]
        assert (has_child, files, temporary, check) == (True, 4, 0, "ok")
        assert process.finish() == []


class EarlierVersionContract(StoreContract):
    """A directory that was written when names were random, and temporary files were locked."""

    @pytest.fixture
    def old(self, open_store, directory, start):
        """Rename the files of a store, so that nothing says who has written them."""
        with open_store() as store:
            store.update(dict.fromkeys(range(5), LARGE))
        renamed = {path: random.Random(path.name).randbytes(16).hex() for path in value_files(directory)}
        for path, name in renamed.items():
            path.rename(path.with_name(name))
        statements = [f"UPDATE entry SET file = '{name}' WHERE file = '{path.name}'" for path, name in renamed.items()]
        start("sql", str(directory), *statements).finish()
        return directory

    def test_it_is_read_written_and_checked(self, open_store, old):
        with open_store(memory=0) as store:
            assert dict(store) == dict.fromkeys(range(5), LARGE)
            store[1] = LARGE[1:]
            del store[2]
            assert store.check()
            wait_until(lambda: len(value_files(old)) == 4)

    def test_what_its_dead_writers_have_left_goes_and_what_lives_stays(self, open_store, old, start):
        places = [old / "values" / "tmp" / (digit + "b" * 31) for digit in "023a"]
        others = [old / "values" / "tmp" / (digit + "c" * 31) for digit in "023a"]
        writers = [start("lock_a_file", str(place)) for place in places]
        for place, writer in zip(others, writers, strict=True):
            assert writer.hear() == "locked"
            place.write_bytes(LARGE)
        start(
            "sql",
            str(old),
            *(f"INSERT INTO reserved VALUES ('{place.name}', {FILE})" for place in (*places, *others)),
            f"UPDATE meta SET value = value + {8 * FILE} WHERE name = 'file_bytes'",
        ).finish()
        with rows(start, old) as ask:
            open_store().close()
            assert [place.exists() for place in (*places, *others)] == [True] * 4 + [False] * 4
            assert ask("SELECT count(*) FROM reserved") == 4
            for writer in writers:
                writer.tell()
                writer.finish()
            store = open_store()
            assert not any(place.exists() for place in places)
            assert ask("SELECT count(*) FROM reserved") == 0
            assert store.check()


class TransactionRoomContract(StoreContract):
    """The limit holds inside transactions with large values, too."""

    @pytest.mark.parametrize("what", ["transact", "set_many", "mixed", "undone"])
    def test_while_four_processes_have_transactions_the_limit_holds(self, start, open_store, directory, what):
        limit = 8_000_000
        open_store(max_size=limit).close()
        processes = [start("store_for_a_while", self.kind, str(directory), what, 1.0, seed) for seed in range(4)]
        for process in processes:
            assert process.hear() == "ready"
        for process in processes:
            process.tell()
        worst = 0
        over = time.monotonic() + 1.0
        while time.monotonic() < over:
            worst = max(worst, occupied(directory))
            time.sleep(0.01)
        assert [process.finish() for process in processes] == [{}] * 4
        assert worst <= MOST_OCCUPIED * limit
        assert worst > 0.8 * limit
        with open_store() as store:
            assert store.check()
            assert store.volume() <= limit

    def test_what_a_transaction_has_evicted_is_gone_if_it_is_undone_and_the_rest_is_there(self, open_store, directory):
        store = open_store(max_size=LIMIT, eviction="fifo")
        store.update(dict.fromkeys(range(40), LARGE))
        before = dict(store)
        assert len(before) > 30
        with contextlib.suppress(ZeroDivisionError), store.transact():
            for number in range(10):
                store["new", number] = LARGE
            newest = max(before)
            store[newest] = LARGE[1:]
            del store[newest - 1]
            1 // 0  # noqa: B018
        # The oldest had to go for what was undone.
        after = dict(store)
        assert after == {key: value for key, value in before.items() if key >= min(after)}
        assert 8 <= len(before) - len(after) <= 14
        assert store.check()
        wait_until(lambda: len(value_files(directory)) == len(after))

    def test_what_an_inner_block_has_evicted_is_gone_if_it_is_undone(self, open_store, directory):
        store = open_store(max_size=LIMIT, eviction="fifo")
        store.update(dict.fromkeys(range(40), LARGE))
        before = dict(store)
        with store.transact():
            store["outer"] = LARGE
            with contextlib.suppress(ZeroDivisionError), store.transact():
                for number in range(10):
                    store["inner", number] = LARGE
                1 // 0  # noqa: B018
            assert len(store) == len(list(store.items()))
            store["later"] = LARGE
        after = dict(store)
        assert after.pop("outer") == after.pop("later") == LARGE
        assert after == {key: value for key, value in before.items() if key >= min(after)}
        assert store.check()
        assert store.stats().evictions >= len(before) - len(after)
        wait_until(lambda: len(value_files(directory)) == len(store))

    @pytest.mark.parametrize("size", [1000, 60_000])
    def test_large_values_find_room_where_small_ones_were(self, open_store, directory, size):
        store = open_store(max_size=LIMIT)
        store.update(dict.fromkeys(range(2 * LIMIT // size), b"x" * size))
        with store.transact():
            for number in range(20):
                store["large", number] = random.Random(number).randbytes(FILE)
                assert occupied(directory) <= MOST_OCCUPIED * LIMIT
        for number in range(20):
            assert store["large", number] == random.Random(number).randbytes(FILE)
        with store.transact():
            store.update({("list", number): [random.Random(number).randbytes(FILE)] for number in range(20)})
        assert all(store["list", number] == [random.Random(number).randbytes(FILE)] for number in range(20))
        assert store.check()
        assert occupied(directory) <= MOST_OCCUPIED * LIMIT

    def test_what_does_not_fit_is_refused_and_can_be_undone(self, open_store, directory):
        store = open_store(max_size=LIMIT, eviction="none")
        store.update(dict.fromkeys(range(30), LARGE))
        before = dict(store)
        with pytest.raises(fastcache.CacheFullError), store.transact():
            store.set_many((number, LARGE[1:]) for number in range(30))
        assert dict(store) == before
        assert occupied(directory) <= MOST_OCCUPIED * LIMIT
        assert store.check()
