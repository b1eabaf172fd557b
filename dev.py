#!/usr/bin/env python3
"""Set up everything, then run the main job or the tests.

    python3 dev.py demo [arguments of `fastcache demo`]
    python3 dev.py test [arguments of pytest]

Python 3.10 or newer is all that has to be there. What a build needs beyond it (a C compiler, Python's and
SQLite's headers, the venv module) is looked for by trying, and installed with apt-get where that is allowed;
otherwise what to install is said. In a virtual environment that one is used, else `.venv` beside this file.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036 - whoever runs an older one learns it here, not from a traceback
    sys.exit("fastcache needs Python 3.10 or newer; {} is {}.{}.{}".format(sys.executable, *sys.version_info[:3]))

ROOT = Path(__file__).resolve().parent

COMPILER = "a C compiler"
PYTHON_HEADER = f"Python.h for {sys.executable}"
SQLITE = "sqlite3.h and SQLite's library"
VENV = "the venv module"

# What decides how the engine is compiled, beside its sources.
BUILD_VARIABLES = (
    *("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS"),
    *("FASTCACHE_SQLITE_AMALGAMATION", "FASTCACHE_WERROR", "FASTCACHE_DEBUG"),
)

TESTING = "[test]"

STATIC_CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "stubtest": ["mypy.stubtest", "--allowlist", "tests/stubtest-allowlist.txt", "fastcache"],
}


def say(line: str) -> None:
    """Report progress."""
    print(f"== {line}", flush=True)


def main(arguments: list[str]) -> int:
    """Run one of the two jobs; return its exit code."""
    if not arguments or arguments[0] not in ("demo", "test"):
        print(__doc__.strip())
        return 0 if arguments in (["-h"], ["--help"]) else 2
    job, *rest = arguments
    provide_tools()
    python = environment()
    if job == "demo":
        install(python, "")
        return subprocess.call([python.with_name("fastcache"), "demo", *rest])
    install(python, TESTING)
    return test(python, rest)


def test(python: Path, pytest_arguments: list[str]) -> int:
    """Run every check, whatever the others say. Pytest comes last, so that its summary is what one sees."""
    failed = []
    summary = []
    for name, command in STATIC_CHECKS.items():
        say(name)
        begun = time.monotonic()
        if subprocess.call([python, "-m", *command], cwd=ROOT):
            failed.append(name)
        verdict = "FAILED" if name in failed else "passed"
        summary.append(f"{name}: {verdict} ({time.monotonic() - begun:.1f} s)")
    for line in summary:
        say(line)
    say("pytest")
    code = subprocess.call([python, "-m", "pytest", *pytest_arguments], cwd=ROOT)
    if failed:
        print(f"== failed before pytest: {', '.join(failed)}", file=sys.stderr, flush=True)
    return code or bool(failed)


# What a build needs


def provide_tools() -> None:
    """Install what is missing for a build, or end with what to install."""
    missing = missing_tools()
    if missing:
        packages = debian_packages(missing)
        prefix = apt_get_prefix()
        if packages and prefix is not None:
            say(f"missing: {', '.join(missing)}")
            say(f"installing {' '.join(packages)} with apt-get")
            apt_get = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
            # One source that cannot be reached need not matter: the installation tells.
            subprocess.run([*apt_get, "update"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
            quietly([*apt_get, "install", "-y", "--no-install-recommends", *packages], "apt-get install")
            missing = missing_tools()
    if missing:
        sys.exit(advice(missing))


def missing_tools() -> list[str]:
    """Find out by trying. On Windows, pip itself says how to get the compiler."""
    missing = []
    if os.name != "nt":
        if not compiles("int main(void) { return 0; }"):
            # Without a compiler nothing can be tried, so this only looks.
            missing.append(COMPILER)
            header_found = Path(sysconfig.get_path("include"), "Python.h").is_file()
            sqlite_found = any(Path(each, "sqlite3.h").is_file() for each in ("/usr/include", "/usr/local/include"))
        else:
            header_found = compiles("#include <Python.h>\nint main(void) { return 0; }")
            sqlite_found = compiles(
                "#include <sqlite3.h>\nint main(void) { return sqlite3_libversion_number() == 0; }",
                "-lsqlite3",
            )
        if not header_found:
            missing.append(PYTHON_HEADER)
        if not sqlite_found and not os.environ.get("FASTCACHE_SQLITE_AMALGAMATION"):
            missing.append(SQLITE)
    if not in_environment() and not succeeds([sys.executable, "-c", "import venv, ensurepip"]):
        missing.append(VENV)
    return missing


def compiles(source: str, *libraries: str) -> bool:
    """Tell whether a C program can be compiled and linked the way the build does it."""

    def flags(variable: str) -> list[str]:
        return shlex.split(os.environ.get(variable, ""))

    compiler = flags("CC") or shlex.split(sysconfig.get_config_var("CC") or "cc")
    includes = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "probe.c")
        program.write_text(source + "\n")
        command = [*compiler, *flags("CPPFLAGS"), *flags("CFLAGS"), *(f"-I{each}" for each in includes)]
        return succeeds([*command, str(program), "-o", str(program.with_suffix("")), *flags("LDFLAGS"), *libraries])


def debian_packages(missing: list[str]) -> list[str]:
    """Name the packages that bring what is missing; none if a Python from elsewhere is incomplete."""
    python = "python3"
    if os.path.realpath("/usr/bin/python3") != f"/usr/bin/python3.{sys.version_info[1]}":
        python += f".{sys.version_info[1]}"
    packages = {COMPILER: "build-essential", SQLITE: "libsqlite3-dev"}
    if sys.base_prefix == "/usr":
        packages |= {PYTHON_HEADER: f"{python}-dev", VENV: f"{python}-venv"}
    return [packages[each] for each in missing] if set(missing) <= set(packages) else []


def apt_get_prefix() -> list[str] | None:
    """Return how to call apt-get as root, or None if it is not there or not allowed."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if succeeds(["sudo", "-n", "true"]) else None


