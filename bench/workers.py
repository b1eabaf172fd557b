"""Several processes on one directory, which wait for each other before they begin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from contenders import Contender

WORKER = str(Path(__file__).with_name("worker.py"))


class Workers:
    """The processes; leaving the block ends them."""

    def __init__(self, contender: Contender, directory: str) -> None:
        self.contender = contender
        self.directory = directory
        self.running: list[subprocess.Popen[str]] = []

    def start(self, seed: int, period: int, seconds: float, *options: str) -> None:
        """Start one more (see worker.py) and wait until it has opened the cache.

        One after the other: diskcache_rs fails now and then when two open one directory at a time.
        """
        arguments = [self.contender.name, self.directory, str(seed), str(period), str(seconds), *options]
        process = subprocess.Popen(
            [sys.executable, WORKER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.running.append(process)
        if answer(process) != "ready":
            raise RuntimeError(f"a worker could not open the cache: {' '.join(arguments)}")

    def go(self) -> None:
        for process in self.running:
            print("go", file=process.stdin, flush=True)

    def rates(self) -> list[float]:
        """Wait for all, and return the operations per second of each, in the order of their start."""
        answers = [answer(process) for process in self.running]
        if "" in answers:
            raise RuntimeError(f"a worker failed: {self.contender.name}")
        return [float(rate) for rate in answers]

    def stop(self) -> None:
        while self.running:
            self.running.pop().communicate()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def answer(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip() if process.stdout else ""
