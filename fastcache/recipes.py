"""What every kind of cache offers beside its entries, built on its public face alone; loaded when it is first used."""

from __future__ import annotations

from fastcache.engine.lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastcache.check import CheckResult
    from fastcache.engine.mapping import StoreMapping as _Mapping
else:
    _Mapping = object

__all__ = ["CacheRecipes", "Recipes"]


class Recipes(_Mapping):
    """For an Index as well as a Cache."""

    __slots__ = ()

    def check(self, fix: bool = False) -> CheckResult:
        """Look for damage, and with ``fix`` repair it; see fastcache.check.check."""
        found: CheckResult = load("fastcache.check").check_all(self.stores, fix=fix)
        return found


class CacheRecipes(Recipes):
    """What knows of expiry and tags."""

    __slots__ = ()
