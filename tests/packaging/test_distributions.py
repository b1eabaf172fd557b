"""What the source distribution and the wheel hold, and that the wheel works alone."""

import sys
import tarfile
from pathlib import PurePosixPath

import pytest

from tests.packaging.conftest import ROOT, run

SOURCES = [each.relative_to(ROOT).as_posix() for each in ROOT.joinpath("fastcache").rglob("*") if each.is_file()]


def those(names, *suffixes):
    return sorted(name for name in names if name.endswith(suffixes))


def test_the_sdist_holds_the_checkout_and_nothing_generated(sdist):
    with tarfile.open(sdist) as archive:
        names = [str(PurePosixPath(*PurePosixPath(each.name).parts[1:])) for each in archive if each.isfile()]

    assert those(SOURCES, ".py", ".pyx", ".pxd", ".pyi", "py.typed") == those(
        [name for name in names if name.startswith("fastcache/")], ".py", ".pyx", ".pxd", ".pyi", "py.typed"
    )
    assert {"LICENSE", "CHANGELOG.md", "README.md", "pyproject.toml", "setup.py", "dev.py", ".ci/run"} <= set(names)
    assert "tests/packaging/test_distributions.py" in names
    assert any(name.startswith("bench/") for name in names)
    assert those(names, ".c") in ([], ["bench/floor.c"])
    assert not those(names, ".so", ".pyd", ".o", ".pyc")
    assert not any(name.startswith("build/") for name in names)


def test_the_wheel_holds_modules_declarations_and_stubs_but_no_sources(wheel_names):
    ours = [name for name in wheel_names if ".dist-info/" not in name]

    assert those(SOURCES, ".py", ".pxd", ".pyi", "py.typed") == those(ours, ".py", ".pxd", ".pyi", "py.typed")
    modules = {name.split(".")[0] for name in those(ours, ".so", ".pyd")}
    assert modules == {name.removesuffix(".pyx") for name in those(SOURCES, ".pyx")}
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


def binds_sqlite(path):
    return path.suffix in (".so", ".pyd") and b"sqlite3_prepare_v3" in path.read_bytes()
