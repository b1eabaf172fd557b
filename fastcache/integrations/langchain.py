"""FastCache: a cache for what language models answer, for LangChain.

::

    langchain_core.globals.set_llm_cache(FastCache("~/.cache/answers", expire=30 * 24 * 3600))
"""

# Whoever checks types needs no LangChain:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore"

from __future__ import annotations

import asyncio

from langchain_core.caches import BaseCache
from langchain_core.load.dump import dumps
from langchain_core.load.load import loads
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from fastcache import Cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import timedelta
    from typing import Any

__all__ = ["FastCache"]

# What is loaded, and nothing else: what models answer. Anybody who can write into the directory may have put it there.
_ALLOWED = (
    *(Generation, GenerationChunk, ChatGeneration, ChatGenerationChunk),
    *(AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ChatMessage, FunctionMessage, ToolMessage),
)


class FastCache(BaseCache):
    """A cache of generations, by prompt and model, in a directory that threads and processes share.

    Generations are stored as LangChain's own JSON, and never as pickles. What it cannot load any more counts as
    missing. The methods for coroutines wait in another thread.

    Args:
        directory: where it lies; see Cache.
        expire: seconds (int, float) or a timedelta after which an answer is asked for again; None for never.
        **options: other arguments of a Cache.
    Raises:
        OpenError: the directory cannot be opened.

    >>> from langchain_core.outputs import Generation
    >>> from fastcache.integrations.langchain import FastCache
    >>> cache = FastCache(None)
    >>> cache.update("How much?", "a model", [Generation(text="42")])
    >>> cache.lookup("How much?", "a model")[0].text, cache.lookup("How much?", "another")
    ('42', None)
    >>> cache.cache.close()
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None,
        *,
        expire: float | timedelta | None = None,
        **options: Any,
    ) -> None:
        self.cache = Cache(directory, **options)
        self._expire = expire

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """The generations for a prompt and a model, or None."""
        stored = self.cache.get((prompt, llm_string))
        if stored is None:
            return None
        try:
            return [loads(each, allowed_objects=_ALLOWED) for each in stored]
        except (ValueError, TypeError, ImportError, NotImplementedError, AttributeError):
            return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store the generations for a prompt and a model."""
        self.cache.set((prompt, llm_string), [dumps(each) for each in return_val], self._expire)

    def clear(self, **kwargs: Any) -> None:
        """Remove everything."""
        self.cache.clear()

    async def alookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """The same as ``lookup``."""
        return await asyncio.to_thread(self.lookup, prompt, llm_string)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """The same as ``update``."""
        await asyncio.to_thread(self.update, prompt, llm_string, return_val)

    async def aclear(self, **kwargs: Any) -> None:
        """The same as ``clear``."""
        await asyncio.to_thread(self.clear)
