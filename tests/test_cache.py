"""What a Cache promises."""

import pytest

import fastcache
from fastcache.engine import spans
from tests.contract.arrays import ArrayContract
from tests.contract.backup import BackupContract, CacheBackupContract
from tests.contract.batch import BatchContract, CacheBatchContract
from tests.contract.bounded import (
    CountingContract,
    EvictContract,
    FileRoomContract,
    ForkContract,
    FullContract,
    HotSetContract,
    LimitContract,
    OrderContract,
    ReadingContract,
    RecencyContract,
    SettingContract,
    TellingContract,
    TooLargeContract,
    VacuumContract,
)
from tests.contract.bulk import BulkContract, CacheBulkContract
from tests.contract.closing import ClosingContract, ReentryContract, TimerContract, WithoutMemoryContract
from tests.contract.compression import CompressionContract
from tests.contract.concurrency import ProcessContract, ThreadContract
from tests.contract.copying import CopyingContract
from tests.contract.crash import CrashContract
from tests.contract.damage import CheckContract
from tests.contract.durability import DurabilityContract
from tests.contract.expiry import ExpiryContract, StatisticsContract, TagContract
from tests.contract.explain import CacheExplainContract, ExplainContract
from tests.contract.files import (
    EarlierVersionContract,
    FolderContract,
    InterruptContract,
    KillContract,
    LinkContract,
    TransactionRoomContract,
)
from tests.contract.full_disk import CacheFullDiskContract
from tests.contract.journal import JournalContract, SmallLogContract
from tests.contract.keys import KeyContract
from tests.contract.lives import LivesContract
from tests.contract.locks import LocksContract
from tests.contract.maintenance import CacheMaintenanceContract, MaintenanceContract
from tests.contract.mapping import MappingContract
from tests.contract.memoize import CacheMemoizeContract, CallKeyContract, MemoizeContract
from tests.contract.memory import CacheMemoryContract
from tests.contract.opening import OpeningContract
from tests.contract.ordered import CacheOrderedContract, OrderedContract
from tests.contract.persistence import PersistenceContract
from tests.contract.places import GoneJournalContract, NameContract, ReadOnlyContract, SharingContract
from tests.contract.queues import CacheQueueContract, QueueContract
from tests.contract.serializers import SerializerContract
from tests.contract.store import StoreContract
from tests.contract.transactions import TransactionContract
from tests.contract.trust import CacheTrustContract, TrustContract
from tests.contract.undecodable import UndecodableContract
from tests.contract.values import HugeValueContract, ValueContract
from tests.contract.waiting import WaitingContract


class IsCache:
    store_type = fastcache.Cache


class TestClosing(IsCache, ClosingContract):
    pass


class TestReentry(IsCache, ReentryContract):
    pass


class TestWithoutMemory(IsCache, WithoutMemoryContract):
    pass


class TestTimers(IsCache, TimerContract):
    pass


class TestLives(IsCache, LivesContract):
    pass


class TestMapping(IsCache, MappingContract):
    pass


class TestExpiry(IsCache, ExpiryContract):
    pass


class TestTags(IsCache, TagContract):
    pass


class TestStatistics(IsCache, StatisticsContract):
    pass


class TestBulk(IsCache, BulkContract):
    pass


class TestLocks(IsCache, LocksContract):
    # A BoundedSemaphore of one slot is a Lock by the same code; its own tests have more slots.
    @pytest.fixture(params=[fastcache.Lock, fastcache.RLock])
    def lock_type(self, request):
        return request.param

    def test_an_average_may_expire_and_carry_a_tag(self, store):
        averager = fastcache.Averager(store, "k", expire=1000, tag="t")
        averager.add(1)
        (total, count), expires, tag = store.get("k", expire_time=True, tag=True)
        assert (total, count, tag) == (1, 1, "t")
        assert expires is not None
        assert store.evict_tag("t") == 1
        assert averager.get() is None


class TestBulkWithExpiry(IsCache, CacheBulkContract):
    pass


class TestBatch(IsCache, BatchContract):
    pass


class TestBatchWithExpiry(IsCache, CacheBatchContract):
    pass


class TestTransactions(IsCache, TransactionContract):
    pass


class TestKeys(IsCache, KeyContract):
    pass


class TestValues(IsCache, ValueContract):
    pass


class TestHugeValues(IsCache, HugeValueContract):
    pass


class TestExplain(IsCache, ExplainContract):
    pass


class TestExplainOfACache(IsCache, CacheExplainContract):
    pass


class TestUndecodable(IsCache, UndecodableContract):
    pass


class TestTrust(IsCache, TrustContract):
    pass


class TestTrustOfACache(IsCache, CacheTrustContract):
    pass


class TestArrays(IsCache, ArrayContract):
    pass


class TestCompression(IsCache, CompressionContract):
    pass


class TestSerializers(IsCache, SerializerContract):
    pass


class TestMemory(IsCache, CacheMemoryContract):
    pass


class TestDurability(IsCache, DurabilityContract):
    pass


class TestPersistence(IsCache, PersistenceContract):
    pass


class TestOpening(IsCache, OpeningContract):
    pass


class TestThreads(IsCache, ThreadContract):
    pass


class TestProcesses(IsCache, ProcessContract):
    pass


class TestWaiting(IsCache, WaitingContract):
    pass


class TestMaintenance(IsCache, MaintenanceContract):
    pass


class TestMaintenanceOfExpiry(IsCache, CacheMaintenanceContract):
    pass


class TestLimit(IsCache, LimitContract):
    pass


class TestTooLarge(IsCache, TooLargeContract):
    pass


class TestReadingWithinALimit(IsCache, ReadingContract):
    pass


