"""Build the compiled engine. Everything declarative stands in pyproject.toml.

Only ``fastcache.engine.connection`` links SQLite: every other compiled module reaches the database through
it, so that a process never holds two copies of SQLite on one file. With ``FASTCACHE_SQLITE_AMALGAMATION`` set
to a folder that holds ``sqlite3.c`` and ``sqlite3.h``, that copy is compiled into this one module instead of
linking the system's library.
"""

import os
import re
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

OLDEST_SQLITE = (3, 37, 0)

ENGINE = ("connection", "keys", "values", "store", "mapping")

# https://sqlite.org/compile.html#recommended_compile_time_options, with two of the list left out:
# DQS=0 and OMIT_DEPRECATED are for SQL of one's own alone, but foreign tools share these files.
# THREADSAFE=2: a connection is used by one thread at a time here, which the engine guards itself.
AMALGAMATION_MACROS = [
    ("SQLITE_THREADSAFE", "2"),
    ("SQLITE_DEFAULT_MEMSTATUS", "0"),
    ("SQLITE_DEFAULT_WAL_SYNCHRONOUS", "1"),
    ("SQLITE_LIKE_DOESNT_MATCH_BLOBS", None),
    ("SQLITE_MAX_EXPR_DEPTH", "0"),
    ("SQLITE_OMIT_DECLTYPE", None),
    ("SQLITE_OMIT_PROGRESS_CALLBACK", None),
    ("SQLITE_OMIT_SHARED_CACHE", None),
    ("SQLITE_USE_ALLOCA", None),
    ("SQLITE_OMIT_LOAD_EXTENSION", None),
    ("SQLITE_DIRECT_OVERFLOW_READ", None),
]

MISSING_SQLITE = """\
fastcache needs SQLite's header and library (version {oldest} or newer) to build, and the compiler did not find them.
    Debian, Ubuntu:  apt-get install build-essential python3-dev libsqlite3-dev
    Fedora, RHEL:    dnf install gcc python3-devel sqlite-devel
    macOS:           brew install sqlite
Or set FASTCACHE_SQLITE_AMALGAMATION to a folder that holds SQLite's sqlite3.c and sqlite3.h
(https://sqlite.org/download.html, "amalgamation"), which is then compiled in."""


def refuse(message: str) -> None:
    sys.exit(f"\nerror: {message}\n")


def amalgamation() -> Path | None:
    """The folder of the amalgamation to compile in, or None for the system's SQLite."""
    named = os.environ.get("FASTCACHE_SQLITE_AMALGAMATION")
    if not named:
        return None
    folder = Path(named).resolve()
    missing = [name for name in ("sqlite3.c", "sqlite3.h") if not (folder / name).is_file()]
    if missing:
        refuse(f"FASTCACHE_SQLITE_AMALGAMATION is {named!r}, but {' and '.join(missing)} cannot be found there")
    text = (folder / "sqlite3.h").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"#define\s+SQLITE_VERSION_NUMBER\s+(\d+)", text)
    number = int(found.group(1)) if found else 0
    if number < version_number(OLDEST_SQLITE):
        refuse(f"the amalgamation in {named!r} is SQLite {number}; fastcache needs {dotted(OLDEST_SQLITE)} or newer")
    return folder


def version_number(version: tuple[int, int, int]) -> int:
    return version[0] * 1_000_000 + version[1] * 1_000 + version[2]


def dotted(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))


class BuildEngine(build_ext):
    """Compile the engine; say what is missing before the compiler does."""

    def build_extensions(self) -> None:
        if SQLITE_FOLDER is None:
            self._require_system_sqlite()
        if self.compiler.compiler_type != "msvc":
            strict = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
            if os.environ.get("FASTCACHE_WERROR"):
                strict.append("-Werror")
            for extension in self.extensions:
                warnings = strict if not any(s.endswith("sqlite3.c") for s in extension.sources) else ["-w"]
                extension.extra_compile_args = ["-O2", *warnings]
        super().build_extensions()

    def _require_system_sqlite(self) -> None:
        import tempfile

        from setuptools.errors import CCompilerError

        probe = (
            "#include <sqlite3.h>\n"
            f"#if SQLITE_VERSION_NUMBER < {version_number(OLDEST_SQLITE)}\n"
            "#error FASTCACHE_SQLITE_TOO_OLD\n"
            "#endif\n"
            "int main(void) { return sqlite3_libversion_number() == 0; }\n"
        )
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "sqlite_probe.c")
            source.write_text(probe)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder)
                self.compiler.link_executable(
                    objects,
                    str(Path(folder, "sqlite_probe")),
                    libraries=["sqlite3"],
                    library_dirs=self.compiler.library_dirs,
                )
            except (CCompilerError, OSError) as error:
                refuse(f"{MISSING_SQLITE.format(oldest=dotted(OLDEST_SQLITE))}\n({type(error).__name__}: {error})")


SQLITE_FOLDER = amalgamation()


def extension(name: str) -> Extension:
    source = f"fastcache/engine/{name}.pyx"
    if name != "connection":
        return Extension(f"fastcache.engine.{name}", [source])
    if SQLITE_FOLDER is None:
        return Extension(f"fastcache.engine.{name}", [source], libraries=["sqlite3"])
    return Extension(
        f"fastcache.engine.{name}",
        [source, str(SQLITE_FOLDER / "sqlite3.c")],
        include_dirs=[str(SQLITE_FOLDER)],
        define_macros=AMALGAMATION_MACROS,
        libraries=[] if sys.platform == "win32" else ["m"],
    )


setup(
    ext_modules=cythonize(
        [extension(name) for name in ENGINE],
        compiler_directives={
            "language_level": "3",
            "boundscheck": False,
            "wraparound": False,
            "embedsignature": False,
            "binding": False,
        },
    ),
    cmdclass={"build_ext": BuildEngine},
)
