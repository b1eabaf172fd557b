"""A directory is opened, made, or refused with an error that says why."""

import contextlib
import os
import pathlib
import stat

import pytest

import fastcache

from .store import StoreContract


class OpeningContract(StoreContract):
    def test_a_directory_that_does_not_exist_is_made_with_its_parents(self, open_store, tmp_path):
        path = tmp_path / "not" / "yet" / "there"
        store = open_store(path)
        store["a"] = 1
        assert store.directory == str(path)
        assert (path / "cache.db").is_file()

    def test_a_directory_may_be_given_as_text_or_path(self, open_store, directory):
        open_store(directory)["a"] = 1
        assert open_store(str(directory))["a"] == 1

    def test_a_relative_directory_stays_where_it_was(self, open_store, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        store = open_store("here")
        store["a"] = b"x" * 3_000_000
        assert os.path.isabs(store.directory)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store["b"] = b"x" * 3_000_000
        assert store["a"] == store["b"]
        assert list((tmp_path / "elsewhere").iterdir()) == []

    @pytest.mark.parametrize(
        "name", ["naïve ☃", "with space", "100%", "what?mode=ro#here", "file:name", "a'b\"c", "new\nline"]
    )
    def test_a_directory_may_have_any_name(self, open_store, tmp_path, name):
        with open_store(tmp_path / name) as store:
            store["a"] = b"x" * 3_000_000
        assert open_store(tmp_path / name)["a"] == b"x" * 3_000_000
        assert [path.name for path in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize("wrong", [7, 1.5, [], object(), b"\xff\0"])
    def test_what_is_no_path_is_refused(self, wrong):
        with pytest.raises((TypeError, ValueError)):
            self.store_type(wrong)

    def test_only_its_owner_can_read_it(self, open_store, directory):
        with contextlib.ExitStack() as stack:
            stack.callback(os.umask, os.umask(0))
            store = open_store()
            store["a"] = b"x" * 3_000_000
            store["b"] = "y" * 3_000_000
            for path in [directory, *directory.rglob("*")]:
                mode = stat.S_IMODE(path.stat().st_mode)
                assert mode == (0o700 if path.is_dir() else 0o600), path

    def test_a_directory_that_was_there_keeps_its_mode_and_its_files(self, open_store, directory):
        directory.mkdir(mode=0o755)
        directory.chmod(0o755)
        (directory / "notes.txt").write_text("mine")
        with open_store() as store:
            store["a"] = 1
            assert store.check()
        assert (directory / "notes.txt").read_text() == "mine"

    def test_while_another_program_keeps_the_database_to_itself_opening_times_out(self, open_store, directory, start):
        with open_store() as store:
            store["a"] = 1
        holder = start("hold_exclusively", str(directory))
        assert holder.hear() == "holding"
        # More often than would fit into the time a test may take, if it waited as long as it does by default.
        for _ in range(5):
            with pytest.raises(fastcache.CacheError):
                open_store(timeout=0.1)
        holder.tell()
        holder.finish()
        assert open_store(timeout=0.2) == {"a": 1}

    # what is refused

    def refused(self, open_store, directory, *kinds):
        """Opening raises the first kind of error, which is of the other kinds too and names the directory."""
        with pytest.raises(kinds[0]) as error:
            open_store(directory)
        assert all(isinstance(error.value, kind) for kind in (*kinds, fastcache.CacheError))
        assert str(directory) in str(error.value)
        return error.value

    def test_a_file_is_no_directory(self, open_store, directory):
        directory.write_text("a file")
        self.refused(open_store, directory, fastcache.OpenError)
        assert directory.read_text() == "a file"

    def test_a_path_through_a_file_is_refused(self, open_store, tmp_path):
        (tmp_path / "file").write_text("a file")
        self.refused(open_store, tmp_path / "file" / "below", fastcache.OpenError)

    def test_a_dangling_link_or_a_directory_in_the_place_of_the_database_is_refused(self, open_store, directory):
        (directory / "cache.db").mkdir(parents=True)
        self.refused(open_store, directory, fastcache.OpenError)

    @pytest.mark.parametrize("name", ["a\0b"])
    def test_a_name_no_file_system_takes_is_refused(self, open_store, tmp_path, name):
        with pytest.raises((fastcache.OpenError, ValueError)):
            open_store(f"{tmp_path}/{name}")

    def test_where_nothing_can_be_made_it_is_refused(self, open_store, directory, start):
        directory.mkdir()
        directory.chmod(0o555)
        self._let_others_reach(directory)
        for path in (directory, directory / "new"):
            kinds, text = start("open_as_nobody", self.kind, str(path)).finish()
            assert "OpenError" in kinds, (path, kinds, text)
            assert "CacheError" in kinds
            assert str(path) in text
        directory.chmod(0o755)

    def test_the_directory_may_be_named(self, directory):
        with self.store_type(directory=directory) as store:
            assert store.directory == str(directory)
            assert store == {}
            with pytest.raises(TypeError, match="directory"):
                self.store_type(directory, directory=directory)

    def test_a_directory_of_somebody_else_is_refused(self, open_store, directory, start):
        open_store()["a"] = 1
        self._let_others_reach(directory)
        if os.getuid() != 0:
            directory.chmod(0o000)
        kinds, text = start("open_as_nobody", self.kind, str(directory)).finish()
        directory.chmod(0o700)
        assert "OpenError" in kinds, (kinds, text)
        assert str(directory) in text

    def _let_others_reach(self, directory):
        """Open the way to the test's directory: the temporary directories of pytest are private."""
        for parent in list(directory.parents)[:-2]:
            if parent.stat().st_uid == os.getuid() and parent != pathlib.Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o055)

    @pytest.mark.parametrize(
        "content",
        [
            b"this is a text, not a database\n" * 1000,
            b"x",
            bytes(range(256)) * 64,
            b"SQLite format 3\0" + b"\xff" * 5000,
            b"SQLite format 3\0",
            b"\0" * 8192,
        ],
        ids=["text", "one byte", "bytes", "header and garbage", "header alone", "zeros"],
    )
    def test_a_file_that_is_no_database_is_refused_and_left_alone(self, open_store, directory, content):
        directory.mkdir()
        (directory / "cache.db").write_bytes(content)
        self.refused(open_store, directory, fastcache.NotACacheError, fastcache.OpenError)
        assert (directory / "cache.db").read_bytes() == content

    def test_an_empty_database_file_is_a_new_store(self, open_store, directory):
        directory.mkdir()
        (directory / "cache.db").write_bytes(b"")
        store = open_store()
        store["a"] = 1
        assert store["a"] == 1

    def test_a_database_of_another_program_is_refused_and_left_alone(self, open_store, directory, start):
        directory.mkdir()
        start("sql", str(directory), "CREATE TABLE mine(a)", "INSERT INTO mine VALUES (1)").finish()
        content = (directory / "cache.db").read_bytes()
        self.refused(open_store, directory, fastcache.NotACacheError, fastcache.OpenError)
        assert (directory / "cache.db").read_bytes() == content
        assert start("sql", str(directory), "SELECT * FROM mine").finish() == [[1]]

    @pytest.mark.parametrize("table", ["meta", "entries", "cache", "Cache", "Settings"])
    def test_a_database_of_another_program_with_a_table_of_our_name_is_refused(
        self, open_store, directory, start, table
    ):
        directory.mkdir()
        start("sql", str(directory), f"CREATE TABLE {table}(one, other)").finish()
        self.refused(open_store, directory, fastcache.NotACacheError, fastcache.OpenError)

    def test_a_newer_format_is_refused_and_left_alone(self, open_store, directory, start):
        with open_store() as store:
            store["a"] = 1
        stored = self.make_newer(directory, start)
        error = self.refused(open_store, directory, fastcache.FormatError, fastcache.OpenError)
        assert stored in str(error), "the error must say what is stored"
        self.make_current(directory, start)
        assert open_store() == {"a": 1}

    def make_newer(self, directory, start):
        """Write a format version of the far future into the database; return it as text."""
        newer = start(
            "sql",
            str(directory),
            "UPDATE meta SET value = value + 987000 WHERE name = 'format'",
            "SELECT value FROM meta WHERE name = 'format'",
        )
        ((version,),) = newer.hear()
        newer.finish()
        return str(version)

    def make_current(self, directory, start):
        start("sql", str(directory), "UPDATE meta SET value = value - 987000 WHERE name = 'format'").finish()

    def test_a_refused_directory_can_be_used_once_the_reason_is_gone(self, open_store, directory):
        directory.write_text("a file")
        for _ in range(100):
            self.refused(open_store, directory, fastcache.OpenError)
        directory.unlink()
        store = open_store()
        store["a"] = 1
        assert store["a"] == 1

    # at once

    @pytest.mark.parametrize(("processes", "rounds"), [(2, 40), (8, 10)])
    def test_processes_that_make_the_same_directory_at_once_all_get_it(
        self, open_store, tmp_path, start, processes, rounds
    ):
        directories = [str(tmp_path / f"round {number}" / "store") for number in range(rounds)]
        started = [start("create", self.kind, *directories) for _ in range(processes)]
        for _ in directories:
            assert [process.hear() for process in started] == ["ready"] * processes
            for process in started:
                process.tell()
        assert [process.finish() for process in started] == ["done"] * processes
        for directory in directories:
            with open_store(directory) as store:
                assert store["opened"] == processes
                assert len(store) == processes + 1
                assert store.check()
