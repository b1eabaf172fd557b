"""What a FanoutCache and a FanoutIndex promise: what a Cache and an Index do, and what is their own."""

import fastcache
from tests.contract.backup import BackupContract, CacheBackupContract
from tests.contract.bulk import CacheBulkContract
from tests.contract.closing import ClosingContract, TimerContract
from tests.contract.concurrency import ThreadContract
from tests.contract.copying import CopyingContract
from tests.contract.expiry import ExpiryContract, StatisticsContract, TagContract
from tests.contract.explain import ExplainContract
from tests.contract.fanout import FanoutCacheContract, FanoutContract
from tests.contract.files import ShardLinkContract
from tests.contract.full_disk import FullDiskContract
from tests.contract.journal import JournalContract
from tests.contract.lives import LivesContract
from tests.contract.mapping import MappingContract
from tests.contract.memoize import MemoizeContract
from tests.contract.opening import OpeningContract
from tests.contract.ordered import CacheOrderedContract, OrderedContract
from tests.contract.persistence import PersistenceContract
from tests.contract.places import GoneShardContract, NameContract, ReadOnlyContract, SharingContract
from tests.contract.store import StoreContract
from tests.contract.undecodable import UndecodableContract
from tests.together import together


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


class TestClosing(IsFanoutCache, ClosingContract):
    pass


class TestTimers(IsFanoutCache, TimerContract):
    pass


class TestLives(IsFanoutCache, LivesContract):
    pass


class TestLivesOfAnIndex(IsFanoutIndex, LivesContract):
    pass


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


class TestMemoize(IsFanoutCache, MemoizeContract):
    # It begins a transaction without a key.
    test_inside_a_transaction_nobody_is_waited_for = None


class TestExplain(IsFanoutCache, ExplainContract):
    pass


class TestUndecodable(IsFanoutCache, UndecodableContract):
    pass


class TestUndecodableOfAnIndex(IsFanoutIndex, UndecodableContract):
    pass


class TestLocks(IsFanoutCache, StoreContract):
    """They are one index in the directory, whatever the number of shards; averages are entries."""

    def test_a_lock_and_an_average_work_as_in_a_cache(self, store):
        def add(number):
            with store.lock("a", expire=60):
                store["n"] = store.get("n", 0) + 1
            for name in range(20):
                store.averager(name).add(number)

        together(*[lambda number=number: add(number) for number in range(8)])
        assert store["n"] == 8
        assert {store.averager(name).get() for name in range(20)} == {3.5}


class TestThreads(IsFanoutCache, ThreadContract):
    test_readers_see_a_transaction_as_a_whole = None  # one of many keys


class TestPersistence(IsFanoutCache, PersistenceContract):
    test_the_order_goes_on_after_reopening = None  # about the order


class TestOpening(IsFanoutCache, OpeningContract):
    pass


class TestShards(IsFanoutCache, FanoutContract):
    pass


class TestShardsOfAnIndex(IsFanoutIndex, FanoutContract):
    # Long, and of the engine, which TestShards shows of the same code.
    test_keys_are_spread_evenly = None
    test_each_key_has_its_place = None
    test_processes_that_make_one_directory_at_once_all_get_it = None
    test_of_processes_that_ask_for_different_numbers_one_number_wins = None
    test_a_long_stream_of_one_shard_inside_its_transaction_needs_no_other = None
    test_streams_over_all_shards_in_opposite_orders_never_block_each_other = None
    test_threads_that_stream_over_all_shards_never_block_each_other = None
    test_a_killed_stream_leaves_each_shard_all_or_nothing = None
    test_a_process_killed_within_a_stream_leaves_nothing_of_it = None


class TestShardsWithALimit(IsFanoutCache, FanoutCacheContract):
    pass


class TestLinks(IsFanoutCache, ShardLinkContract):
    pass


class TestCopying(IsFanoutCache, CopyingContract):
    pass


class TestCopyingOfAnIndex(IsFanoutIndex, CopyingContract):
    # The same code, which TestCopying shows.
    test_what_is_written_around_a_copy_from_inside_is_all_there = None


class TestBackup(IsFanoutCache, BackupContract):
    pass


class TestCacheBackup(IsFanoutCache, CacheBackupContract):
    pass


class TestBackupOfAnIndex(IsFanoutIndex, BackupContract):
    # Long, and of the same code, which TestBackup shows.
    test_while_processes_write_pairs_each_backup_has_both_of_a_pair_or_none = None
    test_a_backup_that_is_killed_is_none = None
    test_a_disk_that_gets_full_leaves_nothing_of_it = None


class TestJournal(IsFanoutCache, JournalContract):
    pass


class TestFullDisk(IsFanoutCache, FullDiskContract):
    pass


class TestNames(IsFanoutCache, NameContract):
    pass


class TestGone(IsFanoutCache, GoneShardContract):
    pass


class TestReadOnly(IsFanoutCache, ReadOnlyContract):
    pass


class TestSharing(IsFanoutCache, SharingContract):
    pass


class TestNamesOfAnIndex(IsFanoutIndex, NameContract):
    pass


class TestGoneOfAnIndex(IsFanoutIndex, GoneShardContract):
    pass


class TestReadOnlyOfAnIndex(IsFanoutIndex, ReadOnlyContract):
    pass


class TestSharingOfAnIndex(IsFanoutIndex, SharingContract):
    pass


class TestOrdered(IsFanoutCache, OrderedContract):
    pass


class TestOrderedByFanoutCache(IsFanoutCache, CacheOrderedContract):
    pass


class TestOrderedOfAnIndex(IsFanoutIndex, OrderedContract):
    pass
