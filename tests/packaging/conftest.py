"""One sdist, one wheel made from it, one installation of that: what these tests look at."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LEFTOVERS = shutil.ignore_patterns(
    ".git",
    ".venv*",
    "build",
    "dist",
    "*.egg-info",
    "*.so",
    "*.pyd",
    "*.c",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)


def run(*command, cwd=os.sep, **variables):
    """Run a program outside of the checkout, with some environment variables changed (None removes one)."""
    environment = {name: value for name, value in (os.environ | variables).items() if value is not None}
    return subprocess.run(
        [str(each) for each in command],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def build_wheel(source, folder, **variables):
    """Build a wheel as pip does for a user, with the build tools that are already here."""
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    return run(*pip, "--wheel-dir", folder, source, **variables)


def install_wheel(wheel, folder):
    """Install into a folder of its own; its modules are found there with PYTHONPATH."""
    done = run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", folder, wheel)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    """The source distribution of this checkout."""
    checkout = tmp_path_factory.mktemp("checkout") / "fastcache"
    shutil.copytree(ROOT, checkout, ignore=LEFTOVERS)
    done = run(sys.executable, "-m", "build", "--sdist", "--no-isolation", checkout)
    assert done.returncode == 0, done.stdout
    (made,) = (checkout / "dist").iterdir()
    return made


@pytest.fixture(scope="session")
def source(sdist, tmp_path_factory):
    """The unpacked source distribution. Builds in it share what Cython has translated."""
    folder = tmp_path_factory.mktemp("source")
    assert run("tar", "-xzf", sdist, "-C", folder).returncode == 0
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory):
    """The wheel, built from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    done = build_wheel(source, folder)
    assert done.returncode == 0, done.stdout
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="session")
def wheel_names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A folder that holds the installed wheel and nothing else."""
    return install_wheel(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def flags_without_sqlite(tmp_path_factory):
    """Compiler flags for a machine that has all headers but SQLite's."""
    if not sys.platform.startswith("linux"):
        pytest.skip("hides a header the way gcc and clang find them on Linux")
    include = tmp_path_factory.mktemp("include")
    for header in Path("/usr/include").iterdir():
        if not header.name.startswith("sqlite3"):
            (include / header.name).symlink_to(header)
    folders = [
        Path(run("cc", "-print-file-name=include").stdout.strip()),
        include,
        *include.glob("*-linux-*"),
    ]
    flags = " ".join(["-nostdinc", *(f"-isystem {folder}" for folder in folders)])
    probe = include.parent / "probe.c"
    probe.write_text("#include <stdio.h>\n")
    assert run("cc", *flags.split(), "-fsyntax-only", probe).returncode == 0
    probe.write_text("#include <sqlite3.h>\n")
    assert run("cc", *flags.split(), "-fsyntax-only", probe).returncode != 0
    return flags
