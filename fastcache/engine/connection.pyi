from typing import Any, Final

OLDEST_SQLITE: Final[tuple[int, int, int]]
sqlite_version: str
sqlite_version_info: tuple[int, ...]

class BusyWait:
    def __init__(self, timeout: float, doing: object) -> None: ...

class Connection:
    @property
    def path(self) -> str: ...
    def __init__(self, path: str) -> None: ...
    def query(
        self, text: str, parameters: tuple[object, ...] = (), timeout: float = 60.0, release_gil: bool = False
    ) -> list[tuple[Any, ...]]: ...

class Statement:
    @property
    def text(self) -> str: ...
    def __init__(self, connection: Connection, text: str) -> None: ...
