from typing import Final

from typing_extensions import Buffer

CALLS: Final[int]
SETS: Final[int]
REFUSED: Final[int]

def examine(data: Buffer) -> int: ...
