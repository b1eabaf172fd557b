"""How long writes take, and what is waited for: histograms."""

from typing import final

@final
class Histogram:
    @property
    def seconds(self) -> float: ...
    @property
    def buckets(self) -> list[tuple[float, int]]: ...

@final
class Timings:
    @property
    def held(self) -> Histogram: ...
    @property
    def waited(self) -> Histogram: ...
    @property
    def others(self) -> float: ...
