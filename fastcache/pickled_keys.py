"""The bytes of a key that pickle stores: the same for equal keys, however they share parts."""

import io
import pickle
import pickletools
from typing import Any

__all__ = ["pickled_key"]

_HAS_A_SET = "it holds a set, whose order is another one in each process"


def pickled_key(key: Any) -> bytes:
    """The bytes of a key, without pickle's memo, which would tell what is shared; TypeError if it holds a set."""
    out = io.BytesIO()
    pickler = _KeyPickler(out, 5)
    pickler.fast = True
    pickler.dump(key)
    payload = out.getvalue()
    if any(opcode.name in ("FROZENSET", "EMPTY_SET") for opcode, _, _ in pickletools.genops(payload)):
        raise TypeError(_HAS_A_SET)
    return payload


class _KeyPickler(pickle.Pickler):
    """Refuses subclasses of sets; sets themselves never come here, but show in the opcodes."""

    def reducer_override(self, part: Any) -> Any:
        if isinstance(part, (set, frozenset)):
            raise TypeError(_HAS_A_SET)
        return NotImplemented
