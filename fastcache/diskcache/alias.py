"""Modules that stand for others under another name: what ``import diskcache`` finds after ``install``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from fastcache.runtime.imports import load

__all__ = ["Alias"]

_ModuleSpec: Any = type(sys.__spec__)


class Alias(ModuleType):
    """A module of another name, whose attributes are read and written in the one that it stands for.

    Args:
        name: its own name.
        target: that of the other module, which is loaded when an attribute is first asked for.
        is_package: whether it has modules inside, each of which is an alias, too.
    """

    def __init__(self, name: str, target: str, is_package: bool) -> None:
        super().__init__(name, f"It stands for {target}.")
        spec = _ModuleSpec(name, None, origin=target, is_package=is_package)
        # Past __setattr__. What is made by hand has no path in which more could be found.
        self.__dict__.update({"__spec__": spec, "__package__": spec.parent, "_target": target})
        if is_package:
            self.__dict__["__path__"] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(load(self.__dict__["_target"]), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            # The import system's own marks.
            self.__dict__[name] = value
        else:
            setattr(load(self.__dict__["_target"]), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(load(self.__dict__["_target"]), name)

    def __dir__(self) -> list[str]:
        return dir(load(self.__dict__["_target"]))
