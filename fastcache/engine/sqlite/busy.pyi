from typing import final

from typing_extensions import Self

@final
class BusyWait:
    def __new__(cls, timeout: float, doing: object, started: float = 0.0) -> Self: ...
