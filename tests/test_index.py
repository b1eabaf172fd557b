"""What an Index promises."""

import pytest

import fastcache
from tests.contract.arrays import ArrayContract
from tests.contract.backup import BackupContract
from tests.contract.batch import BatchContract
from tests.contract.bounded import VacuumContract
from tests.contract.bulk import BulkContract
from tests.contract.closing import ClosingContract
from tests.contract.compression import CompressionContract
from tests.contract.concurrency import ProcessContract, ThreadContract
from tests.contract.copying import CopyingContract
from tests.contract.crash import CrashContract
from tests.contract.damage import CheckContract
from tests.contract.durability import DurabilityContract
from tests.contract.explain import ExplainContract
from tests.contract.files import FolderContract
from tests.contract.full_disk import FullDiskContract
from tests.contract.journal import JournalContract
from tests.contract.keys import KeyContract
from tests.contract.lives import LivesContract
from tests.contract.locks import LocksContract
from tests.contract.maintenance import MaintenanceContract
from tests.contract.mapping import MappingContract
from tests.contract.memoize import MemoizeContract
from tests.contract.memory import MemoryContract
from tests.contract.opening import OpeningContract
from tests.contract.ordered import OrderedContract
from tests.contract.persistence import PersistenceContract
from tests.contract.places import GoneContract, NameContract, ReadOnlyContract, SharingContract
from tests.contract.queues import QueueContract
from tests.contract.serializers import SerializerContract
from tests.contract.store import StoreContract, in_order
from tests.contract.transactions import TransactionContract
from tests.contract.trust import TrustContract
from tests.contract.undecodable import UndecodableContract
from tests.contract.values import ValueContract


class IsIndex:
    """What is set to None below is long, and of the engine: test_cache.py shows it of the same code.

    (An Index is a face of its own on the same store as a Cache: it differs in what its methods take and return.)
    """

    store_type = fastcache.Index


class TestClosing(IsIndex, ClosingContract):
    pass


class TestLives(IsIndex, LivesContract):
    pass


class TestMapping(IsIndex, MappingContract):
    pass


class TestBulk(IsIndex, BulkContract):
    test_get_many_sees_a_transaction_of_another_thread_whole_or_not_at_all = None
    test_while_another_process_writes_they_time_out_and_change_nothing = None


class TestLocks(IsIndex, LocksContract):
    # The kinds of locks are the same code, which TestLocks of test_cache.py shows of each.
    @pytest.fixture(params=[fastcache.Lock])
    def lock_type(self, request):
        return request.param

    def test_an_average_in_an_index_has_no_expiry_and_no_tag(self, store):
        for options in ({"expire": 1}, {"tag": "t"}):
            with pytest.raises(TypeError):
                fastcache.Averager(store, "k", **options).add(1)
        assert len(store) == 0


class TestBatch(IsIndex, BatchContract):
    test_a_batch_that_cannot_commit_says_so = None


class TestTransactions(IsIndex, TransactionContract):
    test_a_signal_handler_may_fork_or_write_while_a_write_waits = None


class TestKeys(IsIndex, KeyContract):
    test_any_keys_make_the_same_mapping_as_in_a_dict = None
    test_keys_that_nearly_meet_make_the_same_mapping_as_in_a_dict = None


class TestValues(IsIndex, ValueContract):
    pass


class TestExplain(IsIndex, ExplainContract):
    pass


class TestUndecodable(IsIndex, UndecodableContract):
    pass


class TestTrust(IsIndex, TrustContract):
    test_nesting_overflows_no_stack = None
    test_processes_that_need_the_first_secret_at_once_get_the_same = None


class TestArrays(IsIndex, ArrayContract):
    pass


class TestCompression(IsIndex, CompressionContract):
    test_what_shrinks_is_compressed_and_comes_back = None


class TestSerializers(IsIndex, SerializerContract):
    pass


class TestMemory(IsIndex, MemoryContract):
    test_checkpoints_and_vacuum_leave_it_true = None
    test_what_a_foreign_program_changes_is_seen_at_once = None
    test_a_planted_table_does_not_come_in_between = None


class TestDurability(IsIndex, DurabilityContract):
    test_while_another_process_writes_every_thread_times_out = None


class TestPersistence(IsIndex, PersistenceContract):
    test_a_temporary_store_lives_as_long_as_an_iterator_of_it = None


class TestOpening(IsIndex, OpeningContract):
    test_while_another_program_keeps_the_database_to_itself_opening_times_out = None
    test_processes_that_make_the_same_directory_at_once_all_get_it = None


class TestThreads(IsIndex, ThreadContract):
    test_a_key_that_is_never_absent_is_never_missed = None
    test_no_thread_reads_a_torn_value = None


