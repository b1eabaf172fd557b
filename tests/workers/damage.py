"""Workers that use a damaged store in every way there is."""

import contextlib
import faulthandler
import logging
import os
import shutil
import tempfile

import fastcache

from .commands import command, open_store, say
from .outside import execute

FOUR = b"four" * 100_000

USES = {
    "get": lambda store, key: store.get(key),
    "get with a default": lambda store, key: store.get(key, 1),
    "[]": lambda store, key: store[key],
    "in": lambda store, key: key in store,
    "exists": lambda store, key: store.exists(key),
    "set": lambda store, key: store.set(key, 1),
    "set large": lambda store, key: store.set(key, FOUR),
    "[]=": lambda store, key: store.__setitem__(key, [1]),
    "add": lambda store, key: store.add(key, 1),
    "add large": lambda store, key: store.add(key, FOUR),
    "delete": lambda store, key: store.delete(key),
    "del": lambda store, key: store.__delitem__(key),
    "pop": lambda store, key: store.pop(key),
    "pop with a default": lambda store, key: store.pop(key, None),
    "setdefault": lambda store, key: store.setdefault(key, 1),
    "get_or_set": lambda store, key: store.get_or_set(key, lambda: 1),
    "incr": lambda store, key: store.incr(key),
    "decr": lambda store, key: store.decr(key, 2, 3),
    "update": lambda store, key: store.update([(key, 1), ("new", 2)]),
    "popitem": lambda store, _: store.popitem(),
    "popitem from the front": lambda store, _: store.popitem(last=False),
    "all popped": lambda store, _: [store.popitem() for _ in range(20)],
    "len": lambda store, _: len(store),
    "count": lambda store, _: store.count(),
    "size": lambda store, _: store.size() + 0,
    "volume": lambda store, _: store.volume() + 0,
    "iter": lambda store, _: list(store),
    "reversed": lambda store, _: list(reversed(store)),
    "values": lambda store, _: list(store.values()),
    "items": lambda store, _: list(store.items()),
    "reversed items": lambda store, _: list(reversed(store.items())),
    "==": lambda store, _: store == {"a": 1},
    "clear": lambda store, _: store.clear(),
    "check": lambda store, _: store.check(),
    "check and fix": lambda store, _: store.check(fix=True),
}

USES_OF_A_CACHE = {
    "get with extras": lambda store, key: store.get(key, None, expire_time=True, tag=True),
    "pop with extras": lambda store, key: store.pop(key, None, expire_time=True, tag=True),
    "set with extras": lambda store, key: store.set(key, 1, expire=100, tag="tag"),
    "touch": lambda store, key: store.touch(key, 100),
    "expire": lambda store, _: store.expire(),
    "evict_tag": lambda store, _: store.evict_tag("tag"),
    "max_size": lambda store, _: store.max_size + 0,
    "stats": lambda store, _: store.stats(),
}


@command
def use_in_every_way(kind, directory, keys, *statements):
    """Use a store with these keys in every way, inside and outside of a transaction, each time in a fresh copy.

    Before, run SQL on it as any other program could. Say which uses raised what no such use may raise, or left
    something behind that does.
    """
    execute(directory, statements)
    # What is damaged is also warned of, which is not what is asked about here.
    logging.getLogger("fastcache").setLevel(logging.CRITICAL)
    uses = USES | (USES_OF_A_CACHE if kind == "Cache" else {})
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, key, inside) in enumerate(
            (name, key, inside) for name in uses for key in keys for inside in (False, True)
        ):
            copy = os.path.join(folder, str(number))
            shutil.copytree(directory, copy)
            # Who is caught in a loop is told apart from who is slow, and says where it is.
            faulthandler.dump_traceback_later(60, exit=True)
            try:
                with open_store(kind, copy, timeout=0.2) as store:
                    try:
                        with store.transact() if inside else contextlib.nullcontext():
                            uses[name](store, key)
                    except (fastcache.CacheError, KeyError):
                        pass
                    except TypeError as error:
                        # What is stored there need not be an int, nor all keys fit into a dict.
                        if name not in ("incr", "decr", "=="):
                            wrong.append([name, key, inside, repr(error)])
                    with contextlib.suppress(fastcache.CacheError):
                        store["afterwards"] = 1
                        assert store["afterwards"] == 1
                if not inside:
                    with contextlib.suppress(fastcache.CacheError), open_store(kind, copy, timeout=0.2) as store:
                        store.check(fix=True)
                        left = store.check()
                        assert left or left.untrusted_entries or left.undecodable_entries, "not repaired"
            except fastcache.CacheError:
                # Opening may be refused, but then always.
                with contextlib.suppress(fastcache.CacheError):
                    open_store(kind, copy, timeout=0.2).close()
            except Exception as error:
                wrong.append([name, key, inside, repr(error)])
            faulthandler.cancel_dump_traceback_later()
            shutil.rmtree(copy)
    say(wrong)


@command
def empty_by_popitem(kind, directory, *statements):
    """Run SQL as any other program could; pop items until there are none, or until an error says why not.

    Say what came out, and how it ended: in a copy from the front, and then from the end.
    """
    faulthandler.dump_traceback_later(60, exit=True)
    execute(directory, statements)
    copy = directory + " to empty from the front"
    shutil.copytree(directory, copy)
    said = []
    for path, last in ((copy, False), (directory, True)):
        popped = []
        with open_store(kind, path, timeout=0.2) as store:
            try:
                while True:
                    popped.append(repr(store.popitem(last=last)))
            except (KeyError, fastcache.CacheError) as error:
                said.append([popped, type(error).__name__])
            store["afterwards"] = 1
    say(said)
