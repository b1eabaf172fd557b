from typing import final

from typing_extensions import Self

@final
class Folder:
    @property
    def path(self) -> str: ...
    def __new__(cls, path: str) -> Self: ...

@final
class Folders:
    @property
    def path(self) -> str: ...
    @property
    def temporary(self) -> str: ...
    def __new__(cls, directory: str) -> Self: ...
