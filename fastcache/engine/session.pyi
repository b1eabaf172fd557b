from typing_extensions import Self, disjoint_base

from fastcache.engine.connection import Connection

@disjoint_base
class Session:
    def __new__(cls, connection: Connection) -> Self: ...
