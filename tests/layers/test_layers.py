"""Imports run one way: which module may name which other one.

A room is a set of modules; ALLOWED says which rooms each may name, by whatever means: an import (at the top, late, or
for type checkers alone), a cimport, a stub, ``load("...")``. When a module moves, its line in ROOMS changes, and
arrows leave ACCEPTED; none is added there without a reason that says how it will leave.
"""

import re

import pytest

from .arrows import ROOT, Arrow, circles, read, sources

# Who imports late, so that a fork waits for it; nobody does by other means.
LOADER = "fastcache.runtime.imports"

# Modules, and packages for all that lies in them but for what is named by itself.
ROOMS = {
    # What has all others found, and is named once, before them.
    "finder": {"_compiled"},
    "errors": {"errors", "engine.errors"},
    "runtime": {"runtime"},
    # Nothing but what debugging needs: a word, and two macros.
    "spans": {"engine.spans"},
    # Locks of open file descriptions: where Linux has them.
    "descriptions": {"engine.descriptions"},
    # The time that only goes forward, without any Python code.
    "monotonic": {"engine.monotonic"},
    # What an entry is made of, wherever it goes.
    "cells": {"engine.sqlite.cells"},
    # Whether a value can stand for itself, in a key and in memory.
    "plainness": {"engine.codecs.plainness"},
    "sqlite": {"engine.sqlite"},
    "shm": {"engine.shm"},
    "memory": {"engine.memory"},
    "codecs": {"engine.codecs"},
    "blobs": {"engine.blobs"},
    "database": {"engine.database"},
    "eviction": {"engine.eviction"},
    "entries": {"engine.entries"},
    "table": {"engine.table"},
    "engine": {"engine"},
    "serializers": {"plain", "serializers"},
    "single flight": {"sync", "sync.flights", "sync.single_flight"},
    "locks": {"sync.holds", "sync.locks", "sync.records", "sync.throttle"},
    "memoize": {"memoize"},
    "check": {"check"},
    "backup": {"backup"},
    "recipes": {"averager", "queues", "recipes"},
    "options": {"options"},
    "cache": {"cache"},
    "index": {"index"},
    "fanout": {"fanout"},
    "deque": {"deque"},
    "importers": {"importers"},
    # The face for programs that were written for diskcache.
    "diskcache": {"diskcache"},
    "django": {"django"},
    "integrations": {"integrations"},
    "metrics": {"metrics"},
    "aio": {"aio"},
    "package": {""},
    "tools": {"__main__", "migrate", "tools"},
    "demo": {"tools.demo"},
}

LEAVES = {"errors", "runtime", "spans", "descriptions", "monotonic", "cells", "plainness"}
# What knows nothing of one another.
GROUND = {"sqlite", "shm", "memory", "codecs", "blobs"}
ENGINE = LEAVES | GROUND | {"database", "eviction", "entries", "table", "engine"}
CONTAINERS = {"cache", "index", "fanout", "deque"}
ABOVE_ENGINE = {"single flight", "locks", "memoize", "check", "backup"}

ALLOWED = {
    "finder": set(),
    "errors": set(),
    "runtime": {"errors"},
    "spans": set(),
    "descriptions": set(),
    "monotonic": set(),
    "cells": set(),
    "plainness": set(),
    "sqlite": LEAVES,
    "shm": LEAVES,
    "memory": LEAVES | {"shm"},
    "codecs": LEAVES,
    # A value file's name is a claim on its writer's number: handed in, the claims would be a parameter of one value.
    "blobs": LEAVES | {"shm"},
    "database": LEAVES | GROUND - {"memory"},
    "eviction": LEAVES | GROUND | {"database"},
    "entries": LEAVES | GROUND | {"database", "eviction"},
    # What entries cost in memory is the same for all that is kept there.
    "table": LEAVES | {"memory", "codecs"},
    "engine": ENGINE - {"engine"},
    "serializers": LEAVES | {"codecs"},
    "single flight": ENGINE,
    "locks": ENGINE,
    "memoize": ENGINE | {"single flight"},
    "check": ENGINE,
    "backup": ENGINE,
    "recipes": ENGINE | ABOVE_ENGINE,
    "options": LEAVES | {"serializers"},
    "cache": ENGINE | {"serializers", "options", "recipes"},
    "index": ENGINE | {"serializers", "options", "recipes"},
    "fanout": ENGINE | {"serializers", "options", "recipes"},
    # No mapping, so that it offers what a recipe returns by a method of its own.
    "deque": ENGINE | {"serializers", "options", "recipes", "check"},
    "metrics": ENGINE,
    "package": ENGINE | ABOVE_ENGINE | CONTAINERS | {"finder", "recipes", "serializers"},
    "aio": ENGINE | ABOVE_ENGINE | CONTAINERS | {"recipes", "options"},
    "importers": ENGINE | CONTAINERS | {"serializers", "options"},
    "diskcache": ENGINE | CONTAINERS | {"serializers", "options", "recipes", "check", "importers", "django"},
    "django": ENGINE | CONTAINERS | {"memoize", "locks", "options"},
    # What they are written with is what any user has, but for what answers coroutines from memory, and late imports.
    "integrations": {"engine", "errors", "package", "runtime"},
    # What shows how a program uses the package names what such a program may.
    "demo": {"package"},
    "tools": ENGINE | ABOVE_ENGINE | CONTAINERS | {"serializers", "options", "importers", "package", "demo"},
}

