"""A checkpoint of a foreign program and a commit that starts the write-ahead log over keep out of each other's way."""

import subprocess
import sys

import pytest

import fastcache

FOREIGN = """
import fcntl, sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
index = None
for line in sys.stdin:
    if line == "checkpoint\\n":
        busy, frames, copied = base.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        print(busy, frames - copied, flush=True)
        index = index or open(sys.argv[1] + "-shm", "r+b")
    elif line == "begin\\n":
        # WAL_CKPT_LOCK, which who checkpoints has from the beginning to the end.
        fcntl.lockf(index, fcntl.LOCK_EX, 1, 121)
        print("begun", flush=True)
    else:
        fcntl.lockf(index, fcntl.LOCK_UN, 1, 121)
        print("ended", flush=True)
"""


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def foreigner(directory):
    """Tell a foreign program what to do; it says what came of it."""
    command = [sys.executable, "-c", FOREIGN, str(directory / "cache.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def tell(what):
            process.stdin.write(what + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield tell
        process.stdin.close()


def salts(directory):
    """What is new in the write-ahead log with each time that it starts over."""
    return (directory / "cache.db-wal").read_bytes()[16:24]


@pytest.mark.skipif(sys.platform != "linux", reason="where SQLite locks which byte is known there")
@pytest.mark.parametrize("journal", [False, True])
def test_no_commit_starts_the_log_over_while_a_foreign_program_checkpoints(directory, foreigner, journal):
    with fastcache.Cache(directory, journal=journal) as store:
        store["a"] = 1
        store.flush()
        assert foreigner("checkpoint") == "0 0"
        before = salts(directory)
        assert foreigner("begin") == "begun"
        for number in range(3):
            store["b"] = number
            store.flush()
            assert salts(directory) == before
        assert foreigner("end") == "ended"
        assert foreigner("checkpoint") == "0 0"
        store["c"] = 2
        store.flush()
        assert salts(directory) != before
        assert dict(store.items()) == {"a": 1, "b": 2, "c": 2}
        assert store.check()
