from importlib.machinery import ModuleSpec
from typing import final

MODULES: frozenset[str]

@final
class Finder:
    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None: ...
