"""Compression of values: three libraries, each an extra, imported when a cache or a stored value needs it.

A value says by a number which one has compressed it, and its size, so that settings may change between two runs. What
is stored may come from anywhere: what it claims to be is compared with what it can be, before memory is given for it.
"""

from __future__ import annotations

from typing import Any

from fastcache.errors import DecodeError
from fastcache.runtime.imports import load

__all__ = ["by_number", "compressor"]

# The format of blosc2 has 31 bits for a size.
_LARGEST_OF_BLOSC2 = (1 << 31) - 64
_HEADER_OF_BLOSC2 = 32
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

    def __init__(self) -> None:
        super().__init__()
        self._local: Any = load("threading").local()

    def _contexts(self) -> tuple[Any, Any]:
        """What compresses and what decompresses, of this thread: making them takes longer than a small value does."""
        try:
            found: tuple[Any, Any] = self._local.contexts
        except AttributeError:
            found = self._local.contexts = self.library.ZstdCompressor(level=3), self.library.ZstdDecompressor()
        return found

    def compress(self, whole: Any, itemsize: int) -> bytes | None:
        compressed: bytes = self._contexts()[0].compress(whole)
        return compressed

    def decompress(self, compressed: Any, size: int) -> bytes:
        if self.library.frame_content_size(compressed) != size:
            raise DecodeError("a stored value has another size than it states")
        whole: bytes = self._contexts()[1].decompress(compressed)
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
        return compressed if self._is_ours(compressed) else None

    def decompress(self, compressed: Any, size: int) -> bytes:
        chunk = bytes(compressed)
        if not self._is_ours(chunk) or int.from_bytes(chunk[4:8], "little") != size:
            raise DecodeError("a stored value is not compressed as blosc2 is told to here")
        # One thread: starting others takes longer than most values do.
        whole: bytes = self.library.decompress2(chunk, nthreads=1)
        return whole

    @staticmethod
    def _is_ours(chunk: bytes) -> bool:
        """Whether a chunk's header asks for what ``compress`` asks for, and no more.

        Others can name plugins, for which the library starts programs, or say of few bytes that they are gigabytes.
        The format: https://www.blosc.org/c-blosc2/format/chunk_format.html
        """
        if len(chunk) < _HEADER_OF_BLOSC2 or int.from_bytes(chunk[12:16], "little") != len(chunk):
            return False
        flags, filters, codec, rest = chunk[2], chunk[16:22], chunk[22], chunk[23:32]
        # The format is ZSTD's, the header is the extended one; it may be a plain copy, and in one block or several.
        return flags & ~0x12 == 0x85 and filters in (b"\0\0\0\0\0\0", b"\1\0\0\0\0\0") and codec == 5 and not any(rest)


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
