"""What DEVELOPING.md and design-decisions.md name is there: files, tests, functions, rooms and what these may name."""

import re
from pathlib import Path

import pytest

from .layers import test_layers

ROOT = Path(__file__).resolve().parent.parent
# What a path may be told from.
PLACES = (ROOT, ROOT / "fastcache", ROOT / "fastcache" / "engine")
SUFFIXES = (".py", ".pyi", ".pyx", ".pxd")
# What a store makes, none of the code.
STORED = {"cache.changes", "cache.db", "cache.db-wal", "values/tmp"}

# Paths by their slash or suffix, but none that begin elsewhere.
PATH = re.compile(r"(?<![\w/~.-])(?:[\w.-]+/)*[\w-]+(?:\.(?:py|pyi|pyx|pxd|md|toml|sh|c)\b|/[\w-]+\b)|\.ci/run\b")


def text_of(folder):
    return {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES}


CODE = text_of(ROOT / "fastcache")
TESTS = text_of(ROOT / "tests")


def quoted(name):
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", (ROOT / name).read_text(encoding="utf-8"))


def paths(name):
    return {path for code in quoted(name) for path in PATH.findall(code)} - STORED


def words(name, pattern):
    return {code for code in quoted(name) if re.fullmatch(pattern, code)}


@pytest.fixture(params=["DEVELOPING.md", "design-decisions.md"])
def document(request):
    return request.param


def test_a_document_names_enough_to_be_looked_at():
    assert len(paths("DEVELOPING.md")) > 60
    assert len(paths("design-decisions.md")) > 15
    assert len(words("DEVELOPING.md", r"test_\w+")) > 40
    assert len(words("DEVELOPING.md", r"[A-Z]\w+\.\w+")) > 40


def test_every_file_that_it_names_is_there(document):
    assert {path for path in paths(document) if not any((place / path).exists() for place in PLACES)} == set()


def test_every_test_that_it_names_is_there(document):
    written = {name for text in TESTS.values() for name in re.findall(r"def (test_\w+)\(", text)}
    assert words(document, r"test_\w+") - written == set()


def test_every_method_that_it_names_is_there(document):
    for method in words(document, r"[A-Z]\w+\.\w+(?<!\.md)"):
        owner, name = method.split(".")
        homes = [text for text in CODE.values() if re.search(rf"^(?:cdef )?class {owner}\b", text, re.MULTILINE)]
        assert homes, f"there is no class {owner}"
        defined = re.compile(rf"^\s+(?:def|cdef|cpdef) (?:[^(\n]* )?\*?{name}\(", re.MULTILINE)
        assert any(defined.search(text) for text in homes), f"{owner} has no {name}"


def test_every_other_word_of_code_that_it_names_is_there(document):
    known = "\n".join([*CODE.values(), *TESTS.values()])
    assert {word for word in words(document, r"\w+") if not re.search(rf"\b{word}\b", known)} == set()


# -- rooms ------------------------------------------------------------------------------------------------------------

GROUPS = ("LEAVES", "GROUND", "ENGINE", "ABOVE_ENGINE", "CONTAINERS")


@pytest.fixture(scope="module")
def section():
    """What is said of the rooms."""
    text = (ROOT / "DEVELOPING.md").read_text(encoding="utf-8")
    return text.partition("## The rooms\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def table(section):
    """For each room, where it lies and what it may name."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {name: (lies, names) for name, lies, _, names in rows[2:]}


def expanded(names):
    """The rooms of a list of rooms and groups."""
    listed = filter(None, names.split(", "))
    return {room for name in listed for room in (getattr(test_layers, name) if name in GROUPS else {name})}


def test_the_rooms_and_what_they_may_name_are_those_that_are_enforced(table):
    written = {name: expanded(names) - {name} for name, (_, names) in table.items()}
    assert written == {name: names - {name} for name, names in test_layers.ALLOWED.items()}


def test_a_room_lies_where_it_is_said_to(table):
    for name, (lies, _) in table.items():
        for path in re.findall(r"`([^`]+)`", lies):
            module = path.removesuffix("__init__.py").partition(".")[0].replace("/", ".")
            assert test_layers.room_of(f"fastcache.{module}".rstrip(".")) == name, path


def test_a_group_has_the_rooms_that_it_is_said_to_have(section):
    written = dict(re.findall(r"([A-Z_]+) = ([\w, ]+)\.", section.replace("\n", " ")))
    assert {name: expanded(rooms) for name, rooms in written.items()} == {
        name: getattr(test_layers, name) for name in GROUPS
    }
