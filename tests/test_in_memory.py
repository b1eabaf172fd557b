"""What caches in memory promise: the same as those on disk, but for files, processes and SQLite."""

import inspect

import pytest

import fastcache
from tests.contract import bounded, closing, expiry
from tests.contract.arrays import ArrayContract
from tests.contract.batch import BatchContract, CacheBatchContract
from tests.contract.bulk import BulkContract, CacheBulkContract
from tests.contract.compression import CompressionContract
from tests.contract.concurrency import ThreadContract
from tests.contract.copying import CopyingContract
from tests.contract.explain import CacheExplainContract, ExplainContract
from tests.contract.keys import KeyContract
from tests.contract.locks import LocksContract
from tests.contract.mapping import MappingContract
from tests.contract.memoize import CacheMemoizeContract, CallKeyContract, MemoizeContract
from tests.contract.ordered import CacheOrderedContract, OrderedContract
from tests.contract.queues import CacheQueueContract, QueueContract
from tests.contract.serializers import SerializerContract
from tests.contract.store import validate
from tests.contract.transactions import TransactionContract
from tests.contract.undecodable import UndecodableContract
from tests.contract.values import HugeValueContract, ValueContract
from tests.contract.waiting import WaitingContract

# What a test asks for that is about other processes, or about what lies in a directory.
ELSEWHERE = {"start", "start_program", "start_file", "elsewhere", "directory", "tmp_path"}


def without_elsewhere(contract):
    """A contract without those of its tests that need other processes, or a directory."""
    for name, test in inspect.getmembers(contract, inspect.isfunction):
        if name.startswith("test_") and ELSEWHERE & set(inspect.signature(test).parameters):
            setattr(contract, name, None)
    return contract


class InMemory:
    """Stores in memory: who opens one more has another one, so that what two objects share is not for these.

    A test that only looks through the second one looks through the first."""

    @pytest.fixture
    def directory(self):
        return ":memory:"

    @pytest.fixture
    def open_store(self, request):
        opened = []

        def open_store(**options):
            if opened and not options and not opened[0].stores.closed:
                return opened[0]
            if opened:
                pytest.skip("a store in memory is opened once")
            opened.append(self.store_type(":memory:", **options))
            return opened[0]

        yield open_store
        try:
            if request.node.get_closest_marker("leaves_damage") is None:
                validate(opened, may_have_killed=False)
        finally:
            for store in opened:
                store.close()


class IsCache(InMemory):
    """What is set to None below looks at rows, files or sizes on a disk, pickles, or needs two objects."""

    store_type = fastcache.Cache


class IsIndex(InMemory):
    store_type = fastcache.Index


class IsFanoutCache(InMemory):
    store_type = fastcache.FanoutCache


class IsFanoutIndex(InMemory):
    store_type = fastcache.FanoutIndex


@without_elsewhere
class TestMapping(IsCache, MappingContract):
    pass


@without_elsewhere
class TestClosing(IsCache, closing.ClosingContract):
    pass


@without_elsewhere
class TestReentry(IsCache, closing.ReentryContract):
    pass


@without_elsewhere
class TestTimers(IsCache, closing.TimerContract):
    pass


@without_elsewhere
class TestExpiry(IsCache, expiry.ExpiryContract):
    pass


@without_elsewhere
class TestTags(IsCache, expiry.TagContract):
    pass


@without_elsewhere
class TestStatistics(IsCache, expiry.StatisticsContract):
    pass


@without_elsewhere
class TestBulk(IsCache, BulkContract):
    test_many_belong_to_the_block_they_stand_in = None


@without_elsewhere
class TestBulkWithExpiry(IsCache, CacheBulkContract):
    pass


@without_elsewhere
class TestBatch(IsCache, BatchContract):
    pass


@without_elsewhere
class TestBatchWithExpiry(IsCache, CacheBatchContract):
    pass


@without_elsewhere
class TestTransactions(IsCache, TransactionContract):
    test_another_store_object_does_not_see_what_is_not_committed = None


@without_elsewhere
class TestKeys(IsCache, KeyContract):
    pass


@without_elsewhere
class TestValues(IsCache, ValueContract):
    pass


@without_elsewhere
class TestHugeValues(IsCache, HugeValueContract):
    pass


@without_elsewhere
class TestExplain(IsCache, ExplainContract):
    pass


@without_elsewhere
class TestExplainOfACache(IsCache, CacheExplainContract):
    pass


@without_elsewhere
class TestUndecodable(IsCache, UndecodableContract):
    pass


@without_elsewhere
class TestArrays(IsCache, ArrayContract):
    test_a_large_one_takes_memory_where_it_is_written_to = None


@without_elsewhere
class TestCompression(IsCache, CompressionContract):
    test_what_shrinks_is_compressed_and_comes_back = None
    test_what_was_damaged_is_an_error_of_ours = None
    test_a_serializer_of_ones_own_is_compressed_too = None


@without_elsewhere
class TestSerializers(IsCache, SerializerContract):
    test_msgspec_round_trips_plain_data = None


@without_elsewhere
class TestThreads(IsCache, ThreadContract):
    pass


