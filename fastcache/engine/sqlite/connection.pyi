from typing import Any, Final, final

from typing_extensions import Self

OLDEST_SQLITE: Final[tuple[int, int, int]]
sqlite_version: str
sqlite_version_info: tuple[int, ...]

@final
class Connection:
    @property
    def path(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @property
    def reading(self) -> str | None: ...
    def __new__(
        cls,
        path: str,
        lenient: bool = False,
        timeout: float = 60.0,
        exclusive: bool = False,
        reading: str | None = None,
    ) -> Self: ...
    def query(
        self, text: str, parameters: tuple[object, ...] = (), release_gil: bool = False
    ) -> list[tuple[Any, ...]]: ...

@final
class Statement:
    @property
    def text(self) -> str: ...
    def __new__(cls, connection: Connection, text: str) -> Self: ...
