"""The value of an entry: from what its row says, by way of a value file maybe, to the Python object."""

from typing import final

from typing_extensions import Self

from fastcache.engine.blobs.files import ValueFiles
from fastcache.engine.codecs.values import ValueFormat

@final
class Content:
    def __new__(cls, format: ValueFormat, files: ValueFiles) -> Self: ...
