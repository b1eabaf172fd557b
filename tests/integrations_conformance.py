"""Run the tests that libraries keep in their repositories over fastcache's adapters for them.

    python tests/integrations_conformance.py key_value --source ~/py-key-value
    python tests/integrations_conformance.py hishel --source ~/hishel -k storage

They are not shipped with the libraries, so that ``--source`` names a clone, or an unpacked source distribution, of the
version that is installed here. Nothing of it is changed: what has its tests use our adapters is written to a temporary
directory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CACHELIB = """
import pytest
from clear import ClearTests
from common import CommonTests
from has import HasTests
from fastcache.integrations.cachelib import FastCache


@pytest.fixture(autouse=True, params=[{}, {"memory": 0}, {"shards": 3}], ids=str)
def cache_factory(request, tmp_path):
    made = []

    def factory(self, *arguments, **options):
        made.append(FastCache(tmp_path / "cache", *arguments, **options, **request.param))
        return made[-1]

    request.cls.cache_factory = factory
    yield
    for each in made:
        each.cache.close()


class TestFastCache(CommonTests, ClearTests, HasTests):
    pass
"""

REQUESTS_CACHE = """
import pytest
from tests.integration.base_cache_test import BaseCacheTest
from tests.integration.base_storage_test import BaseStorageTest
from requests_cache.serializers import dict_serializer
from fastcache import Cache
from fastcache.integrations.requests_cache import FastCache, Storage


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class TestBackend(BaseCacheTest):
    @staticmethod
    def backend_class(cache_name, serializer=None, **of_the_session):
        return FastCache(cache_name, serializer)

    @classmethod
    def teardown_class(cls):
        pass


class TestStorage(BaseStorageTest):
    def init_cache(self, cache_name="http_cache", index=0, clear=True, **options):
        cache = Storage(Cache(f"{cache_name}_{index}"), options.get("serializer") or dict_serializer, False)
        if clear:
            cache.clear()
        return cache

    @classmethod
    def teardown_class(cls):
        pass
"""

KEY_VALUE = """
import pytest
from fastcache import Cache, FanoutCache
from fastcache.integrations.key_value import FastCacheStore
from tests.stores.base import BaseStoreTests, ContextManagerStoreTestMixin

# The tests write about this much and expect that some of it is gone.
LIMIT = 128 * 1024


@pytest.mark.filterwarnings("ignore:max_size")
class TestInADirectory(ContextManagerStoreTestMixin, BaseStoreTests):
    @pytest.fixture
    async def store(self, per_test_temp_dir):
        return FastCacheStore(per_test_temp_dir / "store", max_size=LIMIT)


class TestWithoutMemory(ContextManagerStoreTestMixin, BaseStoreTests):
    @pytest.fixture
    async def store(self, per_test_temp_dir):
        return FastCacheStore(per_test_temp_dir / "store", max_size=LIMIT, memory=0)


class TestOverShards(BaseStoreTests):
    @pytest.fixture
    async def store(self, per_test_temp_dir):
        with FanoutCache(per_test_temp_dir / "store", shards=3, max_size=LIMIT) as cache:
            yield FastCacheStore(cache)
"""

HISHEL = '''
import time

import hishel
from hishel._core._storages import _async_sqlite, _sync_sqlite
from fastcache.integrations.hishel import AsyncFastCacheStorage, FastCacheStorage


class InThePlaceOfSqlite:
    """Made as its tests make hishel's own storage; its clock is the one that they set."""

    def __init__(self, *, connection=None, database_path=None, max_size=None, soft_delete_ttl=None, **limits):
        directory = None if database_path is None else f"{database_path}.fastcache"
        super().__init__(directory, timer=time.time, max_size=max_size, **limits)


class Storage(InThePlaceOfSqlite, FastCacheStorage):
    pass


class AsyncStorage(InThePlaceOfSqlite, AsyncFastCacheStorage):
    async def _ensure_connection(self):
        """Is called before some tests; ours is open."""


hishel.SqliteStorage = _sync_sqlite.SqliteStorage = Storage
hishel.AsyncSqliteStorage = _async_sqlite.AsyncSqliteStorage = AsyncStorage

LEFT_OUT = set("""
%s
""".split())


def rows(storage):
    return sum(isinstance(key, bytes) for key in storage.cache)


def chunk_rows(storage):
    ids = [key for key in storage.cache if isinstance(key, bytes)]
    small = sum(bool(storage._responses._stored(id, storage.cache[id]).body) for id in ids)
    return small + sum(isinstance(key, tuple) for key in storage.cache)


def in_a_coroutine(count):
    async def counted(storage):
        return count(storage)

    return counted


def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if item.originalname not in LEFT_OUT and item.name not in LEFT_OUT]
    for module in {item.module for item in items}:
        # Theirs count in the tables.
        for count in (rows, chunk_rows):
            if hasattr(module, count.__name__):
                setattr(module, count.__name__, in_a_coroutine(count) if "_async" in module.__name__ else count)
