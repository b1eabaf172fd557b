"""What `import fastcache` loads, and how the modules are found that share one file."""

import importlib.util
import inspect
import json
import pickle
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import fastcache
from fastcache._compiled import MODULES

PACKAGE = Path(fastcache.__file__).parent

# Without site, so that nothing is loaded but what the interpreter needs itself.
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import fastcache
loaded = set(sys.modules) - before
import json
modules = {name: sys.modules[name] for name in loaded}
print(json.dumps({
    "packages": sorted(name for name, module in modules.items() if hasattr(module, "__path__")),
    "origins": {name: getattr(module.__spec__, "origin", None) for name, module in modules.items()},
}))
"""


def in_fresh_interpreter(program, *arguments):
    command = [sys.executable, "-I", "-S", "-c", program, str(PACKAGE.parent), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def loaded():
    return json.loads(in_fresh_interpreter(PROGRAM))


def test_an_import_loads_two_shared_objects(loaded):
    ours = {name: origin for name, origin in loaded["origins"].items() if name.startswith("fastcache.")}

    objects = {Path(origin) for origin in ours.values() if origin.endswith(tuple(EXTENSION_SUFFIXES))}

    assert {path.name.partition(".")[0] for path in objects} == {"_compiled", "connection"}
    assert len(objects) == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_the_process_maps_no_other_file_of_the_package():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import fastcache\n"
        "lines = [each for each in open('/proc/self/maps') if sys.argv[2] in each]\n"
        "print(*{each.split(maxsplit=5)[5].strip() for each in lines}, sep='\\n')"
    )

    mapped = in_fresh_interpreter(program, str(PACKAGE)).splitlines()

    assert sorted(Path(each).name.partition(".")[0] for each in mapped) == ["_compiled", "connection"]


def test_an_import_loads_only_the_packages_that_a_store_is_made_of(loaded):
    packages = loaded["packages"]
    print(len(packages), *packages)
    rooms = {f"fastcache.engine.{each.parent.name}" for each in PACKAGE.glob("engine/*/__init__.py")}

    # A store needs the rooms of the engine, and nothing that is built on it. Each package takes 1 % of an import.
    assert set(packages) <= {"fastcache", "fastcache.runtime", "fastcache.engine", *rooms}
    assert len(packages) <= 11


@pytest.mark.parametrize(
    "name",
    ["threading", "logging", "random", "asyncio", "msgspec", "importlib", "zlib", "fastcache.engine.codecs.record"],
)
def test_an_import_loads_nothing_that_few_programs_need(loaded, name):
    assert name not in loaded["origins"]


def test_every_compiled_module_is_found_and_can_be_imported():
    sources = {".".join(each.relative_to(PACKAGE.parent).with_suffix("").parts) for each in PACKAGE.rglob("*.pyi")}
    names = {name for name in sources if not (PACKAGE.parent / Path(*name.split("."))).with_suffix(".py").exists()}
    assert names == MODULES

    for name in names:
        spec = importlib.util.find_spec(name)
        module = importlib.import_module(name)
        assert (spec.name, module.__name__) == (name, name)
        assert spec.origin == module.__file__ == inspect.getfile(module)
        assert module.__package__ == name.rpartition(".")[0]


@pytest.mark.parametrize(
    "first",
    [
        "import fastcache.engine.store",
        "from fastcache.engine.shm.eventcount import *",
        "import fastcache.sync.holds",
        "import fastcache.memoize.calls",
        "import fastcache.engine.sqlite.connection",
    ],
)
def test_any_module_may_be_imported_first(first):
    program = f"import sys; sys.path.insert(0, sys.argv[1])\n{first}\nprint(sys.modules['fastcache'].Cache.__name__)"

    assert in_fresh_interpreter(program).strip() == "Cache"


@pytest.mark.parametrize("name", ["fastcache.store", "fastcache.engine.nothing", "fastcache.engine.store2"])
def test_what_does_not_exist_is_not_found(name):
    assert importlib.util.find_spec(name) is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)


def test_compiled_classes_are_pickled_by_name():
    from fastcache.engine.store import Store

    for each in (Store, fastcache.Stats, fastcache.Cache.__mro__[2]):
        assert pickle.loads(pickle.dumps(each)) is each
    code = f"import sys, pickle; sys.path.insert(0, sys.argv[1]); print(pickle.loads({pickle.dumps(Store)!r}))"
    assert in_fresh_interpreter(code).strip() == "<class 'fastcache.engine.store.Store'>"


def test_statistics_that_were_pickled_by_an_earlier_version_are_found():
    earlier = pickle.dumps(fastcache.Stats(hits=1), 0).replace(b"fastcache.engine.views", b"fastcache.engine.mapping")

    assert type(pickle.loads(earlier)) is fastcache.Stats


def test_errors_are_named_as_they_are_imported():
    errors = [getattr(fastcache, name) for name in fastcache.__all__ if name.endswith("Error") or name == "Timeout"]
    assert len(errors) > 10
    for error in errors:
        assert error.__module__ == "fastcache"
        assert type(pickle.loads(pickle.dumps(error("said")))) is error
