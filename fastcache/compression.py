"""Compression of values: three libraries, each an extra, imported when a cache or a stored value needs it.

A value says by a number which one has compressed it, and its size, so that settings may change between two runs. What
is stored may come from anywhere: what it claims to be is compared with what it can be, before memory is given for it.
"""

from __future__ import annotations

from typing import Any

from fastcache.engine.errors import DecodeError
from fastcache.engine.lazy import load

__all__ = ["by_number", "compressor"]

# The format of blosc2 has 31 bits for a size.
_LARGEST_OF_BLOSC2 = (1 << 31) - 64
# No byte of LZ4's format stands for more.
_MOST_OF_LZ4 = 255


class _Compressor:
    """One library. ``compress`` returns None where it cannot; ``decompress`` raises whatever it likes."""

    name: str
    module: str
    number: int

    def __init__(self) -> None:
        try:
            self.library: Any = load(self.module)
        except ImportError as error:
            raise ImportError(
                f"compression {self.name!r} needs a library that is not installed: pip install fastcache[{self.name}]"
            ) from error

    def compress(self, whole: Any, itemsize: int) -> bytes | None:
        """The bytes compressed; they are of arrays whose items have so many bytes."""
        raise NotImplementedError

    def decompress(self, compressed: Any, size: int) -> bytes:
        """What was compressed, which had so many bytes."""
        raise NotImplementedError


class _Zstd(_Compressor):
    name, module, number = "zstd", "zstandard", 1

    def compress(self, whole: Any, itemsize: int) -> bytes | None:
        # A compressor is for one thread at a time.
        compressed: bytes = self.library.ZstdCompressor(level=3).compress(whole)
        return compressed

    def decompress(self, compressed: Any, size: int) -> bytes:
        if self.library.frame_content_size(compressed) != size:
            raise DecodeError("a stored value has another size than it states")
        whole: bytes = self.library.ZstdDecompressor().decompress(compressed)
        return whole


class _LZ4(_Compressor):
    name, module, number = "lz4", "lz4.block", 2

    def compress(self, whole: Any, itemsize: int) -> bytes | None:
        if len(whole) > 0x7E00_0000:  # LZ4_MAX_INPUT_SIZE
            return None
        compressed: bytes = self.library.compress(whole, store_size=False)
        return compressed

    def decompress(self, compressed: Any, size: int) -> bytes:
        if size > _MOST_OF_LZ4 * len(compressed):
            raise DecodeError("a stored value has another size than it states")
        whole: bytes = self.library.decompress(compressed, uncompressed_size=size)
        return whole


class _Blosc2(_Compressor):
    name, module, number = "blosc2", "blosc2", 3

    def compress(self, whole: Any, itemsize: int) -> bytes | None:
        if len(whole) > _LARGEST_OF_BLOSC2:
            return None
        library = self.library
        filters = library.Filter.SHUFFLE if itemsize > 1 else library.Filter.NOFILTER
        compressed: bytes = library.compress2(
            whole,
            typesize=itemsize,
            clevel=5,
            codec=library.Codec.ZSTD,
            filters=[filters],
            filters_meta=[0],
            nthreads=1,
        )
        return compressed

    def decompress(self, compressed: Any, size: int) -> bytes:
        # Its header: https://www.blosc.org/c-blosc2/format/chunk_format.html
        if size > _LARGEST_OF_BLOSC2 or int.from_bytes(compressed[4:8], "little") != size:
            raise DecodeError("a stored value has another size than it states")
        if int.from_bytes(compressed[12:16], "little") != len(compressed):
            raise DecodeError("a stored value has another size than it states")
        whole: bytes = self.library.decompress2(bytes(compressed))
        return whole


_KINDS = {kind.name: kind for kind in (_Zstd, _LZ4, _Blosc2)}
_loaded: dict[str, _Compressor] = {}


def compressor(name: str) -> _Compressor:
    """The one of that name.

    Raises:
        ValueError: there is none.
        ImportError: its library is not installed.
    """
    if name not in _KINDS:
        raise ValueError(f"compression must be None, {', '.join(map(repr, _KINDS))}, not {name!r}")
    if name not in _loaded:
        _loaded[name] = _KINDS[name]()
    return _loaded[name]


def by_number(number: int) -> _Compressor:
    """The one that a stored value names; raises DecodeError if it is unknown, or its library is not installed."""
    for kind in _KINDS.values():
        if kind.number == number:
            try:
                return compressor(kind.name)
            except ImportError as error:
                raise DecodeError(f"a stored value needs a library to be read: {error}") from error
    raise DecodeError(f"a stored value is compressed in an unknown way ({number}): another version wrote it")
