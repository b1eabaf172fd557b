"""A face for programs that were written for diskcache: ``from fastcache import diskcache``, and go on as before.

The names, arguments, defaults and results are those of diskcache 5.6.3, its directories are not: they are those of
fastcache. What
is stored is not trusted: what is neither plain data nor signed is not loaded (``unsafe=True`` turns that off).

>>> from fastcache import diskcache
>>> with diskcache.Cache() as cache:
...     cache["k"] = {"v": 1}
...     cache["k"], cache.get("absent", "default")
({'v': 1}, 'default')
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.alias import Alias
from fastcache.diskcache.core import (
    DEFAULT_SETTINGS,
    ENOVAL,
    EVICTION_POLICY,
    UNKNOWN,
    Cache,
    Disk,
    EmptyDirWarning,
    JSONDisk,
    Timeout,
    UnknownFileWarning,
)
from fastcache.diskcache.entries import DEFAULTS
from fastcache.diskcache.fanout import FanoutCache
from fastcache.diskcache.persistent import Deque, Index
from fastcache.diskcache.recipes import (
    Averager,
    BoundedSemaphore,
    Lock,
    RLock,
    barrier,
    memoize_stampede,
    throttle,
)
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    from typing import Literal

    from fastcache.diskcache.djangocache import DjangoCache as DjangoCache

__all__ = [
    "DEFAULT_SETTINGS",
    "ENOVAL",
    "EVICTION_POLICY",
    "UNKNOWN",
    "Averager",
    "BoundedSemaphore",
    "Cache",
    "Deque",
    "Disk",
    "EmptyDirWarning",
    "FanoutCache",
    "Index",
    "JSONDisk",
    "Lock",
    "RLock",
    "Timeout",
    "UnknownFileWarning",
    "barrier",
    "install",
    "memoize_stampede",
    "throttle",
]

# Of the diskcache whose face this is, for programs that ask.
__title__ = "diskcache"
__version__ = "5.6.3"
__build__ = 0x050603

_MODULES = ("core", "fanout", "persistent", "recipes", "djangocache")


def __getattr__(name: str) -> Any:
    if name == "DjangoCache":
        try:
            return load("fastcache.diskcache.djangocache").DjangoCache
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "django":
                raise
            raise AttributeError("DjangoCache needs Django, which is not installed") from error
    if name in _MODULES:
        return load(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def install(*, migrate: Literal["on-open"] | None = None, unsafe: bool = False) -> None:
    """From now on, ``import diskcache`` gives this module, also to libraries that import it by name.

    To be called before anything imports diskcache.

    Args:
        migrate: "on-open" to convert directories of diskcache's when they are opened, for all caches that do not say
            otherwise; see Cache.
        unsafe: whether what is stored is loaded whatever it is, likewise.
    Raises:
        ImportError: diskcache itself was imported already, so that some hold it.
    """
    if migrate not in (None, "on-open"):
        raise ValueError(f"migrate must be 'on-open' or None, not {migrate!r}")
    if not isinstance(sys.modules.get("diskcache"), (Alias, type(None))):
        raise ImportError("diskcache was imported before install() was called; call it first", name="diskcache")
    DEFAULTS.migrate = migrate
    DEFAULTS.unsafe = bool(unsafe)
    if "diskcache" not in sys.modules:
        sys.modules["diskcache"] = Alias("diskcache", __name__, True)
        for name in _MODULES:
            sys.modules[f"diskcache.{name}"] = Alias(f"diskcache.{name}", f"{__name__}.{name}", False)
