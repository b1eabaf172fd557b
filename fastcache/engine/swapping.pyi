from collections.abc import Callable
from typing import Any

from fastcache.engine.mapping import StoreMapping

def swap(mapping: StoreMapping, key: Any, renew: Callable[[Any], bytes | None]) -> bool: ...
