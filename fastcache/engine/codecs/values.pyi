from typing import Any, Literal

from typing_extensions import disjoint_base

@disjoint_base
class EncodedValue: ...

@disjoint_base
class ValueFormat:
    @property
    def serializer(self) -> Any: ...
    def __init__(self, serializer: Any, compression: Literal["zstd", "lz4", "blosc2"] | None) -> None: ...