def advice(missing: list[str]) -> str:
    """Say what to install, and how on this machine."""
    lines = ["", f"error: to build fastcache, this machine lacks {', '.join(missing)}."]
    from_elsewhere = [each for each in missing if each in (PYTHON_HEADER, VENV)]
    if from_elsewhere and sys.base_prefix != "/usr":
        lines.append(f"The Python in {sys.base_prefix} should have brought {' and '.join(from_elsewhere)}.")
        lines.append("Install it again with its development files, or run dev.py with another Python.")
        missing = [each for each in missing if each not in from_elsewhere]
    fedora = {COMPILER: "gcc", SQLITE: "sqlite-devel", PYTHON_HEADER: "python3-devel", VENV: "python3"}
    macos = {COMPILER: "gcc", SQLITE: "sqlite", PYTHON_HEADER: "python", VENV: "python"}
    ways = {
        "apt-get": f"apt-get install {' '.join(debian_packages(missing))}",
        "dnf": f"dnf install {' '.join(fedora[each] for each in missing)}",
        "brew": f"brew install {' '.join(macos[each] for each in missing)}",
    }
    if missing:
        here = [way for tool, way in ways.items() if shutil.which(tool)] or list(ways.values())
        lines += ["Installing it needs an administrator:", *(f"    {way}" for way in here)]
    return "\n".join(lines)


# Where it is installed


def in_environment() -> bool:
    """Tell whether this is the Python of a virtual environment."""
    return sys.prefix != sys.base_prefix


def environment() -> Path:
    """Return the Python of the environment to use, making `.venv` if there is none of this version."""
    if in_environment():
        python = Path(sys.executable)
        if not succeeds([python, "-m", "pip", "--version"]):
            quietly([python, "-m", "ensurepip"], "installing pip")
        return python
    folder = ROOT / ".venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    usable = f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if not succeeds([python, "-c", usable]):
        say(f"making {folder}")
        quietly([sys.executable, "-m", "venv", "--clear", folder], "making the virtual environment")
    return python


def install(python: Path, extras: str) -> None:
    """Install the checkout, editable, unless that has been done and nothing changed since."""
    seal = ROOT / "build" / f"installed-{sys.implementation.cache_tag}.txt"
    sealed = seal.read_text() if seal.is_file() else None
    done = sealed in (state(python, extras), state(python, TESTING))
    if done and succeeds([python, "-c", "import fastcache"], cwd=tempfile.gettempdir()):
        return
    pip = [python, "-m", "pip", "install", "--quiet"]
    more = requirements(python, extras) if sealed == state(python, "") else []
    if more:
        # The demo has compiled everything; pip would do so again.
        say("installing what the tests need")
        quietly([*pip, *more], "pip install")
    else:
        say("installing fastcache and what it needs: compiling takes a minute or two")
        quietly([*pip, "--editable", f"{ROOT}{extras}"], "pip install")
    seal.write_text(state(python, extras))


def requirements(python: Path, extras: str) -> list[str]:
    """Ask the installed package what an extra of it needs; nothing if it is not installed."""
    program = (
        "import re, sys, importlib.metadata\n"
        "for each in importlib.metadata.requires('fastcache') or ():\n"
        "    needed, _, marker = each.partition(';')\n"
        "    if re.search(r'extra == .' + re.escape(sys.argv[1]) + r'\\W', marker + ' '):\n"
        "        print(needed.strip())\n"
    )
    asked = subprocess.run(
        [python, "-c", program, extras.strip("[]")],
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
        check=False,
    )
    return asked.stdout.split("\n")[:-1] if asked.returncode == 0 else []


def state(python: Path, extras: str) -> str:
    """Condense all that an editable install depends on, and the compiled modules that it leaves behind."""
    package = ROOT / "fastcache"
    sources = [ROOT / "setup.py", ROOT / "pyproject.toml", *package.rglob("*.pyx"), *package.rglob("*.pxd")]
    modules = [*package.rglob("*.so"), *package.rglob("*.pyd")]
    parts = [str(python), extras, *(f"{name}={os.environ.get(name)}" for name in BUILD_VARIABLES)]
    parts += [f"{each}: {each.read_text(encoding='utf-8')}" for each in sorted(sources)]
    parts += [f"{each}: {each.stat().st_mtime_ns}" for each in sorted(modules)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


# Programs


def succeeds(command: list[str | Path], cwd: str | None = None) -> bool:
    """Tell whether a command can be run and exits with 0."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd, check=False)
    except OSError:
        return False
    return done.returncode == 0


def quietly(command: list[str | Path], what: str) -> None:
    """Run a command whose output matters only if it fails, which ends the program."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        print(done.stdout, end="", flush=True)
        sys.exit(f"error: {what} failed (exit code {done.returncode}): {shlex.join(map(str, command))}")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
