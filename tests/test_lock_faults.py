"""What locks and computing once do where the system refuses what they ask of it."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import fastcache

REFUSING = pathlib.Path(__file__).with_name("refusing.c")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD, /proc and futex are Linux's")


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """The library that refuses."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no compiler here")
    library = tmp_path_factory.mktemp("refusing") / "refusing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, REFUSING, "-ldl"], check=True)
    return library


@pytest.fixture
def start_refused(refusing, monkeypatch, start, tmp_path):
    """Start a process that the system refuses something."""

    def start_refused(command, *arguments, **refused):
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", f"{os.environ.get('LD_PRELOAD', '')} {refusing}")
            for name, value in refused.items():
                patch.setenv(f"REFUSE_{name.upper()}", str(value))
            return start(command, "Cache", str(tmp_path / "cache"), *arguments)

    return start_refused


@pytest.mark.parametrize("code", ["ENOSYS", "EINVAL", "EAGAIN", "EINTR", "ENOMEM"])
def test_where_nobody_can_be_woken_all_goes_on(start_refused, tmp_path, code):
    refused = {"futex": getattr(errno, code)}
    one, other = (start_refused("use_lock", "Lock", "a", {}, **refused) for _ in range(2))
    one.tell(["acquire"])
    assert one.hear() is True
    other.tell(["acquire"])
    one.tell(["release"])
    assert one.hear() is True
    assert other.hear() is True
    other.tell(["release"])
    assert other.hear() is True
    calls = tmp_path / "calls"
    asking = [start_refused("compute_once", "get_or_set", str(calls), 0.1, **refused) for _ in range(3)]
    for process in asking:
        assert process.hear() == "ready"
    for process in asking:
        process.tell()
    assert [process.finish() for process in asking] == [["result"]] * 3
    assert len(calls.read_text().split()) == 1


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "EINVAL", "ENOSYS"])
def test_where_bytes_of_files_cannot_be_locked_an_error_says_so(start_refused, code):
    outcomes = start_refused("lock_and_compute", locks=getattr(errno, code)).finish()
    for outcome in outcomes.values():
        assert outcome.startswith("StorageError: ")
        assert "file system does not lock bytes of files" in outcome


def test_what_the_system_refuses_to_take_back_is_given_back_later(start_refused, start, tmp_path):
    directory = str(tmp_path / "cache")
    one = start_refused("compute_each", locks=errno.ENOLCK, unlocking=2)
    other = start("compute_each", "Cache", directory)
    one.tell("a")
    assert one.hear() == one.popen.pid
    with fastcache.Cache(directory) as store:
        store.delete("a")
    other.tell("a")
    one.tell("b")
    assert one.hear() == one.popen.pid
    assert other.hear() == other.popen.pid


@pytest.mark.parametrize("how", ["lock", "get_or_set"])
def test_without_descriptors_an_error_says_so_and_later_all_goes_on(start, tmp_path, how):
    *refused, last, again = start("lock_and_compute_without_descriptors", "Cache", str(tmp_path), how).finish()
    assert refused
    assert last == again == "done"
    for outcome in refused:
        assert "Too many open files" in outcome or "OpenError" in outcome
