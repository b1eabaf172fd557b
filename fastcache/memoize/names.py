"""What memoized functions are called in the keys of their calls.

A function's name is "module:qualname". One whose name does not say which it is (a lambda, one inside of another
function, or of a notebook) is told by its code, too: "module:qualname#hash".
"""

from __future__ import annotations

from fastcache.memoize.code_hash import fingerprint
from fastcache.memoize.content_hash import NoContentError
from fastcache.runtime.main_module import MAIN, module_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["name_of", "unnamed"]


def name_of(function: Any, name: str | None) -> str:
    """What a function is called in its keys.

    Args:
        function: what is memoized.
        name: what it is to be called (str); None for what it is called by itself.
    Raises:
        TypeError: it is called nothing, or what its code contains has no content.
    """
    if name is not None:
        if not isinstance(name, str) or not name:
            raise TypeError("name must be a str that is not empty")
        return name
    module, qualified = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualified, str):
        raise TypeError(f"a {type(function).__qualname__} has no name of its own; give it one by name=")
    why = "it is a lambda, or inside of another function"
    if module in MAIN:
        module = module_name(function) or ""
        if not module:
            module, why = MAIN[0], "it is in no file, and so has no module"
        elif "<" not in qualified:
            return f"{module}:{qualified}"
    elif "<" not in qualified:
        return f"{module}:{qualified}"
    try:
        return f"{module}:{qualified}#{fingerprint(function, follow=False)}"
    except NoContentError as error:
        raise unnamed(function, why, error) from None


def unnamed(function: Any, why: str, error: NoContentError) -> TypeError:
    """The error for a function that cannot be told by its code."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return TypeError(f"{name} cannot be told by its code ({why}): {error}; say which it is by name=")
