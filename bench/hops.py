"""How many files does an operation go through, and how often from one into another?

    CFLAGS="-O0 -finstrument-functions" python setup.py -q build_ext --inplace
    python bench/hops.py [--tree]

Every C function of such a build tells when it is entered and left. An inline function counts for the file that it
stands in, and what SQLite calls back for whoever called SQLite. Such a build is slow: build anew afterwards.
"""

import argparse
import bisect
import collections
import ctypes
import itertools
import os
import pathlib
import re
import subprocess
import sys
import tempfile

RECORDER = """
#include <stddef.h>
#define QUIET __attribute__((no_instrument_function))
#define MOST 1000000
static int on, depth;
static size_t count;
static struct { void *function; int depth; } calls[MOST];
QUIET void __cyg_profile_func_enter(void *function, void *caller)
{
    if (on && count < MOST) {
        calls[count].function = function;
        calls[count++].depth = depth;
    }
    depth++;
}
QUIET void __cyg_profile_func_exit(void *function, void *caller) { depth--; }
QUIET void hops_begin(void) { count = depth = 0; on = 1; }
QUIET size_t hops_end(void) { on = 0; return count; }
QUIET void *hops_function(size_t index) { return calls[index].function; }
QUIET int hops_depth(size_t index) { return calls[index].depth; }
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tree", action="store_true", help="show each call into another file")
    parser.add_argument("--recorder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.recorder:
        with tempfile.TemporaryDirectory() as folder:
            recorder = os.path.join(folder, "hops.so")
            source = recorder.replace(".so", ".c")
            pathlib.Path(source).write_text(RECORDER, encoding="utf-8")
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", source, "-o", recorder], check=True)
            command = [sys.executable, __file__, *sys.argv[1:], "--recorder", recorder]
            sys.exit(subprocess.run(command, env={**os.environ, "LD_PRELOAD": recorder}, check=False).returncode)
    trace = Trace(options.recorder)
    for name, operation in operations():
        tree = trace.of(operation)
        if not tree:
            sys.exit("this is no build with -finstrument-functions")
        crossing = [(depth, inner, function) for depth, outer, inner, function in tree if outer not in (None, inner)]
        files = {inner for _, _, inner, _ in tree}
        print(f"{name}: {len(files)} files, {len(crossing)} calls from one into another")
        if options.tree:
            for depth, inner, function in crossing:
                print(f"{'  ' * depth}{inner}: {function}")
            pairs = collections.Counter((outer, inner) for _, outer, inner, _ in tree if outer not in (None, inner))
            for (outer, inner), times in pairs.most_common():
                print(f"    {times:3} {outer} -> {inner}")


def operations():
    """What is traced: names and functions, each of which is called twice."""
    import fastcache

    numbers = itertools.count()
    with fastcache.Cache() as cache:
        cache.set_many((f"key {number}", b"%0256d" % number) for number in range(200))
        yield "set", lambda: cache.__setitem__("key 5", b"%0256d" % next(numbers))
        cache["key 6"] = b"6"
        yield "get, in memory", lambda: cache["key 6"]
    with fastcache.Cache() as cache:
        cache.set_many((f"key {number}", b"%0256d" % number) for number in range(200))
        keys = iter([f"key {number}" for number in range(100)])
        for _ in range(10):
            cache.get(next(keys))
        yield "get, from the kept snapshot", lambda: cache[next(keys)]
    with fastcache.Cache(memory=0) as cache:
        yield "set, in a file", lambda: cache.__setitem__("large", b"%0100000d" % next(numbers))
        for _ in range(10):
            cache.get("small")
        yield "get, in a file", lambda: cache["large"]


class Trace:
    """What calls what."""

    def __init__(self, recorder):
        self.recorder = ctypes.CDLL(recorder)
        self.recorder.hops_end.restype = ctypes.c_size_t
        self.recorder.hops_function.restype = ctypes.c_void_p
        for function in (self.recorder.hops_function, self.recorder.hops_depth):
            function.argtypes = [ctypes.c_size_t]

    def of(self, operation):
        """The calls of compiled code in an operation: depth, file of the caller (None for Python's), file, function."""
        operation()
        self.recorder.hops_begin()
        operation()
        count = self.recorder.hops_end()
        recorded = [(self.recorder.hops_function(index), self.recorder.hops_depth(index)) for index in range(count)]
        found, path = [], []
        symbols, files = named(), files_by_symbol()
        addresses = [address for address, _ in symbols]
        for address, depth in recorded:
            symbol = symbols[max(0, bisect.bisect_right(addresses, address) - 1)][1]
            inside = max((mangled for mangled in files if mangled in symbol), key=len, default=None)
            del path[depth:]
            caller = path[-1] if path else None
            # What Cython puts around a function is part of it.
            if inside is None or not re.search(r"__pyx_(?:f|pf)_", symbol):
                path.append(caller)
                continue
            path.append(files[inside])
            found.append((depth, caller, files[inside], symbol.partition(inside)[2].strip("_")))
        return found


def named():
    """The symbols of the package's shared objects by address."""
    found, seen = [], set()
    for line in pathlib.Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        place, _, offset, _, _, *path = line.split(maxsplit=5)
        if path and "/fastcache/" in path[0] and ".so" in path[0] and path[0] not in seen:
            seen.add(path[0])
            base = int(place.partition("-")[0], 16) - int(offset, 16)
            names = subprocess.run(["nm", path[0]], capture_output=True, text=True, check=True).stdout
            found += [
                (base + int(address, 16), symbol)
                for address, symbol in re.findall(r"^(\w+) [tT] (\S+)$", names, re.MULTILINE)
            ]
    return sorted(found)


def files_by_symbol():
    """The part of a symbol that names a module, and the module's file without its suffix."""
    import fastcache

    root = pathlib.Path(fastcache.__file__).parent
    modules = {
        path.relative_to(root).with_suffix("") for suffix in ("pyx", "pxd") for path in root.rglob(f"*.{suffix}")
    }
    return {
        "_".join(f"{len(part)}{part}" for part in ("fastcache", *module.parts)): module.as_posix()
        for module in modules
        if module.name != "__init__"
    }


if __name__ == "__main__":
    main()
