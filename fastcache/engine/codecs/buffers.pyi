from typing import final

@final
class Apart: ...
