"""The limit of one database and the policy of eviction: what is stored of them, and what follows from them."""

from typing import Any, final

from typing_extensions import Self

from fastcache.engine.database.database import Participant

POLICIES: tuple[str, ...]

def usable_settings(stored: dict[str, Any]) -> dict[str, Any]: ...

@final
class Limit(Participant):
    def __new__(cls, keeps: bool) -> Self: ...
