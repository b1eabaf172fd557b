"""Whether ``fastcache.diskcache`` passes for diskcache: other projects' own tests, run with it in diskcache's place.

What runs is read from checkouts that you have made, and copied: nothing in them is changed. Nor is a line of theirs in
this repository: only the names of tests. With ``--library diskcache`` the same commands run on the real one, which must
pass everything; whatever does not pass there says that an environment is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE.parent
# Imported by each interpreter when it starts, so that children of tests have the face, too.
INSTALLS = "import fastcache.diskcache\n\nfastcache.diskcache.install()\n"

MAKES_SOURCES = """\
checkouts, each in SOURCES under the name of its repository, and the versions that the targets are of:
  git clone https://github.com/grantjenks/python-diskcache      ebfa37c (5.6.3, and two commits that change indexes)
  git clone https://github.com/strawgate/py-key-value           279e1ee (0.4.4)
  git clone https://github.com/Krukov/cashews                   f3d810a (7.5.0)
  git clone https://github.com/dottxt-ai/outlines               be2cd15 (1.3.2), for its tests alone
  git clone https://github.com/stanfordnlp/dspy                 4ed377e (3.3.1)

environments, each in ENVIRONMENTS under the same name (python -m venv), of the Python that fastcache is built for:
  python-diskcache   pip install msgspec diskcache pytest "django==4.2.*" pytest-django
  py-key-value       pip install msgspec diskcache pytest pytest-asyncio pytest-timeout pytest-mock pytest-dotenv
                       dirty-equals inline-snapshot docker beartype typing-extensions pathvalidate cachetools
                       pydantic
  cashews            pip install msgspec diskcache pytest==9.0.2 pytest-asyncio==1.3.0 pytest-rerunfailures==16.1
                       hypothesis==6.148.7 setuptools
  outlines           pip install msgspec diskcache pytest pytest-mock outlines
  dspy               pip install msgspec diskcache pytest pytest-mock pytest-asyncio openai regex orjson tqdm requests
                       pydantic litellm json-repair tenacity anyio cachetools cloudpickle gepa numpy

The examples are those of diskcache's docstrings and tutorial, of which 473 of 474 are right about diskcache itself
(persistent.py:143 is not), and those of its README that are not to be skipped (4, one of which needs Django). Three
of the 473 may fail.
"""


@dataclass(frozen=True)
class Suite:
    """Tests of one project.

    Args:
        repository: the name of its checkout, and of its environment.
        target: how many of those tests that need no internals must pass.
        tests: what pytest is given; without any, the documentation's examples are run.
        options: more of what pytest is given.
        path: below the checkout, what tests import from.
        internals: what a test replaces or reads that diskcache does not document, by the name of the test: attributes
            that start with an underscore, its tables, its files. They run, and are counted apart.
    """

    repository: str
    target: int
    tests: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    path: str = "."
    internals: dict[str, str] = field(default_factory=dict)


def _own(name: str, target: int, internals: dict[str, str] | None = None) -> Suite:
    """A file of diskcache's own tests."""
    options = ("-c", os.devnull, "--rootdir", ".")
    return Suite("python-diskcache", target, (f"tests/test_{name}.py",), options, internals=internals or {})


SUITES = {
    "core": _own(
        "core",
        70,
        {
            "test_pragma_error": "Cache._local",
            "test_close_error": "Cache._local",
            "test_set_timeout": "Cache._local",
            "test_add_timeout": "Cache._local",
            "test_get_keyerror4": "core.open",
            "test_disk_write_os_error": "core.open",
            "test_get_ioerror_fast_path": "Cache._disk",
            "test_pop_ioerror": "Cache._disk",
            "test_pull_ioerror": "Cache._disk",
            "test_peek_ioerror": "Cache._disk",
            "test_peekitem_ioerror": "Cache._disk",
            "test_clear_timeout": "Cache._transact",
            "test_cull_timeout": "Cache._transact",
            "test_check": "Cache._sql: an UPDATE of its table",
            "test_pragmas": "Cache._sql: PRAGMA",
            "test_custom_eviction_policy": "SQL on its table, in EVICTION_POLICY",
            "test_cleanup_dirs": "how many files and folders the directory has",
        },
    ),
    "fanout": _own(
        "fanout",
        31,
        dict.fromkeys(
            [
                "test_set_timeout",
                "test_touch_timeout",
                "test_add_timeout",
                "test_incr_timeout",
                "test_decr_timeout",
                "test_get_timeout",
                "test_pop_timeout",
                "test_delete_timeout",
                "test_remove_timeout",
                "test_reset_timeout",
                "test_volume",
            ],
            "FanoutCache._shards",
        ),
    ),
    "deque": _own(
        "deque",
        25,
        dict.fromkeys(
            [
                "test_index_positive",
                "test_index_negative",
                "test_index_out_of_range",
                "test_iter_keyerror",
                "test_reversed_keyerror",
                "test_remove_keyerror",
                "test_rotate_indexerror",
                "test_rotate_indexerror_negative",
            ],
            "Deque._cache",
        ),
    ),
    "index": _own("index", 12),
    "recipes": _own("recipes", 5),
    "django": _own("djangocache", 64),
    "examples": Suite("python-diskcache", 474),
    "py-key-value": Suite(
        "py-key-value",
        272,
        ("tests/stores/disk",),
        ("--override-ini", "addopts=--inline-snapshot=disable"),
        path="src",
    ),
    "cashews": Suite(
        "cashews",
        202,
        ("tests",),
        # Times are short in these tests, and their own CI repeats what fails.
        ("--override-ini", "addopts=", "--reruns", "5", "--reruns-delay", "1", "-m", "diskcache and not redis"),
    ),
    # Of its checkout only the tests: the package needs a module that building it writes.
    "outlines": Suite("outlines", 5, ("tests/test_cache.py",), path="tests"),
    "dspy": Suite(
        "dspy",
        44,
        ("tests/clients/test_cache.py", "tests/clients/test_disk_serialization.py"),
        internals={"test_corrupt_disk_entries_return_none": "SQL on its table, by way of sqlite3"},
    ),
}


