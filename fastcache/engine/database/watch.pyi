"""Whether a database is still where it was opened."""

from typing import final

from typing_extensions import Self

@final
class Watch:
    def __new__(cls, path: str) -> Self: ...
