"""Value files of a source: read and removed inside of its directory, whatever names are stored there."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from fastcache.errors import DecodeError, system_error

__all__ = ["ValueFiles"]


class ValueFiles:
    """The value files below a directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._real = os.path.realpath(directory)

    def read(self, name: Any) -> bytes:
        """The content of one.

        Raises:
            FileNotFoundError: it is not there.
            DecodeError: its name leads outside of the directory, or it is no file.
            StorageError: it cannot be read.
        """
        path = self._place(name)
        try:
            # Nobody waits here for who writes into a pipe.
            file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with open(file, "rb") as reader:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise DecodeError("its value file is no file")
                return reader.read()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise system_error(error.errno or 0, "read a value file of the source") from error

    def _place(self, name: Any) -> str:
        if type(name) is str:
            # Some are stored with the directory.
            name = name.removeprefix(self._directory + os.sep)
        path = os.path.join(self._directory, name) if type(name) is str and name and "\0" not in name else ""
        if not path or os.path.isabs(name) or os.pardir in name.replace(os.sep, "/").split("/"):
            raise DecodeError("its value file has a name that leads outside of the directory")
        if not os.path.realpath(path).startswith(self._real + os.sep):
            raise DecodeError("its value file lies outside of the directory")
        return path

    def remove(self, name: str) -> None:
        """Remove one, and the folders that are empty then: they are made and removed one by one."""
        path = self._place(name)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise system_error(error.errno or 0, "remove a value file of the source") from error
        while os.path.dirname(path) != self._directory:
            path = os.path.dirname(path)
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise system_error(error.errno or 0, "remove a folder of value files of the source") from error
                return
