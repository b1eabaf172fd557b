"""Why a call of a memoized function is answered from the cache, or is not: what ``explain`` returns.

What is known is what the keys say: of plain arguments what they were, of all others whether they were the same (of
those it is a hash that is stored), and the code of ``version_aware`` functions. The nearest of the stored calls is the
one that differs least. What was removed leaves no trace in the cache; of what this process has stored itself, it
remembers a little (``Memoized.stored_lately``).
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from time import monotonic

from fastcache.engine.mapping import now_of
from fastcache.errors import DecodeError, UntrustedValueError
from fastcache.memoize.calls import ABSENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Literal, TypeAlias

    _Reason: TypeAlias = Literal["cached", "undecodable", "expired", "removed", "different", "new"]
    _Kind: TypeAlias = Literal["argument", "default", "type", "code", "parameters", "name"]

__all__ = ["Difference", "Explanation", "explain"]

_show = reprlib.Repr()
_show.maxstring = _show.maxother = 60
_HASH_SIZE = 20


@dataclass(frozen=True)
class Difference:
    """One thing in which a call differs from a stored one.

    Attributes:
        kind: "argument", "default" (an argument that was not given), "type" (under ``typed``: those of all arguments),
            "code" (under ``version_aware``), "parameters" (the function's signature, or the options that it was
            memoized with), "name" (the module or script that the function is in).
        name: of the parameter (str), or "".
        now: what it is in this call (str), shortened.
        stored: what it is in the stored one (str), shortened.
    """

    kind: _Kind
    name: str
    now: str
    stored: str

    def __str__(self) -> str:
        what = f"{self.kind} {self.name}" if self.name else f"the {self.kind}"
        return f"{what}: {self.now} now, {self.stored} in the cache"


@dataclass(frozen=True)
class Explanation:
    """Why a call is answered from the cache, or is not.

    Attributes:
        reason: "cached"; "undecodable": it is stored, but cannot be decoded here; "expired"; "removed": this process
            has stored it, and it was evicted or deleted since; "different": other calls of the function are stored;
            "new": none is.
        differences: from the nearest stored call (tuple of Difference); empty if the reason is another one.
        detail: what more there is to say (str), or "".
    """

    reason: _Reason
    differences: tuple[Difference, ...] = ()
    detail: str = ""

    def __bool__(self) -> bool:
        """Whether it is answered from the cache."""
        return self.reason == "cached"

    def __str__(self) -> str:
        text = _TEXTS[self.reason]
        if self.differences:
            text += "".join(f"\n  {difference}" for difference in self.differences)
        return f"{text} ({self.detail})" if self.detail else text


_TEXTS = {
    "cached": "cached",
    "undecodable": "not cached: it is stored, but cannot be decoded here",
    "expired": "not cached: it has expired",
    "removed": "not cached: it was stored, and has been removed since",
    "different": "not cached: the nearest stored call differs in",
    "new": "not cached: no call of this function is stored",
}


def explain(memoized: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Explanation:
    """What becomes of a call; see Memoized.explain."""
    key = memoized.cache_key(*args, **kwargs)
    found = _of_key(memoized, key)
    return _of_others(memoized, key, args, kwargs) if found is None else found


def _of_key(memoized: Any, key: tuple[Any, ...]) -> Explanation | None:
    """What there is to say if the result of the very call is stored, or was."""
    cache = memoized.cache
    try:
        if cache.get(key, ABSENT) is not ABSENT:
            return Explanation("cached")
    except (DecodeError, UntrustedValueError) as error:
        return Explanation("undecodable", detail=f"{type(error).__name__}: {error}")
    for store in cache.stores.all():
        expire = store.expiry_of(key)
        if expire is not None:
            return Explanation("expired", detail=f"{now_of(cache, key) - expire / 1000:.3g} s ago")
    known = memoized.stored_lately.get(hash(key))
    if known is None:
        return None
    age = monotonic() - known
    seconds = memoized.seconds_kept()
    if seconds is not None and age >= seconds:
        return Explanation("expired", detail=f"{age - seconds:.3g} s ago")
    evictions = sum(store.evictions for store in cache.stores.all())
    why = (
        f"evicted, maybe: this process has evicted {evictions} entries"
        if evictions
        else "deleted, or evicted by others"
    )
    return Explanation("removed", detail=f"{why}; it was stored {age:.3g} s ago")


def _of_others(memoized: Any, key: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Explanation:
    """In what the call differs from the nearest one that is stored."""
    best: list[Difference] | None = None
    for other in _stored_calls(memoized):
        differences = list(_differences(memoized, key, other, args, kwargs))
        if best is None or _weight(differences) < _weight(best):
            best = differences
            if len(best) == 1 and best[0].kind != "name":
                break
    if best is None:
        evictions = sum(store.evictions for store in memoized.cache.stores.all())
        return Explanation("new", detail=f"this process has evicted {evictions} entries" if evictions else "")
    return Explanation("different", tuple(best))


def _stored_calls(memoized: Any) -> Iterator[tuple[Any, ...]]:
    """The keys of all calls that are stored of a function, of its versions, and of those that are called like it."""
    qualified = _parts_of(memoized.unversioned)[1]
    for key in memoized.cache.keys():  # noqa: SIM118 - those of a mapping are not a dict's
        if type(key) is tuple and key and type(key[0]) is str and _parts_of(key[0])[1] == qualified:
            yield key


def _parts_of(opening: str) -> tuple[str, str, str, str]:
    """Module (or file), qualified name, signature with marks, and code, of the first part of a key."""
    name, parenthesis, rest = opening.partition("(")
    module, _, qualified = name.rpartition(":")
    signature, _, code = rest.rpartition("@") if "@" in rest.rpartition(")")[2] else (rest, "", "")
    qualified, _, own_code = qualified.partition("#")
    return module, qualified, parenthesis + signature, code or own_code


def _weight(differences: list[Difference]) -> tuple[int, int]:
    """How far a call is from another one: first whether it is of the same function at all."""
    return sum(each.kind in ("name", "parameters") for each in differences), len(differences)


def _differences(
    memoized: Any,
    key: tuple[Any, ...],
    other: tuple[Any, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Iterator[Difference]:
    """In what the key of a call differs from that of another one."""
    ours, theirs = _parts_of(key[0]), _parts_of(other[0])
    for kind, now, stored in zip(("name", "", "parameters", "code"), ours, theirs, strict=True):
        if now != stored and kind:
            yield Difference(kind, "", now or "none", stored or "none")  # type: ignore[arg-type]
    if ours[2] != theirs[2]:
        return
    names = [name for place, name in enumerate(memoized.names) if place not in memoized.ignored]
    given = {*memoized.names[: len(args)], *kwargs}
    names += [f"{mark}{name}" for mark, name in (("*", memoized.more), ("**", memoized.named)) if name is not None]
    count = 1 + len(names)
    typed = bool(memoized.typed)
    hashed, others_hashed = ((*each[count + typed :], ())[0] for each in (key, other))
    if typed and key[:count] == other[:count]:
        yield Difference("type", "", _spelled(key[count]), _spelled(other[count]))
    for place, name in enumerate(names, 1):
        kind = "argument" if name in given or name.startswith("*") else "default"
        if key[place] != other[place]:
            now, stored = _shown(key[place], place in hashed), _shown(other[place], place in others_hashed)
            if place in hashed and place in others_hashed:
                stored = "another content"
            yield Difference(kind, name, now, stored)  # type: ignore[arg-type]


def _spelled(types: str) -> str:
    """The types of all arguments, as they stand in the key under ``typed``, in words."""
    return " ".join(_TYPES.get(letter, letter) for letter in types)


_TYPES = {"s": "str", "i": "int", "b": "bool", "f": "float", "y": "bytes", "n": "None", "#": "..."}


def _shown(part: object, is_hash: bool) -> str:
    """An argument as it stands in a key, shortened."""
    if is_hash and type(part) is bytes and len(part) == _HASH_SIZE:
        return f"a content with the hash {part.hex()[:8]}"
    return _show.repr(part)
