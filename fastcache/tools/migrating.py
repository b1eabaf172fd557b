"""The command `fastcache migrate`: its arguments, what it shows meanwhile, and what it says at the end."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastcache.importers.migration import KINDS, STORE_TYPES, migrate
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["add_arguments", "report", "run"]

# Between two lines of progress, where there is no bar.
_PERIOD_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("destination", type=Path, metavar="DESTINATION")
    parser.add_argument("--type", choices=sorted(STORE_TYPES), default="cache", help="what to make (default: cache)")
    parser.add_argument("--drop", action="store_true", help="delete in the source what is committed in the destination")
    parser.add_argument("--shards", type=int, metavar="N", help="of a fanout or fanoutindex that is made (default: 8)")
    parser.add_argument("--from", dest="kind", choices=KINDS, help="what the source is (default: find out)")
    parser.add_argument("--table", help="of a file of sqlitedict's that has several")
    parser.add_argument(
        "--safe-types",
        action="append",
        default=[],
        metavar="MODULE:CLASS,...",
        help="classes whose instances count as plain data; their modules are imported (may be given several times)",
    )
    parser.add_argument(
        "--trust-source",
        action="store_true",
        help="load whatever is there, which may run code: only for what nobody you distrust could write to",
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show progress on stderr (default: if that is a terminal)",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Migrate; returns what ``migrate`` does.

    Raises:
        ValueError: a class of ``--safe-types`` is not there.
    """
    watched = sys.stderr is not None and sys.stderr.isatty()
    shown = sys.stderr is not None and (watched if arguments.progress is None else arguments.progress)
    bar = _Bar(watched) if shown else None
    try:
        return migrate(
            arguments.source,
            arguments.destination,
            drop=arguments.drop,
            store_type=arguments.type,
            shards=arguments.shards,
            kind=arguments.kind,
            table=arguments.table,
            safe_types=[_class_of(name) for names in arguments.safe_types for name in names.split(",")],
            trust_source=arguments.trust_source,
            progress=None if bar is None else bar.show,
        )
    finally:
        if bar is not None:
            bar.close()


def report(result: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Lines that say what has become of the entries, and whether each is a complaint."""
    for where, why in result["undecoded"]:
        yield f"{where} stays in the source: {why}", True
    unlisted = result["errors"] - len(result["undecoded"])
    if unlisted:
        yield f"and {unlisted:,} more", True
    for path in result["elsewhere"]:
        yield f"{path!r} is a source of its own; migrate it to a directory of its own", True
    kept = result["skipped"] - result["expired"]
    yield (
        f"{result['kind']}: {result['migrated']:,} entries were migrated in {result['elapsed_secs']:.1f} s, "
        f"{result['expired']:,} had expired, {kept:,} were there already, {result['errors']:,} could not be",
        False,
    )


def _class_of(name: str) -> type:
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise ValueError(f"{name!r} is not of the form MODULE:CLASS")
    try:
        found = load(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"there is no class {name!r}: {error}") from error
    if not isinstance(found, type):
        raise ValueError(f"{name!r} is no class")
    return found


class _Bar:
    """Progress on stderr: a bar of tqdm or rich on a terminal, if one is installed; else lines."""

    def __init__(self, watched: bool) -> None:
        self._watched = watched
        self._show: Callable[[int, int], object] | None = None
        self._end: Callable[[], object] = _do_nothing
        self._said = time.monotonic()

    def show(self, done: int, total: int) -> None:
        """So many are done."""
        if self._show is None:
            self._show = (self._tqdm(total) or self._rich(total) if self._watched else None) or self._line
        self._show(done, total)

    def close(self) -> None:
        """There will be no more."""
        self._end()

    def _tqdm(self, total: int) -> Callable[[int, int], object] | None:
        try:
            bar = load("tqdm").tqdm(total=total, unit=" entries", file=sys.stderr)
        except ImportError:
            return None
        self._end = bar.close
        return lambda done, _: bar.update(done - bar.n)

    def _rich(self, total: int) -> Callable[[int, int], object] | None:
        try:
            console = load("rich.console").Console(stderr=True)
            bar = load("rich.progress").Progress(console=console)
        except ImportError:
            return None
        task = bar.add_task("entries", total=total)
        bar.start()
        self._end = bar.stop
        return lambda done, total: bar.update(task, completed=done, total=total)

    def _line(self, done: int, total: int) -> None:
        if done == total or time.monotonic() - self._said >= _PERIOD_SECONDS:
            self._said = time.monotonic()
            print(f"{done:,} of {total:,} entries", file=sys.stderr, flush=True)


def _do_nothing() -> None:
    """Where there is no bar, there is none to close."""
