"""The engine as a library for Cython: a module of one's own that calls the store directly."""

import sys

import pytest

from tests.packaging.conftest import run

TALLY = """
from fastcache.engine.store cimport NEVER, Store


def tally(cache, words):
    cdef Store store = cache.store
    for word in words:
        store.increment(word, 1, 0)


def put(cache, key, value):
    cdef Store store = cache.store
    return store.put(key, value, NEVER, None, True)


def look_up(cache, key):
    cdef Store store = cache.store
    return store.fetch(key, None) if store.contains(key) else "absent"
"""

SETUP = """
from Cython.Build import cythonize
from setuptools import setup

setup(ext_modules=cythonize("tally.pyx", language_level=3))
"""

PROGRAM = """
import fastcache, tally
with fastcache.Cache() as cache:
    tally.tally(cache, ["to", "be", "or", "not", "to", "be"])
    print(dict(cache.items()))
    print(tally.put(cache, "be", "x"), tally.put(cache, "that", ("is", 1)))
    print(tally.look_up(cache, "to"), tally.look_up(cache, "that"), tally.look_up(cache, "question"))
    cache.close()
    try:
        tally.look_up(cache, "to")
    except fastcache.ClosedError as error:
        print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def extension(installed, flags_without_sqlite, tmp_path_factory):
    """The folder of the compiled module, built where SQLite's header cannot be found."""
    folder = tmp_path_factory.mktemp("tally")
    (folder / "tally.pyx").write_text(TALLY)
    (folder / "setup.py").write_text(SETUP)
    build = [sys.executable, "setup.py", "build_ext", "--inplace"]
    done = run(*build, cwd=folder, PYTHONPATH=str(installed), CFLAGS=flags_without_sqlite)
    assert done.returncode == 0, done.stdout
    return folder


def test_a_module_that_cimports_the_store_needs_no_sqlite_header(extension, installed):
    path = f"{installed}:{extension}"

    done = run(sys.executable, "-c", PROGRAM, PYTHONPATH=path)

    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines() == [
        "{'to': 2, 'be': 2, 'or': 1, 'not': 1}",
        "False True",
        "2 ('is', 1) absent",
        "ClosedError",
    ]
