"""What a later release, or another program, cannot decode: its class has moved, or was removed."""

import sys
import types

import pytest

import fastcache

from .store import StoreContract, as_promised


class UndecodableContract(StoreContract):
    pytestmark = pytest.mark.leaves_damage

    @pytest.fixture
    def moved(self, monkeypatch):
        """A class, in a module that is not there any more when it is called."""
        module = types.ModuleType("models_of_a_former_release")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(
            "class User:\n"
            "    __hash__ = None\n"
            "class Name:\n"
            "    __eq__ = lambda self, other: type(self) is type(other)\n"
            "    __hash__ = lambda self: 1\n",
            vars(module),
        )
        return module

    @pytest.fixture
    def store(self, open_store, moved):
        """A store in which two values cannot be decoded, and others can."""
        store = open_store(memory=0)
        store["first"], store["user"], store[7], store["last"] = 1, moved.User(), [moved.User()], [2]
        sys.modules.pop(moved.__name__)
        return store

    def test_it_is_computed_where_a_function_is_at_hand(self, store):
        assert store.get_or_set("user", lambda: "anew") == "anew"
        assert store["user"] == "anew"
        assert store.get_or_set(7, lambda: None) is None
        assert store[7] is None

    def test_a_memoized_function_computes_anew(self, open_store, moved):
        store = open_store(memory=0)
        memoized = store.memoize(name="f")(lambda: [moved.User()])
        memoized()
        sys.modules.pop(moved.__name__)
        again = store.memoize(name="f")(lambda: "anew")
        assert again() == again() == "anew"
        assert again.cache_info() == (1, 1)

    def test_a_plain_read_says_so_with_the_type_of_the_key_and_the_cure(self, store):
        for key, kind in (("user", "str"), (7, "int")):
            for read in (
                lambda key=key: store[key],
                lambda key=key: store.get(key),
                lambda key=key: store.pop(key),
                lambda key=key: store.setdefault(key, 1),
                lambda key=key: store.get_many(["first", key], on_error="raise"),
            ):
                with pytest.raises(fastcache.DecodeError, match="delete the entry or set it anew") as caught:
                    read()
                assert f"the key is of the type {kind}" in str(caught.value)
                assert str(caught.value).count("the key is of") == 1
                assert str(key) not in str(caught.value)
                assert isinstance(caught.value.__cause__, ImportError)
            assert key in store

    def test_an_iteration_goes_on_and_says_so_once(self, store, caplog):
        pairs = [("first", 1), ("last", [2])]
        assert list(store.items()) == as_promised(store, pairs)
        assert len(caplog.records) == 1
        assert list(store.values()) == as_promised(store, [1, [2]])
        assert store.get_many(["first", "user", 7, "absent"]) == {"first": 1}
        assert len(caplog.records) == 3
        for record in caplog.records:
            assert record.name == "fastcache"
            assert "on_error" in record.getMessage()
            assert "User" not in record.getMessage()
        assert list(reversed(store.items())) == as_promised(store, pairs[::-1])
        assert sorted(map(str, store)) == ["7", "first", "last", "user"]

    def test_what_it_does_then_can_be_chosen(self, store, caplog):
        for scan in (store.items, store.values, lambda how: store.get_many(list(store), how)):
            assert len(list(scan("skip"))) == 2
            with pytest.raises(fastcache.DecodeError, match="the key is of the type"):
                list(scan("raise"))
            told = []
            assert len(list(scan(lambda *found, told=told: told.append(found)))) == 2
            assert {key for key, _ in told} == {"user", 7}
            assert {type(error) for _, error in told} == {fastcache.DecodeError}

            def stop(key, error):
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                list(scan(stop))
        assert not caplog.records

    @pytest.mark.parametrize(("how", "error"), [("never", ValueError), (None, TypeError), (7, TypeError)])
    def test_what_cannot_be_chosen_is_refused_at_once(self, store, how, error):
        for scan in (store.items, store.values, lambda how: store.get_many([], how)):
            with pytest.raises(error, match="on_error"):
                scan(how)

    def test_what_was_found_can_be_removed(self, store):
        gone = []
        assert len(list(store.items(on_error=lambda key, error: gone.append(key)))) == 2
        assert store.delete_many(gone) == 2
        assert store.check()

    def test_popitem_names_it_and_takes_nothing(self, store):
        # The next one of a Cache; of several shards, one of the next.
        with pytest.raises(fastcache.DecodeError, match="the key is of the type"):
            [store.popitem(last=False) for _ in range(3)]
        assert {"user", 7} <= set(store)

    def test_it_is_equal_to_nothing(self, store):
        with pytest.raises(fastcache.DecodeError):
            assert store != {"first": 1, "last": [2]}

    def test_a_check_counts_it(self, store):
        found = store.check(fix=True)
        assert not found
        assert found.undecodable_entries == 2
        assert len(store) == 4

    def test_so_it_is_with_keys(self, open_store, moved, caplog):
        store = open_store(memory=0)
        store["first"], store[moved.Name()], store["last"] = 1, 2, 3
        sys.modules.pop(moved.__name__)
        assert list(store) == as_promised(store, ["first", "last"])
        assert list(store.items()) == as_promised(store, [("first", 1), ("last", 3)])
        assert len(caplog.records) == 2
        told = []
        assert len(list(store.items(on_error=lambda *found: told.append(found)))) == 2
        assert [(key, type(error)) for key, error in told] == [(None, fastcache.DecodeError)]
        assert store.check().undecodable_entries == 1
