"""The command `fastcache`: try the demo, look at a cache, check one, bring what others have stored."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import fastcache
from fastcache.check.check import journal_mode_of
from fastcache.tools import migrating
from fastcache.tools.inspect import open_as_stored, open_undecoded
from fastcache.tools.reshard import reshard
from fastcache.tools.resign import sign

INTERRUPTED = 130  # as the shell reports a program that SIGINT ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments after the command's name; those of the process if None.

    Returns:
        The exit code: 0 if all is well, 1 if a check or the demo found something wrong, 2 if what was named
        cannot be used, 130 after Ctrl-C.

    Raises:
        SystemExit: The arguments ask for help or the version, or cannot be understood.
    """
    arguments = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            # What is only looked at need not be writable.
            warnings.simplefilter("ignore", fastcache.ReadOnlyWarning)
            code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. The interpreter would complain when it flushes on leaving.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except fastcache.OpenError as problem:
        _complain(str(problem))
        return 2
    except fastcache.CacheError as problem:
        _complain(str(problem))
        return 1
    except (OSError, ValueError) as problem:
        _complain(str(problem))
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastcache", description="A persistent cache in a directory.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="analyse Python's standard library twice, the second time from a cache",
        description="Analyse every .py file of Python's standard library (tokens, syntax tree, imports), "
        "twice through the same cache, and report what that took. Each pass reads and hashes all files, so "
        "that a changed one is noticed; what is derived from their contents comes from the cache if it is "
        "there.",
    )
    demo.add_argument("--directory", type=Path, help="the cache to use (default: one that is kept for the user)")
    demo.add_argument("--source", type=Path, help="analyse this folder instead, leaving out site-packages")
    demo.add_argument("--fresh", action="store_true", help="empty the cache first")
    demo.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show progress on stderr (default: if that is a terminal)",
    )
    demo.set_defaults(run=_demo)

    check = commands.add_parser(
        "check",
        help="look for damage in a cache",
        description="Look for damage in a cache. The exit code is 1 if there was any, repaired or not.",
    )
    check.add_argument("directory", type=Path, metavar="DIR")
    check.add_argument("--fix", action="store_true", help="repair what can be repaired")
    check.set_defaults(run=_check)

    backup = commands.add_parser(
        "backup",
        help="copy a cache that may be in use",
        description="Copy a cache, as it is at one moment, while programs go on using it. The copy is a cache as well. "
        "Its place must not exist, or be an empty folder; if anything goes wrong, nothing is there.",
    )
    backup.add_argument("source", type=Path, metavar="SOURCE")
    backup.add_argument("destination", type=Path, metavar="DESTINATION")
    backup.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show progress on stderr (default: if that is a terminal)",
    )
    backup.set_defaults(run=_backup)

    sign = commands.add_parser(
        "sign",
        help="sign what was stored unsigned",
        description="Load every value that is neither plain data nor signed, whatever it is, and store it anew, signed "
        "with your secret. This runs what is stored there: only for a cache that nobody you distrust could write to.",
    )
    sign.add_argument("directory", type=Path, metavar="DIR")
    sign.set_defaults(run=_sign)

    reshard_command = commands.add_parser(
        "reshard",
        help="give a cache another number of shards",
        description="Give a cache another number of shards: 1 makes it a Cache (or Index), more a FanoutCache (or "
        "FanoutIndex). No program may have it open. If it is interrupted, run it again: nothing is lost.",
    )
    reshard_command.add_argument("directory", type=Path, metavar="DIR")
    reshard_command.add_argument("shards", type=int, metavar="SHARDS")
    reshard_command.add_argument(
        "--timeout",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="how long to wait for others to close it (default: 5)",
    )
    reshard_command.set_defaults(run=_reshard)

    migrate_command = commands.add_parser(
        "migrate",
        help="bring what another library has stored",
        description="Copy what diskcache, sciqlop-cache, sqlitedict, shelve or dbm has stored into a cache, which is "
        "made if absent. The source may be in use; nothing in it can run code, and what is not plain data stays there "
        "and is listed. If it is interrupted, run it again. The exit code is 1 if something could not be migrated.",
    )
    migrating.add_arguments(migrate_command)
    migrate_command.set_defaults(run=_migrate)

    info = commands.add_parser("info", help="show what a cache holds and occupies")
    info.add_argument("directory", type=Path, metavar="DIR")
    info.set_defaults(run=_info)
    return parser


