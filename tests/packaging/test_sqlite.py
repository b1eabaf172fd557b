"""Which SQLite a build takes, and what it says if there is none that will do."""

import shutil
import sys

import pytest

from tests.packaging.conftest import build_wheel, install_wheel, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gives flags to gcc or clang")

HOW_TO_INSTALL = "Debian, Ubuntu:  apt-get install build-essential python3-dev libsqlite3-dev"


@pytest.fixture
def own_source(source, tmp_path):
    """Sources of its own for a build that is meant to fail: without what earlier builds have left."""
    return shutil.copytree(source, tmp_path / "source", ignore=shutil.ignore_patterns("build"))


def refusal(source, folder, **variables):
    done = build_wheel(source, folder, **{"FASTCACHE_SQLITE_AMALGAMATION": None} | variables)
    assert done.returncode != 0
    assert not list(folder.glob("*.whl"))
    return done.stdout


def test_without_the_header_the_build_says_what_to_install(own_source, tmp_path, flags_without_sqlite):
    said = refusal(own_source, tmp_path, CFLAGS=flags_without_sqlite)

    assert "error: fastcache needs SQLite's header and library to build, version 3.37.0 or newer" in said
    assert HOW_TO_INSTALL in said
    assert "FASTCACHE_SQLITE_AMALGAMATION" in said


def test_a_header_that_is_too_old_is_refused(own_source, tmp_path):
    (tmp_path / "sqlite3.h").write_text("#define SQLITE_VERSION_NUMBER 3031001\nint sqlite3_libversion_number(void);\n")

    said = refusal(own_source, tmp_path, C_INCLUDE_PATH=str(tmp_path))

    assert "this sqlite3.h is older than 3.37.0" in said
    assert HOW_TO_INSTALL in said


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "it holds no sqlite3.c and no sqlite3.h"),
        ({"sqlite3.h": ""}, "it holds no sqlite3.c"),
        ({"sqlite3.c": ""}, "it holds no sqlite3.h"),
        (
            {"sqlite3.c": "", "sqlite3.h": '#define SQLITE_VERSION        "3.31.1"'},
            "is 3.31.1; fastcache needs 3.37.0",
        ),
        ({"sqlite3.c": "", "sqlite3.h": ""}, "is of no known version; fastcache needs 3.37.0"),
    ],
)
def test_an_unusable_amalgamation_is_refused(own_source, tmp_path, files, complaint):
    folder = tmp_path / "amalgamation"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)

    said = refusal(own_source, tmp_path, FASTCACHE_SQLITE_AMALGAMATION=str(folder))

    assert repr(str(folder)) in said
    assert complaint in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="borrows the system's SQLite for a small amalgamation")
def test_an_amalgamation_takes_the_place_of_the_system_library(source, wheel, tmp_path):
    # `wheel` is here for its effect: a build with the system's SQLite has left its modules in the sources.
    folder = tmp_path / "amalgamation"
    folder.mkdir()
    (folder / "sqlite3.h").write_text('#define SQLITE_VERSION "3.99.0"\n#include_next <sqlite3.h>\n')
    (folder / "sqlite3.c").write_text('const char *sqlite3_libversion(void) { return "3.99.0"; }\n')

    borrow = "-Wl,--no-as-needed -lsqlite3"
    done = build_wheel(source, tmp_path, FASTCACHE_SQLITE_AMALGAMATION=str(folder), LDFLAGS=borrow)
    assert done.returncode == 0, done.stdout
    (made,) = tmp_path.glob("*.whl")
    installed = install_wheel(made, tmp_path / "installed")

    asked = run(sys.executable, "-c", "import fastcache; print(fastcache.sqlite_version)", PYTHONPATH=str(installed))
    assert asked.stdout.strip() == "3.99.0"
