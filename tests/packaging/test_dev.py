"""What dev.py does on a machine that lacks something."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the tools are looked for on POSIX systems alone")


@pytest.fixture
def dev():
    specification = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """The only folder in which programs are found: empty, but for the ones a test puts there."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("FASTCACHE_SQLITE_AMALGAMATION", raising=False)
    return folder


@pytest.fixture
def system_python(monkeypatch):
    """As if the interpreter were the one of the system."""
    monkeypatch.setattr(sys, "base_prefix", "/usr")


@pytest.fixture
def nobody(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 65534)


def program(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def refusal(dev):
    with pytest.raises(SystemExit) as refused:
        dev.main(["demo"])
    return refused.value.code


def test_without_a_compiler_and_a_package_tool_it_names_all_ways(dev, programs, nobody):
    said = refusal(dev)

    assert "lacks a C compiler" in said
    assert "    apt-get install build-essential" in said
    assert "    dnf install gcc" in said
    assert "    brew install gcc" in said


def test_who_may_not_install_is_told_the_one_way_of_this_machine(dev, programs, nobody):
    program(programs, "apt-get", "exit 1")
    program(programs, "sudo", "exit 1")

    said = refusal(dev)

    assert "    apt-get install build-essential" in said
    assert "dnf" not in said
    assert "brew" not in said


def test_who_may_installs_what_is_missing(dev, programs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(programs, "apt-get", f'echo "$DEBIAN_FRONTEND $@" >> {tmp_path}/calls')
    (programs / "env").symlink_to(shutil.which("env", path=os.defpath))

    said = refusal(dev)

    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update == "noninteractive -q update"
    assert install.startswith("noninteractive -q install -y --no-install-recommends build-essential")
    assert "== installing build-essential" in capsys.readouterr().out
    # This apt-get has brought nothing, and that is noticed.
    assert "lacks a C compiler" in said


def test_sudo_is_used_if_it_asks_for_no_password(dev, programs, tmp_path, nobody):
    program(programs, "apt-get", f'echo "$@" >> {tmp_path}/calls')
    program(programs, "sudo", f'echo "sudo $@" >> {tmp_path}/calls; shift; "$@"')
    program(programs, "true", "exit 0")
    (programs / "env").symlink_to(shutil.which("env", path=os.defpath))

    refusal(dev)

    calls = (tmp_path / "calls").read_text()
    assert "sudo -n true" in calls
    assert "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -q install" in calls


def test_headers_are_missing_if_they_cannot_be_compiled(dev, monkeypatch, system_python, flags_without_sqlite):
    monkeypatch.setenv("CFLAGS", flags_without_sqlite)
    monkeypatch.delenv("FASTCACHE_SQLITE_AMALGAMATION", raising=False)
    assert dev.missing_tools() == [dev.SQLITE]
    assert dev.debian_packages([dev.SQLITE]) == ["libsqlite3-dev"]

    monkeypatch.setattr(dev.sysconfig, "get_path", lambda name: "/nowhere")
    assert dev.missing_tools() == [dev.PYTHON_HEADER, dev.SQLITE]


def test_an_amalgamation_spares_the_system_library(dev, monkeypatch, flags_without_sqlite):
    monkeypatch.setenv("CFLAGS", flags_without_sqlite)
    monkeypatch.setenv("FASTCACHE_SQLITE_AMALGAMATION", "/anywhere")

    assert dev.SQLITE not in dev.missing_tools()


@pytest.mark.parametrize(
    ("default", "python"),
    [
        (f"/usr/bin/python3.{sys.version_info[1]}", "python3"),
        ("/usr/bin/python3.99", f"python3.{sys.version_info[1]}"),
    ],
)
def test_the_packages_belong_to_the_version_that_runs(dev, monkeypatch, system_python, default, python):
    monkeypatch.setattr(os.path, "realpath", lambda path: default)

    assert dev.debian_packages([dev.PYTHON_HEADER, dev.VENV]) == [f"{python}-dev", f"{python}-venv"]


def test_an_incomplete_python_from_elsewhere_is_not_blamed_on_the_system(dev, monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", "/opt/python")

    assert dev.debian_packages([dev.PYTHON_HEADER]) == []
    said = dev.advice([dev.PYTHON_HEADER])
    assert "The Python in /opt/python should have brought Python.h" in said
    assert "apt-get" not in said


def test_a_broken_environment_is_made_anew(dev, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "in_environment", lambda: False)
    broken = tmp_path / ".venv" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.symlink_to("/nowhere/python")

    python = dev.environment()
    assert subprocess.call([python, "-c", "import pip"]) == 0
    assert "== making" in capsys.readouterr().out

    assert dev.environment() == python
    assert capsys.readouterr().out == ""


def test_what_the_demo_has_built_is_not_built_again_for_the_tests(dev, monkeypatch, tmp_path):
    python = Path(sys.executable)
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    for name in ("setup.py", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / "build").mkdir()
    seal = tmp_path / "build" / f"installed-{sys.implementation.cache_tag}.txt"
    commands = []
    monkeypatch.setattr(dev, "quietly", lambda command, what: commands.append([str(each) for each in command]))
    dev.install(python, "")
    dev.install(python, dev.TESTING)
    dev.install(python, dev.TESTING)
    dev.install(python, "")
    built, added = commands
    assert built[-2:] == ["--editable", str(tmp_path)]
    assert "--editable" not in added
    assert any(each.startswith("pytest>=") for each in added)
    assert not any(each.startswith(("msgspec", "diskcache_rs")) for each in added)

    seal.write_text("of other sources")
    dev.install(python, dev.TESTING)
    assert commands[-1][-2:] == ["--editable", f"{tmp_path}{dev.TESTING}"]


@pytest.mark.parametrize("arguments", [[], ["dance"]])
def test_without_a_job_it_explains_itself(dev, arguments, capsys):
    assert dev.main(arguments) == 2
    assert "python3 dev.py test" in capsys.readouterr().out
