"""What an Index promises."""

import pytest

import fastcache
from tests.contract.arrays import ArrayContract
from tests.contract.batch import BatchContract
from tests.contract.bounded import VacuumContract
from tests.contract.bulk import BulkContract
from tests.contract.compression import CompressionContract
from tests.contract.concurrency import ProcessContract, ThreadContract
from tests.contract.crash import CrashContract
from tests.contract.damage import CheckContract
from tests.contract.durability import DurabilityContract
from tests.contract.keys import KeyContract
from tests.contract.maintenance import MaintenanceContract
from tests.contract.mapping import MappingContract
from tests.contract.memoize import MemoizeContract
from tests.contract.memory import MemoryContract
from tests.contract.opening import OpeningContract
from tests.contract.persistence import PersistenceContract
from tests.contract.serializers import SerializerContract
from tests.contract.store import StoreContract, in_order
from tests.contract.transactions import TransactionContract
from tests.contract.trust import TrustContract
from tests.contract.values import ValueContract


class IsIndex:
    store_type = fastcache.Index


class TestMapping(IsIndex, MappingContract):
    pass


class TestBulk(IsIndex, BulkContract):
    pass


class TestBatch(IsIndex, BatchContract):
    pass


class TestTransactions(IsIndex, TransactionContract):
    pass


class TestKeys(IsIndex, KeyContract):
    pass


class TestValues(IsIndex, ValueContract):
    pass


class TestTrust(IsIndex, TrustContract):
    pass


class TestArrays(IsIndex, ArrayContract):
    pass


class TestCompression(IsIndex, CompressionContract):
    pass


class TestSerializers(IsIndex, SerializerContract):
    pass


class TestMemory(IsIndex, MemoryContract):
    pass


class TestDurability(IsIndex, DurabilityContract):
    pass


class TestPersistence(IsIndex, PersistenceContract):
    pass


class TestOpening(IsIndex, OpeningContract):
    pass


class TestThreads(IsIndex, ThreadContract):
    pass


class TestProcesses(IsIndex, ProcessContract):
    pass


class TestVacuum(IsIndex, VacuumContract):
    pass


class TestMaintenance(IsIndex, MaintenanceContract):
    pass


class TestMemoize(IsIndex, MemoizeContract):
    pass


class TestCheck(IsIndex, CheckContract):
    # Long, and of the engine, which TestCheck of test_cache.py shows of the same code.
    test_what_was_planted_does_nothing_worse_than_an_error_of_ours = None
    test_a_key_that_was_planted_does_nothing_worse_than_an_error_of_ours = None
    test_popping_items_ends_whatever_was_planted = None


class TestCrash(IsIndex, CrashContract):
    pass


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
        with fastcache.Index(directory, [("c", 3), ("a", 4)], directory=5) as index:
            assert in_order(index) == [("a", 4), ("b", 2), ("c", 3), ("directory", 5)]
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

    @pytest.mark.parametrize(
        "name", ["expire", "evict_tag", "touch", "stats", "reset_stats", "max_size", "write_behind"]
    )
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
