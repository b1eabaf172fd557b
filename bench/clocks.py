"""A clock for what child processes time themselves."""


class ReportedClock:
    """Advances by what is reported, so that the start of an interpreter is not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds
