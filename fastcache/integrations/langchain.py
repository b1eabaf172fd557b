"""A cache for the answers of language models, as LangChain asks for one: ``pip install fastcache[langchain]``.

>>> from langchain_core.globals import set_llm_cache
>>> from langchain_core.language_models import FakeListLLM
>>> from fastcache.integrations.langchain import FastCache
>>> set_llm_cache(FastCache("answers", expire=7 * 24 * 3600))
>>> model = FakeListLLM(responses=["Paris", "another answer"])
>>> model.invoke("The capital of France?"), model.invoke("The capital of France?")
('Paris', 'Paris')
>>> set_llm_cache(None)
"""

# Whoever checks types needs no LangChain:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore"

from __future__ import annotations

import logging

from langchain_core.caches import BaseCache
from langchain_core.outputs import Generation

from fastcache.errors import EncodeError
from fastcache.integrations.opening import UNDECODABLE, in_a_thread, open_cache, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from typing import Any

    from fastcache import Cache, FanoutCache
    from fastcache.integrations.opening import _Source

__all__ = ["FastCache"]

_UNKNOWN = object()

_logger = logging.getLogger("fastcache")


def _answers(found: Any) -> Sequence[Generation] | None:
    """What was found, if it is answers: plain data, which is not signed, is none."""
    return found if isinstance(found, list) and all(isinstance(each, Generation) for each in found) else None


class FastCache(BaseCache):
    """A cache of LangChain's in a directory, shared by all threads and processes that name it.

    An answer is found by its prompt and the model's parameters, both as they are. Answers are no plain data: they are
    signed, and loaded only where the signature holds. One that cannot be loaded (its class has moved, say, or the
    secret is another one) counts as missing, and one that cannot be stored is not; both are logged. The coroutines
    answer what this process remembers there and then, and use a thread for the rest.

    Args:
        directory: where it lies, None for a temporary one; see Cache. Or a Cache or FanoutCache that is open, and has
            nothing else in it; it is not closed with this.
        expire: for how long an answer is kept, in seconds (int, float) or as a timedelta; None for ever.
        options: other arguments of a Cache, or with ``shards`` of a FanoutCache, if a directory is given.

    Raises:
        OpenError: the directory cannot be opened.
        TypeError: there is no such option, or there are some for a cache that is open already.

    >>> from langchain_core.outputs import Generation
    >>> from fastcache.integrations.langchain import FastCache
    >>> with FastCache(None) as cache:
    ...     cache.update("2 + 2?", "temperature=0", [Generation(text="4")])
    ...     cache.lookup("2 + 2?", "temperature=0"), cache.lookup("2 + 2?", "temperature=1")
    ([Generation(text='4')], None)
    """

    def __init__(self, directory: _Source, *, expire: float | timedelta | None = None, **options: Any) -> None:
        self._cache, self._is_own = open_cache(directory, options)
        self._expire = expire

    @property
    def cache(self) -> Cache | FanoutCache:
        """The Cache, or FanoutCache, in which the answers lie. The keys are tuples of prompt and parameters."""
        return self._cache

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """The answers that were stored for a prompt and the model's parameters, or None."""
        try:
            return _answers(self._cache.get((prompt, llm_string)))
        except UNDECODABLE as error:
            tell(self._cache, error)
            return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store the answers for a prompt and the model's parameters."""
        try:
            self._cache.set((prompt, llm_string), list(return_val), self._expire)
        except EncodeError as error:
            # Raising would lose what has been paid for.
            _logger.warning("%r: an answer is not stored: %s", self._cache.directory, error)

    def clear(self, **kwargs: Any) -> None:
        """Remove everything from the cache; no arguments have a meaning."""
        self._cache.clear()

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """The same as ``lookup``."""
        try:
            found = self._cache._find_at_once((prompt, llm_string), None, _UNKNOWN)
        except UNDECODABLE as error:
            tell(self._cache, error)
            return None
        if found is _UNKNOWN:
            found = await in_a_thread(self._cache, self.lookup, prompt, llm_string)
        return _answers(found)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """The same as ``update``."""
        await in_a_thread(self._cache, self.update, prompt, llm_string, return_val)

    async def aclear(self, **kwargs: Any) -> None:
        """The same as ``clear``."""
        await in_a_thread(self._cache, self.clear)

    def close(self) -> None:
        """Close the cache if it was opened for this object; what was stored stays."""
        if self._is_own:
            self._cache.close()

    def __enter__(self) -> FastCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
