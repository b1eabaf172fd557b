"""What a worker is told to do, by the name of a function; how it talks: lines of JSON in and out."""

import json
import os
import sys
import threading

import fastcache

COMMANDS = {}


def command(function):
    assert function.__name__ not in COMMANDS
    COMMANDS[function.__name__] = function
    return function


def say(message):
    # One write, so that what a killed process had said is whole lines.
    os.write(1, (json.dumps(message) + "\n").encode())


def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def open_store(kind, directory, **options):
    return getattr(fastcache, kind)(directory, **options)


def run_threads(*functions):
    """Run all at once; whatever fails in one of them fails the process."""
    failures = []

    def run(function):
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def until_told(function):
    """Call the function again and again until a line comes in; return how often it was called."""
    stop = threading.Event()
    threading.Thread(target=lambda: (hear(), stop.set()), daemon=True).start()
    times = 0
    while not stop.is_set():
        function()
        times += 1
    return times


def peak_kilobytes():
    """The most memory that this process has occupied until now."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
