"""Functions of main modules: a script is its file, a module that is run is that module, what is typed is its code."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

SCRIPT = """\
import sys, json, fastcache
cache = fastcache.Cache(sys.argv[1])
calls = []
class Point:
    def __init__(self, x): self.x = x
    def length(self): return self.x
@cache.memoize
def load(path):
    calls.append(path)
    return BODY
@cache.memoize
def measure(point):
    calls.append("measure")
    return point.length()
if __name__ == "__main__":
    print(json.dumps([load("a.csv"), measure(Point(3)), calls]))
"""


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def write(tmp_path):
    """Write a file of a program; returns its path."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


def run(*arguments, where=None):
    """Run a program; returns what it prints, as JSON."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=where, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def computed(answers):
    """How many of the calls of a SCRIPT have computed."""
    return len(answers[-1])


def test_scripts_do_not_share_what_functions_of_one_name_return(write, store):
    one, other = (write(f"{name}.py", SCRIPT.replace("BODY", repr(name))) for name in ("clean", "stats"))
    assert run(one, store) == ["clean", 3, ["a.csv", "measure"]]
    assert run(other, store) == ["stats", 3, ["a.csv", "measure"]]


def test_a_script_finds_its_own_from_wherever_it_is_started(write, store, tmp_path):
    script = write("folder/script.py", SCRIPT.replace("BODY", "1"))
    assert computed(run(script, store)) == 2
    assert computed(run(script, store)) == 0
    assert computed(run("script.py", store, where=script.parent)) == 0
    assert computed(run(os.path.join("folder", "script.py"), store, where=tmp_path)) == 0
    (tmp_path / "link.py").symlink_to(script)
    assert computed(run(tmp_path / "link.py", store)) == 0
    # Scripts of one name in two folders may be two programs.
    assert computed(run(write("other/script.py", SCRIPT.replace("BODY", "1")), store)) == 2


def test_a_module_that_is_run_is_the_module_that_is_imported(write, store, tmp_path):
    write("package/__init__.py", "")
    write("package/module.py", SCRIPT.replace("BODY", "1"))
    assert computed(run("-m", "package.module", store, where=tmp_path)) == 2
    imported = "import json; from package import module as m"
    imported += "; print(json.dumps([m.load('a.csv'), m.measure(m.Point(3)), m.calls]))"
    assert computed(run("-c", f"import sys; sys.path.insert(0, '.'); {imported}", store, where=tmp_path)) == 0


def test_a_package_that_is_run_is_its_main_module(write, store, tmp_path):
    write("package/__init__.py", "")
    write("package/__main__.py", SCRIPT.replace("BODY", "1"))
    assert computed(run("-m", "package", store, where=tmp_path)) == 2
    assert computed(run("-m", "package", store, where=tmp_path)) == 0


def test_children_that_are_spawned_find_what_their_parent_has_computed(write, store):
    script = write(
        "parent.py",
        SCRIPT.replace("BODY", "1")
        .replace(
            "    print(json.dumps",
            "    load('a.csv'), measure(Point(3))\n"
            "    import multiprocessing\n"
            "    calls.clear()\n"
            "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
            "        found = pool.map(load, ['a.csv']), pool.map(measure, [Point(3)]), pool.map(child, [0])\n"
            "    calls.extend(found[-1][0])\n"
            "    print(json.dumps",
        )
        .replace("if __name__", "def child(_): return calls\nif __name__", 1),
    )
    assert run(script, store) == [1, 3, []]


def test_what_is_in_no_file_is_told_by_its_code(store):
    program = SCRIPT.replace("BODY", "1")
    assert computed(run("-c", program, store)) == 2
    again = run("-c", program.replace("# ", "## "), store)
    assert again[:2] == [1, 3]
    assert computed(again) == 0
    assert run("-c", program.replace("return 1", "return 2"), store)[0] == 2


def test_what_is_typed_in_is_told_by_its_code_even_beside_a_script(write, store):
    """As `python -i` and notebooks do, which have a file of another name for each cell."""
    script = write(
        "notebook.py",
        """
        import sys, json, fastcache
        cache = fastcache.Cache(sys.argv[1])
        found = []
        for number, name in ((1, "<stdin>"), (2, "/tmp/ipykernel_1/123.py"), (2, "/tmp/ipykernel_2/456.py")):
            text = f"@cache.memoize\\ndef load(): calls.append(1); return {number}"
            calls = []
            exec(compile(text, name, "exec"))
            found.append([load(), load(), len(calls)])
        print(json.dumps(found))
        """,
    )
    assert run(script, store) == [[1, 1, 1], [2, 2, 1], [2, 2, 0]]


def test_what_has_no_content_needs_a_name_there(store):
    program = """
import sys, json, fastcache
cache = fastcache.Cache(sys.argv[1])
def load(lock=object()): return 1
try:
    cache.memoize(load)
except TypeError as error:
    print(json.dumps([str(error), cache.memoize(name="load")(lambda: 1)()]))
"""
    message, named = run("-c", program, store)
    assert "name=" in message
    assert named == 1


def test_a_frozen_program_is_its_executable(write, store, tmp_path):
    found = []
    for folder in ("unpacked-1", "unpacked-2"):
        text = SCRIPT.replace("BODY", "1").replace(
            "cache =", f"sys.frozen, sys.executable = True, {str(tmp_path / 'program')!r}\ncache =", 1
        )
        found.append(computed(run(write(f"{folder}/main.py", text), store)))
    assert found == [2, 0]


def test_barriers_and_throttles_of_scripts_are_their_own(write, store):
    for name in ("one", "other"):
        text = """
        import sys, json, fastcache
        cache = fastcache.Cache(sys.argv[1])
        run = cache.throttle(1, 3600, timeout=0)(lambda: 1)
        @cache.throttle(1, 3600, timeout=0)
        def work(): return 1
        print(json.dumps(work()))
        """
        assert run(write(f"{name}.py", text), store) == 1
    with pytest.raises(AssertionError, match="Timeout"):
        run(write("one.py", text), store)
