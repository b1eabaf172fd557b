"""Keys in their own order."""

from typing import final

@final
class SortedKeys: ...

@final
class KeyOrder: ...
