"""A transaction happens as a whole or not at all, and nobody sees it before it has."""

import asyncio
import contextlib
import contextvars
import threading

import pytest

import fastcache

from ..together import in_a_thread, together
from ..workers.interruption import WAITS
from .mapping import added_while_iterating
from .store import StoreContract, in_order, value_files

BIG = b"big!" * 1_000_000


class Oops(Exception):
    pass


def write_by_batch(store):
    with store.batch() as batch:
        batch["batch"] = 1


READS = {"get": lambda store: store.get("a"), "len": len, "items": in_order}


BY_TASKS = {
    "set": lambda store: store.set("set", 1),
    "[]": lambda store: store.__setitem__("a", 1),
    "add": lambda store: store.add("inside", 1),
    "set_many": lambda store: store.set_many({"many": 1}),
    "pop": lambda store: store.pop("absent", None),
    "delete": lambda store: store.delete("absent"),
    "incr": lambda store: store.incr("n"),
    "large": lambda store: store.set("a", BIG),
    "get_or_set": lambda store: store.get_or_set("got", lambda: 1),
    "transact": lambda store: store.transact().__enter__().__exit__(None, None, None),
    "batch": write_by_batch,
}


@contextlib.contextmanager
def rolled_back(store):
    """A transaction that fails at the end of its block."""
    with pytest.raises(Oops), store.transact():  # noqa: PT012
        yield
        raise Oops


WRITES = {
    "set": lambda store: store.set("a", 2),
    "[]=": lambda store: store.__setitem__("a", 2),
    "add": lambda store: store.add("b", 2),
    "delete": lambda store: store.delete("a"),
    "del": lambda store: store.__delitem__("a"),
    "pop": lambda store: store.pop("a", None),
    "popitem": lambda store: store.popitem(),
    "setdefault": lambda store: store.setdefault("b", 2),
    "update": lambda store: store.update(a=2, b=3),
    "incr": lambda store: store.incr("n"),
    "decr": lambda store: store.decr("b"),
    "get_or_set": lambda store: store.get_or_set("b", lambda: 2),
    "clear": lambda store: store.clear(),
    "transact": lambda store: store.transact().__enter__(),
    "a large value": lambda store: store.set("a", BIG),
}


# What is there after each of the ways to wait for a lock.
WRITTEN = {
    "set": {"set": lambda name: f"{name} value"},
    "set large": {"large": lambda name: name * 200_000},
    "add": {"added": lambda name: f"{name} value"},
    "incr": {"counted": len},
    "update": {"updated": str, "updated, too": str},
    "setdefault": {"default": lambda name: f"{name} value"},
    "transact": {"in a transaction": str, "in it, too": str},
}
REMOVED = {"popped": "pop", "deleted": "delete"}


