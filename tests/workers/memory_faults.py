"""A worker in which each allocation of an operation fails, one after the other."""

import contextlib
import faulthandler
import gc
import sys

from .commands import command, open_store, run_threads, say


def undo_a_block(store):
    with contextlib.suppress(ArithmeticError), store.transact():
        store["b"] = 6
        store.get("b")
        raise ArithmeticError


def undo_an_inner_block(store):
    with store.transact():
        undo_a_block(store)
        store["a"] = 5


def keep_an_inner_block(store):
    with store.transact():
        store["a"] = 5
        with store.transact():
            store["b"] = 6


def write_a_batch(store):
    with store.batch() as batch:
        batch["a"] = 5
        batch["b"] = 6


WITHOUT_MEMORY = {
    "set": lambda store: store.set("a", [5]),
    "incr": lambda store: store.incr("a"),
    "pop": lambda store: store.pop("text"),
    "delete": lambda store: store.delete("a"),
    "set_many": lambda store: store.set_many({"a": 5, "b": 6}),
    "get_many": lambda store: store.get_many(["a", "list", "none"]),
    "delete_many": lambda store: store.delete_many(["a", "b"]),
    "items": lambda store: list(store.items()),
    "undone": undo_a_block,
    "undone inside": undo_an_inner_block,
    "kept inside": keep_an_inner_block,
    "batch": write_a_batch,
}
# Of the two that are set together, both are, or none is.
TOGETHER = ("set_many", "kept inside", "batch")


def tell_unless_pythons(unraisable):
    """Complain of what could not be raised, but for Python 3.13's own look into ``sys`` while it imports something."""
    if "PySys_GetObject" not in (unraisable.err_msg or ""):
        sys.__unraisablehook__(unraisable)


@command
def fail_for_want_of_memory(kind, directory, name, most):
    """Have each allocation of an operation fail, one after the other; say what was wrong afterwards."""
    import _testcapi

    faulthandler.enable()
    gc.disable()
    sys.unraisablehook = tell_unless_pythons
    operate = WITHOUT_MEMORY[name]
    store, other = (open_store(kind, directory, timeout=2) for _ in range(2))
    before = {"a": 1, "b": 2, "list": [1, 2], "text": "t" * 100}
    wrong, done = [], 0
    for number in range(1, most):
        store.set_many(before)
        _testcapi.set_nomemory(number, number + 1)
        try:
            operate(store)
            failure = None
        except MemoryError as error:
            failure = error
        _testcapi.remove_mem_hooks()
        if failure is not None and name == "pop" and "text" not in other:
            wrong.append([number, "lost"])
        found = other.get_many(["a", "b"])
        if "undone" in name and other.get("b") != 2:
            wrong.append([number, "kept what was undone"])
        if name in TOGETHER and found not in ({"a": 1, "b": 2}, {"a": 5, "b": 6}):
            wrong.append([number, "half"])
        # Nobody is inside of anything.
        run_threads(lambda number=number: store.set("probe", number))
        other["probe"] = number
        if dict(store.items()) != dict(other.items()) or any(store.get(key) != other.get(key) for key in other):
            wrong.append([number, "stale"])
        done = 0 if failure else done + 1
        if done == 5:
            break
    say(wrong)
    store.close()
    other.close()
