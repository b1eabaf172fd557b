"""What tests let other processes do: ``python start_worker.py COMMAND ARGUMENTS``, lines of JSON in and out.

A command is a function of one of these modules, each of which has one concern.
"""

# ruff: noqa: F401
# Each is imported for its commands.
from . import (
    bounded,
    bulk,
    conversation,
    counting,
    damage,
    described,
    ending,
    endurance,
    fanout,
    files,
    forks,
    interruption,
    locks,
    maintenance,
    memoize,
    memory_faults,
    opening,
    outside,
    reentrance,
    trust,
    write_behind,
)
from .commands import COMMANDS
