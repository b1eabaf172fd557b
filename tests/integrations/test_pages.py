"""What the pages about integrations show works."""

import doctest
import importlib.util
import pathlib

import pytest

PAGES = pathlib.Path(__file__).parents[2] / "docs" / "integrations"
LIBRARIES = {
    "cachelib": "cachelib",
    "dogpile": "dogpile",
    "hishel": "hishel",
    "joblib": "joblib",
    "langchain": "langchain_core",
    "py-key-value": "key_value",
    "requests-cache": "requests_cache",
    "zict": "zict",
}


def test_there_is_a_page_for_each_adapter():
    assert {page.stem for page in PAGES.glob("*.md")} == {*LIBRARIES, "README"}


@pytest.mark.parametrize("page", LIBRARIES)
def test_its_lines_work(page, tmp_path, monkeypatch):
    if importlib.util.find_spec(LIBRARIES[page]) is None:
        pytest.skip(f"{LIBRARIES[page]} is not installed")
    monkeypatch.chdir(tmp_path)
    said = []
    test = doctest.DocTestParser().get_doctest((PAGES / f"{page}.md").read_text(), {}, page, None, None)
    assert len(test.examples) >= 3
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
