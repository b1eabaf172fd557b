"""Run the examples of diskcache's documentation, for ``conformance.py``: the working directory is the checkout.

Docstrings are read from the source, which is not imported: its modules would take the place of the tested ones.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import io
import json
import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from conformance_plugin import TEST_SECONDS, HangingError, assert_library, give_up

MODULES = ("core", "fanout", "persistent", "recipes", "djangocache")
PAGES = ("docs/tutorial.rst", "README.rst")
Failure = tuple[type[BaseException], BaseException, TracebackType]


class Runner(doctest.DocTestRunner):
    """Keeps the outcome of each example."""

    def __init__(self) -> None:
        super().__init__(verbose=False)
        self.outcomes: dict[str, tuple[str, str]] = {}

    def report_success(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self._keep(test, example, "passed", "")

    def report_failure(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self._keep(test, example, "failed", f"{example.source.splitlines()[0]} gave {last_line(got)}")

    def report_unexpected_exception(
        self, out: Any, test: doctest.DocTest, example: doctest.Example, exc_info: Failure
    ) -> None:
        raised = last_line(traceback.format_exception_only(*exc_info[:2])[-1])
        self._keep(test, example, "failed", f"{example.source.splitlines()[0]} raised {raised}")

    def _keep(self, test: doctest.DocTest, example: doctest.Example, outcome: str, message: str) -> None:
        self.outcomes[place(test, example)] = (outcome, message)


def last_line(text: str) -> str:
    """Where a traceback tells what was raised."""
    return text.strip().rpartition("\n")[2][:200]


def place(test: doctest.DocTest, example: doctest.Example) -> str:
    return f"{test.name}:{(test.lineno or 0) + example.lineno + 1}"


def documents(parser: doctest.DocTestParser) -> Iterator[doctest.DocTest]:
    for name in MODULES:
        path = pathlib.Path("diskcache", f"{name}.py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node, clean=False)
                if text and parser.get_examples(text):
                    module = importlib.import_module(f"diskcache.{name}")
                    names = {name: getattr(module, name) for name in dir(module)}
                    yield parser.get_doctest(text, names, str(path), str(path), node.body[0].lineno - 1)
    for page in PAGES:
        text = pathlib.Path(page).read_text(encoding="utf-8")
        yield parser.get_doctest(text, {"__name__": "__main__"}, page, page, 0)


def main() -> int:
    assert_library()
    runner = Runner()
    signal.signal(signal.SIGALRM, give_up)
    for test in documents(doctest.DocTestParser()):
        signal.alarm(TEST_SECONDS)
        # doctest itself writes about failures; and what is run may, too.
        with contextlib.suppress(HangingError), contextlib.redirect_stdout(io.StringIO()):
            runner.run(test, clear_globs=False)
        signal.alarm(0)
        for example in test.examples:
            if not example.options.get(doctest.SKIP):
                runner.outcomes.setdefault(place(test, example), ("failed", f"not ready after {TEST_SECONDS} s"))
    pathlib.Path(os.environ["CONFORMANCE_RESULTS"]).write_text(json.dumps(runner.outcomes), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
