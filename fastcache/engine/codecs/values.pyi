from typing import Any, Literal, final

@final
class EncodedValue: ...

@final
class ValueFormat:
    @property
    def serializer(self) -> Any: ...
    def __init__(self, serializer: Any, compression: Literal["zstd", "lz4", "blosc2"] | None) -> None: ...
