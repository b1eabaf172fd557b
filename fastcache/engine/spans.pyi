from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")

are_checked: bool

def run_in_span(function: Callable[[], _Result]) -> _Result: ...