@dataclass
class Report:
    """What came of a suite: an outcome and a message for each test, and what went wrong with all of it."""

    suite: Suite
    tests: dict[str, tuple[str, str]]
    trouble: str = ""

    def outcomes(self, *, internal: bool) -> Counter[str]:
        return Counter(outcome for name, (outcome, _) in self.tests.items() if bool(self.reason(name)) == internal)

    def failures(self) -> list[tuple[str, str]]:
        return [(name, message) for name, (outcome, message) in self.tests.items() if outcome == "failed"]

    def reason(self, name: str) -> str:
        """What it needs of diskcache's internals, if it does."""
        return self.suite.internals.get(name.rpartition("::")[2].partition("[")[0], "")

    def is_enough(self) -> bool:
        return not self.trouble and self.outcomes(internal=False)["passed"] >= self.suite.target


def run(suite: Suite, sources: pathlib.Path, environments: pathlib.Path | None, library: str, seconds: float) -> Report:
    """Run a suite in an interpreter, a home and a temporary directory of its own."""
    checkout = sources / suite.repository
    if not checkout.is_dir():
        return Report(suite, {}, f"{checkout} is not there")
    python = environments / suite.repository / "bin" / "python" if environments else pathlib.Path(sys.executable)
    # One of diskcache's tests wants "tmp" in the name.
    with tempfile.TemporaryDirectory(prefix="conformance-tmp-") as name:
        folder = pathlib.Path(name)
        results = folder / "results.json"
        # Some write beside their tests.
        copy = folder / "checkout"
        shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git", ".cache", "__pycache__"))
        imported = folder / "imported"
        imported.mkdir()
        (folder / "home").mkdir()
        (folder / "tmp").mkdir()
        for module in ("conformance_plugin.py", "conformance_examples.py"):
            shutil.copy(HERE / module, imported)
        if library == "fastcache":
            (imported / "sitecustomize.py").write_text(INSTALLS, encoding="utf-8")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(imported), str(copy / suite.path), str(PACKAGE)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "CONFORMANCE_RESULTS": str(results),
            "CONFORMANCE_LIBRARY": library,
        }
        for variable in ("FASTCACHE_SECRET", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PYTEST_ADDOPTS"):
            environment.pop(variable, None)
        try:
            ran = subprocess.run(
                [str(python), *command(suite)],
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            trouble = f"not ready after {seconds:.0f} s"
        except OSError as error:
            trouble = f"could not start {python}: {error}"
        else:
            said = (ran.stdout + ran.stderr)[-2000:]
            # 1 is what pytest says of failing tests.
            trouble = "" if results.exists() and ran.returncode in (0, 1) else f"exit status {ran.returncode}: {said}"
        tests = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    return Report(suite, {name: (outcome, message) for name, (outcome, message) in tests.items()}, trouble)


def command(suite: Suite) -> list[str]:
    """What the interpreter is given."""
    if not suite.tests:
        return ["-m", "conformance_examples"]
    plugins = ["-p", "conformance_plugin", "-p", "no:cacheprovider", "-p", "no:randomly"]
    return ["-m", "pytest", "-q", *plugins, *suite.options, *suite.tests]


def table(reports: dict[str, Report]) -> str:
    rows = [["suite", "tests", "passed", "of target", "failed", "skipped", "of internals: passed"]]
    for name, report in reports.items():
        public, internal = report.outcomes(internal=False), report.outcomes(internal=True)
        counts = [len(report.tests), public["passed"], report.suite.target, public["failed"], public["skipped"]]
        apart = f"{internal['passed']} of {internal.total()}" if internal else ""
        rows.append([name, *map(str, counts), apart])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * (width - 1) + ":" for width in widths])
    aligned = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in aligned)


def complaints(name: str, report: Report) -> list[str]:
    """Why a suite is below its target, a line for each test."""
    lines = [f"{name}: {report.trouble}"] if report.trouble else []
    for test, message in report.failures():
        reason = report.reason(test)
        apart = f" (of internals: {reason})" if reason else ""
        lines.append(f"{name}: {test}{apart}: {message}")
    return lines


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=MAKES_SOURCES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=pathlib.Path, metavar="SOURCES", help="the folder with the checkouts")
    parser.add_argument(
        "--environments", type=pathlib.Path, help="the folder with the virtual environments (default: this Python)"
    )
    parser.add_argument("--suite", action="append", choices=SUITES, help="run this one alone; may be repeated")
    parser.add_argument("--library", choices=["fastcache", "diskcache"], default="fastcache", help="what is tested")
    parser.add_argument("--seconds", type=float, default=900, help="how long a suite may take (default: 900)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write each test's outcome there")
    parser.add_argument("--quiet", action="store_true", help="print the table alone")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = read_arguments(arguments)
    sources = given.sources.resolve()
    environments = given.environments.absolute() if given.environments else None
    reports: dict[str, Report] = {}
    for name in given.suite or SUITES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        reports[name] = run(SUITES[name], sources, environments, given.library, given.seconds)
    if given.json:
        found = {
            name: {"target": it.suite.target, "trouble": it.trouble, "tests": it.tests} for name, it in reports.items()
        }
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if not given.quiet:
        print("\n".join(line for name, report in reports.items() for line in complaints(name, report)))
    print(table(reports))
    below = [name for name, report in reports.items() if not report.is_enough()]
    if below:
        print(f"below target: {', '.join(below)}")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
