"""What the docstrings say runs."""

import doctest
import importlib
import inspect
import pkgutil
import tempfile

import pytest

import fastcache
from fastcache._compiled import MODULES


def modules():
    yield fastcache
    # pkgutil looks for files, and the compiled modules share one.
    found = {each.name for each in pkgutil.walk_packages(fastcache.__path__, "fastcache.")}
    for name in sorted(found | MODULES):
        if not name.endswith("__main__"):
            try:
                yield importlib.import_module(name)
            except ModuleNotFoundError as error:
                # What is for another library runs where that is installed.
                if (error.name or "fastcache").partition(".")[0] == "fastcache":
                    raise


def documented(thing, name, module):
    """A thing and what is defined in it, as far as it has a docstring: names and docstrings."""
    if isinstance(getattr(thing, "__doc__", None), str):
        yield name, thing.__doc__
    if inspect.isclass(thing) or inspect.ismodule(thing):
        for attribute, inner in vars(thing).items():
            home = getattr(inner, "__module__", None) or getattr(
                getattr(inner, "__objclass__", None), "__module__", None
            )
            if isinstance(inner, (staticmethod, classmethod)):
                inner = inner.__func__  # noqa: PLW2901
            if (inspect.isclass(thing) and not inspect.isclass(inner)) or (
                home == module and not inspect.ismodule(inner)
            ):
                yield from documented(inner, f"{name}.{attribute}", module)


def examples():
    for module in modules():
        for name, text in documented(module, module.__name__, module.__name__):
            if doctest.DocTestParser().get_examples(text):
                yield pytest.param(name, text, id=name)


@pytest.mark.parametrize(("name", "text"), list(examples()))
def test_the_example_runs(name, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Where what nobody removes lies, too.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = {"fastcache": fastcache, "__name__": name} | {
        public: getattr(fastcache, public) for public in fastcache.__all__
    }
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said = []
    runner.run(doctest.DocTestParser().get_doctest(text, names, name, None, None), out=said.append)
    assert not runner.failures, "".join(said)


@pytest.mark.parametrize("name", sorted(fastcache.__all__))
def test_every_public_name_is_documented(name):
    public = getattr(fastcache, name)
    if isinstance(public, str):
        return
    assert inspect.getdoc(public)
    if inspect.isclass(public):
        silent = [
            method
            for method in dir(public)
            if not method.startswith("_")
            and callable(getattr(public, method))
            and not inspect.getdoc(getattr(public, method))
        ]
        assert not silent, "methods without a docstring"