class TestProcesses(IsIndex, ProcessContract):
    test_a_large_value_deleted_elsewhere_is_gone_here = None
    test_the_child_ends_and_the_parent_keeps_its_lock = None
    test_a_child_forked_while_a_thread_imports_what_the_store_needs_does_not_wait_for_it = None
    test_a_child_forked_while_other_threads_read_inherits_no_database = None
    test_a_fork_that_is_interrupted_mixes_up_no_transactions = None
    test_what_is_interrupted_happens_as_a_whole_or_not_at_all = None
    test_leaving_the_interpreter_while_daemon_threads_write_is_silent = None


class TestVacuum(IsIndex, VacuumContract):
    pass


class TestMaintenance(IsIndex, MaintenanceContract):
    test_the_wal_stays_short_while_somebody_reads_all_the_time = None
    test_the_wal_stays_short_while_others_write_all_the_time = None


class TestMemoize(IsIndex, MemoizeContract):
    pass


class TestCheck(IsIndex, CheckContract):
    test_what_was_planted_does_nothing_worse_than_an_error_of_ours = None
    test_a_key_that_was_planted_does_nothing_worse_than_an_error_of_ours = None
    test_popping_items_ends_whatever_was_planted = None
    test_a_row_that_names_a_file_elsewhere_reads_as_missing = None
    test_a_wrong_counter_is_named_and_corrected = None
    test_a_damaged_index_is_named_and_rebuilt = None
    test_an_index_that_lacks_a_key_is_named_and_rebuilt = None
    test_a_damaged_table_is_named_and_what_is_whole_is_kept = None
    test_text_that_is_not_utf8_does_not_keep_the_rest_from_being_saved = None
    test_what_is_whole_between_damaged_places_is_kept = None
    test_a_database_that_cannot_even_be_opened_is_named_and_repaired = None


class TestCrash(IsIndex, CrashContract):
    test_a_killed_writer_loses_nothing_it_was_told_is_stored = None


class TestIndexAlone(IsIndex, StoreContract):
    """What no other store does in the same way."""

    def test_pop_of_an_absent_key_is_an_error_as_in_a_dict(self, store):
        with pytest.raises(KeyError) as error:
            store.pop("absent")
        assert error.value.args == ("absent",)
        assert store.pop("absent", 7) == 7
        assert store.pop("absent", None) is None
        store["a"] = None
        assert store.pop("a") is None

    def test_it_can_be_filled_as_it_is_made(self, directory):
        with fastcache.Index(directory, {"a": 1}, b=2) as index:
            assert in_order(index) == [("a", 1), ("b", 2)]
        with fastcache.Index(directory, [("c", 3), ("a", 4), ("directory", 5)], tag=6) as index:
            assert in_order(index) == [("a", 4), ("b", 2), ("c", 3), ("directory", 5), ("tag", 6)]
        with fastcache.Index(None, {"a": 1}) as index:
            assert in_order(index) == [("a", 1)]
        with fastcache.Index(a=1) as index:
            assert in_order(index) == [("a", 1)]

    @pytest.mark.parametrize("wrong", [5, [1], [(1, 2, 3)]])
    def test_it_refuses_to_be_filled_with_what_a_dict_refuses(self, directory, wrong):
        with pytest.raises((TypeError, ValueError)):
            fastcache.Index(directory, wrong)
        with fastcache.Index(directory) as index:
            assert len(index) == 0

    @pytest.mark.parametrize("name", ["expire", "evict_tag", "touch", "stats", "reset_stats", "max_size"])
    def test_it_has_nothing_that_only_a_cache_needs(self, store, name):
        assert not hasattr(store, name)

    def test_it_takes_no_expiry_and_no_tag(self, store):
        for attempt in (
            lambda: store.set("a", 1, expire=1),
            lambda: store.set("a", 1, tag="tag"),
            lambda: store.add("a", 1, expire=1),
            lambda: store.get("a", tag=True),
            lambda: store.pop("a", None, expire_time=True),
        ):
            with pytest.raises(TypeError):
                attempt()
        assert len(store) == 0


class TestCopying(IsIndex, CopyingContract):
    pass


class TestFolders(IsIndex, FolderContract):
    pass


class TestBackup(IsIndex, BackupContract):
    pass


class TestJournal(IsIndex, JournalContract):
    pass


class TestFullDisk(IsIndex, FullDiskContract):
    pass


class TestNames(IsIndex, NameContract):
    pass


class TestGone(IsIndex, GoneContract):
    pass


class TestReadOnly(IsIndex, ReadOnlyContract):
    pass


class TestSharing(IsIndex, SharingContract):
    pass


class TestOrdered(IsIndex, OrderedContract):
    pass


class TestQueues(IsIndex, QueueContract):
    pass
