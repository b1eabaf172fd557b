"""The promises hold whatever a store was opened with: written behind, or durable."""

import contextlib

import pytest

import fastcache
from tests.contract.bulk import CacheBulkContract
from tests.contract.concurrency import ThreadContract
from tests.contract.expiry import ExpiryContract, StatisticsContract, TagContract
from tests.contract.mapping import MappingContract
from tests.contract.store import StoreContract
from tests.contract.transactions import TransactionContract


class WithOptions(StoreContract):
    """Every store of a test is opened with these options; what it was given is stored before the next one opens."""

    options = {}  # noqa: RUF012 - never changed

    @pytest.fixture
    def open_store(self, directory):
        opened = []

        def open_store(path=directory, *arguments, **options):
            for store in opened:
                if hasattr(store, "flush"):
                    with contextlib.suppress(fastcache.ClosedError):
                        store.flush()
            store = self.store_type(path, *arguments, **self.options | options)
            opened.append(store)
            return store

        yield open_store
        for store in opened:
            store.close()


class WritesBehind(WithOptions):
    """So late that everything is read from what waits, but for what flushes."""

    store_type = fastcache.Cache
    options = {"write_behind": 1000.0}  # noqa: RUF012


class WritesBehindAtOnce(WithOptions):
    """So soon that what waits and what is stored change places all the time."""

    store_type = fastcache.Cache
    options = {"write_behind": 0.001}  # noqa: RUF012


class TestMappingWrittenBehind(WritesBehind, MappingContract):
    pass


class TestMappingWrittenBehindAtOnce(WritesBehindAtOnce, MappingContract):
    pass


class TestBulkWithExpiryWrittenBehind(WritesBehind, CacheBulkContract):
    pass


class TestExpiryWrittenBehind(WritesBehind, ExpiryContract):
    # What waits is in no file yet, and needs no time before it is written.
    test_expire_takes_files_with_it = None
    test_a_timer_that_tells_no_time_is_refused_and_changes_nothing = None


class TestTagsWrittenBehind(WritesBehind, TagContract):
    pass


class TestStatisticsWrittenBehind(WritesBehind, StatisticsContract):
    pass


class TestThreadsWrittenBehind(WritesBehindAtOnce, ThreadContract):
    pass


class Durable(WithOptions):
    options = {"durability": "full"}  # noqa: RUF012


class TestMappingOfADurableCache(Durable, MappingContract):
    store_type = fastcache.Cache


class TestExpiryOfADurableCache(Durable, ExpiryContract):
    store_type = fastcache.Cache


class TestTransactionsOfADurableIndex(Durable, TransactionContract):
    store_type = fastcache.Index
    # Long, and about waiting, which is the same whatever is synced.
    test_a_signal_handler_may_fork_or_write_while_a_write_waits = None
    test_while_another_process_writes_every_write_times_out_and_the_store_stays_usable = None
