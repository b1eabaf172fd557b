"""Workers that produce for and consume from queues, in a Cache, an Index or a Deque."""

import time

import fastcache

from .commands import command, hear, open_store, say, until_told


@command
def push_many(kind, directory, name, count):
    """When told, push so many."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for number in range(count):
            store.push((name, number))


@command
def pull_until_killed(kind, directory):
    """When told, pull and say each, until told to stop."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()

        def pull():
            key, value = store.pull()
            if key is None:
                time.sleep(0.001)
            else:
                say(value)

        until_told(pull)
        say("end")


@command
def append_to_deque(directory, name, count):
    """When told, append so many, each as ``[name, number]``."""
    with fastcache.Deque(directory=directory) as deque:
        say("ready")
        hear()
        for number in range(count):
            deque.append([name, number])


@command
def consume_deque(directory):
    """When told, take one item after the other from the left and say it, until told to stop, or killed."""
    with fastcache.Deque(directory=directory) as deque:
        say("ready")
        hear()

        def take():
            try:
                value = deque.popleft()
            except IndexError:
                time.sleep(0.001)
            else:
                say(value)

        until_told(take)
        say("end")


@command
def move_until_killed(directory):
    """When told, move items about, each time in one transaction or call."""
    with fastcache.Deque(directory=directory) as deque:
        say("ready")
        hear()
        while True:
            with deque.transact():
                deque.append(deque.popleft())
            deque.rotate(len(deque) // 2)
            with deque.transact():
                deque.insert(len(deque) // 3, deque.pop())
            deque.reverse()
