"""All entries that are held in memory, and how to undo what was done to them."""

from typing import Any, final

from fastcache.engine.table.item import Item

@final
class Table:
    def problems(self) -> list[str]: ...

def number_of(item: Item) -> int: ...
def place_of_item(item: Item) -> tuple[int, Any]: ...
