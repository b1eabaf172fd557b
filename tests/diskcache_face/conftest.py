"""Every test here runs on diskcache and on the face that passes for it, and expects the same of both."""

import importlib

import pytest

from . import FACE, ORIGINAL


@pytest.fixture(params=[ORIGINAL, FACE])
def library(request):
    if request.param == ORIGINAL:
        return pytest.importorskip(ORIGINAL)
    return importlib.import_module(FACE)


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "directory")


@pytest.fixture
def cache(library, directory):
    with library.Cache(directory) as cache:
        yield cache


@pytest.fixture
def fanout(library, directory):
    with library.FanoutCache(directory, shards=3) as cache:
        yield cache


@pytest.fixture
def deque(library, directory):
    deque = library.Deque(directory=directory)
    yield deque
    deque.cache.close()


@pytest.fixture
def index(library, directory):
    index = library.Index(directory)
    yield index
    index.cache.close()
