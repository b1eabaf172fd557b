"""One database in use: its sessions, the writer lock, and the parts that have a say in its transactions."""

from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any, Literal, final
from weakref import ref

from typing_extensions import disjoint_base

from fastcache.engine.blobs.files import ValueFiles
from fastcache.engine.database.scope import Scope
from fastcache.engine.sqlite.connection import Connection

@disjoint_base
class Participant: ...

@final
class Database(Scope):
    @property
    def path(self) -> str: ...
    @property
    def files(self) -> ValueFiles: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def durability(self) -> Literal["normal", "full"]: ...
    @property
    def recreate(self) -> bool: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def is_nothing(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def let_go(self, checkpoint: bool = False) -> bool: ...
    def look(self) -> None: ...
    def is_there(self) -> bool: ...
    def __init__(
        self,
        directory: str | PathLike[str],
        owner: ref[Any],
        *,
        timeout: float,
        timer: Callable[[], float] | None,
        scheduler: Callable[..., bool] | None,
        durability: Literal["normal", "full"],
        settings: dict[str, Any],
        recreate: bool = False,
        read_only: bool | None = None,
        nothing: bool = False,
        keeps_expired: bool = False,
        journal: bool = False,
    ) -> None: ...
    def query(self, text: str, parameters: Iterable[object] = ()) -> list[tuple[Any, ...]]: ...
    def connect(self, lenient: bool = False) -> Connection: ...
    def replace_content(self, source: Connection, fill: Callable[[], object]) -> None: ...
