"""The promises hold if a store was opened as durable; and what options that have other names now mean."""

import asyncio
import contextlib
import copy
import linecache
import pickle
import warnings

import pytest

import fastcache
from fastcache import aio
from fastcache.integrations.opening import open_cache
from tests.contract.expiry import ExpiryContract
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


# -- write_behind, which means a journal now -------------------------------------------------------------------------

KINDS = {"Cache": fastcache.Cache, "FanoutCache": fastcache.FanoutCache}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
# tests/journals.py
with_journals = pytest.mark.skipif(
    not fastcache.Cache.__init__.__kwdefaults__["journal"], reason="there is to be no journal unless it is asked for"
)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "store"


def told(make, *arguments, **options):
    """What a call makes, and what it warns of, which has to point here."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        made = make(*arguments, **options)
    for each in found:
        assert each.filename == __file__
        assert linecache.getline(__file__, each.lineno).strip() == "made = make(*arguments, **options)"
    return made, [(each.category, str(each.message)) for each in found]


def is_told(found):
    """Whether it was warned of once, and said what to do."""
    ((category, text),) = found
    return category is DeprecationWarning and "write_behind=" in text and "Leave it out" in text


def journals(store):
    """Whether each of its databases has a journal, and puts there what is set."""
    return [part.uses_journal and part.journal is not None for part in store.stores.all()]


@with_journals
@kinds
@pytest.mark.parametrize("seconds", [1, 0.5, 0.001, 3600])
def test_a_delay_means_a_journal_and_is_warned_of_each_time(directory, tmp_path, kind, seconds):
    for _ in range(2):
        store, found = told(kind, directory, write_behind=seconds)
        assert is_told(found)
        with store, kind(tmp_path / "other", journal=True) as other:
            assert store._options() == other._options() | {"serializer": store.serializer}
            assert not hasattr(store, "write_behind")
            for each in (store, other):
                each["a"] = seconds
                each.flush()
            assert journals(store) == journals(other)
            assert store["a"] == seconds


@kinds
@pytest.mark.parametrize("nothing", [None, 0, 0.0])
@pytest.mark.parametrize("journal", [True, False])
def test_no_delay_means_nothing(directory, kind, nothing, journal):
    store, found = told(kind, directory, write_behind=nothing, journal=journal)
    with store:
        assert not found
        assert store._options()["journal"] is journal


@kinds
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("1", TypeError),
        ([1], TypeError),
        (True, TypeError),
        (-1, ValueError),
        (float("nan"), ValueError),
        (1e9, ValueError),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_delay_that_makes_no_sense_is_refused(directory, kind, wrong, error):
    for make in (kind, getattr(aio, kind.__name__)):
        with pytest.raises(error, match="write_behind must be"):
            make(directory, write_behind=wrong)
    assert not directory.exists()


@kinds
@pytest.mark.filterwarnings("error")
def test_a_delay_without_a_journal_is_a_contradiction(directory, kind):
    for make in (kind, getattr(aio, kind.__name__)):
        with pytest.raises(ValueError, match="contradicts journal=False"):
            make(directory, write_behind=0.5, journal=False)
    assert not directory.exists()


@with_journals
@pytest.mark.parametrize(
    "options", [{"durability": "full"}, {"eviction": "none", "max_size": 2_000_000}, {"max_size": 500_000}], ids=str
)
def test_where_no_journal_can_be_had_each_set_is_written_before_it_returns(directory, start, options):
    store, found = told(fastcache.Cache, directory, write_behind=1000, **options)
    assert is_told(found)
    with store:
        store["a"] = 1
        assert start("sql", str(directory), "SELECT count(*) FROM entry").hear() == [[1]]


@with_journals
def test_in_memory_a_delay_means_nothing_more():
    store, found = told(fastcache.Cache, ":memory:", write_behind=1000)
    assert is_told(found)
    with store:
        store["a"] = 1
        assert store["a"] == 1


@with_journals
@kinds
def test_a_copy_knows_nothing_of_a_delay_and_warns_of_none(directory, kind):
    store, found = told(kind, directory, write_behind=0.5)
    assert is_told(found)
    with store:
        store["a"] = 1
        for again in (lambda: pickle.loads(pickle.dumps(store)), lambda: copy.copy(store)):
            other, found = told(again)
            with other:
                assert not found
                assert other["a"] == 1
                assert other._options()["journal"] is True


@with_journals
@kinds
def test_an_asynchronous_one_warns_where_it_is_made_and_not_where_it_is_opened(directory, kind):
    async def use(store):
        async with store:
            await store.set("a", 1)
            assert await store["a"] == 1
            assert store.sync._options()["journal"] is True
            with pickle.loads(pickle.dumps(store)).sync as other:
                assert other["a"] == 1

    store, found = told(getattr(aio, kind.__name__), directory, write_behind=0.5)
    assert is_told(found)
    _, found = told(asyncio.run, use(store))
    assert not found


@with_journals
@pytest.mark.parametrize("options", [{}, {"shards": 2}], ids=str)
def test_whoever_has_an_adapter_open_it_is_warned(directory, options):
    (store, _), found = told(open_cache, directory, {"write_behind": 0.5, **options})
    assert is_told(found)
    with store:
        assert store._options()["journal"] is True
