"""Signatures, and the secret that they are made with.

The secret is what the user gives (``secret=``), or the environment (FASTCACHE_SECRET), or else a file of the user's,
outside of every cache directory: ``$XDG_CONFIG_HOME/fastcache/secret``, or the same below ``~/.config``. It is made
when a value has to be signed for the first time. Signatures are keyed BLAKE2b (RFC 7693), 32 bytes.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

from fastcache.errors import UntrustedValueError

__all__ = ["Signer", "derive_key", "find_key", "secret_path"]

_VARIABLE = "FASTCACHE_SECRET"
_SHORTEST = 16
_SIZE = 32


class Signer:
    """Signatures for one purpose with one secret. The hash that has taken up the secret is kept, and copied."""

    def __init__(self, secret_key: bytes, purpose: bytes) -> None:
        self._begun = blake2b(digest_size=_SIZE, key=secret_key, person=purpose)

    def sign(self, key: bytes, codec: int, payload: Any) -> bytes:
        """The signature over a cache's key, the codec and the payload."""
        hashed = self._begun.copy()
        hashed.update(b"%d %d %b" % (codec, len(key), key))
        hashed.update(payload)
        return hashed.digest()

    def verify(self, signature: bytes, key: bytes, codec: int, payload: Any) -> None:
        """Raise UntrustedValueError unless the signature is that of the payload."""
        if not compare_digest(signature, self.sign(key, codec, payload)):
            raise UntrustedValueError(
                "a stored value is signed with another secret than this process has, or was changed since; give the "
                "secret it was stored with (secret=, or FASTCACHE_SECRET), which accounts that share a cache need in "
                "common, or set the entry anew"
            )


def derive_key(secret: bytes | str) -> bytes:
    """What is signed with, of what a user gives as secret: at least 16 bytes (a str counts as UTF-8)."""
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogateescape")
    if not isinstance(secret, bytes):
        raise TypeError(f"secret must be bytes or str, not {type(secret).__name__}")
    if len(secret) < _SHORTEST:
        raise ValueError(f"secret must be at least {_SHORTEST} bytes long")
    return blake2b(secret, digest_size=_SIZE, person=b"fastcache secret").digest()


def secret_path() -> str:
    """Where the user's secret is kept."""
    home = os.environ.get("XDG_CONFIG_HOME")
    if not home or not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, "fastcache", "secret")


def find_key(*, make: bool) -> bytes:
    """What is signed with, of the environment's secret, or else of the user's, which is made if need be.

    Raises:
        UntrustedValueError: there is none, and it was not to be made, or cannot be.
    """
    given = os.environ.get(_VARIABLE)
    if given is not None:
        try:
            return derive_key(given)
        except ValueError as error:
            raise UntrustedValueError(f"{_VARIABLE} must be at least {_SHORTEST} bytes long") from error
    path = secret_path()
    advice = f"give a secret (secret=, or {_VARIABLE})"
    try:
        return derive_key(_read(path))
    except FileNotFoundError as error:
        if not make:
            raise UntrustedValueError(
                f"a stored value is signed, and this user has no secret in {path}; {advice}, that which it was stored "
                "with, and which accounts that share a cache need in common, or set the entry anew"
            ) from error
    except OSError as error:
        raise UntrustedValueError(f"the secret in {path} cannot be read: {error.strerror}; {advice}") from error
    try:
        _make(path)
        return derive_key(_read(path))
    except OSError as error:
        raise UntrustedValueError(
            f"a value has to be signed, and no secret can be made in {path}: {error.strerror}; {advice}"
        ) from error


def _read(path: str) -> bytes:
    # NONBLOCK, so that a FIFO in its place hangs nobody.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(fd)
        if os.name != "nt" and (status.st_mode & 0o077 or status.st_uid != os.geteuid()):
            raise UntrustedValueError(f"the secret in {path} must be its user's alone: chown it, and chmod 600")
        secret = os.read(fd, 1024)
    finally:
        os.close(fd)
    if len(secret) < _SHORTEST:
        raise UntrustedValueError(f"the secret in {path} is damaged: less than {_SHORTEST} bytes; remove the file")
    return secret


def _make(path: str) -> None:
    """Write it under another name, then give it its own, unless another process was faster."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.urandom(8).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        try:
            if os.write(fd, os.urandom(_SIZE)) != _SIZE:
                raise OSError(0, "the disk is full")
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except PermissionError:
            # A file system without links: whoever renames last is whom all others follow from then on.
            os.rename(temporary, path)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)
