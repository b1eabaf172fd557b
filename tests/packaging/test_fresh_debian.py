"""The command that tries the README on a fresh Debian. Running it takes a network, root and a quarter of an hour."""

import shutil

import pytest

from tests.packaging.conftest import ROOT, run

COMMAND = ROOT / "tests" / "packaging" / "fresh_debian.sh"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="it is written for bash")


def test_it_is_a_program_of_bash():
    assert run("bash", "-n", COMMAND).returncode == 0


def test_without_a_suite_it_asks_for_one():
    done = run("bash", COMMAND)
    assert done.returncode != 0
    assert "which Debian?" in done.stdout


def test_what_it_lacks_is_named_before_anything_is_made(tmp_path):
    done = run(shutil.which("bash"), COMMAND, "bookworm", PATH=str(tmp_path), FASTCACHE_DEBIAN_CACHE=str(tmp_path))
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []
