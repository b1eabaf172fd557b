"""Tests of ``fastcache.diskcache`` that are true of diskcache, too."""

ORIGINAL = "diskcache"
FACE = "fastcache.diskcache"
LARGE = 200_000


class Point:
    """An instance of a class of one's own; equal to one with the same place."""

    def __init__(self, x, y):
        self.place = (x, y)

    def __eq__(self, other):
        return isinstance(other, Point) and self.place == other.place

    def __hash__(self):
        return hash(self.place)
