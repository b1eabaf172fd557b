"""The demo finds the same in both passes, notices what changed, and is never stopped by a file."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import fastcache
from fastcache.tools import demo
from fastcache.tools.cli import main

APP = b"""import os
import json.decoder
from collections import abc
from . import sibling

class App:
    def run(self):
        async def inner():
            return os, json
        return inner
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "package").mkdir(parents=True)
    (folder / "app.py").write_bytes(APP)
    (folder / "copy.py").write_bytes(APP)
    (folder / "other.py").write_bytes(b"import os\n")
    (folder / "package" / "__init__.py").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"not Python")
    for installed in ("site-packages", "dist-packages"):
        (folder / "lib" / installed).mkdir(parents=True)
        (folder / "lib" / installed / "installed.py").write_bytes(b"import os\n")
    return folder


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def table(source: Path, directory: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, str]]:
    """Run the demo, and return the lines of its table by their labels."""

    def run(*options: str) -> dict[str, str]:
        assert main(["demo", "--directory", str(directory), "--source", str(source), *options]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        rows = (line.strip().partition("  ") for line in printed.out.splitlines() if line.startswith("  "))
        return {label: " ".join(rest.split()) for label, _, rest in rows}

    return run


def test_fills_an_empty_cache_and_then_takes_everything_from_it(table):
    rows = table()
    size = 2 * len(APP) + len(b"import os\n")
    assert rows["files"] == "4"
    assert rows["bytes read"] == f"{size:,} in each pass"
    assert "s of it reading and hashing" in rows["cold pass"]
    assert "s of it reading and hashing" in rows["warm pass"]
    assert rows["speed-up"].endswith(" x")
    assert rows["hit ratio, warm"] == "100.0% 12 of 12 lookups"
    # Two analyses for each of three different contents, a row for each of four files, the owner's mark.
    assert rows["size on disk"].endswith("bytes, 11 entries")


def test_shows_what_it_found(table):
    rows = table()
    assert rows["most imported"] == "3 files import os, collections by 2, json by 2"
    assert rows["largest file"] == f"{len(APP)} bytes in app.py"
    assert rows["most functions"] == "2 in app.py"
    assert rows["deepest nesting"].endswith("levels in app.py")


def test_values_of_the_table_end_in_one_column(source, directory, capsys):
    assert main(["demo", "--directory", str(directory), "--source", str(source)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    values = [re.match(r"  \w.*?  +(\d[\d,.]*(?: s| x|%)?)(?:  |$)", row) for row in rows]
    assert len(rows) == 11
    assert len({value and value.end(1) for value in values}) == 1


def test_a_second_run_starts_warm_and_says_so(table):
    table()
    rows = table()
    assert "cold pass" not in rows
    assert "first pass (already warm)" in rows
    assert "not cold" in rows["speed-up"]
    assert rows["hit ratio, warm"] == "100.0% 12 of 12 lookups"


def test_a_second_process_starts_warm(source, directory):
    command = [sys.executable, "-m", "fastcache", "demo", "--directory", directory, "--source", source]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cold pass" in first.stdout
    assert "first pass (already warm)" in second.stdout
    assert first.stderr == second.stderr == ""


def test_fresh_empties_the_cache_first(table):
    table()
    rows = table("--fresh")
    assert "cold pass" in rows
    assert rows["size on disk"].endswith("bytes, 11 entries")


def test_a_changed_file_is_noticed_though_size_and_time_are_the_same(table, source):
    table()
    app = source / "app.py"
    before = app.stat()
    app.write_bytes(APP.replace(b"import os", b"import re"))
    os.utime(app, ns=(before.st_atime_ns, before.st_mtime_ns))
    rows = table()
    assert rows["files"] == "4 1 changed since the last run"
    assert "first pass (partly warm)" in rows
    assert rows["most imported"] == "2 files import collections, json by 2, os by 2, re by 1"


def test_files_come_and_go(table, source):
    table()
    (source / "other.py").unlink()
    (source / "new.py").write_bytes(b"import new\n")
    assert table()["files"] == "4"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"def broken(:\n", id="syntax"),
        pytest.param(b"if 1:\n        a\n    b\n", id="indentation"),
        pytest.param(b"# coding: uft-8\n", id="unknown encoding"),
        pytest.param(b"# coding: utf-8\n'\xff'\n", id="wrong encoding"),
        pytest.param(b"\xef\xbb\xbf# coding: latin-1\n", id="contradicting encodings"),
        pytest.param(b"a = '\0'\n", id="null byte"),
        pytest.param(b'"""never closed\n', id="open string"),
        pytest.param(b"(" * 1000, id="open parentheses"),
        pytest.param(b"\xff\xfe" + "import os".encode("utf-16-le"), id="utf-16"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_recorded(table, source, content):
    (source / "broken.py").write_bytes(content)
    for rows in (table(), table()):
        assert rows["files"] == "5 1 of them unreadable or unparsable"
        assert rows["hit ratio, warm"] == "100.0% 15 of 15 lookups"


def test_a_file_nested_beyond_the_recursion_limit_is_no_obstacle(table, source):
    (source / "deep.py").write_bytes(b"a = " + b"1 + " * 20_000 + b"1\n")
    assert table()["files"].startswith("5")


def test_a_link_to_nowhere_is_recorded(table, source):
    try:
        (source / "nowhere.py").symlink_to(source / "absent")
    except OSError:
        pytest.skip("no symbolic links here")
    assert table()["files"] == "5 1 of them unreadable or unparsable"


def test_a_folder_named_like_a_file_is_none(table, source):
    (source / "folder.py").mkdir()
    assert table()["files"] == "4"


def test_a_file_whose_name_is_not_text_is_analysed_like_any_other(table, source):
    try:
        (source / os.fsdecode(b"caf\xe9.py")).write_bytes(APP + APP)
    except OSError:
        pytest.skip("no such names here")
    for rows in (table(), table()):
        assert rows["files"] == "5"
        assert rows["largest file"] == rf"{2 * len(APP)} bytes in caf\udce9.py"


def test_a_folder_without_python_files_is_refused_and_no_cache_made(tmp_path, directory, capsys):
    code = main(["demo", "--directory", str(directory), "--source", str(tmp_path / "absent")])
    assert code == 2
    assert capsys.readouterr().err.startswith("fastcache: no .py file under")
    assert not directory.exists()


@pytest.mark.parametrize("options", [[], ["--fresh"]])
def test_the_cache_of_another_program_is_refused_and_left_alone(source, directory, capsys, options):
    with fastcache.Cache(directory) as cache:
        cache["precious"] = 1
    assert main(["demo", "--directory", str(directory), "--source", str(source), *options]) == 2
    assert "did not make" in capsys.readouterr().err
    with fastcache.Cache(directory) as cache:
        assert list(cache.items()) == [("precious", 1)]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG folders are not for these systems")
def test_keeps_its_cache_below_the_users_cache_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/someone")
    assert demo.default_directory() == Path("/var/someone/fastcache/demo")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert demo.default_directory() == Path("/home/someone/.cache/fastcache/demo")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert demo.default_directory() == Path("/home/someone/.cache/fastcache/demo")


def test_uses_the_standard_library_unless_told_otherwise():
    files = demo.source_files(demo.standard_library())
    assert Path(os.__file__) in files
    assert not any({"site-packages", "dist-packages"} & set(file.parts) for file in files)


class Watcher(io.StringIO):
    """A stream for progress bars that does something when the named pass is first drawn."""

    def __init__(self, label: str, act: Callable[[], object]) -> None:
        super().__init__()
        self._label, self._act = label, act

    def write(self, text: str) -> int:
        first = text.startswith(f"\r{self._label}") and self._label not in self.getvalue()
        written = super().write(text)
        if first:
            self._act()
        return written


@pytest.fixture
def watched(
    source: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Callable[[], object]], tuple[int, str]]:
    """Run the demo while something happens; return its exit code and what it wrote to stderr."""

    def run(label: str, act: Callable[[], object]) -> tuple[int, str]:
        stream = Watcher(label, act)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            arguments = ["--directory", str(directory), "--source", str(source), "--progress"]
            return main(["demo", *arguments]), stream.getvalue()

    return run


def test_progress_is_shown_on_request_and_erased_at_the_end(watched):
    code, drawn = watched("first pass", lambda: None)
    assert code == 0
    assert "\rfirst pass" in drawn
    assert f"[{'#' * 30}] 4 of 4 files" in drawn
    assert drawn.endswith("\r" + " " * 79 + "\r")


def test_progress_that_nobody_reads_stops_nothing(watched):
    def hang_up():
        raise BrokenPipeError

    code, _ = watched("first pass", hang_up)
    assert code == 0


def test_a_file_that_changes_between_the_passes_is_reported(watched, source):
    code, errors = watched("second pass", lambda: (source / "other.py").write_bytes(b"import sys\n"))
    assert code == 1
    assert f"fastcache: {source / 'other.py'} changed while the demo ran" in errors


def test_a_wrong_answer_of_the_cache_is_reported(watched, directory):
    def falsify():
        with fastcache.Cache(directory) as cache:
            for key in list(cache):
                if isinstance(key, tuple) and key[0] == "count_tokens":
                    cache[key] = {"kinds": {}, "error": None}

    code, errors = watched("second pass", falsify)
    assert code == 1
    assert "fastcache: the passes disagree about" in errors


def test_an_interrupted_run_keeps_what_it_analysed(watched, table):
    def interrupt():
        raise KeyboardInterrupt

    code, errors = watched("first pass", interrupt)
    assert code == 130
    assert errors.endswith("\rfastcache: interrupted\n")
    assert "first pass (partly warm)" in table()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
def test_ctrl_c_ends_cleanly(directory):
    # A test run in the background ignores SIGINT, which its children would inherit.
    start = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); import fastcache.tools.cli; "
    start += "sys.exit(fastcache.tools.cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", start, "demo", "--progress", "--directory", directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert errors.endswith(b"\rfastcache: interrupted\n")
