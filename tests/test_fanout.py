"""What a FanoutCache and a FanoutIndex promise: what a Cache and an Index do, and what is their own."""

import pytest

import fastcache
from tests.contract.bulk import CacheBulkContract
from tests.contract.concurrency import ThreadContract
from tests.contract.expiry import ExpiryContract, StatisticsContract, TagContract
from tests.contract.fanout import FanoutCacheContract, FanoutContract
from tests.contract.keys import KeyContract
from tests.contract.locks import LocksContract
from tests.contract.mapping import MappingContract
from tests.contract.memoize import MemoizeContract
from tests.contract.opening import OpeningContract
from tests.contract.persistence import PersistenceContract


class IsFanoutCache:
    """What is set to None below is about what differs: order among all keys, or transactions of several of them."""

    store_type = fastcache.FanoutCache


class IsFanoutIndex:
    store_type = fastcache.FanoutIndex


class WithoutOrder:
    """The order of iteration, which FanoutContract is about; the last two clear or delete in one transaction."""

    test_iteration_follows_insertion = None
    test_an_update_keeps_the_place = None
    test_what_is_inserted_again_goes_to_the_end = None
    test_the_last_place_is_free_again_after_it_was_deleted = None
    test_popitem_takes_the_last_or_the_first = None
    test_views_iterate_in_both_directions = None
    test_views_are_live = None
    test_ten_thousand_entries_come_back_in_order = None
    test_two_iterations_do_not_disturb_each_other = None
    test_clear_ends_an_iteration = None
    test_ten_thousand_entries_with_gaps_come_back_in_order = None


class TestMapping(IsFanoutCache, WithoutOrder, MappingContract):
    pass


class TestMappingOfAnIndex(IsFanoutIndex, WithoutOrder, MappingContract):
    pass


class TestExpiry(IsFanoutCache, ExpiryContract):
    # It deletes in one transaction what lies in all shards.
    test_many_expire_in_the_middle_of_a_scan = None


class TestTags(IsFanoutCache, TagContract):
    pass


class TestStatistics(IsFanoutCache, StatisticsContract):
    pass


class TestBulkWithExpiry(IsFanoutCache, CacheBulkContract):
    # What waits for each of the shards is as much as what waits for one.
    test_a_long_generator_takes_no_room_of_its_own = None


class TestKeys(IsFanoutCache, KeyContract):
    test_anything_else_that_is_hashable_and_comes_back_equal_is_a_key = None  # about the order


class TestMemoize(IsFanoutCache, MemoizeContract):
    # It begins a transaction without a key.
    test_inside_a_transaction_nobody_is_waited_for = None


class TestLocks(IsFanoutCache, LocksContract):
    # The kinds of locks are the same code, which TestLocks of test_cache.py shows of each.
    @pytest.fixture(params=[fastcache.Lock])
    def lock_type(self, request):
        return request.param

    # It begins a transaction without a key.
    test_it_can_be_waited_for_inside_a_transaction = None


class TestThreads(IsFanoutCache, ThreadContract):
    test_readers_see_a_transaction_as_a_whole = None  # one of many keys


class TestPersistence(IsFanoutCache, PersistenceContract):
    test_the_order_goes_on_after_reopening = None  # about the order


class TestOpening(IsFanoutCache, OpeningContract):
    pass


class TestShards(IsFanoutCache, FanoutContract):
    pass


class TestShardsOfAnIndex(IsFanoutIndex, FanoutContract):
    pass


class TestShardsWithALimit(IsFanoutCache, FanoutCacheContract):
    pass
