"""What is opened for Django's settings: once in a process, whoever asks for it, and for as long as it lives."""

# Django has no types of its own, and whoever checks types needs no Django:
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import os

from django import conf
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from fastcache.cache import Cache
from fastcache.fanout import FanoutCache
from fastcache.options import choose_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["check_location", "check_options", "check_whole", "find_opened", "hashable", "open_once"]

# What this process has opened, by directory and options.
_opened: dict[tuple[Any, ...], Cache | FanoutCache] = {}

# What a serializer signs with has to be as long, in bytes.
_SHORTEST_SECRET = 16


def check_whole(name: str, given: Any, least: float = float("-inf")) -> int:
    """A number of OPTIONS."""
    try:
        number = int(given)
    except (TypeError, ValueError):
        raise ImproperlyConfigured(f"{name} must be an int, not {given!r}") from None
    if number < least:
        raise ImproperlyConfigured(f"{name} must be {least} or more, not {number}")
    return number


def check_location(location: Any) -> str:
    """The absolute path of LOCATION."""
    if isinstance(location, (str, os.PathLike)) and location:
        return choose_directory(location) or ""
    raise ImproperlyConfigured(f"LOCATION must be the path of a directory, not {location!r}")


def _type_of(options: dict[str, Any]) -> type[Cache | FanoutCache]:
    return FanoutCache if {"shards", "shard_count"} & options.keys() else Cache


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """What a Cache is made with."""
    known = _type_of(options).__init__.__kwdefaults__ or {}
    unknown = sorted(map(str, options.keys() - known.keys()))
    if unknown:
        raise ImproperlyConfigured(
            f"OPTIONS has {', '.join(unknown)}: there are MAX_ENTRIES, CULL_FREQUENCY, and the arguments of "
            f"fastcache.Cache, or with shards of FanoutCache: {', '.join(known)}"
        )
    return {"recreate": True, **options}


def _name_of(directory: str, options: dict[str, Any]) -> tuple[Any, ...]:
    return (directory, *sorted((option, hashable(value)) for option, value in options.items()))


def find_opened(directory: str, options: dict[str, Any]) -> Cache | FanoutCache | None:
    """The cache of a directory and options, if this process has opened it."""
    cache = _opened.get(_name_of(directory, options))
    return None if cache is None or cache.stores.closed else cache


def open_once(directory: str, options: dict[str, Any]) -> Cache | FanoutCache:
    """The same, opened if this process has not done so yet."""
    cache = find_opened(directory, options)
    if cache is None:
        name = _name_of(directory, options)
        # Of threads that come here at the same time one keeps its own. No lock: a child would inherit it held.
        _opened.pop(name, None)
        made = _type_of(options)(directory, **_resolved(options))
        cache = _opened.setdefault(name, made)
        if cache is not made:
            made.close()
    return cache


def hashable(value: Any) -> Any:
    """What is equal for equal options."""
    if isinstance(value, (list, set, tuple)):
        return tuple(value)
    try:
        hash(value)
    except TypeError:
        # The cache that has it keeps it alive.
        return id(value)
    return value


def _resolved(options: dict[str, Any]) -> dict[str, Any]:
    """The options with what their dotted paths name, and with the secret."""
    found = dict(options)
    for name in ("serializer", "on_evict", "timer"):
        if isinstance(found.get(name), str):
            found[name] = import_string(found[name])
    if isinstance(found.get("serializer"), type):
        found["serializer"] = found["serializer"]()
    if found.get("safe_types"):
        found["safe_types"] = [import_string(each) if isinstance(each, str) else each for each in found["safe_types"]]
    if found.get("serializer") is None and found.get("secret") is None and "FASTCACHE_SECRET" not in os.environ:
        found["secret"] = _site_secret()
    return found


def _site_secret() -> bytes | str | None:
    """Django's SECRET_KEY; None if there is none that is long enough."""
    try:
        secret: bytes | str = conf.settings.SECRET_KEY
    except ImproperlyConfigured:
        return None
    return secret if len(secret) >= _SHORTEST_SECRET else None
