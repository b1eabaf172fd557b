from collections.abc import Callable
from typing import Any, Concatenate, Final, Generic, NamedTuple, ParamSpec, TypeVar, overload

from typing_extensions import Self, disjoint_base

from fastcache.engine.mapping import StoreMapping

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")
_Q = ParamSpec("_Q")

ABSENT: Final[Any]
NO_DEFAULT: Final[Any]

class CacheInfo(NamedTuple):
    hits: int
    misses: int

@disjoint_base
class Call(Generic[_P, _R]):
    opening: str | None
    hits: int
    misses: int
    @property
    def cache(self) -> StoreMapping: ...
    @property
    def function(self) -> Callable[_P, _R]: ...
    def __init__(
        self,
        cache: StoreMapping,
        function: Callable[_P, _R],
        *,
        names: tuple[str, ...],
        defaults: tuple[object, ...],
        positional_only: int,
        positional: int,
        more: str | None,
        named: str | None,
        ignored: frozenset[int | str],
        typed: bool,
        opening: str | None,
    ) -> None: ...
    @classmethod
    def __class_getitem__(cls, parameters: Any) -> type[Self]: ...
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def find(self, key: Any) -> Any: ...
    def cache_key(self, *args: _P.args, **kwargs: _P.kwargs) -> tuple[Any, ...]: ...
    @overload
    def __get__(self, instance: None, owner: Any = None, /) -> Self: ...
    @overload
    def __get__(self: Call[Concatenate[_S, _Q], _R], instance: _S, owner: Any = None, /) -> BoundCall[_Q, _R]: ...

@disjoint_base
class BoundCall(Generic[_P, _R]):
    @property
    def __func__(self) -> Any: ...
    @property
    def __self__(self) -> Any: ...
    def __init__(self, function: Call[..., _R], instance: Any) -> None: ...
    @classmethod
    def __class_getitem__(cls, parameters: Any) -> type[Self]: ...
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def cache_key(self, *args: _P.args, **kwargs: _P.kwargs) -> tuple[Any, ...]: ...
    def invalidate(self, *args: _P.args, **kwargs: _P.kwargs) -> bool: ...
    def cache_info(self) -> CacheInfo: ...
    def cache_clear(self) -> int: ...

def quicken(kind: type[Call[..., Any]]) -> None: ...