def _version() -> str:
    return f"fastcache {fastcache.__version__}, SQLite {fastcache.sqlite_version}"


def _demo(arguments: argparse.Namespace) -> int:
    from fastcache.tools import demo

    source = (arguments.source or demo.standard_library()).resolve()
    directory = arguments.directory or demo.default_directory()
    watched = sys.stderr is not None and sys.stderr.isatty()
    show = watched if arguments.progress is None else arguments.progress
    report = demo.run(directory, source, fresh=arguments.fresh, stream=sys.stderr if show else None)
    if report.difference is not None:
        _complain(report.difference)
        return 1
    for line in report.lines():
        _say(line)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    with open_as_stored(arguments.directory) as cache:
        result = cache.check(fix=arguments.fix)
    _say(str(result))
    return 0 if result.ok else 1


def _backup(arguments: argparse.Namespace) -> int:
    watched = sys.stderr is not None and sys.stderr.isatty()
    shown = watched if arguments.progress is None else arguments.progress
    copied = 0

    def follow(done: int, total: int) -> None:
        nonlocal copied
        copied = done
        if shown:
            print(f"\r{done:,} of {total:,} bytes", end="", file=sys.stderr, flush=True)

    with open_undecoded(arguments.source) as cache:
        cache.backup(arguments.destination, progress=follow)
    if shown:
        print(file=sys.stderr)
    _say(f"{copied:,} bytes were copied to {arguments.destination}")
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    with open_undecoded(arguments.directory):
        pass
    count = sign(arguments.directory)
    _say(f"{count:,} entries were signed")
    return 0


def _reshard(arguments: argparse.Namespace) -> int:
    moved = reshard(arguments.directory, arguments.shards, timeout=arguments.timeout)
    _say(f"{moved:,} entries were moved; there are {arguments.shards} shards")
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    result = migrating.run(arguments)
    for line, is_complaint in migrating.report(result):
        (_complain if is_complaint else _say)(line)
    return 1 if result["errors"] else 0


def _info(arguments: argparse.Namespace) -> int:
    with open_undecoded(arguments.directory) as cache:
        rows = {
            "directory": cache.directory,
            "shards": str(cache.stores.count),
            "entries": f"{cache.count():,}",
            "size": f"{cache.size():,} bytes of values",
            "volume": f"{cache.volume():,} bytes on disk",
            "limit": f"{cache.max_size:,} bytes, eviction {cache.eviction}" if cache.max_size else "none",
            "journal": _journal(journal_mode_of(cache.store)),
            "format": str(cache.store.settings["format"]),
            "serializer": cache.serializer.name,
        }
        if cache.read_only:
            rows["access"] = "read-only"
    for label, value in rows.items():
        _say(f"{label:<10}  {value}")
    return 0


def _journal(mode: str) -> str:
    return mode if mode == "wal" else f"{mode}, which makes each write slow; open the cache while nobody uses it"


def _say(line: str) -> None:
    print(_printable(line, sys.stdout))


def _complain(message: str) -> None:
    if sys.stderr is not None:
        print(_printable(f"fastcache: {message}", sys.stderr), file=sys.stderr)


def _printable(text: str, stream: TextIO) -> str:
    """Escape what a stream cannot encode, and what could steer a terminal: both occur in file names."""
    plain = "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)
    encoding = stream.encoding or "ascii"
    return plain.encode(encoding, "backslashreplace").decode(encoding)
