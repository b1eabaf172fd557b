"""Workers that create and open directories."""

import os
import sys

from .commands import command, hear, open_store, say


@command
def create(kind, *directories):
    """Open each directory as soon as its name comes back, while others do the same."""
    for directory in directories:
        say("ready")
        hear()
        with open_store(kind, directory) as store:
            store.incr("opened")
            store[f"by {os.getpid()}"] = os.getpid()
    say("done")


@command
def open_as_nobody(kind, directory):
    """Open and use a store without the rights of root; say the error's type and text."""
    # Everything is loaded while the rights are there to read it: root's Python may be nobody's business.
    open_store(kind, None).close()
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        store = open_store(kind, directory)
    except Exception as error:
        say([[kind.__name__ for kind in type(error).__mro__], str(error)])
    else:
        say([[], ""])
        store.close()


@command
def temporary(kind, ending):
    """Make a store in a temporary directory and end in some way; say where it was."""
    store = open_store(kind, None)
    store["a"] = b"x" * 3_000_000
    say(store.directory)
    if ending == "close":
        store.close()
    elif ending == "keep":
        sys.kept = store
    elif ending == "collect":
        del store
    elif ending == "raise":
        raise SystemExit(0)
    elif ending == "fork":
        child = os.fork()
        if child == 0:
            store.close()
            sys.exit(0)
        os.waitpid(child, 0)
        say(os.path.isdir(store.directory) and store["a"] == b"x" * 3_000_000)


@command
def hold_open(directory, shards):
    """Have a cache open until told to let go."""
    with open_store("FanoutCache" if shards > 1 else "Cache", directory, **({"shards": shards} if shards > 1 else {})):
        say("open")
        hear()


@command
def live_shortly(kind, directory, name, times):
    """Open, write one large value, and close, again and again."""
    say("ready")
    hear()
    for number in range(times):
        with open_store(kind, directory) as store:
            store[f"{name} {number}"] = b"large" * 100_000
