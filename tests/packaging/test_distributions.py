"""What the source distribution and the wheel hold, and that the wheel works alone."""

import shutil
import sys
import tarfile
from pathlib import PurePosixPath

import pytest

from tests.packaging.conftest import ROOT, build_wheel, run

STORED = {each.relative_to(ROOT).as_posix() for each in ROOT.glob("tests/format/[0-9]*/**/*") if each.is_file()}
SOURCES = [each.relative_to(ROOT).as_posix() for each in ROOT.joinpath("fastcache").rglob("*") if each.is_file()]


def those(names, *suffixes):
    return sorted(name for name in names if name.endswith(suffixes))


def test_the_sdist_holds_the_checkout_and_nothing_generated(sdist):
    with tarfile.open(sdist) as archive:
        names = [str(PurePosixPath(*PurePosixPath(each.name).parts[1:])) for each in archive if each.isfile()]

    assert those(SOURCES, ".py", ".pyx", ".pxd", ".pyi", "py.typed") == those(
        [name for name in names if name.startswith("fastcache/")], ".py", ".pyx", ".pxd", ".pyi", "py.typed"
    )
    assert {"LICENSE", "pyproject.toml", "setup.py", "dev.py", ".ci/run"} <= set(names)
    assert {"CHANGELOG.md", "DEVELOPING.md", "README.md", "design-decisions.md"} <= set(names)
    assert "tests/packaging/test_distributions.py" in names
    assert STORED
    assert set(names) >= STORED
    assert any(name.startswith("bench/") for name in names)
    assert those(names, ".c") in ([], ["bench/floor.c"])
    assert not those(names, ".so", ".pyd", ".o", ".pyc")
    assert not any(name.startswith("build/") for name in names)


def test_the_wheel_holds_two_objects_declarations_and_stubs_but_no_sources(wheel_names):
    ours = [name for name in wheel_names if ".dist-info/" not in name]

    assert those(SOURCES, ".py", ".pxd", ".pyi", "py.typed") == those(ours, ".py", ".pxd", ".pyi", "py.typed")
    objects = [name.split(".")[0] for name in those(ours, ".so", ".pyd")]
    assert objects == ["fastcache/_compiled", "fastcache/engine/sqlite/connection"]
    assert not those(ours, ".c", ".pyx", ".h")
    assert all(name.startswith("fastcache/") for name in ours)
    assert those(wheel_names, "licenses/LICENSE")


def test_the_installed_wheel_works_without_the_checkout(installed, tmp_path):
    program = (
        "import fastcache\n"
        f"with fastcache.Cache({str(tmp_path)!r}) as cache:\n"
        "    cache['key'] = 'value'\n"
        "print(fastcache.__file__)\n"
        f"print(fastcache.Cache({str(tmp_path)!r})['key'])\n"
    )

    done = run(sys.executable, "-c", program, PYTHONPATH=str(installed))

    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines() == [str(installed / "fastcache" / "__init__.py"), "value"]


@pytest.mark.skipif(sys.platform == "win32", reason="a module of Windows keeps no names of what is linked into it")
def test_only_one_module_of_the_wheel_binds_sqlite(installed):
    naming = [each.name.split(".")[0] for each in (installed / "fastcache").rglob("*") if binds_sqlite(each)]

    assert naming == ["connection"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks nm about an object of Linux")
def test_the_objects_export_nothing_but_their_modules(installed):
    exported = {}
    for each in (installed / "fastcache").rglob("*.so"):
        said = run("nm", "--dynamic", "--defined-only", "--format=just-symbols", each)
        assert said.returncode == 0, said.stdout
        exported[each.name.split(".")[0]] = set(said.stdout.split())

    compiled = {f"PyInit_{PurePosixPath(name).stem}" for name in those(SOURCES, ".pyx")}
    callers_of_sqlite = {"PyInit_connection", "PyInit_copying", "PyInit_locks_of_files", "PyInit_row_source"}
    assert exported == {"_compiled": compiled - callers_of_sqlite, "connection": callers_of_sqlite}


def test_two_modules_with_one_last_name_are_refused(source, tmp_path):
    own = shutil.copytree(source, tmp_path / "source", ignore=shutil.ignore_patterns("build"))
    (own / "fastcache" / "sync" / "store.pyx").write_text("")

    done = build_wheel(own, tmp_path)

    assert done.returncode != 0
    said = (
        "error: fastcache.engine.store and fastcache.sync.store cannot share an object: each would be its PyInit_store"
    )
    assert said in done.stdout


def test_a_change_of_one_module_compiles_that_module_alone(source, wheel, tmp_path):
    # `wheel` is here for its effect: it has left what it compiled in the sources.
    own = shutil.copytree(source, tmp_path / "source")
    before = compiled_in(own)
    changed = own / "fastcache" / "engine" / "blobs" / "mmapped.pyx"
    changed.write_text(changed.read_text() + "\nNEW = 'new'\n")

    done = run(sys.executable, "setup.py", "-q", "build_ext", cwd=own)

    assert done.returncode == 0, done.stdout
    after = compiled_in(own)
    assert {name.split(".")[0] for name in after if after[name] != before[name]} == {"mmapped", "_compiled"}
    assert {name for name in after if name.endswith(".o") and after[name] != before[name]} == {"mmapped.o"}


def compiled_in(folder):
    """When each compiled file was made."""
    return {each.name: each.stat().st_mtime_ns for each in folder.glob("build/**/*") if each.suffix in (".o", ".so")}


def binds_sqlite(path):
    return path.suffix in (".so", ".pyd") and b"sqlite3_prepare_v3" in path.read_bytes()
