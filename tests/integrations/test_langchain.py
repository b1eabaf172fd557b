"""LangChain's own tests of a cache, and what its FastCache promises beyond them."""

import json

import pytest

pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite

from fastcache.integrations.langchain import FastCache


@pytest.fixture
def answers(tmp_path):
    made = FastCache(tmp_path / "cache")
    yield made
    made.cache.close()


class TestSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, answers):
        return answers


@pytest.mark.asyncio
class TestAsync(AsyncCacheTestSuite):
    @pytest.fixture
    def cache(self, answers):
        return answers


def test_answers_of_chats_come_back_with_what_belongs_to_them(answers):
    message = AIMessage(content="42", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3})
    given = [ChatGeneration(message=message, generation_info={"logprobs": None})]
    answers.update("p", "m", given)
    assert answers.lookup("p", "m") == given
    assert answers.lookup("p", "other") is None


def test_answers_expire_and_are_shared(tmp_path, clock):
    one, other = (FastCache(tmp_path / "cache", expire=8, timer=clock) for _ in range(2))
    one.update("p", "m", [Generation(text="t")])
    assert other.lookup("p", "m") == [Generation(text="t")]
    clock.advance(8)
    assert other.lookup("p", "m") is None
    one.cache.close()
    other.cache.close()


def test_nothing_but_answers_is_loaded(answers):
    planted = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "prompts", "prompt", "PromptTemplate"],
        "kwargs": {"input_variables": [], "template": "x"},
    }
    system = {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}}
    for stored in (json.dumps(planted), json.dumps(system), "no JSON"):
        answers.cache["p", "m"] = [stored]
        assert answers.lookup("p", "m") is None
