"""An entry that is held in memory."""

from typing import final

@final
class Item: ...
