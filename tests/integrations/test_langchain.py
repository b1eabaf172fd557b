"""What the cache for LangChain promises: LangChain's own tests of caches, and what they leave out."""

import asyncio
import logging
import threading
from datetime import timedelta
from functools import partial

import pytest

import fastcache

pytest.importorskip("langchain_core", reason="langchain-core is not installed")
pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")

from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite

from fastcache.integrations.langchain import FastCache
from tests.together import together

ANSWER = [Generation(text="4", generation_info={"reason": "stop"})]
IN_ANOTHER_PROCESS = """
import sys
from langchain_core.outputs import Generation
from fastcache.integrations.langchain import FastCache
with FastCache(sys.argv[1]) as cache:
    assert cache.lookup("here", "m")[0].text == "seen"
    cache.update("there", "m", [Generation(text="seen, too")])
"""


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "answers"


@pytest.fixture(params=["directory", "Cache", "FanoutCache"])
def cache(request, directory):
    if request.param == "directory":
        with FastCache(directory) as cache:
            yield cache
    else:
        with getattr(fastcache, request.param)(directory) as store:
            yield FastCache(store)


class TestEveryCacheOfLangChains(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, cache):
        return cache


@pytest.mark.asyncio
class TestEveryCacheOfLangChainsInCoroutines(AsyncCacheTestSuite):
    @pytest.fixture
    def cache(self, cache):
        return cache


def test_a_model_is_asked_once(cache):
    set_llm_cache(cache)
    try:
        model = FakeListLLM(responses=["first", "second"])
        assert [model.invoke("q"), model.invoke("q"), model.invoke("another q")] == ["first", "first", "second"]
        chat = FakeListChatModel(responses=["first", "second"])
        assert [chat.invoke("q").content for _ in range(2)] == ["first", "first"]
    finally:
        set_llm_cache(None)


def test_messages_come_back_whole(cache):
    message = AIMessage(content="4", response_metadata={"model": "m"}, usage_metadata=None, id="run-1")
    cache.update("2 + 2?", "m", [ChatGeneration(message=message)])
    [found] = cache.lookup("2 + 2?", "m")
    assert type(found) is ChatGeneration
    assert found.message == message


def test_prompt_and_parameters_are_told_apart_wherever_one_ends(cache):
    cache.update("ab", "c", [Generation(text="1")])
    cache.update("a", "bc", [Generation(text="2")])
    assert [cache.lookup("ab", "c")[0].text, cache.lookup("a", "bc")[0].text] == ["1", "2"]
    assert cache.lookup("abc", "") is None


def test_a_long_prompt_is_found(cache):
    prompt = "p" * 3_000_000
    cache.update(prompt, "m", ANSWER)
    assert cache.lookup(prompt, "m") == ANSWER
    assert cache.lookup(prompt + "p", "m") is None


def test_what_is_changed_after_a_lookup_does_not_change_what_is_stored(cache):
    cache.update("q", "m", ANSWER)
    cache.lookup("q", "m")[0].text = "changed"
    assert cache.lookup("q", "m") == ANSWER


@pytest.mark.parametrize("expire", [60, timedelta(minutes=1)])
def test_an_answer_expires(directory, clock, expire):
    with fastcache.Cache(directory, timer=clock) as store:
        cache = FastCache(store, expire=expire)
        cache.update("q", "m", ANSWER)
        clock.now += 59
        assert cache.lookup("q", "m") == ANSWER
        clock.now += 2
        assert cache.lookup("q", "m") is None
        assert asyncio.run(cache.alookup("q", "m")) is None


def test_it_is_there_when_the_directory_is_opened_again(directory):
    with FastCache(directory) as cache:
        cache.update("q", "m", ANSWER)
    with FastCache(directory) as cache:
        assert cache.lookup("q", "m") == ANSWER


def test_processes_share_it(directory, start_file):
    with FastCache(directory) as cache:
        cache.update("here", "m", [Generation(text="seen")])
        start_file("another", IN_ANOTHER_PROCESS, str(directory)).finish()
        assert cache.lookup("there", "m")[0].text == "seen, too"


def test_threads_share_it(cache):
    def use(name):
        for number in range(20):
            cache.update(f"{name} {number}", "m", [Generation(text=f"{name} {number}")])

    together(*(partial(use, name) for name in range(4)))
    found = [cache.lookup(f"{name} {number}", "m")[0].text for name in range(4) for number in range(20)]
    assert found == [f"{name} {number}" for name in range(4) for number in range(20)]


def test_what_was_signed_with_another_secret_is_missing_and_told_without_the_prompt(directory, caplog):
    with FastCache(directory, secret="one secret of someone's") as cache:
        cache.update("a private prompt", "m", ANSWER)
    with FastCache(directory, secret="the secret of another") as cache, caplog.at_level(logging.WARNING):
        assert cache.lookup("a private prompt", "m") is None
        assert asyncio.run(cache.alookup("a private prompt", "m")) is None
    assert "counts as missing" in caplog.text
    assert "private" not in caplog.text
    assert "secret of" not in caplog.text


@pytest.mark.parametrize("planted", [[{"text": "4"}], ["4"], "4", 4, [Generation(text="4"), "4"], {"text": "4"}])
def test_what_is_no_answer_is_missing(cache, planted):
    cache.cache["q", "m"] = planted
    assert cache.lookup("q", "m") is None
    assert asyncio.run(cache.alookup("q", "m")) is None


def test_what_cannot_be_stored_is_told_and_costs_no_answer(cache, caplog):
    with caplog.at_level(logging.WARNING):
        cache.update("q", "m", [Generation(text="4", generation_info={"connection": threading.Lock()})])
    assert cache.lookup("q", "m") is None
    assert "not stored" in caplog.text


def test_coroutines_work_inside_a_transaction_of_their_own(directory):
    async def use():
        with store.transact():
            await cache.aupdate("q", "m", ANSWER)
            assert await cache.alookup("q", "m") == ANSWER
            assert await cache.alookup("other", "m") is None

    with fastcache.Cache(directory) as store:
        cache = FastCache(store)
        asyncio.run(use())
        assert cache.lookup("q", "m") == ANSWER


def test_many_coroutines_use_it_at_the_same_time(cache):
    async def use(number):
        await cache.aupdate(f"q {number}", "m", [Generation(text=str(number))])
        return (await cache.alookup(f"q {number}", "m"))[0].text

    async def use_all():
        return await asyncio.gather(*(use(number) for number in range(50)))

    assert asyncio.run(use_all()) == [str(number) for number in range(50)]


def test_closing_leaves_open_what_was_open(directory):
    with fastcache.Cache(directory) as store:
        with FastCache(store) as cache:
            cache.update("q", "m", ANSWER)
        assert cache.lookup("q", "m") == ANSWER
    with FastCache(directory) as cache:
        pass
    with pytest.raises(fastcache.ClosedError):
        cache.lookup("q", "m")


def test_bad_options_are_refused(directory):
    with pytest.raises(TypeError, match="no_such"):
        FastCache(directory, no_such=1)
    with fastcache.Cache(directory) as store, pytest.raises(TypeError, match="max_size"):
        FastCache(store, max_size=1)
    with pytest.raises(TypeError, match="directory must be a path"):
        FastCache(7)
