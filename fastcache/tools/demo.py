"""The demo: analyse the source files of Python's standard library twice, the second time from the cache.

Each pass reads and hashes every file anew, so a changed file is always noticed. What is derived from the
contents is then looked up in two ways:

- The tokens and the syntax tree are memoized under the hash of the contents, each by one `get_or_set`. Copies
  of a file share an entry, and a pass that is interrupted keeps what it has analysed.
- One summary row per path is written in batches, some hundred rows to a transaction. It tells changed files
  from unchanged ones.

The second pass has to find exactly what the first one found; `Report.difference` says whether it did.
"""

import ast
import io
import os
import platform
import sys
import sysconfig
import tokenize
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, NamedTuple, TextIO, TypedDict

from fastcache import Cache, OpenError

OWNER = "fastcache demo"  # a key: the caches that this demo may fill and empty
BATCH = 256  # summary rows written in one transaction
NOT_OURS = frozenset({"site-packages", "dist-packages"})

# Another Python has other tokens and another grammar, and a changed analysis has other results: neither may
# be served what was stored for this one. Raise the number whenever an analysis changes.
RELEASE = f"1 on {platform.python_implementation()} {platform.python_version()}"

# Besides the documented errors: a null byte is a ValueError, and what is nested too deeply for the parser
# ends in one of the last two. All of them follow from the contents alone, so they are results like any other.
UNPARSABLE = (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError)


class Tokens(TypedDict):
    """The tokens of a file, counted by kind; what precedes the error if there is one."""

    kinds: dict[str, int]
    error: str | None


class Syntax(TypedDict):
    """The syntax tree of a file in numbers; empty if there is an error."""

    nodes: dict[str, int]
    functions: int
    classes: int
    depth: int
    imports: list[str]
    error: str | None


class Summary(TypedDict):
    """The row kept for a path: what was there when it was last read."""

    digest: str
    size: int
    tokens: int
    functions: int
    classes: int
    depth: int
    error: str | None


class Analysis(NamedTuple):
    """All that is known about one file; without tokens and syntax if it could not be read."""

    summary: Summary
    tokens: Tokens | None
    syntax: Syntax | None


def default_directory() -> Path:
    """Say where the demo keeps its cache unless told otherwise.

    Returns:
        The same folder below the user's cache folder each time, so that the next run finds what this one
        stored.
    """
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        root = "~/Library/Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(root):  # the XDG specification has relative ones ignored
            root = "~/.cache"
    return Path(root).expanduser() / "fastcache" / "demo"


def standard_library() -> Path:
    """Say where the running Python keeps its standard library.

    Returns:
        The folder, which may hold site-packages too.
    """
    return Path(sysconfig.get_path("stdlib"))


def source_files(source: Path) -> list[Path]:
    """List the Python files under a folder, without those of installed packages.

    Args:
        source: The folder to search.

    Returns:
        Every `.py` file outside site-packages and dist-packages, folder by folder in the order of names. A
        link that leads nowhere is among them: that it cannot be read is worth recording.
    """
    found = []
    for folder, subfolders, names in os.walk(source):
        subfolders[:] = sorted(name for name in subfolders if name not in NOT_OURS)
        paths = (Path(folder, name) for name in sorted(names) if name.endswith(".py"))
        found += [path for path in paths if path.is_file() or path.is_symlink()]
    return found


def count_tokens(content: bytes) -> Tokens:
    """Count the tokens of a Python file by kind.

    Args:
        content: The file as it was read; its encoding is found as Python finds it.

    Returns:
        The counts, and the error that stopped the tokenizer, if one did.
    """
    kinds: Counter[int] = Counter()
    error = None
    try:
        kinds.update(map(itemgetter(0), tokenize.tokenize(io.BytesIO(content).readline)))
    except UNPARSABLE as problem:
        error = describe(problem)
    return {"kinds": {tokenize.tok_name[kind]: count for kind, count in kinds.items()}, "error": error}


