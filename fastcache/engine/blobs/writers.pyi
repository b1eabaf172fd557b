from typing import final

from typing_extensions import Self

from fastcache.engine.blobs.folders import Folders

@final
class Writers:
    def __new__(cls, directory: str, folders: Folders) -> Self: ...
