"""What becomes of a store when the system lets calls fail: the short form of soak_faults.py, full disks, odd files."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

import fastcache

from . import soak_faults
from .contract.bulk import IN_A_FILE

SHORT_SECONDS = 12

linux = pytest.mark.skipif(sys.platform != "linux", reason="lets calls fail, and mounts, the way Linux does")


@linux
def test_each_failing_call_and_allocation_is_told_and_leaves_all_whole(tmp_path):
    # In memory where there is room: each fault has a directory of its own.
    said = soak_faults.run_short(str(tmp_path), SHORT_SECONDS)
    if said.skipped:
        pytest.skip(said.skipped)
    assert said.code == 0, said.text
    assert said.faults > 10, said.text


# -- files that are mapped ---------------------------------------------------------------------------------------------

HUGE = b"\xff" * 8


def content(change):
    """Put another file with other content in a file's place: truncating what is mapped would kill who has mapped it."""

    def replace(path):
        with open(path, "rb") as file:
            found = file.read()
        os.unlink(path)
        with open(path, "wb") as file:
            file.write(change(found))

    return replace


def written(place, what):
    return content(lambda found: found[:place] + what + found[place + len(what) :])


def instead(make):
    def replace(path):
        os.unlink(path)
        make(path)

    return replace


def link_elsewhere(path):
    elsewhere = f"{path}-elsewhere"
    with open(elsewhere, "wb") as file:
        file.write(b"precious")
    os.symlink(elsewhere, path)