def measure_syntax(content: bytes) -> Syntax:
    """Parse a Python file and take the measure of its syntax tree.

    Args:
        content: The file as it was read; its encoding is found as Python finds it.

    Returns:
        Nodes by type, functions (lambdas are not counted), classes, the depth of the deepest node, the
        top-level names of the modules it imports (relative imports left out), and the parser's error, if any.
    """
    nodes: Counter[str] = Counter()
    imports: set[str] = set()
    deepest = 0
    error = None
    try:
        tree = ast.parse(content)
    except UNPARSABLE as problem:
        error = describe(problem)
    else:
        # Recursion would end at Python's limit, which trees of generated code exceed.
        waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
        while waiting:
            node, depth = waiting.pop()
            nodes[type(node).__name__] += 1
            deepest = max(deepest, depth)
            if isinstance(node, ast.Import):
                imports.update(name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imports.add(node.module.partition(".")[0])
            waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return {
        "nodes": dict(nodes),
        "functions": nodes["FunctionDef"] + nodes["AsyncFunctionDef"],
        "classes": nodes["ClassDef"],
        "depth": deepest,
        "imports": sorted(imports),
        "error": error,
    }


def describe(problem: BaseException) -> str:
    """Put an error into one line.

    Args:
        problem: What was raised.

    Returns:
        Its type and its message, without the path or the place in the file.
    """
    message = problem.strerror if isinstance(problem, OSError) else problem.args[0] if problem.args else ""
    return f"{type(problem).__name__}: {message}"


class ProgressBar:
    """One line on a terminal that is drawn over and over, and erased at the end.

    Args:
        label: What is going on.
        total: The number of steps.
        stream: Where to draw, or None not to.
    """

    def __init__(self, label: str, total: int, stream: TextIO | None) -> None:
        self._label, self._total, self._stream = label, total, stream
        self._done = 0
        self._drawn = 0.0

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._draw("".ljust(79) + "\r")

    def step(self) -> None:
        """Count one step, and show it unless the line was drawn a moment ago."""
        self._done += 1
        if monotonic() - self._drawn > 0.1 or self._done == self._total:
            bar = "#" * (30 * self._done // self._total)
            self._draw(f"{self._label:<12} [{bar:<30}] {self._done:,} of {self._total:,} files")
            self._drawn = monotonic()

    def _draw(self, line: str) -> None:
        if self._stream is not None:
            with suppress(OSError):  # nobody is looking any more, which is no reason to stop
                self._stream.write("\r" + line)
                self._stream.flush()


class Pass:
    """One pass over all files: what it found, and what that took.

    Args:
        cache: Where analyses are looked up and stored.
        source: The folder whose files are analysed.
    """

    def __init__(self, cache: Cache, source: Path) -> None:
        self._cache = cache
        self._source = source
        self._unwritten: dict[str, Summary] = {}
        self.analyses: dict[str, Analysis] = {}
        self.computed = 0
        self.changed = 0
        self.hits = 0
        self.misses = 0
        self.seconds = 0.0
        self.reading = 0.0

    def run(self, label: str, stream: TextIO | None) -> None:
        """Read, hash and analyse every file, computing only what the cache does not hold.

        Args:
            label: The name of the pass in its progress bar.
            stream: Where to draw the bar, or None.
        """
        before = self._cache.stats()
        hits, misses = before.hits, before.misses
        begun = perf_counter()
        paths = source_files(self._source)
        with ProgressBar(label, len(paths), stream) as bar:
            for path in paths:
                self._visit(path)
                bar.step()
        self._write_summaries()
        self.seconds = perf_counter() - begun
        after = self._cache.stats()
        self.hits, self.misses = after.hits - hits, after.misses - misses

    def _visit(self, path: Path) -> None:
        begun = perf_counter()
        try:
            content = path.read_bytes()
        except OSError as problem:
            analysis = unreadable(problem)
        else:
            digest = blake2b(content, digest_size=20).hexdigest()
            self.reading += perf_counter() - begun
            tokens: Tokens = self._memoized(count_tokens, digest, content)
            syntax: Syntax = self._memoized(measure_syntax, digest, content)
            analysis = Analysis(summarize(digest, len(content), tokens, syntax), tokens, syntax)
        self.analyses[str(path)] = analysis
        self._compare(str(path), analysis.summary)

    def _memoized(self, analyse: Callable[[bytes], Any], digest: str, content: bytes) -> Any:
        def compute() -> Any:
            self.computed += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the files' own style, which is not the user's concern
                return analyse(content)

        return self._cache.get_or_set((analyse.__name__, RELEASE, digest), compute)

    def _compare(self, path: str, summary: Summary) -> None:
        stored = self._cache.get(("file", path))
        if stored != summary:
            self.changed += stored is not None and stored["digest"] != summary["digest"]
            self._unwritten[path] = summary
            if len(self._unwritten) == BATCH:
                self._write_summaries()

    def _write_summaries(self) -> None:
        with self._cache.transact():
            for path, summary in self._unwritten.items():
                self._cache.set(("file", path), summary)
        self._unwritten.clear()

    @property
    def name(self) -> str:
        """What a first pass turned out to be, judged by how much it had to compute."""
        distinct = {analysis.summary["digest"] for analysis in self.analyses.values() if analysis.tokens}
        if self.computed == 0:
            return "first pass (already warm)"
        return "cold pass" if self.computed == 2 * len(distinct) else "first pass (partly warm)"


def unreadable(problem: OSError) -> Analysis:
    """Record a file that could not be read.

    Args:
        problem: What reading it raised.

    Returns:
        The analysis that stands for it. It is not memoized: there are no contents that it could belong to.
    """
    return Analysis(
        {
            "digest": "",
            "size": 0,
            "tokens": 0,
            "functions": 0,
            "classes": 0,
            "depth": 0,
            "error": describe(problem),
        },
        None,
        None,
    )


def summarize(digest: str, size: int, tokens: Tokens, syntax: Syntax) -> Summary:
    """Draw the row of a file from its analyses.

    Args:
        digest: The hash of the contents.
        size: Their length in bytes.
        tokens: Their tokens.
        syntax: Their syntax tree.

    Returns:
        The row.
    """
    return {
        "digest": digest,
        "size": size,
        "tokens": sum(tokens["kinds"].values()),
        "functions": syntax["functions"],
        "classes": syntax["classes"],
        "depth": syntax["depth"],
        "error": syntax["error"] or tokens["error"],
    }


class Report(NamedTuple):
    """Both passes over one source folder, and the cache they left.

    Attributes:
        source: The folder that was analysed.
        directory: The directory of the cache.
        first: The pass that filled the cache, or found it filled.
        second: The pass that had nothing left to compute.
        entries: The number of entries in the cache.
        volume: The bytes it occupies on disk.
    """

    source: Path
    directory: str
    first: Pass
    second: Pass
    entries: int
    volume: int

    @property
    def difference(self) -> str | None:
        """Why the passes disagree, naming the first path in question, or None if they agree."""
        first, second = self.first.analyses, self.second.analyses
        for path in {**first, **second}:
            before, after = first.get(path), second.get(path)
            if before == after:
                continue
            if before is None or after is None or before.tokens is None:
                return f"{path} came, went or could not be read while the demo ran; run it again"
            if before.summary["digest"] != after.summary["digest"]:
                return f"{path} changed while the demo ran; run it again"
            return f"the passes disagree about {path}: first {before}, then {after}"
        return None

    def lines(self) -> Iterator[str]:
        """Lay the report out as text.

        Returns:
            The lines of a table of figures, then those of the findings.
        """
        rows = [*self._figures(), *self._findings()]
        labels = max(len(label) for label, _, _ in rows)
        values = max(len(value) for _, value, _ in rows)
        yield f"{self.source}, analysed by Python {platform.python_version()}"
        for label, value, remark in rows:
            yield f"  {label:<{labels}}  {value:>{values}}  {remark}".rstrip()
        yield f"The cache stays in {self.directory}; the next run starts with it."

    def _figures(self) -> Iterator[tuple[str, str, str]]:
        first, second = self.first, self.second
        summaries = [analysis.summary for analysis in second.analyses.values()]
        broken = sum(summary["error"] is not None for summary in summaries)
        remarks = [f"{broken:,} of them unreadable or unparsable"] if broken else []
        remarks += [f"{first.changed:,} changed since the last run"] if first.changed else []
        yield "files", f"{len(summaries):,}", ", ".join(remarks)
        yield "bytes read", f"{sum(summary['size'] for summary in summaries):,}", "in each pass"
        for name, each in ((first.name, first), ("warm pass", second)):
            yield name, f"{each.seconds:.3f} s", f"{each.reading:.3f} s of it reading and hashing"
        remark = "" if first.name == "cold pass" else "against a pass that was not cold; see --fresh"
        yield "speed-up", f"{first.seconds / second.seconds:.1f} x", remark
        lookups = second.hits + second.misses
        yield "hit ratio, warm", f"{second.hits / lookups:.1%}", f"{second.hits:,} of {lookups:,} lookups"
        yield "size on disk", f"{self.volume:,}", f"bytes, {self.entries:,} entries"

    def _findings(self) -> Iterator[tuple[str, str, str]]:
        analyses = self.second.analyses
        parsed = [analysis.syntax for analysis in analyses.values() if analysis.syntax]
        modules = Counter(name for syntax in parsed for name in syntax["imports"]).most_common(5)
        if modules:
            (most, count), *others = modules
            then = "".join(f", {name} by {times:,}" for name, times in others)
            yield "most imported", f"{count:,}", f"files import {most}{then}"
        records: list[tuple[str, str, Callable[[Summary], int]]] = [
            ("largest file", "bytes in", lambda summary: summary["size"]),
            ("most functions", "in", lambda summary: summary["functions"]),
            ("deepest nesting", "levels in", lambda summary: summary["depth"]),
        ]
        for label, unit, measure in records:
            path = max(analyses, key=lambda path: measure(analyses[path].summary))
            remark = f"{unit} {os.path.relpath(path, self.source)}"
            yield label, f"{measure(analyses[path].summary):,}", remark


def run(directory: Path, source: Path, *, fresh: bool, stream: TextIO | None) -> Report:
    """Analyse a folder twice through the cache in a directory.

    Args:
        directory: The cache's directory, made if need be.
        source: The folder of Python files.
        fresh: Whether to empty the cache first.
        stream: Where to draw progress bars, or None.

    Returns:
        What both passes found and took.

    Raises:
        FileNotFoundError: There is no Python file under `source`.
        OpenError: The directory holds a cache that is not the demo's, or none can be opened there.
    """
    if not source_files(source):
        raise FileNotFoundError(f"no .py file under {source}")
    with Cache(directory) as cache:
        if cache.count() and OWNER not in cache:
            raise OpenError(f"{directory} holds a cache that this demo did not make; name another --directory")
        with cache.transact():
            if fresh:
                cache.clear()
            cache.set(OWNER, RELEASE)
        first, second = Pass(cache, source), Pass(cache, source)
        first.run("first pass", stream)
        second.run("second pass", stream)
        return Report(source, cache.directory, first, second, cache.count(), cache.volume())
