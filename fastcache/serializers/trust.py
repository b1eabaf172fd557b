"""What may be decoded without proof of where it comes from, and the proof for all the rest.

Unpickling runs what the pickle names. Whoever can write into a cache's directory could so run code in every program
that reads it. Therefore:

- **Plain data is stored as it is, and decoded by an unpickler that can build nothing else** (plain.py). Most of it
  consists of builtin containers and scalars and needs none: examined and found to name nothing
  (engine/codecs/pickle_scan.pyx), it goes through pickle.loads.
- **What a class reduces to differs between versions of Python**, even micro versions. So each kind of plain data has a
  form of its own here, whichever Python writes it: one directory serves them all, and equal keys stay one key.
- **Everything else is signed** with a secret that is kept outside of the directory (signing.py), and loaded only if the
  signature holds. It covers the key, the codec and the payload, so that neither can be exchanged.
- **Array bytes are data.** They travel beside the pickle (protocol 5, out of band), unsigned, and become arrays of a
  type without objects. What else would travel so is kept in the pickle.

What an attacker can still do: delete entries, put plain data into the place of plain data, bring back an older value of
the same key, store what takes much time or memory to build, and truncate a file while a program has it mapped.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

from fastcache.engine.codecs.pickle_scan import REFUSED, SETS, examine
from fastcache.errors import CacheError, DecodeError, UntrustedValueError
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Trust"]

# What a pickle never begins with.
_SIGNED = b"\x00signed "
_SIGNATURE_SIZE = 32
_CONTAINERS = frozenset((list, dict, tuple, set, frozenset, bytearray))
# In every pickle that calls it (plain.py).
_ARRAY = b"build_array"
_HAS_A_SET = "it holds a set, whose order is another one in each process"


class Trust:
    """Bytes <-> objects under these rules, for one serializer.

    Args:
        safe_types: classes whose instances count as plain.
        signing_key: what signatures are made with; None for that of the environment, or of the user.
        unsafe: load everything, sign nothing.
    """

    def __init__(self, safe_types: tuple[type, ...], signing_key: bytes | None, unsafe: bool) -> None:
        self._safe_types = safe_types
        self._key = signing_key
        self._loads_all = unsafe
        self._signs = not unsafe
        self._signer: Any = None
        self._plain: Any = None
        self._listed: Any = None

    def _load_plain(self) -> Any:
        """The module plain, which costs more to load than all of this."""
        if self._plain is None:
            plain = load("fastcache.plain")
            self._listed = plain.Listed(self._safe_types)
            self._plain = plain
        return self._plain

    def load_all(self) -> None:
        """From now on, load whatever is there, but go on signing."""
        self._loads_all = True

    # values

    def pack(self, value: Any) -> tuple[bytes, list[Any], int, bool]:
        """The pickle of a value, the buffers beside it, the size of their items, and whether it has to be signed."""
        if type(value) in _CONTAINERS:
            beside: list[Any] = []
            payload = pickle.dumps(value, 5, buffer_callback=beside.append)
            if not beside and not examine(payload) & ~SETS:
                return payload, beside, 1, False
        pickler, payload = self._pickle(value)
        is_plain = pickler.plain and not examine(payload) & REFUSED
        return payload, pickler.beside, pickler.itemsize, self._signs and not is_plain

    def _pickle(self, value: Any, **options: bool) -> tuple[Any, bytes]:
        """Pickle a value as plainly as possible: the pickler, which knows how plain that was, and the pickle."""
        plain = self._load_plain()
        try:
            out = io.BytesIO()
            pickler = plain.PlainPickler(out, self._listed, **options)
            pickler.dump(value)
        except RecursionError:
            # What holds itself, maybe. Or it is nested too deep for pickle, too.
            out = io.BytesIO()
            pickler = plain.PlainPickler(out, self._listed, loops=True, **options)
            pickler.dump(value)
        return pickler, out.getvalue()

    def unpack(self, payload: Any, buffers: Iterable[Any] | None, signed: bool, copy: bool) -> Any:
        """The value of a pickle. ``signed`` says that its signature was there, and held.

        Raises:
            UntrustedValueError: it is not signed, and not plain.
            DecodeError: it is damaged.
        """
        try:
            return self._unpack(payload, buffers, signed, copy)
        except (MemoryError, CacheError):
            raise
        except Exception as error:
            raise DecodeError(
                "a stored value cannot be unpickled: what it is made of may have moved, or is not installed here, or "
                "it is damaged; bring that back, or delete the entry or set it anew"
            ) from error

    def _unpack(self, payload: Any, buffers: Iterable[Any] | None, signed: bool, copy: bool) -> Any:
        if signed or self._loads_all:
            if not self._safe_types and not (copy and _ARRAY in payload):
                try:
                    return pickle.loads(payload, buffers=buffers)
                except ModuleNotFoundError as error:
                    if self._load_plain().other_name(error.name or "") is None:
                        raise
            return self._load_plain().load_trusted(payload, buffers, self._listed, copy=copy)
        found = examine(payload)
        if not found & ~SETS:
            return pickle.loads(payload, buffers=buffers)
        if found & REFUSED:
            raise UntrustedValueError(
                "a stored value is not signed, and is more than plain data, or damaged; set the entry anew"
            )
        return self._load_plain().load_plain(payload, buffers, self._listed, copy=copy)

    def sign(self, key: bytes, codec: int, payload: Any) -> bytes:
        """The signature (32 bytes) of a payload that is stored under a key with a codec."""
        signer = self._signer or self._load_signer(make=True)
        signature: bytes = signer.sign(key, codec, payload)
        return signature

    def verify(self, signature: bytes, key: bytes, codec: int, payload: Any) -> None:
        """Raise UntrustedValueError unless the signature is that of the payload."""
        if not self._loads_all:
            (self._signer or self._load_signer(make=False)).verify(signature, key, codec, payload)

    def _load_signer(self, *, make: bool) -> Any:
        """Find the secret, or make one, and what signs with it."""
        signing = load("fastcache.serializers.signing")
        if self._key is None:
            self._key = signing.find_key(make=make)
        self._signer = signing.Signer(self._key, b"fastcache value")
        return self._signer

    # what stands alone

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value, signed in themselves if they have to be."""
        if type(value) in _CONTAINERS:
            payload = pickle.dumps(value, 5)
            if not examine(payload) & ~SETS:
                return payload
        return self._dumps(value, alike=False)

    def dumps_key(self, key: Any) -> bytes:
        """The bytes of a key: the same for equal keys, so without pickle's memo, which would tell what is shared.

        Raises:
            TypeError: it holds a set, whose order is another one in each process.
        """
        return self._dumps(key, alike=True)

    def _dumps(self, value: Any, alike: bool) -> bytes:
        pickler, payload = self._pickle(value, alone=True, alike=alike)
        found = examine(payload)
        if alike and (found & SETS or pickler.has_set):
            raise TypeError(_HAS_A_SET)
        if not self._signs or (pickler.plain and not found & REFUSED):
            return payload
        return _SIGNED + self.sign(b"", 0, payload) + payload

    def loads(self, data: Any) -> Any:
        """The value of what ``dumps`` or ``dumps_key`` has made.

        Raises:
            UntrustedValueError: it is not plain, and not signed by one who has the secret.
        """
        payload = bytes(memoryview(data))
        if not payload.startswith(_SIGNED):
            return self.unpack(payload, None, False, False)
        start = len(_SIGNED)
        signature, payload = payload[start : start + _SIGNATURE_SIZE], payload[start + _SIGNATURE_SIZE :]
        self.verify(signature, b"", 0, payload)
        return self.unpack(payload, None, True, False)