ODDITIES = {
    "one byte short": content(lambda found: found[:-1]),
    "half of it": content(lambda found: found[: len(found) // 2]),
    "empty": content(lambda found: b""),
    "one byte": content(lambda found: found[:1]),
    "another signature": written(0, b"something"),
    "no capacity": written(8, bytes(8)),
    "a huge capacity": written(8, HUGE),
    "a capacity just too large": written(8, (1 << 33).to_bytes(8, "little")),
    "all ones": written(0, HUGE * 12),
    "a folder": instead(os.mkdir),
    "a FIFO": instead(getattr(os, "mkfifo", None)),
    "a link": instead(link_elsewhere),
    "a dangling link": instead(lambda path: os.symlink(f"{path}-nowhere", path)),
    "not readable": lambda path: os.chmod(path, 0),
}
MAPPED = ("cache.changes", "cache.recency", "locks/bell", "locks/alive", "locks/computing")


def use(directory):
    """Do what uses each of the files."""
    with fastcache.Cache(directory, max_size=4_000_000, timeout=5) as cache:
        for number in range(60):
            cache[number] = "x" * 3000
        assert cache["kept"] == "value"
        assert cache[59] == "x" * 3000
        cache["large"] = IN_A_FILE
        assert cache["large"] == IN_A_FILE
        cache.delete("large")

        @cache.memoize(name="function")
        def function(number):
            return number + 1

        outcomes = []
        for work in (lambda: function(1), lambda: cache.lock("lock").acquire(timeout=1) and "acquired"):
            try:
                outcomes.append(work())
            except fastcache.CacheError as error:
                outcomes.append(error)
        return outcomes


@linux
@pytest.mark.parametrize("name", MAPPED)
@pytest.mark.parametrize("oddity", ODDITIES)
def test_a_file_that_is_mapped_and_is_not_what_it_should_be_is_replaced_or_done_without(tmp_path, name, oddity):
    with fastcache.Cache(tmp_path, max_size=4_000_000) as cache:
        cache["kept"] = "value"
        with cache.lock("lock"):
            pass
        cache.memoize(name="function")(lambda number: number + 1)(0)
    path = tmp_path / name
    if not path.exists():
        pytest.skip(f"there is no {name} on this system")
    ODDITIES[oddity](path)
    outcomes = use(tmp_path)
    # What is no file at all may stand in the way of locks; then an error of ours says where.
    for outcome, wanted in zip(outcomes, (2, "acquired"), strict=True):
        if isinstance(outcome, fastcache.CacheError):
            assert oddity in ("a folder", "a FIFO", "a link", "a dangling link", "not readable")
            assert name in str(outcome)
        else:
            assert outcome == wanted
    with fastcache.Cache(tmp_path) as cache:
        assert cache["kept"] == "value"
        assert cache.check()
    elsewhere = tmp_path / f"{name}-elsewhere"
    assert not elsewhere.exists() or elsewhere.read_bytes() == b"precious"
    assert not (tmp_path / f"{name}-nowhere").exists()


@linux
@pytest.mark.parametrize("name", ["cache.changes", "cache.recency"])
@pytest.mark.parametrize("oddity", ["half of it", "another signature", "a huge capacity", "a FIFO", "a link"])
def test_it_may_become_so_while_a_store_is_open(tmp_path, name, oddity):
    with fastcache.Cache(tmp_path, max_size=4_000_000) as first:
        first["kept"] = "value"
        # Another file in its place: what is mapped stays what it is.
        ODDITIES[oddity](tmp_path / name)
        use(tmp_path)
        assert first["kept"] == "value"
        first["new"] = 1
        with fastcache.Cache(tmp_path) as second:
            assert second["new"] == 1
            second["new"] = 2
        assert first["new"] == 2


# -- a disk that is full ---------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB; what lies on it is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "fastcache-tests", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def fill(disk, left):
    """Fill the disk until so many bytes are left."""
    with open(disk / "ballast", "ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    size = os.path.getsize(disk / "ballast")
    os.truncate(disk / "ballast", max(0, size - left))


LEFT = [0, 4096, 40_000, 120_000, 400_000]


def content_of(cache):
    return dict(cache.items())


@linux
@pytest.mark.parametrize("left", LEFT)
def test_a_cache_on_a_full_disk_is_opened_read_and_emptied_or_the_error_says_so(small_disk, left):
    directory = small_disk / "cache"
    with fastcache.Cache(directory) as cache:
        cache["large"] = IN_A_FILE
        cache.update(dict.fromkeys(range(200), "x" * 500))
        content = content_of(cache)
    fill(small_disk, left)
    try:
        cache = fastcache.Cache(directory, timeout=5)
    except fastcache.FullError:
        # SQLite needs room for the index of its log.
        assert left < 100_000
    else:
        with cache:
            assert content_of(cache) == content
            try:
                cache.update({("new", number): "y" * 5000 for number in range(1000)})
            except fastcache.FullError:
                assert content_of(cache) == content
            else:
                raise AssertionError("there was room")
            with pytest.raises(fastcache.FullError):
                cache["larger"] = bytes(3_000_000)
            assert content_of(cache) == content
            with contextlib.suppress(fastcache.FullError):
                del cache["large"]
                content.pop("large")
            assert content_of(cache) == content
            with contextlib.suppress(fastcache.FullError):
                cache.clear()
                content = {}
            assert content_of(cache) == content
            if left >= 400_000:
                assert not content
    os.unlink(small_disk / "ballast")
    with fastcache.Cache(directory, timeout=5) as cache:
        assert content_of(cache) == content
        cache["after"] = IN_A_FILE
        assert cache["after"] == IN_A_FILE
        assert cache.check()
        assert not list((directory / "values" / "tmp").glob("?" * 32))


@linux
def test_a_cache_that_is_open_when_the_disk_gets_full_goes_on_being_read(small_disk):
    directory = small_disk / "cache"
    with fastcache.Cache(directory, timeout=5, memory=0) as cache:
        cache["large"] = IN_A_FILE
        cache.update(dict.fromkeys(range(200), "x" * 500))
        content = content_of(cache)
        fill(small_disk, 0)
        with pytest.raises(fastcache.FullError):
            cache.update({("new", number): "y" * 5000 for number in range(1000)})
        with pytest.raises(fastcache.FullError):
            cache["larger"] = bytes(2_000_000)
        assert content_of(cache) == content
        assert cache["large"] == IN_A_FILE
        # What is removed makes room for what comes.
        os.truncate(small_disk / "ballast", os.path.getsize(small_disk / "ballast") - 500_000)
        cache.clear()
        cache["after"] = IN_A_FILE
        assert content_of(cache) == {"after": IN_A_FILE}
        assert cache.check()


@linux
def test_a_new_cache_on_a_full_disk_says_that_it_is_full(small_disk):
    fill(small_disk, 0)
    for kind in (fastcache.Cache, fastcache.Index, fastcache.FanoutCache):
        with pytest.raises(fastcache.FullError):
            kind(small_disk / kind.__name__)
    os.unlink(small_disk / "ballast")
    for kind in (fastcache.Cache, fastcache.Index, fastcache.FanoutCache):
        with kind(small_disk / kind.__name__) as store:
            store["a"] = 1
            assert store["a"] == 1


@linux
def test_trash_that_cannot_be_emptied_on_a_full_disk_keeps_nobody_from_opening(small_disk):
    directory = small_disk / "cache"
    with fastcache.Cache(directory) as cache:
        for number in range(5):
            cache[number] = IN_A_FILE
        content = content_of(cache)
    fill(small_disk, 60_000)
    for _ in range(3):
        with contextlib.suppress(fastcache.FullError), fastcache.Cache(directory, timeout=5) as cache:
            assert content_of(cache) == content
            with contextlib.suppress(fastcache.FullError):
                del cache[len(content) - 1]
                content.pop(len(content) - 1)
            time.sleep(0.05)
    os.unlink(small_disk / "ballast")
    with fastcache.Cache(directory) as cache:
        assert content_of(cache) == content
        assert cache.check()


# It ends by itself when maintenance has complained twice, and goes on to.
FILLS = """
    import contextlib, time
    from fastcache import Cache

    class Complaints:
        def write(self, text):
            complaints.append(text)

        def flush(self):
            pass

    complaints = []
    sys.stderr = Complaints()
    cache = Cache(sys.argv[1], timeout=1)
    for number in range(100):
        cache.set(number, "x" * 1000, expire=0.2 * (number + 1))
    with open(sys.argv[2], "ab", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    # What the log has room for yet.
    with contextlib.suppress(OSError):
        while True:
            number += 1
            cache[number] = "x" * 1000
    while sum("maintenance" in text for text in complaints) < 2:
        time.sleep(0.01)
    assert "threading" not in sys.modules
"""


@linux
def test_a_program_ends_while_maintenance_fails_on_a_full_disk(small_disk, start_program):
    start_program("full disk", FILLS, str(small_disk / "cache"), str(small_disk / "ballast")).finish()
