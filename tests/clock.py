"""A clock that stands still until the test moves it."""


class Clock:
    """Seconds since the epoch, as the test decides; hand it to a cache as its ``timer``.

    The steps that tests take are sums of powers of two, so that no rounding blurs which millisecond it is.
    """

    def __init__(self, now=1_700_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds
