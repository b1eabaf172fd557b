"""A cache may be closed at any time, and user code that it calls may use it: nothing crashes, and nothing is lost."""

import importlib.util

import pytest

from .store import StoreContract

WITHOUT_MEMORY = (
    "set",
    "incr",
    "pop",
    "delete",
    "set_many",
    "get_many",
    "delete_many",
    "items",
    "undone",
    "undone inside",
    "kept inside",
    "batch",
)


class ClosingContract(StoreContract):
    def test_threads_use_what_another_one_closes(self, start, directory):
        """Each gets what it asked for, or ClosedError."""
        assert start("close_under_threads", self.kind, str(directory), 8, 6000).finish() == ["ClosedError"]
        with self.store_type(directory) as store:
            assert store.check()

    def test_a_collected_object_closes_under_nobody(self, start, directory):
        assert start("drop_under_threads", self.kind, str(directory), 4, 300).finish() == []


class TimerContract(StoreContract):
    """What a timer does may be anything: here it uses the cache that has called it, and lets other threads in."""

    def test_a_timer_may_use_the_cache(self, start, directory):
        assert start("use_in_timer", self.kind, str(directory)).finish() == "v"

    def test_a_timer_may_close_the_cache(self, start, directory):
        assert start("close_in_timer", self.kind, str(directory)).finish() in ("v", "ClosedError")


class ReentryContract(StoreContract):
    """Signal handlers, profilers, finalizers and weak references run code of the user in the middle of an operation."""

    def test_a_touch_that_is_interrupted_by_another_touches_its_own_key(self, start, directory):
        assert start("interrupt_a_touch", self.kind, str(directory)).finish() == [True, True]

    def test_what_is_set_in_the_middle_of_a_set_is_read(self, start, directory):
        read, stored = start("interrupt_a_set", self.kind, str(directory)).finish()
        assert read == stored

    def test_what_is_set_when_the_memory_lets_go_of_a_value_is_read(self, start, directory):
        assert start("set_when_collected", self.kind, str(directory)).finish() == [True, "new"]

    def test_an_interrupted_flush_of_a_batch_repeats_nothing(self, start, directory):
        """What another process has stored since would be lost."""
        process = start("interrupt_a_flush", self.kind, str(directory))
        assert process.hear() == "interrupted"
        with self.store_type(directory) as store:
            assert store["k"] == "small"
            store["k"] = "newer"
        process.tell()
        assert process.finish() == "newer"
        with self.store_type(directory) as store:
            assert store["k"] == "newer"

    def test_threads_that_commit_together_are_told_what_is_stored(self, start, directory):
        """An interruption after the commit is that of one of them, and undoes nothing."""
        outcomes, stored = start("interrupt_a_commit_of_many", self.kind, str(directory)).finish()
        assert outcomes == ["interrupted", "stored"]
        assert stored == ["small", "small"]


class WithoutMemoryContract(StoreContract):
    """An allocation that fails leaves no transaction open, nobody inside, and nothing half done."""

    @pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="no allocation can be made to fail")
    @pytest.mark.parametrize("name", sorted(WITHOUT_MEMORY))
    def test_any_allocation_may_fail(self, start, directory, name):
        assert start("fail_for_want_of_memory", self.kind, str(directory), name, 300).finish() == []
