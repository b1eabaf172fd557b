"""Build the compiled engine. Everything declarative stands in pyproject.toml.

Only ``fastcache.engine.connection`` links SQLite: every other compiled module reaches the database through
it, so that a process never holds two copies of SQLite on one file. With ``FASTCACHE_SQLITE_AMALGAMATION`` set
to a folder that holds ``sqlite3.c`` and ``sqlite3.h``, that copy is compiled into this one module instead of
linking the system's library.

What is generated goes into ``build/``, but for the compiled modules of an editable install.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError

OLDEST_SQLITE = (3, 37, 0)

CONNECTION = "fastcache.engine.connection"
OTHERS = [
    f"fastcache.engine.{name}"
    for name in (
        *(
            "keys",
            "values",
            "changes",
            "sieve",
            "memory",
            "queue",
            "turn",
            "session",
            "database",
            "recency",
            "eviction",
            "bounded",
            "store",
        ),
        *("shards", "transaction", "bulk", "batch", "mapping", "pickles", "maps", "claims", "bell", "calls"),
    )
]

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

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": False,
    "wraparound": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",  # the one that inspect reads from a compiled method
    "binding": False,
}

STRICT = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]

MISSING_SQLITE = """\
fastcache needs SQLite's header and library to build, version {oldest} or newer, and the compiler found none.
    Debian, Ubuntu:  apt-get install build-essential python3-dev libsqlite3-dev
    Fedora, RHEL:    dnf install gcc python3-devel sqlite-devel
    macOS:           brew install sqlite
Or set FASTCACHE_SQLITE_AMALGAMATION to a folder that holds SQLite's sqlite3.c and sqlite3.h
(https://sqlite.org/download.html, "amalgamation"), which is then compiled in."""


def refuse(message: str) -> None:
    """End the build with a message."""
    sys.exit(f"\nerror: {message}\n")


def amalgamation() -> Path | None:
    """The folder of the amalgamation to compile in, or None for the system's SQLite."""
    named = os.environ.get("FASTCACHE_SQLITE_AMALGAMATION")
    if not named:
        return None
    folder = Path(named).resolve()
    missing = [name for name in ("sqlite3.c", "sqlite3.h") if not (folder / name).is_file()]
    if missing:
        refuse(f"FASTCACHE_SQLITE_AMALGAMATION is {named!r}, but it holds no {' and no '.join(missing)}")
    header = (folder / "sqlite3.h").read_text(encoding="utf-8", errors="replace")
    found = re.search(r'#define\s+SQLITE_VERSION\s+"([\d.]+)"', header)
    version = found.group(1) if found else "of no known version"
    if not found or tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        refuse(f"the SQLite in {named!r} is {version}; fastcache needs {dotted(OLDEST_SQLITE)} or newer")
    return folder


def dotted(version: tuple[int, int, int]) -> str:
    """Return a version as people spell it."""
    return ".".join(map(str, version))


def note_choice(choice: str) -> str:
    """Write down which SQLite is linked: what is older than the note was linked with another one."""
    note = Path("build", "sqlite.txt")
    if not note.exists() or note.read_text(encoding="utf-8") != choice:
        note.parent.mkdir(exist_ok=True)
        note.write_text(choice, encoding="utf-8")
    return str(note)


class BuildEngine(build_ext):
    """Compile the engine; say what is missing before the compiler does."""

    def build_extensions(self) -> None:
        """Translate and compile all modules, after SQLite itself or a check that there is one."""
        folder = amalgamation()
        connection = next(each for each in self.extensions if each.name == CONNECTION)
        connection.depends = [note_choice(str(folder or "system"))]
        if folder is None:
            self._require_system_sqlite()
            connection.libraries = ["sqlite3"]
        else:
            connection.include_dirs = [str(folder)]
            connection.extra_objects = self._compile_amalgamation(folder)
            connection.libraries = [] if sys.platform == "win32" else ["m"]
        translated = cythonize(self.extensions, build_dir="build", compiler_directives=DIRECTIVES)
        sources = {each.name: each.sources for each in translated}
        for extension in self.extensions:
            extension.sources = sources[extension.name]
        if self.compiler.compiler_type != "msvc":
            strict = [*STRICT, "-Werror"] if os.environ.get("FASTCACHE_WERROR") else STRICT
            for extension in self.extensions:
                extension.extra_compile_args = ["-O2", *strict]
        self.parallel = self.parallel or True
        super().build_extensions()

    def _compile_amalgamation(self, folder: Path) -> list[str]:
        # An object goes to the path of its source below build_temp, so that path must not be an absolute one.
        source = Path("build", "amalgamation.c")
        source.write_text('#include "sqlite3.c"\n')
        # Hidden, because an exported name could be taken from, or lent to, another SQLite in the process.
        unix = ["-O2", "-w", "-fvisibility=hidden"]
        objects: list[str] = self.compiler.compile(
            [str(source)],
            output_dir=self.build_temp,
            include_dirs=[str(folder)],
            macros=AMALGAMATION_MACROS,
            extra_postargs=["/w"] if self.compiler.compiler_type == "msvc" else unix,
        )
        return objects

    def _require_system_sqlite(self) -> None:
        oldest = dotted(OLDEST_SQLITE)
        probe = (
            "#include <sqlite3.h>\n"
            f"#if SQLITE_VERSION_NUMBER < {'{}{:03}{:03}'.format(*OLDEST_SQLITE)}\n"
            f"#error this sqlite3.h is older than {oldest}\n"
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
                refuse(f"{MISSING_SQLITE.format(oldest=oldest)}\n({type(error).__name__}: {error})")


setup(
    ext_modules=[Extension(name, [name.replace(".", "/") + ".pyx"]) for name in (CONNECTION, *OTHERS)],
    cmdclass={"build_ext": BuildEngine},
)
