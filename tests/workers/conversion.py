"""Workers that open directories of diskcache's, and convert them."""

import os
import signal

from .commands import command, say


def opened(kind, directory, **options):
    from fastcache import diskcache

    return getattr(diskcache, kind)(directory, **options)


def contents(cache):
    """All entries, sorted by what they are printed as."""
    return sorted([repr(key), repr(cache[key])] for key in cache)


@command
def convert(kind, directory):
    """Open a directory, converting it, and say what is in it."""
    cache = opened(kind, directory, migrate="on-open")
    say(contents(cache))
    cache.close()


@command
def convert_until_killed(kind, directory, calls):
    """The same, and die before the nth time that something is renamed, removed or made beside the
    directory, or the mark in it."""
    left = calls

    def dies_first(function):
        def call(path, *arguments, **options):
            nonlocal left
            if os.path.dirname(path) == os.path.dirname(directory) or os.path.basename(path) == "converted":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(path, *arguments, **options)

        return call

    for name in ("rename", "unlink", "mkdir", "rmdir"):
        setattr(os, name, dies_first(getattr(os, name)))
    convert(kind, directory)
