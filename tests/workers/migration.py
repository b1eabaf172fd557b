"""Workers that migrate, and that use a source meanwhile."""

import json
import os
import signal
import sys

from fastcache.importers import migration
from fastcache.importers.parts import Part

from .commands import command, say


@command
def migrate_until_killed(source, destination, options, commits, where):
    """Migrate, and die without a word: after so many commits to the destination, or so many deletions in the source."""

    def dies_after(function):
        calls = 0

        def call(*arguments):
            nonlocal calls
            result = function(*arguments)
            calls += 1
            if calls == commits:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    if where == "destination":
        migration.add_entries = dies_after(migration.add_entries)
    elif where == "rows":
        Part._delete = dies_after(Part._delete)
    else:
        Part.drop = dies_after(Part.drop)
    migration.AT_ONCE = 50
    say(migration.migrate(source, destination, **options))


@command
def migrate(source, destination, options):
    """Migrate, telling how far it is, and say what came of it."""
    say(migration.migrate(source, destination, progress=lambda done, total: say([done, total]), **options))


@command
def set_in_source(directory, count):
    """Set the same entries in a diskcache again and again, each time with a larger value, until told to end."""
    import diskcache as others

    with others.Cache(directory, eviction_policy="none", cull_limit=0) as cache:
        say("ready")
        number = 0
        while not select_stdin():
            number += 1
            for index in range(count):
                cache.set(index, json.dumps([index, number]) * (10_000 if index % 3 == 0 else 1))
    say(number)


def select_stdin():
    import select

    return bool(select.select([sys.stdin], [], [], 0)[0])
