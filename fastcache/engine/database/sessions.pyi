from typing import final

from typing_extensions import Self

from fastcache.engine.sqlite.connection import Connection

@final
class Session:
    def __new__(cls, connection: Connection) -> Self: ...
