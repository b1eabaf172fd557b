"""The command reports on caches, tells by its exit code what it found, and never makes a cache by looking."""

import collections
import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import fastcache
from fastcache.tools.cli import main
from tests.contract.places import in_reach

LARGE = b"x" * 10_000_000  # beyond any inline limit


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A cache of three entries, one of them in a file."""
    with fastcache.Cache(tmp_path / "cache") as cache:
        cache.update({"a": 1, "b": [2], "large": LARGE})
    return tmp_path / "cache"


def value_file(directory: Path) -> Path:
    (found,) = (path for path in (directory / "values").rglob("*") if path.is_file())
    return found


def test_info_shows_what_a_cache_holds(directory, capsys):
    assert main(["info", str(directory)]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    with fastcache.Cache(directory) as cache:
        assert shown["directory"] == cache.directory
        assert shown["entries"] == "3"
        assert shown["size"] == f"{cache.size():,} bytes of values"
        assert shown["volume"] == f"{cache.volume():,} bytes on disk"
        assert shown["limit"] == "none"
        assert shown["serializer"] == "pickle"
        assert int(shown["format"]) >= 1


def test_info_reads_an_index_too(tmp_path, capsys):
    with fastcache.Index(tmp_path, a=1, b=2):
        pass
    assert main(["info", str(tmp_path)]) == 0
    assert "entries     2\n" in capsys.readouterr().out


class OwnSerializer:
    """One that the command cannot know."""

    name = "own"

    def dumps(self, value: object, /) -> bytes:
        return repr(value).encode()

    def loads(self, data: bytes, /) -> object:
        raise AssertionError("a report decodes no value")


@pytest.mark.parametrize("serializer", [fastcache.MsgspecSerializer(), OwnSerializer()])
def test_a_cache_with_another_serializer_is_read_as_it_is(tmp_path, capsys, serializer):
    with fastcache.Cache(tmp_path, serializer=serializer, max_size=12_345_678) as cache:
        cache["a"] = [1]
    assert main(["check", str(tmp_path)]) == 0
    assert main(["info", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"serializer  {serializer.name}\n" in shown
    assert "limit       12,345,678 bytes, eviction lru\n" in shown
    with fastcache.Cache(tmp_path, serializer=serializer) as cache:
        assert cache.max_size == 12_345_678


def test_check_decodes_what_any_serializer_of_ours_has_written(tmp_path, capsys):
    with fastcache.Cache(tmp_path, serializer=fastcache.MsgspecSerializer()) as cache:
        cache["a"], cache["b"] = [1], [2]
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db")) as database, database:
        database.execute("UPDATE entry SET value = x'c1' WHERE key = 'b'")
    assert main(["check", str(tmp_path)]) == 1
    assert "undecodable entry: row 2" in capsys.readouterr().out


def test_check_passes_a_sound_cache(directory, capsys):
    assert main(["check", str(directory)]) == 0
    with fastcache.Cache(directory) as cache:
        assert capsys.readouterr().out == f"{cache.check()}\n"


def test_check_fails_a_damaged_cache_and_fix_repairs_it(directory, capsys):
    value_file(directory).unlink()
    assert main(["check", str(directory)]) == 1
    assert "dangling row" in capsys.readouterr().out
    assert main(["check", str(directory), "--fix"]) == 1
    assert "repaired" in capsys.readouterr().out
    assert main(["check", str(directory)]) == 0
    with fastcache.Cache(directory) as cache:
        assert list(cache) == ["a", "b"]


def test_check_fails_a_damaged_database_and_fix_keeps_what_is_readable(tmp_path, capsys):
    with fastcache.Cache(tmp_path) as cache, cache.transact():
        for number in range(5_000):
            cache[number] = "x" * 300
    with (tmp_path / "cache.db").open("r+b") as database:
        database.seek(100 * 4096)
        database.write(b"\xff" * 4096)
    assert main(["check", str(tmp_path)]) == 1
    assert main(["check", str(tmp_path), "--fix"]) == 1
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    with fastcache.Cache(tmp_path) as cache:
        assert 4_900 < len(cache) < 5_000


@pytest.mark.parametrize("command", ["info", "check"])
class TestWhatIsNoCache:
    """Looking at it is refused with a message, and leaves it as it is."""

    @staticmethod
    def refused(command: str, path: Path, capsys: pytest.CaptureFixture[str]) -> str:
        assert main([command, str(path)]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("fastcache: ")
        assert str(path) in printed.err
        return printed.err

    def test_a_missing_folder_is_not_made(self, command, tmp_path, capsys):
        self.refused(command, tmp_path / "absent", capsys)
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_folder_stays_empty(self, command, tmp_path, capsys):
        assert "no database cache.db" in self.refused(command, tmp_path, capsys)
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_file_is_not_filled(self, command, tmp_path, capsys):
        (tmp_path / "cache.db").touch()
        self.refused(command, tmp_path, capsys)
        assert [path.stat().st_size for path in tmp_path.iterdir()] == [0]

    def test_a_file_is_not_taken_for_a_folder(self, command, tmp_path, capsys):
        (tmp_path / "file").write_bytes(b"precious")
        self.refused(command, tmp_path / "file", capsys)
        assert (tmp_path / "file").read_bytes() == b"precious"

    def test_a_file_that_is_no_database_is_left_alone(self, command, tmp_path, capsys):
        (tmp_path / "cache.db").write_bytes(b"precious" * 1000)
        self.refused(command, tmp_path, capsys)
        assert (tmp_path / "cache.db").read_bytes() == b"precious" * 1000

    def test_another_programs_database_is_left_alone(self, command, tmp_path, capsys):
        create = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('CREATE TABLE precious (a)')"
        subprocess.run([sys.executable, "-c", create, tmp_path / "cache.db"], check=True)
        before = (tmp_path / "cache.db").read_bytes()
        self.refused(command, tmp_path, capsys)
        assert (tmp_path / "cache.db").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_an_unreadable_folder_is_refused(directory, capsys):
    directory.chmod(0)
    user = os.geteuid()
    if user == 0:
        # Permissions do not bind root.
        os.seteuid(65534)
    try:
        assert main(["info", str(directory)]) == 2
    finally:
        os.seteuid(user)
        directory.chmod(0o700)
    assert capsys.readouterr().err.startswith("fastcache: ")


def test_check_counts_what_it_does_not_trust_and_sign_signs_it(tmp_path, capsys):
    with fastcache.Cache(tmp_path, serializer=fastcache.PickleSerializer(unsafe=True)) as cache:
        cache["plain"], cache["other"] = [1], collections.Counter("aab")
    assert main(["check", str(tmp_path)]) == 1
    assert "untrusted entry" in capsys.readouterr().out
    assert main(["check", str(tmp_path), "--fix"]) == 1
    assert "1 problem(s), repaired but 1 of them\n" in capsys.readouterr().out
    assert main(["sign", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 entries were signed\n"
    assert main(["check", str(tmp_path)]) == 0
    with fastcache.Cache(tmp_path) as cache:
        assert dict(cache) == {"plain": [1], "other": collections.Counter("aab")}


def test_a_name_that_would_steer_the_terminal_is_shown_escaped(tmp_path, capsys):
    assert main(["info", str(tmp_path / "\x1b[31m")]) == 2
    assert r"\x1b[31m" in capsys.readouterr().err


def test_version_names_ours_and_sqlites(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    own, sqlite = capsys.readouterr().out.strip().split(", ")
    assert own == f"fastcache {fastcache.__version__}"
    assert sqlite.startswith("SQLite 3.")


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["info"], ["check", "--unknown", "."]])
def test_arguments_that_make_no_sense_are_refused(capsys, arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: fastcache" in capsys.readouterr().err


def test_runs_as_a_module(directory):
    command = [sys.executable, "-m", "fastcache", "info", directory]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "entries     3" in ended.stdout
    assert ended.stderr == ""


def test_output_that_nobody_reads_is_no_error(directory):
    command = [sys.executable, "-u", "-m", "fastcache", "info", directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        with contextlib.closing(process.stdout):
            pass
        _, errors = process.communicate(timeout=60)
    assert errors == b""


def test_a_directory_is_named_as_in_a_shell(directory, capsys, monkeypatch):
    monkeypatch.setenv("HOME", os.path.dirname(directory))
    monkeypatch.setenv("NAME", os.path.basename(directory))
    assert main(["info", "~/$NAME"]) == 0
    assert str(directory) in capsys.readouterr().out
    assert main(["check", "~/$NAME"]) == 0


def test_what_cannot_be_written_to_is_looked_at_all_the_same(start):
    with in_reach() as directory:
        with fastcache.Cache(directory) as cache:
            cache.update({"a": 1, "b": [2], "large": LARGE})
        for command in ("info", "check"):
            assert start("command_without_writing", str(directory), command).finish() == 0
