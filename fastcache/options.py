"""Options that all containers have: their defaults, and what is made of them."""

from __future__ import annotations

from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastcache.serializers.messagepack import Serializer

__all__ = ["CACHE_MEMORY", "choose_serializer"]

CACHE_MEMORY = 32 * 1024 * 1024
"""Bytes of what was read that may stay in a process, if nothing else is asked for."""


def choose_serializer(given: Serializer | None, safe_types: Iterable[type], secret: bytes | str | None) -> Serializer:
    """The serializer that was given, or the default one with these options."""
    if given is None:
        default: Serializer = load("fastcache.serializers.pickling").PickleSerializer(
            safe_types=safe_types, secret=secret
        )
        return default
    if tuple(safe_types) or secret is not None:
        raise TypeError("safe_types and secret belong to the default serializer; give them to PickleSerializer instead")
    return given
