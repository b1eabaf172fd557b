"""Memoized functions, and what holds them, go to other processes by cloudpickle, as joblib, dask and ray send them."""

import importlib.util
import json
import subprocess
import sys

import pytest

SCRIPT = '''\
import json, os, sys, fastcache
cache = fastcache.Cache(sys.argv[1])
def note(what):
    with open(sys.argv[1] + ".calls", "a") as file: file.write(what + "\\n")
def helper(x): return 10 * x
@cache.memoize
def square(x):
    """Squares."""
    note("square")
    return x * x
@cache.memoize
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
@cache.memoize_stampede(expire=60)
def early(x): return x + 1
@cache.memoize(version_aware=True, ignore=["y"], typed=True)
def aware(x, y=0):
    note("aware")
    return helper(x)
class Point:
    def __init__(self, x): self.x = x
    def of_its_own(self): return self.x
    @cache.memoize(ignore=("self",))
    def scaled(self, by): return 2 * by
    @classmethod
    @cache.memoize(ignore=("cls",))
    def make(cls, x): return [x]
    @staticmethod
    @cache.memoize
    def double(x): return 2 * x
@cache.memoize
def norm(point):
    note("norm")
    return point.x
class Holder:
    def __init__(self): self.function = square
    def run(self, x): return self.function(x)
def make():
    @cache.memoize
    def local(x): return x + 5
    return local
calls = [(square, 2), (fib, 10), (early, 1), (aware, 1), (Point(1).scaled, 2), (Point.make, 3), (Point.double, 4),
         (norm, Point(3)), (Holder().run, 2), (make(), 1)]
'''
END = """
if __name__ == "__main__":
    here = [function(argument) for function, argument in calls]
    there = SEND
    with open(sys.argv[1] + ".calls") as file: noted = file.read().split()
    print(json.dumps([here, there, sorted(noted)]))
"""
SENT = {
    "joblib": "__import__('joblib').Parallel(n_jobs=2)(__import__('joblib').delayed(f)(a) for f, a in calls)",
    "dask": "list(__import__('dask').compute(*[__import__('dask').delayed(f)(a) for f, a in calls], "
    "scheduler='processes', num_workers=2))",
    "cloudpickle": "json.loads(__import__('subprocess').run([sys.executable, '-c', "
    "'import sys, pickle, json; calls = pickle.load(sys.stdin.buffer); print(json.dumps([f(a) for f, a in calls]))'], "
    "input=__import__('cloudpickle').dumps(calls), capture_output=True, check=True).stdout)",
}


@pytest.mark.parametrize("how", ["a script", "no file"])
@pytest.mark.parametrize("library", list(SENT))
def test_what_is_sent_finds_what_was_computed_here(library, how, tmp_path):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    program = SCRIPT + END.replace("SEND", SENT[library])
    if how == "a script":
        (tmp_path / "script.py").write_text(program)
        started = [str(tmp_path / "script.py")]
    else:
        started = ["-c", program]
    done = subprocess.run(
        [sys.executable, *started, str(tmp_path / "store")], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    here, there, noted = json.loads(done.stdout)
    assert here == there == [4, 55, 2, 10, 4, [3], 8, 3, 4, 6]
    # Each was computed once, here.
    assert noted == ["aware", "norm", "square"]


def load_twice(cloudpickle, thing):
    return cloudpickle.loads(cloudpickle.dumps(thing)), cloudpickle.loads(cloudpickle.dumps(thing))


def test_what_can_be_imported_goes_by_name(tmp_path, monkeypatch):
    cloudpickle = pytest.importorskip("cloudpickle")
    (tmp_path / "functions_of_a_test.py").write_text(
        f"import fastcache\ncache = fastcache.Cache({str(tmp_path / 'store')!r})\n"
        "@cache.memoize\ndef double(x): return 2 * x\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module("functions_of_a_test")
    try:
        assert cloudpickle.loads(cloudpickle.dumps(module.double)) is module.double
        cloudpickle.register_pickle_by_value(module)
        one, other = load_twice(cloudpickle, module.double)
        assert one is not module.double
        assert one.cache is other.cache
        assert (one(3), one.cache_key(3), one.__name__) == (6, module.double.cache_key(3), "double")
        assert one.__doc__ == module.double.__doc__
        one.cache.close()
        assert cloudpickle.loads(cloudpickle.dumps(module.double))(3) == 6
    finally:
        module.cache.close()
        sys.modules.pop("functions_of_a_test")
