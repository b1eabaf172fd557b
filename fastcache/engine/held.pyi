"""What a store in memory holds."""

from typing import final

@final
class Held: ...
