"""The clock of commits begins anew when the last connection closes, and after a crash: no read is stale for that."""

import os
import random
import shutil
import signal

import pytest

from .store import StoreContract

KEYS = ("a", "b", 1, b"c", (2, "d"))
ROUNDS = 8


class LivesContract(StoreContract):
    @pytest.fixture
    def live(self, start, directory):
        """Have another process do operations, in a life of the database of its own if nobody else has it open."""
        process = start("answer_in_lives", self.kind, str(directory))

        def live(*operations):
            process.tell(operations)
            process.hear()

        return live

    def test_what_was_logged_in_an_earlier_life_explains_nothing(self, live, open_store):
        live(["set", "'a'", 0], ["set", "'b'", 0])
        live(["set", "'a'", 1])
        store = open_store()
        assert [store["a"], store["b"], store["b"]] == [1, 0, 0]
        live(["set", "'b'", 1])
        assert [store["a"], store["b"], store["b"]] == [1, 1, 1]

    @pytest.mark.parametrize("ending", ["close", "kill", "other journal", "files removed", "put back"])
    def test_reads_are_current_whatever_ends_a_life(self, start, live, directory, tmp_path, open_store, ending):  # noqa: PLR0917
        chance = random.Random(f"lives {ending}")
        expected = {}

        def write():
            """Some commits of another process; what is to be read then is known."""
            operations = []
            for _ in range(chance.randrange(1, 4)):
                key, value = chance.choice(KEYS), chance.randrange(1000)
                how = chance.choice(("set", "set", "incr", "delete", "pop", "set_many"))
                if how == "incr":
                    expected[key] = expected.get(key, 0) + value
                    operations.append([how, repr(key), value])
                elif how in ("delete", "pop"):
                    # A pop of what is absent is an error of an Index.
                    how = how if key in expected else "delete"
                    expected.pop(key, None)
                    operations.append([how, repr(key)])
                elif how == "set_many":
                    both = [(one, value) for one in chance.sample(KEYS, 2)]
                    expected.update(both)
                    operations.append([how, [[repr(one), value] for one, value in both]])
                else:
                    expected[key] = value
                    operations.append([how, repr(key), value])
            return operations

        for _ in range(ROUNDS):
            if ending == "put back" and directory.exists():
                shutil.rmtree(tmp_path / "copy", ignore_errors=True)
                shutil.copytree(directory, tmp_path / "copy")
                kept = dict(expected)
            if ending == "kill":
                process = start("answer_in_lives", self.kind, str(directory), False)
                process.tell(write())
                process.hear()
                os.kill(process.popen.pid, signal.SIGKILL)
                process.popen.wait()
            else:
                live(*write())
            if ending == "put back" and (tmp_path / "copy").exists():
                shutil.rmtree(directory)
                shutil.copytree(tmp_path / "copy", directory)
                expected.clear()
                expected.update(kept)
            elif ending == "files removed":
                # Of a database that nobody has open; there are none, mostly.
                for path in [*directory.rglob("*-wal"), *directory.rglob("*-shm")]:
                    path.unlink()
            elif ending == "other journal":
                for path in directory.rglob("cache.db"):
                    start("sql", str(path.parent), "PRAGMA journal_mode = DELETE", "PRAGMA journal_mode = WAL").finish()
            store = open_store()
            for _ in range(3):
                for _ in range(3):
                    assert {key: store[key] for key in KEYS if key in store} == expected
                live(*write())
            assert {key: store[key] for key in KEYS if key in store} == expected
            assert store.get_many(KEYS) == expected
            store.close()
