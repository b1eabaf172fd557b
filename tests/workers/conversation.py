"""Workers that do with a store what they are told, one thing after the other."""

import ast

from .commands import command, hear, open_store, say


@command
def answer(kind, directory, options=()):
    """Call a method of a store for each line [name, *arguments] that comes in; say what it returns."""
    with open_store(kind, directory, **dict(options)) as store:
        while (question := hear()) is not None:
            name, *arguments = question
            say(getattr(store, name)(*arguments))


@command
def answer_in_lives(kind, directory, closes=True):
    """Call methods of a store for each line [[name, key, *arguments], ...] that comes in, keys as their repr.

    It is opened, and closed, for each line."""
    while (questions := hear()) is not None:
        store = open_store(kind, directory)
        for name, key, *arguments in questions:
            if name == "set_many":
                store.set_many([(ast.literal_eval(one), value) for one, value in key])
            else:
                getattr(store, name)(ast.literal_eval(key), *arguments)
        if closes:
            store.close()
        say("done")


@command
def hold(kind, directory):
    """Hold the write lock until told to let go."""
    with open_store(kind, directory) as store, store.transact("held"):
        store["held"] = 1
        say("holding")
        hear()
