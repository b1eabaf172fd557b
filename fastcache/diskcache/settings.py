"""The names of diskcache's settings and constants, and what they mean here."""

from __future__ import annotations

from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "DBNAME",
    "DEFAULT_SETTINGS",
    "ENOVAL",
    "EVICTION_POLICY",
    "METADATA",
    "MODE_BINARY",
    "MODE_NONE",
    "MODE_PICKLE",
    "MODE_RAW",
    "MODE_TEXT",
    "POLICIES",
    "UNKNOWN",
    "Constant",
    "check_policy",
    "from_text",
    "to_text",
]


class Constant(tuple[str]):
    """A value that stands for nothing but itself, and is printed as its name."""

    __slots__ = ()

    def __new__(cls, name: str) -> Constant:
        """One of this name; two of the same name are equal."""
        return tuple.__new__(cls, (name,))

    def __repr__(self) -> str:
        return self[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return Constant, (self[0],)


DBNAME = "cache.db"
ENOVAL = Constant("ENOVAL")
UNKNOWN = Constant("UNKNOWN")

MODE_NONE = 0
MODE_RAW = 1
MODE_BINARY = 2
MODE_TEXT = 3
MODE_PICKLE = 4

DEFAULT_SETTINGS: dict[str, Any] = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "least-recently-stored",
    "size_limit": 1 << 30,
    "cull_limit": 10,
    "sqlite_auto_vacuum": 1,
    "sqlite_cache_size": 8192,
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 64 << 20,
    "sqlite_synchronous": 1,
    "disk_min_file_size": 32 << 10,
    "disk_pickle_protocol": 5,
}
"""Those of a new cache. The tag index is always there, and those of SQLite are kept and have no effect, but for
``sqlite_synchronous`` of 2 and more, which is our ``durability="full"``."""

METADATA = {"count": 0, "size": 0, "hits": 0, "misses": 0}
"""What ``reset`` tells beside the settings."""

EVICTION_POLICY: dict[str, dict[str, Any]] = {
    name: {"init": None, "get": None, "cull": None}
    for name in ("none", "least-recently-stored", "least-recently-used", "least-frequently-used")
}
"""The policies that there are. There is no SQL in them, and none can be added: entries lie in other tables here."""

POLICIES = {
    "none": "none",
    "least-recently-stored": "lrs",
    "least-recently-used": "lru",
    "least-frequently-used": "lfu",
}
"""What the engine calls them."""


def check_policy(name: Any) -> str:
    """The engine's name of a policy.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in POLICIES:
        own = "; policies of one's own are SQL on diskcache's tables, which are not those of fastcache"
        raise ValueError(
            f"eviction_policy must be one of {', '.join(map(repr, POLICIES))}, not {name!r}"
            + (own if name in EVICTION_POLICY else "")
        )
    return POLICIES[name]


def to_text(settings: dict[str, Any]) -> str:
    """Settings as they are stored.

    Raises:
        TypeError: one of them is neither a number, nor a str or None.
    """
    for name, value in settings.items():
        if not isinstance(value, (int, float, str, type(None))):
            raise TypeError(f"the setting {name} must be a number, a str or None, not {type(value).__name__}")
    text: str = load("json").dumps(settings)
    return text


def from_text(text: Any) -> dict[str, Any]:
    """The same as it was; nothing of what is none."""
    if not isinstance(text, str):
        return {}
    try:
        settings = load("json").loads(text)
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}