# What is against the rules today. Who removes an arrow removes its line, or the tests fail.
ACCEPTED: dict[str, str] = {}

# What names no module in a literal.
UNKNOWN = {
    "engine.codecs.compression": "one of three libraries, each named in its class",
    "diskcache": "its own modules",
    "diskcache.alias": "the module that it stands for",
    "tools.migrating": "where the classes lie that a user has listed",
}

# Who has the process call something at a fork, or at its end.
HOOKS = {
    "runtime.fork": "for all others, in phases",
    "runtime.afterwards": "removes what finalizers of globals may still use",
    "engine.database.writer_lock": "counts forks that Python does not know of",
    "engine.sqlite.locks_of_files": "a child closes the descriptions that lock, whoever has forked",
    "engine.shm.byte_locks": "the same",
}


@pytest.fixture(scope="module")
def found():
    return read(ROOT, LOADER)


def full(name):
    return f"fastcache.{name}".rstrip(".")


LISTED = {full(module): room for room, modules in ROOMS.items() for module in modules}


def room_of(module):
    """The room of a module, by its own name or that of the innermost package."""
    while module not in LISTED:
        module = module.rpartition(".")[0]
    return LISTED[module]


ACCEPTED_ARROWS = {Arrow(*map(full, arrow.split(" -> "))) for arrow in ACCEPTED}


def is_forbidden(arrow):
    source, target = room_of(arrow.source), room_of(arrow.target)
    if source != target and target not in ALLOWED[source]:
        return True
    # Whatever its room: what lies in the engine's folder names nothing outside of it but what all may.
    is_inside = [name.startswith("fastcache.engine") for name in (arrow.source, arrow.target)]
    return is_inside == [True, False] and target not in LEAVES


def described(found, arrows):
    return "\n".join(f"{arrow} ({', '.join(found.arrows[arrow])})" for arrow in sorted(arrows))


def code():
    """The files of the package: module, path, and what they say."""
    for file in sources(ROOT):
        yield file.module.removeprefix("fastcache").removeprefix("."), file.path, file.text


def test_every_module_is_in_one_room():
    listed = [full(module) for modules in ROOMS.values() for module in modules]
    assert len(listed) == len(set(listed))
    modules = {file.module for file in sources(ROOT)}
    assert set(listed) <= modules
    # The package's own line is for the package alone.
    assert all(room_of(module) != "package" for module in modules - {"fastcache"})
    assert set(ROOMS) == set(ALLOWED)


def test_the_rules_allow_no_circle():
    assert circles(Arrow(room, other) for room, others in ALLOWED.items() for other in others) == []


def test_no_arrow_is_forbidden(found):
    wrong = {arrow for arrow in found.arrows if is_forbidden(arrow)} - ACCEPTED_ARROWS
    assert not wrong, described(found, wrong)


def test_no_arrows_make_a_circle(found):
    assert circles(set(found.arrows) - ACCEPTED_ARROWS) == []


def test_what_is_accepted_is_there_and_needs_to_be_accepted(found):
    gone = ACCEPTED_ARROWS - set(found.arrows)
    assert not gone, f"remove from ACCEPTED: {sorted(map(str, gone))}"
    in_circles = circles(found.arrows)
    needless = {
        arrow
        for arrow in ACCEPTED_ARROWS
        if not is_forbidden(arrow) and not any({arrow.source, arrow.target} <= circle for circle in in_circles)
    }
    assert not needless, f"remove from ACCEPTED: {sorted(map(str, needless))}"


def test_what_is_loaded_late_is_named(found):
    assert {
        module.removeprefix("fastcache."): places for module, places in found.unknown.items()
    }.keys() == UNKNOWN.keys()


def test_nothing_is_imported_late_by_other_means():
    """A module that one thread imports when another one forks is locked for ever in the child."""
    by_name = re.compile(r"__import__\(|import_module\(|(?<!\w)importlib(?!\w)")
    # A stub imports nothing.
    found = {module for module, path, text in code() if path.suffix != ".pyi" and by_name.search(text)}
    assert found == {LOADER.removeprefix("fastcache.")}


def test_modules_that_are_named_in_texts_are_there():
    """So ``content.py`` and pickles name some: whoever moves one finds out here."""
    modules = {file.module for file in sources(ROOT)}
    quoted = re.compile(r"[\"'](fastcache(?:\.[a-z_]\w*)+)[\"'.]")
    named = {(name, module) for module, path, text in code() for name in quoted.findall(text)}
    assert len(named) > 20
    assert {(name, module) for name, module in named if name not in modules} == set()


