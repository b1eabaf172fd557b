from typing import final

@final
class SplitPayload: ...