@without_elsewhere
class TestWaiting(IsCache, WaitingContract):
    pass


@without_elsewhere
class TestCopying(IsCache, CopyingContract):
    pass


@without_elsewhere
class TestLocks(IsCache, LocksContract):
    test_it_can_be_pickled_without_what_it_holds = None
    test_it_lives_in_a_place_for_its_owner_alone = None
    test_what_is_no_average_is_left_alone = None
    test_a_closed_cache_has_no_locks = None
    test_who_waits_through_a_cache_that_is_closed_waits_no_longer = None
    test_what_several_objects_hold_together_is_free_with_the_last_of_them = None

    @pytest.fixture
    def records(self, store):
        store.lock("made").locked()
        return store._lock_holds.records.index


@without_elsewhere
class TestMemoize(IsCache, MemoizeContract):
    pass


@without_elsewhere
class TestKeysOfCalls(IsCache, CallKeyContract):
    pass


@without_elsewhere
class TestMemoizeWithExpiry(IsCache, CacheMemoizeContract):
    pass


@without_elsewhere
class TestOrdered(IsCache, OrderedContract):
    test_what_cannot_be_decoded_is_left_out_or_told = None


@without_elsewhere
class TestOrderedByCache(IsCache, CacheOrderedContract):
    pass


@without_elsewhere
class TestQueues(IsCache, QueueContract):
    pass


@without_elsewhere
class TestQueuesOfACache(IsCache, CacheQueueContract):
    pass


@without_elsewhere
class TestLimit(IsCache, bounded.LimitContract):
    pass


@without_elsewhere
class TestTooLarge(IsCache, bounded.TooLargeContract):
    test_a_row_that_is_larger_than_the_limit_is_refused_too = None


@without_elsewhere
class TestReadingWithinALimit(IsCache, bounded.ReadingContract):
    pass


@without_elsewhere
class TestOrderOfEviction(IsCache, bounded.OrderContract):
    test_ttl_evicts_what_expires_first_and_then_what_is_oldest = None


@without_elsewhere
class TestFullCache(IsCache, bounded.FullContract):
    pass


@without_elsewhere
class TestHotSet(IsCache, bounded.HotSetContract):
    pass


@without_elsewhere
class TestLimitAsASetting(IsCache, bounded.SettingContract):
    pass


@without_elsewhere
class TestCountingOfEviction(IsCache, bounded.CountingContract):
    pass


@without_elsewhere
class TestTelling(IsCache, bounded.TellingContract):
    test_it_goes_along_when_a_cache_is_pickled = None


@without_elsewhere
class TestEvict(IsCache, bounded.EvictContract):
    pass


@without_elsewhere
class TestVacuum(IsCache, bounded.VacuumContract):
    pass


@without_elsewhere
class TestMappingOfAnIndex(IsIndex, MappingContract):
    pass


@without_elsewhere
class TestClosingOfAnIndex(IsIndex, closing.ClosingContract):
    pass


@without_elsewhere
class TestBulkOfAnIndex(IsIndex, BulkContract):
    test_many_belong_to_the_block_they_stand_in = None


@without_elsewhere
class TestBatchOfAnIndex(IsIndex, BatchContract):
    pass


@without_elsewhere
class TestTransactionsOfAnIndex(IsIndex, TransactionContract):
    test_another_store_object_does_not_see_what_is_not_committed = None


@without_elsewhere
class TestValuesOfAnIndex(IsIndex, ValueContract):
    pass


@without_elsewhere
class TestArraysOfAnIndex(IsIndex, ArrayContract):
    test_a_large_one_takes_memory_where_it_is_written_to = None


@without_elsewhere
class TestThreadsOfAnIndex(IsIndex, ThreadContract):
    pass


@without_elsewhere
class TestMemoizeOfAnIndex(IsIndex, MemoizeContract):
    pass


@without_elsewhere
class TestOrderedOfAnIndex(IsIndex, OrderedContract):
    test_what_cannot_be_decoded_is_left_out_or_told = None


@without_elsewhere
class TestQueuesOfAnIndex(IsIndex, QueueContract):
    pass


@without_elsewhere
class TestMappingOfAFanoutCache(IsFanoutCache, MappingContract):
    pass


@without_elsewhere
class TestExpiryOfAFanoutCache(IsFanoutCache, expiry.ExpiryContract):
    pass


@without_elsewhere
class TestTagsOfAFanoutCache(IsFanoutCache, expiry.TagContract):
    pass


@without_elsewhere
class TestStatisticsOfAFanoutCache(IsFanoutCache, expiry.StatisticsContract):
    pass


@without_elsewhere
class TestBulkOfAFanoutCache(IsFanoutCache, CacheBulkContract):
    pass


@without_elsewhere
class TestOrderedOfAFanoutCache(IsFanoutCache, CacheOrderedContract):
    pass


@without_elsewhere
class TestMappingOfAFanoutIndex(IsFanoutIndex, MappingContract):
    pass


@without_elsewhere
class TestOrderedOfAFanoutIndex(IsFanoutIndex, OrderedContract):
    test_what_cannot_be_decoded_is_left_out_or_told = None