def test_few_are_told_of_forks_and_of_the_end():
    hook = re.compile(r"\b(?:register_at_fork|pthread_atfork|Py_AtExit|atexit\s*\.\s*register|atexit\s+import)\b")
    assert {module for module, _, text in code() if hook.search(text)} == set(HOOKS)


def test_only_one_room_calls_sqlite():
    calls = re.compile(r"\bsqlite3_[a-z]\w*")
    callers = {module for module, path, text in code() if path.suffix in (".pyx", ".pxd") and calls.search(text)}
    assert callers
    assert {room_of(full(caller)) for caller in callers} == {"sqlite"}


def test_only_one_module_has_sql():
    statement = re.compile(
        r"^\s*(?:SELECT\s|INSERT\s+(?:OR\s|INTO\s)|UPDATE\s+\w+\s+SET|DELETE\s+FROM|PRAGMA\s|CREATE\s+(?:TABLE|INDEX|TRIGGER)\s|DROP\s+TABLE)"
    )
    literal = re.compile(r"\"\"\"((?:[^\\]|\\.)*?)\"\"\"|\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)'", re.DOTALL)
    with_sql = {
        module
        for module, path, text in code()
        if any(statement.match("".join(found.groups(default=""))) for found in literal.finditer(text))
    }
    # What a virtual table declares of itself is said where it is made; what others' databases are asked, where that is.
    others = {f"importers.{name}" for name in ("source", "parts", "diskcache", "sciqlop_cache", "sqlitedict")}
    assert with_sql - others == {"engine.sqlite.sql", "engine.sqlite.row_source"}


# -- the reader itself ------------------------------------------------------------------------------------------------

SOURCES = {
    "pack/__init__.py": "from pack.a import x\n_LAZY = {'Name': 'pack.late'}\nload(_LAZY['Name'])\n",
    "pack/a.py": (
        "import os, pack.b\nif TYPE_CHECKING:\n    from pack.typed import T\ndef f():\n    from pack import late\n"
    ),
    "pack/b.py": (
        "from . import a\nfrom .in_.lazy import load\nfrom .in_ import c\n"
        "load('pack.d').x(load(name))\npickle.load(file)\n"
    ),
    "pack/d.py": "'''from pack import e'''\n# import pack.e\nlazy.load('pack.a')\nother.load('pack.e')\n",
    "pack/e.py": "",
    "pack/late.py": "",
    "pack/typed.py": "",
    "pack/in_/__init__.py": "from ..a import x\n",
    "pack/in_/lazy.py": "",
    "pack/in_/c.pyx": (
        '"""\nfrom pack import e\n"""\n'
        "cimport cython\nfrom libc.string cimport memcpy\n"
        "from pack.in_.d cimport (  # it's a comment\n    A as B,\n    C)\n"
        "from pack.in_ import lazy, d as other\n"
        "cdef int f() except -1:\n    import pack.a, pack.typed as t\n"
        '    lazy.load("pack.late").x(lazy.load(f"pack.{x}"))\n    load(&word)\n'
    ),
    "pack/in_/d.pxd": "from pack.in_.c cimport A\ncimport pack.b as b\n",
    "pack/in_/d.pyx": 'from pack.in_.lazy import load\nx = load("pack.e")\ny = load (\n"pack.a")\nz = load(name)\n',
    "pack/in_/d.pyi": "from pack.typed import T\n",
}
ARROWS = {
    "pack": {"a", "late"},
    "pack.a": {"b", "typed", "late"},
    "pack.b": {"a", "in_.lazy", "in_.c", "d"},
    "pack.d": {"a"},
    "pack.in_": {"a"},
    "pack.in_.c": {"in_.d", "in_.lazy", "a", "typed", "late"},
    "pack.in_.d": {"in_.c", "b", "in_.lazy", "e", "typed"},
}


def test_every_way_to_name_a_module_is_read(tmp_path):
    for path, text in SOURCES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = read(tmp_path / "pack", "pack.in_.lazy")
    arrows = {}
    for arrow in found.arrows:
        arrows.setdefault(arrow.source, set()).add(arrow.target)
    assert arrows == {source: {f"pack.{name}".rstrip(".") for name in names} for source, names in ARROWS.items()}
    assert {module: len(places) for module, places in found.unknown.items()} == {
        "pack.b": 1,
        "pack.in_.c": 1,
        "pack.in_.d": 1,
    }
    assert found.arrows[Arrow("pack.in_.c", "pack.late")] == ["c.pyx:12"]


def test_circles_are_found():
    arrows = {Arrow(*pair) for pair in ("ab", "bc", "ca", "cd", "de", "ed", "ef")}
    assert sorted(map(sorted, circles(arrows))) == [["a", "b", "c"], ["d", "e"]]
    assert circles(arrows - {Arrow("c", "a"), Arrow("e", "d")}) == []