class TransactionContract(StoreContract):
    # commit and rollback

    def test_what_a_transaction_wrote_is_there_after_it(self, store, open_store):
        with store.transact():
            store["a"] = 1
            store["b"] = BIG
            del store["a"]
            store["c"] = [3]
        assert in_order(store) == [("b", BIG), ("c", [3])]
        assert in_order(open_store()) == [("b", BIG), ("c", [3])]

    @pytest.mark.parametrize("failure", [Oops, KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
    def test_any_exception_rolls_back_and_comes_through(self, store, open_store, failure):
        store.update(a=1, b=[2])
        raised = failure("why")
        with pytest.raises(failure) as caught, store.transact():  # noqa: PT012
            store["a"] = 3
            store["c"] = 4
            raise raised
        assert caught.value is raised
        assert in_order(store) == [("a", 1), ("b", [2])]
        assert in_order(open_store()) == [("a", 1), ("b", [2])]

    @pytest.mark.parametrize("way", [way for way in WRITES if way != "transact"])
    def test_every_write_is_rolled_back(self, store, way):
        store.update(n=5, a=1)
        with rolled_back(store):
            WRITES[way](store)
            assert in_order(store) != [("n", 5), ("a", 1)]
        assert in_order(store) == [("n", 5), ("a", 1)]
        assert (store.get("n"), store.get("a"), store.get("b")) == (5, 1, None)
        assert len(store) == 2
        assert store.check()

    def test_a_transaction_sees_its_own_writes(self, store):
        store["a"] = 1
        with store.transact():
            store["a"] = 2
            store["b"] = BIG
            assert store["a"] == 2
            assert store.get("b") == BIG
            assert in_order(store) == [("a", 2), ("b", BIG)]
            del store["a"]
            assert "a" not in store
            assert len(store) == 1
            assert store == {"b": BIG}
            assert store.clear() == 1
            assert store == {}

    def test_after_a_rollback_the_store_goes_on(self, store):
        for number in range(50):
            with rolled_back(store):
                store["a"] = number
            with store.transact():
                store[number] = number
        assert in_order(store) == [(number, number) for number in range(50)]

    def test_an_empty_transaction_changes_nothing(self, store):
        store["a"] = 1
        with store.transact():
            pass
        with rolled_back(store):
            pass
        assert store == {"a": 1}

    def test_an_error_of_the_store_inside_is_an_exception_like_any_other(self, store):
        store["a"] = "text"
        with pytest.raises(KeyError), store.transact():  # noqa: PT012
            store["b"] = 1
            store["absent"]
        with pytest.raises(TypeError), store.transact():  # noqa: PT012
            store["b"] = 1
            store.incr("a")
        assert store == {"a": "text"}

    def test_an_error_that_is_caught_inside_undoes_nothing_else(self, store):
        store["a"] = "text"
        with store.transact():
            store["b"] = 1
            with pytest.raises(TypeError):
                store.incr("a")
            with pytest.raises(TypeError):
                store[[]] = 1
            with pytest.raises(KeyError):
                del store["absent"]
            store["c"] = 2
        assert store == {"a": "text", "b": 1, "c": 2}

    @pytest.mark.parametrize("direction", [iter, reversed])
    @pytest.mark.parametrize("view", ["keys", "values", "items"])
    def test_what_is_added_while_iterating_inside_is_not_met(self, store, view, direction):
        store.update((number, number) for number in range(900))
        with store.transact():
            assert added_while_iterating(store, view, direction) == list(range(900))
        assert len(store) == 1800

    def test_a_store_can_be_updated_from_itself_inside(self, store):
        with store.transact():
            store.update((number, 1) for number in range(3000))
            store.update((f"copy of {key}", value) for key, value in store.items())
        assert len(store) == 6000

    def test_an_iteration_may_go_on_across_the_end_of_a_transaction(self, store):
        store.update((number, number) for number in range(2000))
        iterator = iter(store)
        with store.transact():
            first = [next(iterator) for _ in range(10)]
            store["new"] = 1
        rest = list(iterator)
        assert first + rest[:1990] == list(range(2000))
        with rolled_back(store):
            iterator = iter(store)
            first = [next(iterator) for _ in range(10)]
            store["newer"] = 1
        assert first + list(iterator) == [*range(2000), "new"]

    # nesting

    def test_an_inner_failure_that_is_caught_undoes_the_inner_block_alone(self, store):
        with store.transact():
            store["outer"] = 1
            with rolled_back(store):
                store["inner"] = 2
                store["outer"] = 3
                store["file"] = BIG
            assert in_order(store) == [("outer", 1)]
            store["after"] = 4
        assert in_order(store) == [("outer", 1), ("after", 4)]

    def test_an_outer_failure_undoes_inner_blocks_that_succeeded(self, store):
        store["a"] = 1
        with rolled_back(store):
            with store.transact():
                store["a"] = 2
                store["file"] = BIG
            assert store["a"] == 2
        assert in_order(store) == [("a", 1)]
        assert store.get("a") == 1

    def test_a_failure_goes_up_through_all_blocks_that_do_not_catch_it(self, store):
        with pytest.raises(Oops), store.transact():  # noqa: PT012
            store["a"] = 1
            with store.transact():
                store["b"] = 2
                with store.transact():
                    store["c"] = 3
                    raise Oops
        assert store == {}

    def test_each_level_keeps_or_loses_its_own(self, store):
        with store.transact():
            store["one"] = 1
            with rolled_back(store):
                store["two"] = 2
                with store.transact():
                    store["three"] = 3
                with rolled_back(store):
                    store["four"] = 4
                assert list(store) == ["one", "two", "three"]
            with store.transact(), store.transact(), store.transact():
                store["five"] = 5
        assert in_order(store) == [("one", 1), ("five", 5)]

    def test_blocks_nest_deeply(self, store):
        def nest(depth):
            with store.transact():
                store[depth] = depth
                if depth < 100:
                    nest(depth + 1)

        nest(0)
        assert list(store) == list(range(101))

    # blocks that are not left in order

    def assert_usable_and_unlocked(self, store, directory, start):
        """Nobody is inside: this thread, others and other processes can write, and what they write stays."""
        before = dict(store.items())
        store["here"] = 1
        assert in_a_thread(lambda: store.set("in a thread", 2)) is True
        other = start("answer", self.kind, str(directory))
        other.tell(["get", "here"])
        assert other.hear() == 1
        other.tell(["set", "elsewhere", 3])
        assert other.hear() is True
        other.tell(None)
        other.finish()
        with store.transact():
            store["in a block"] = 4
        assert store == before | {"here": 1, "in a thread": 2, "elsewhere": 3, "in a block": 4}
        assert store.check()

    @pytest.mark.parametrize("failure", [None, Oops])
    def test_blocks_left_in_the_wrong_order_roll_back_and_leave_nothing_locked(self, store, directory, start, failure):
        store["a"] = "old"
        outer, inner = store.transact(), store.transact()
        outer.__enter__()
        store["a"] = "outer"
        inner.__enter__()
        store["b"] = BIG
        with pytest.raises(fastcache.TransactionError):
            outer.__exit__(failure, failure and failure(), None)
        assert store == {"a": "old"}
        if failure is None:
            with pytest.raises(fastcache.TransactionError):
                inner.__exit__(None, None, None)
        else:
            # Its block has failed anyway: that exception may be the one that goes up.
            with contextlib.suppress(fastcache.TransactionError):
                assert not inner.__exit__(failure, failure(), None)
        assert store == {"a": "old"}
        self.assert_usable_and_unlocked(store, directory, start)

    def test_of_three_blocks_the_middle_one_left_first_undoes_what_is_in_it(self, store, directory, start):
        store["a"] = "old"
        blocks = [store.transact() for _ in range(3)]
        for name, block in zip(("outer", "middle", "inner"), blocks, strict=True):
            block.__enter__()
            store[name] = 1
        with pytest.raises(fastcache.TransactionError):
            blocks[1].__exit__(None, None, None)
        with pytest.raises(fastcache.TransactionError):
            blocks[2].__exit__(None, None, None)
        assert store == {"a": "old", "outer": 1}
        blocks[0].__exit__(None, None, None)
        assert store == {"a": "old", "outer": 1}
        self.assert_usable_and_unlocked(store, directory, start)

    def test_of_two_tasks_of_a_thread_the_second_is_refused_and_the_first_goes_on(self, store, directory, start):
        async def task(name, begun, end):
            with store.transact():
                store[name] = 1
                begun.set()
                await end.wait()

        async def run():
            begun, end = asyncio.Event(), asyncio.Event()
            first = asyncio.create_task(task("first", begun, end))
            await begun.wait()
            second = asyncio.create_task(task("second", begun, end))
            await asyncio.wait([second])
            end.set()
            return await asyncio.gather(first, second, return_exceptions=True)

        first, second = asyncio.run(run())
        assert first is None
        assert type(second) is fastcache.TransactionError
        assert store == {"first": 1}
        self.assert_usable_and_unlocked(store, directory, start)

    def test_a_transaction_is_of_the_task_that_began_it(self, store, directory, start):
        """The other tasks of its thread read what is committed, and what they write is refused before it is written."""
        store["a"] = "before"

        async def transact(begun, others):
            with store.transact():
                store["a"], store["inside"] = "inside", 1
                begun.set()
                await others.wait()
                assert dict(store) == {"a": "inside", "inside": 1}
                raise Oops

        async def run():
            begun, others = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(transact(begun, others))
            await begun.wait()
            assert store["a"] == store.get("a") == "before"
            assert (dict(store), len(store), "inside" in store) == ({"a": "before"}, 1, False)
            assert store.get_many(["a", "inside"]) == {"a": "before"}
            for write in BY_TASKS.values():
                with pytest.raises(fastcache.TransactionError, match="another task"):
                    write(store)
            others.set()
            with pytest.raises(Oops):
                await task
            for write in BY_TASKS.values():
                write(store)
            return dict(store)

        assert asyncio.run(run()).keys() == {"a", "set", "many", "inside", "batch", "got"} | {"n"}
        self.assert_usable_and_unlocked(store, directory, start)

    def test_the_tasks_that_a_transaction_starts_are_inside(self, store):
        async def write(number):
            await asyncio.sleep(0)
            store[number] = number

        async def run():
            with store.transact():
                await asyncio.gather(*[write(number) for number in range(5)])
                assert len(store) == 5
                raise Oops

        with pytest.raises(Oops):
            asyncio.run(run())
        assert store == {}

    def test_transactions_of_tasks_that_take_turns_are_their_own(self, store):
        async def transact(turns, number, fails):
            async with turns:
                with store.transact():
                    store[number] = number
                    await asyncio.sleep(0.001)
                    if fails:
                        raise Oops

        async def run():
            turns = asyncio.Lock()
            tasks = [transact(turns, number, number % 2) for number in range(10)]
            return await asyncio.gather(*tasks, return_exceptions=True)

        results = asyncio.run(run())
        assert [type(result) for result in results] == [type(None), Oops] * 5
        assert sorted(store) == list(range(0, 10, 2))

    def test_a_generator_that_is_left_in_another_context_ends_its_transaction(self, store, directory, start):
        def generate():
            with store.transact():
                store["a"] = 1
                yield

        generator = contextvars.Context().run(lambda: (generator := generate(), next(generator))[0])
        with pytest.raises(fastcache.TransactionError, match="another task"):
            store["b"] = 2
        generator.close()
        assert store == {}
        store["b"] = 2
        self.assert_usable_and_unlocked(store, directory, start)

    # files

    def test_a_rolled_back_file_is_gone(self, store, directory):
        store["kept"] = BIG
        before = value_files(directory)
        with rolled_back(store):
            store["a"] = BIG
            store["b"] = BIG
            del store["b"]
            store["kept"] = BIG + b"changed"
        assert value_files(directory) == before
        assert store["kept"] == BIG
        assert store.check()

    def test_the_file_of_an_inner_block_that_was_undone_is_gone(self, store, directory):
        with store.transact():
            with rolled_back(store):
                store["a"] = BIG
            store["b"] = BIG
        assert store == {"b": BIG}
        assert store.check(fix=True)
        assert len(value_files(directory)) == 1

    def test_a_deletion_that_is_rolled_back_leaves_the_file(self, store):
        store["a"] = BIG
        for undo in (
            lambda: store.delete("a"),
            lambda: store.pop("a", None),
            lambda: store.set("a", 1),
            lambda: store.set("a", BIG + b"changed"),
            store.clear,
        ):
            with rolled_back(store):
                undo()
            assert store["a"] == BIG
        assert store.check()

    # threads

    def test_threads_exclude_each_other(self, store):
        store["n"] = 0

        def count():
            for _ in range(100):
                with store.transact():
                    store["n"] = store["n"] + 1

        together(*[count] * 8)
        assert store["n"] == 800

    def test_a_write_of_another_thread_does_not_join_the_transaction(self, store):
        writing = threading.Event()

        def writer():
            writing.set()
            store["theirs"] = 2

        thread = threading.Thread(target=writer, daemon=True)
        with rolled_back(store):
            store["mine"] = 1
            thread.start()
            assert writing.wait(60)
            thread.join(0.1)
        thread.join(60)
        assert not thread.is_alive()
        assert in_order(store) == [("theirs", 2)]

    @pytest.mark.parametrize("read", READS)
    def test_another_thread_never_sees_what_is_not_committed(self, store, read):
        store["a"] = "old"
        asking = threading.Event()
        answers = []

        def reader():
            asking.set()
            answers.append(READS[read](store))

        thread = threading.Thread(target=reader, daemon=True)
        with rolled_back(store):
            store["a"] = "new"
            store["b"] = 1
            assert store["a"] == "new"
            thread.start()
            assert asking.wait(60)
            thread.join(0.2)
        thread.join(60)
        assert answers == [{"get": "old", "len": 1, "items": [("a", "old")]}[read]]

    def test_a_transaction_cannot_be_left_by_another_thread(self, store):
        transaction = store.transact()
        transaction.__enter__()
        store["a"] = 1
        with pytest.raises(fastcache.TransactionError):
            in_a_thread(lambda: transaction.__exit__(None, None, None))
        store["b"] = 2
        transaction.__exit__(None, None, None)
        assert store == {"a": 1, "b": 2}
        assert in_a_thread(lambda: store.set("c", 3)) is True

    def test_a_store_is_not_closed_inside_a_transaction(self, store, open_store):
        with store.transact():
            store["a"] = 1
            with pytest.raises(fastcache.TransactionError):
                store.close()
            store["b"] = 2
        assert store == {"a": 1, "b": 2}
        store.close()
        assert open_store() == {"a": 1, "b": 2}

    # other objects, other processes

    def test_another_store_object_does_not_see_what_is_not_committed(self, store, open_store):
        store["a"] = "old"
        other = open_store()
        with store.transact():
            store["a"] = "new"
            store["b"] = 1
            assert in_order(other) == [("a", "old")]
            assert other["a"] == "old"
        assert in_order(other) == [("a", "new"), ("b", 1)]

    def test_another_process_does_not_see_what_is_not_committed(self, store, directory, start):
        store["a"] = "old"
        other = start("answer", self.kind, str(directory))
        other.tell(["get", "a"])
        assert other.hear() == "old"
        with store.transact():
            store["a"] = "new"
            store["b"] = 1
            for question, answer in ((["get", "a"], "old"), (["exists", "b"], False), (["count"], 1)):
                other.tell(question)
                assert other.hear() == answer
        for question, answer in ((["get", "a"], "new"), (["exists", "b"], True), (["count"], 2)):
            other.tell(question)
            assert other.hear() == answer
        other.tell(None)
        other.finish()

    def test_while_another_process_writes_every_write_times_out_and_the_store_stays_usable(
        self, open_store, directory, start
    ):
        store = open_store(timeout=0.1)
        store.update(n=5, a=1)
        holder = start("hold", self.kind, str(directory))
        assert holder.hear() == "holding"
        for write in WRITES.values():
            with pytest.raises(fastcache.Timeout) as error:
                write(store)
            assert isinstance(error.value, TimeoutError)
            assert isinstance(error.value, fastcache.CacheError)
            assert in_order(store) == [("n", 5), ("a", 1)]
            assert store["a"] == 1
        holder.tell()
        holder.finish()
        assert store["held"] == 1
        store["a"] = 3
        with store.transact():
            store["n"] = 6
        assert in_order(store) == [("n", 6), ("a", 3), ("held", 1)]
        assert store.check(fix=True)

    def test_a_write_waits_for_another_process_to_be_done(self, store, directory, start):
        holder = start("hold", self.kind, str(directory))
        assert holder.hear() == "holding"
        thread = threading.Thread(target=holder.tell)
        thread.start()
        store["a"] = 1
        thread.join()
        holder.finish()
        assert in_order(store) == [("held", 1), ("a", 1)]

    def test_while_another_thread_is_in_a_transaction_a_write_times_out(self, open_store):
        store = open_store(timeout=0.1)
        with store.transact():
            store["a"] = 1
            with pytest.raises(fastcache.Timeout):
                in_a_thread(lambda: store.set("b", 2))
            with pytest.raises(fastcache.Timeout):
                in_a_thread(lambda: store.transact().__enter__())
        assert in_a_thread(lambda: store.set("b", 2)) is True
        assert store == {"a": 1, "b": 2}

    def test_processes_exclude_each_other(self, store, directory, start):
        store["n"] = 0
        others = [start("transact_on", self.kind, str(directory), "n", 150) for _ in range(2)]
        for other in others:
            assert other.hear() == "ready"
        for other in others:
            other.tell()
        for _ in range(150):
            with store.transact():
                store["n"] = store["n"] + 1
        for other in others:
            other.finish()
        assert store["n"] == 450

    @pytest.mark.parametrize("way", WAITS)
    @pytest.mark.parametrize("what", ["fork", "use"])
    def test_a_signal_handler_may_fork_or_write_while_a_write_waits(self, open_store, directory, start, way, what):
        store = open_store()
        # Both start at the same time.
        waiting = start("interrupted_while_waiting", self.kind, str(directory), way, what)
        foreign = start("answer_sql", str(directory))
        assert waiting.hear() == "ready"
        foreign.tell("BEGIN IMMEDIATE")
        assert foreign.hear() == []
        waiting.tell()
        assert waiting.hear() == "handling"
        foreign.tell("ROLLBACK")
        assert foreign.hear() == []
        found = waiting.finish()
        foreign.finish()
        assert store == found
        for name in ("outer", "inner"):
            waited = {"outer": {way}, "inner": set(WAITS) if what == "use" else set()}[name]
            expected = {f"{name} kept": f"{name} old"}
            expected |= {f"{name} {key}": f"{name} old" for key, w in REMOVED.items() if w not in waited}
            for w in waited:
                expected |= {f"{name} {key}": value(name) for key, value in WRITTEN.get(w, {}).items()}
            assert {key: value for key, value in found.items() if key.startswith(name)} == expected
        assert store.check()
