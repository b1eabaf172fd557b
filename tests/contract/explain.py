"""Why a call of a memoized function is answered from the cache, or is not."""

import asyncio
import sys
import types

import pytest

from .store import StoreContract


def power(base, exponent=2, *more, sign="+", **named):
    return f"{sign}{base}**{exponent}"


def differences(found):
    return [(each.kind, each.name, each.now, each.stored) for each in found.differences]


class ExplainContract(StoreContract):
    def test_of_what_is_cached_it_is_true(self, store):
        memoized = store.memoize(power)
        memoized(3)
        for found in (memoized.explain(3), memoized.explain(base=3, exponent=2), memoized.explain(3, sign="+")):
            assert found
            assert found.reason == "cached"
            assert found.differences == ()
            assert str(found) == "cached"
        assert memoized.cache_info() == (0, 1)

    def test_it_computes_nothing_and_counts_nothing(self, store):
        calls = []
        memoized = store.memoize(name="f")(calls.append)
        assert not memoized.explain(1)
        assert calls == []
        assert memoized.cache_info() == (0, 0)
        assert len(store) == 0

    def test_of_a_function_that_was_never_called_nothing_is_stored(self, store):
        store.memoize(name="another")(power)(3)
        found = store.memoize(power).explain(3)
        assert found.reason == "new"
        assert "no call of this function" in str(found)

    def test_it_names_the_argument_that_differs_from_the_nearest_call(self, store):
        memoized = store.memoize(power)
        for call in ((1, 2, 3), (1, 5), (7, 8, 9)):
            memoized(*call)
        found = memoized.explain(1, 6)
        assert found.reason == "different"
        assert differences(found) == [("argument", "exponent", "6", "5")]
        assert "argument exponent: 6 now, 5 in the cache" in str(found)
        assert differences(memoized.explain(7, 8)) == [("argument", "*more", "()", "(9,)")]
        assert differences(memoized.explain(1, 5, z="a")) == [("argument", "**named", "(('z', 'a'),)", "()")]

    def test_it_tells_a_default_from_what_was_given(self, store):
        memoized = store.memoize(power)
        memoized(1, 5, sign="-")
        assert differences(memoized.explain(1)) == [
            ("default", "exponent", "2", "5"),
            ("default", "sign", "'+'", "'-'"),
        ]
        assert differences(memoized.explain(1, exponent=2, sign="-")) == [("argument", "exponent", "2", "5")]

    def test_of_contents_it_says_that_they_differ(self, store):
        memoized = store.memoize(power)
        memoized([1], "x" * 1000)
        found = memoized.explain([2], "x" * 1000)
        (only,) = found.differences
        assert (only.kind, only.name, only.stored) == ("argument", "base", "another content")
        (only,) = memoized.explain([1], "y" * 1000).differences
        assert len(str(only)) < 200
        (only,) = memoized.explain(1, "x" * 1000).differences
        assert only.now == "1"
        assert "a content" in only.stored

    def test_under_typed_it_tells_types(self, store):
        memoized = store.memoize(typed=True)(power)
        memoized(1)
        (only,) = memoized.explain(1.0).differences
        assert only.kind == "type"
        assert only.now.startswith("float int")
        assert only.stored.startswith("int int")
        assert differences(memoized.explain(2)) == [("argument", "base", "2", "1")]

    def test_what_is_ignored_is_not_told_of(self, store):
        memoized = store.memoize(ignore=("base", "sign"))(power)
        memoized(1, 2)
        assert memoized.explain(5, 2, sign="-")
        assert differences(memoized.explain(5, 3, sign="-")) == [("argument", "exponent", "3", "2")]

    def test_it_names_the_code_of_a_function_that_has_changed(self, store):
        space = {"__name__": "of_a_test"}
        exec("def f(x): return x", space)
        memoized = store.memoize(version_aware=True)(space["f"])
        memoized(1)
        exec("def f(x): return -x", space)
        found = store.memoize(version_aware=True)(space["f"]).explain(1)
        assert [each.kind for each in found.differences] == ["code"]
        assert "the code" in str(found)
        # What was stored without it is no version of it.
        assert store.memoize(space["f"]).explain(1).differences[0].stored != "none"

    def test_it_names_parameters_and_modules_that_have_changed(self, store):
        space = {"__name__": "of_a_test"}
        exec("def f(x): return x", space)
        store.memoize(space["f"])(1)
        exec("def f(x, y=0): return x", space)
        (only,) = store.memoize(space["f"]).explain(1).differences
        assert (only.kind, only.now, only.stored) == ("parameters", "(x, y)", "(x)")
        exec("def f(x): return x", space)
        space["f"].__module__ = "elsewhere"
        (only,) = store.memoize(space["f"]).explain(1).differences
        assert (only.kind, only.now, only.stored) == ("name", "elsewhere", "of_a_test")

    def test_it_knows_what_this_process_has_stored_and_is_gone(self, store):
        memoized = store.memoize(power)
        memoized(3)
        memoized.invalidate(3)
        found = memoized.explain(3)
        assert found.reason == "removed"
        assert not found
        assert "deleted" in str(found)

    @pytest.mark.leaves_damage
    def test_it_says_that_what_is_stored_cannot_be_decoded(self, open_store, monkeypatch):
        store = open_store(memory=0)
        module = types.ModuleType("models_of_a_former_release")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec("class User: pass", vars(module))
        memoized = store.memoize(name="f")(lambda: [module.User()])
        memoized()
        sys.modules.pop(module.__name__)
        found = memoized.explain()
        assert found.reason == "undecodable"
        assert "DecodeError" in str(found)

    def test_methods_and_coroutine_functions_explain_themselves(self, store):
        class Thing:
            @store.memoize(name="method", ignore="self")
            def method(self, x):
                return x

        thing = Thing()
        thing.method(1)
        assert thing.method.explain(1)
        assert differences(thing.method.explain(2)) == [("argument", "x", "2", "1")]

        @store.memoize(name="later")
        async def later(x):
            return x

        asyncio.run(later(1))
        assert later.explain(1)
        assert differences(later.explain(2)) == [("argument", "x", "2", "1")]

    def test_what_cannot_be_called_is_a_type_error(self, store):
        memoized = store.memoize(power)
        for call in (dict, lambda: memoized.explain(object())):
            with pytest.raises(TypeError):
                memoized.explain() if call is dict else call()


class CacheExplainContract(StoreContract):
    """What takes expiry and a limit."""

    def test_it_says_that_a_result_has_expired(self, open_store, clock):
        store = open_store(timer=clock)
        memoized = store.memoize(expire=10)(power)
        memoized(3)
        assert memoized.explain(3)
        clock.advance(12)
        for other in (memoized, open_store(timer=clock).memoize(expire=10)(power)):
            found = other.explain(3)
            assert found.reason == "expired"
            assert "2 s ago" in str(found)
        early = store.memoize_stampede(expire=10)(power)
        early(4)
        assert early.explain(4)

    def test_it_says_that_a_result_may_have_been_evicted(self, open_store):
        store = open_store(max_size=1_000_000, eviction="fifo")
        memoized = store.memoize(name="large")(lambda number: bytes([number % 256]) * 10_000)
        for number in range(300):
            memoized(number)
        store.evict()
        assert memoized.cache_key(0) not in store
        found = memoized.explain(0)
        assert found.reason == "removed"
        assert "evicted" in str(found)
