"""A value that is made when it is missing."""

from typing import Any

from fastcache.engine.mapping import StoreMapping

def find_again(mapping: StoreMapping, key: Any, missing: Any) -> Any: ...