'''

# What calls methods of hishel's own storage that only that has, or breaks its connection under it.
OF_THE_INSIDE = """
test_frequent_reads_do_not_write
test_remove_racing_with_lookup_touch_stays_removed
test_lru_evicts_least_recently_used_and_stops_when_it_fits
test_database_stays_near_limit_over_many_writes
test_reader_raises_when_entry_deleted_mid_read
test_storage_failure_mid_stream_does_not_fail_consumer
test_create_entry_failure_serves_uncached
test_corrupt_row_does_not_break_lookup_or_cleanup
test_old_database_is_refused_and_left_untouched
test_connection_with_tables_of_its_own_is_left_untouched
test_switch_to_wal_retries_while_locked
test_switch_to_wal_gives_up_and_tries_again_on_the_next_use
test_switch_to_wal_only_retries_locks
test_database_failures_do_not_fail_the_caller
test_queries_use_indexes
test_cost_with_100k_entries
test_entries_get_their_id_and_key_from_the_row_not_the_blob
test_eviction_between_select_and_touch_is_a_miss_not_an_error
test_only_the_evicted_entry_is_skipped
test_removal_between_select_and_touch_is_a_miss
test_failed_touch_still_serves_the_entry
test_try_write_reports_rows_changed_or_failure
test_warns_about_connection_bound_to_its_thread
test_failed_write_leaves_no_open_transaction
test_unsafe_request_still_succeeds_when_the_database_is_locked
test_cancelled_write_does_not_keep_the_write_lock
"""
# What hishel leaves to a storage, and ours does otherwise: nothing that is removed, or has expired, stays for a time,
# since whoever reads it has it mapped; chunks are larger, and so is the least size of a cache; what is used after that
# was closed raises a ClosedError, and a stream that was open goes on.
OTHERWISE = """
test_ttl_hides_then_next_write_deletes
test_remove_hides_immediately_and_is_deleted_after_grace
test_stalled_reader_past_grace_raises_instead_of_truncating
test_cache_full_of_recently_used_entries_stops_storing_but_serves
test_round_trip_rechunks_and_returns_exact_body
test_abandoned_stream_discards_partial_data_immediately
test_crashed_writer_is_removed_after_grace
test_too_big_response_is_not_cached_but_fully_delivered[kwargs1]
test_closed_storage_raises_and_does_not_reopen
test_close_stops_lingering_stream
test_closing_transport_closes_upstream_and_storage
"""

HISHEL_FILES = (
    *("tests/_core/_sync/test_sqlite_storage.py", "tests/_core/_sync/test_sqlite_threading.py"),
    *("tests/_core/_async/test_sqlite_storage.py", "tests/_core/_async/test_sqlite_concurrency.py"),
    *("tests/test_sync_httpx.py", "tests/test_async_httpx.py", "tests/test_requests.py"),
)


def cachelib(folder, source):
    """Classes of its own make cachelib's, whose modules lie beside each other (it needs pytest-xprocess)."""
    file = folder / "test_of_fastcache.py"
    file.write_text(CACHELIB, encoding="utf-8")
    return [str(file), "-o", f"pythonpath={source / 'tests'}"]


def requests_cache(folder, source):
    """Classes of its own make requests-cache's (it needs pytest-httpbin, requests-mock and rich)."""
    os.environ["USE_PYTEST_HTTPBIN"] = "true"
    file = folder / "test_of_fastcache.py"
    file.write_text(REQUESTS_CACHE, encoding="utf-8")
    return [str(file), "-p", "tests.conftest"]


def key_value(folder, source):
    """Classes of its own make py-key-value's."""
    file = folder / "test_of_fastcache.py"
    file.write_text(KEY_VALUE, encoding="utf-8")
    return [str(file), "-o", "asyncio_mode=auto"]


def hishel(folder, source):
    """Hishel's are functions, in which our storages take the place of its own."""
    (folder / "in_the_place.py").write_text(HISHEL % (OF_THE_INSIDE + OTHERWISE), encoding="utf-8")
    return ["-p", "in_the_place", *(str(source / file) for file in HISHEL_FILES)]


SUITES = {"cachelib": cachelib, "hishel": hishel, "key_value": key_value, "requests_cache": requests_cache}


def main():
    """Have pytest run them, from a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--source", type=Path, required=True, help="a clone of the library's repository")
    parsed, arguments = parser.parse_known_args()
    source = parsed.source.resolve()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        chosen = SUITES[parsed.suite](Path(folder), source)
        # Their tests are a package of the same name as ours, and must be found first.
        paths = [folder, str(source), str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        options = ["-p", "no:cacheprovider", "--rootdir", str(source), "-q", *chosen, *arguments]
        command = [sys.executable, "-m", "pytest", *options]
        return subprocess.run(command, env=environment, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
