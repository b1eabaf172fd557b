"""Items in the order in which they were inserted."""

from typing import final

@final
class Order: ...