class TestOrderOfEviction(IsCache, OrderContract):
    pass


class TestFullCache(IsCache, FullContract):
    pass


class TestHotSet(IsCache, HotSetContract):
    pass


class TestLimitAsASetting(IsCache, SettingContract):
    pass


class TestCountingOfEviction(IsCache, CountingContract):
    pass


class TestTelling(IsCache, TellingContract):
    pass


class TestEvict(IsCache, EvictContract):
    pass


class TestVacuum(IsCache, VacuumContract):
    pass


class TestRoomOfFiles(IsCache, FileRoomContract):
    pass


class TestTableOfRecency(IsCache, RecencyContract):
    pass


class TestForksWithinALimit(IsCache, ForkContract):
    pass


class TestMemoize(IsCache, MemoizeContract):
    pass


class TestKeysOfCalls(IsCache, CallKeyContract):
    pass


class TestMemoizeWithExpiry(IsCache, CacheMemoizeContract):
    pass


class TestCheck(IsCache, CheckContract):
    pass


class TestCrash(IsCache, CrashContract):
    pass


class TestCacheAlone(IsCache, StoreContract):
    """What no other store does in the same way."""

    def test_pop_of_an_absent_key_gives_the_default(self, store):
        assert store.pop("absent") is None
        assert store.pop("absent", 7) == 7
        assert store.pop("absent", expire_time=True) == (None, None)
        assert store.pop("absent", 7, expire_time=True, tag=True) == (7, None, None)

    def test_get_gives_extras_only_when_asked(self, store, clock):
        store.set("a", (1, 2), expire=1000, tag="tag")
        assert store.get("a") == (1, 2)
        assert store.get("a", tag=True) == ((1, 2), "tag")
        value, time, tag = store.get("a", None, expire_time=True, tag=True)
        assert (value, tag) == ((1, 2), "tag")
        assert isinstance(time, float)
        assert store.get("absent", 5, tag=True) == (5, None)

    def test_the_properties_have_their_defaults(self):
        with fastcache.Cache() as cache:
            assert cache.timeout == 60.0
            assert cache.max_size == 0

    @pytest.mark.parametrize(
        "options",
        [
            {"timeout": "1"},
            {"timeout": -1},
            {"timeout": float("nan")},
            {"max_size": -1},
            {"max_size": "1"},
            {"timer": 5},
            {"colour": "red"},
        ],
        ids=str,
    )
    def test_an_option_that_makes_no_sense_is_refused(self, directory, options):
        with pytest.raises((TypeError, ValueError)):
            fastcache.Cache(directory, **options)

    def test_tags_and_what_else_is_told_are_named_arguments(self, store):
        for attempt in (
            lambda: store.set("a", 1, 10, "tag"),
            lambda: store.add("a", 1, 10, "tag"),
            lambda: store.get("a", None, True),
        ):
            with pytest.raises(TypeError):
                attempt()
        assert len(store) == 0

    @pytest.mark.parametrize("method", ["set", "add", "get_or_set", "touch", "expire", "evict_tag"])
    def test_expiry_and_tags_take_part_in_transactions(self, open_store, clock, method):
        store = open_store(timer=clock)
        store.set("a", 1, expire=100, tag="red")
        store.set("gone", 1, expire=1)
        clock.advance(1)
        act = {
            "set": lambda: store.set("a", 2, expire=5, tag="green"),
            "add": lambda: store.add("b", 2, expire=5, tag="green"),
            "get_or_set": lambda: store.get_or_set("b", lambda: 2, expire=5),
            "touch": lambda: store.touch("a", 5),
            "expire": store.expire,
            "evict_tag": lambda: store.evict_tag("red"),
        }[method]
        with pytest.raises(ZeroDivisionError), store.transact():  # noqa: PT012
            act()
            1 // 0  # noqa: B018
        assert list(store) == ["a"]
        assert store.get("a", expire_time=True, tag=True) == (1, clock.now + 99, "red")
        assert store.expire() == 1


class TestLinks(IsCache, LinkContract):
    pass


class TestFolders(IsCache, FolderContract):
    pass


class TestInterruptedFiles(IsCache, InterruptContract):
    pass


class TestKilledWriters(IsCache, KillContract):
    pass


class TestEarlierVersion(IsCache, EarlierVersionContract):
    pass


class TestRoomInTransactions(IsCache, TransactionRoomContract):
    pass


def test_python_code_in_a_span_ends_a_debug_build(start):
    """The test of the test: where FASTCACHE_DEBUG was set when building, spans are looked after (engine/spans.pxd)."""
    process = start("run_in_span")
    if spans.are_checked:
        process.popen.wait()
        assert process.popen.returncode < 0
        assert "none may" in process.popen.stderr.read()
    else:
        assert process.finish() == "ran"


class TestCopying(IsCache, CopyingContract):
    pass


class TestBackup(IsCache, BackupContract):
    pass


class TestCacheBackup(IsCache, CacheBackupContract):
    pass


class TestJournal(IsCache, JournalContract):
    pass


class TestSmallLog(IsCache, SmallLogContract):
    pass


class TestFullDisk(IsCache, CacheFullDiskContract):
    pass


class TestNames(IsCache, NameContract):
    pass


class TestGone(IsCache, GoneJournalContract):
    pass


class TestReadOnly(IsCache, ReadOnlyContract):
    pass


class TestSharing(IsCache, SharingContract):
    pass


class TestOrdered(IsCache, OrderedContract):
    pass


class TestOrderedByCache(IsCache, CacheOrderedContract):
    pass


class TestQueues(IsCache, QueueContract):
    pass


class TestQueuesOfACache(IsCache, CacheQueueContract):
    pass
