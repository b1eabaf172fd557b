"""An entry as it was read: what its row says, and what is stored of its value."""

from typing import final

@final
class Entry: ...
