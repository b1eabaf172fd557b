"""What ``conformance.py`` adds to a run of pytest: each test's outcome in a file, and an end for those that hang.

It is copied to where only the tests that are run can import it from.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import pytest

TEST_SECONDS = 300


class HangingError(BaseException):
    """A test has not ended. No ``except Exception`` of what is tested is to catch it."""


def assert_library() -> None:
    """What tests import as diskcache is what is to be tested."""
    import diskcache

    if os.environ["CONFORMANCE_LIBRARY"] == "diskcache":
        is_tested = "fastcache" not in sys.modules
    else:
        import fastcache.diskcache as face

        is_tested = diskcache.Cache is face.Cache
    if not is_tested:
        raise RuntimeError(f"diskcache.Cache is {diskcache.Cache!r}, and not what is to be tested")


class Recorder:
    """Outcomes by test: it has failed if its setup, its call or its teardown has."""

    def __init__(self) -> None:
        self.tests: dict[str, tuple[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "rerun":
            self.tests.pop(report.nodeid, None)
            return
        before, _ = self.tests.get(report.nodeid, ("passed", ""))
        if before == "passed":
            message = last_line(report) if report.outcome == "failed" else ""
            self.tests[report.nodeid] = (report.outcome, message)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tests[report.nodeid] = ("failed", last_line(report))

    def pytest_sessionfinish(self) -> None:
        pathlib.Path(os.environ["CONFORMANCE_RESULTS"]).write_text(json.dumps(self.tests), encoding="utf-8")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(TEST_SECONDS)
        try:
            return (yield)
        finally:
            signal.alarm(0)


def last_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What pytest shows of it in its summary, and where it was raised."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return str(report.longrepr).strip().rpartition("\n")[2]
    return f"{crash.message.splitlines()[0]} ({pathlib.Path(crash.path).name}:{crash.lineno})" if crash.message else "?"


def give_up(_number: int, _frame: FrameType | None) -> None:
    raise HangingError(f"not ready after {TEST_SECONDS} s")


def pytest_configure(config: pytest.Config) -> None:
    assert_library()
    config.pluginmanager.register(Recorder(), "conformance-recorder")
