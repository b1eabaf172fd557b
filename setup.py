"""Build the compiled modules. Everything declarative stands in pyproject.toml.

Each ``.pyx`` is one module and one C file, but an import loads two shared objects only, because each costs as much as
the module in it. ``fastcache.engine.sqlite.connection`` is one of them, and holds what calls SQLite, so that it alone
links it: all others reach the database through it, and a process never holds two copies of SQLite on one file. They are
linked into ``fastcache._compiled``, which finds the modules in both (fastcache/_compiled.pyx).

With ``FASTCACHE_SQLITE_AMALGAMATION`` set to a folder that holds ``sqlite3.c`` and ``sqlite3.h``, that copy is compiled
into this one object instead of linking the system's library. With ``FASTCACHE_DEBUG`` set, the engine looks after the
spans in which no Python code may run (engine/spans.pxd).

What is generated goes into ``build/``, but for the compiled modules of an editable install.
"""

import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError
from setuptools.modified import newer_group

OLDEST_SQLITE = (3, 37, 0)

ROOT = Path(__file__).parent
CONNECTION = "fastcache.engine.sqlite.connection"
CALLERS_OF_SQLITE = [
    CONNECTION,
    *(f"fastcache.engine.sqlite.{name}" for name in ("copying", "locks_of_files", "row_source")),
]
MODULES = sorted(".".join(source.relative_to(ROOT).with_suffix("").parts) for source in ROOT.glob("fastcache/**/*.pyx"))
COMPILED = "fastcache._compiled"
# The modules in each shared object.
OBJECTS = {
    COMPILED: [name for name in MODULES if name not in CALLERS_OF_SQLITE],
    CONNECTION: CALLERS_OF_SQLITE,
}

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

# Strings in the modules are left as they are: to inflate them takes longer than to read them, and would load zlib.
MACROS = [("CYTHON_COMPRESS_STRINGS", "0")]

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


def note(name: str, text: str) -> str:
    """Write down how the modules are built: what is older than the note was built in another way."""
    path = Path("build", name)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(path)


def modules_header() -> str:
    """Tell the finder which modules are in which object."""
    return (
        f'#define FASTCACHE_COMPILED "{" ".join(OBJECTS[COMPILED])}"\n'
        f'#define FASTCACHE_CALLERS_OF_SQLITE "{" ".join(OBJECTS[CONNECTION])}"\n'
    )


def source_of(name: str) -> str:
    """The path of a module's source; setuptools wants slashes."""
    return name.replace(".", "/") + ".pyx"


def check_names() -> None:
    """Refuse to link modules that CPython could not tell apart."""
    for modules in OBJECTS.values():
        named: dict[str, str] = {}
        for name in modules:
            other = named.setdefault(init_function(name), name)
            if other != name:
                refuse(f"{other} and {name} cannot share an object: each would be its {init_function(name)}")


def init_function(name: str) -> str:
    """Name the function by which CPython creates a module."""
    return f"PyInit_{name.rpartition('.')[2]}"


class BuildEngine(build_ext):
    """Compile the modules and link them; say what is missing before the compiler does."""

    def build_extensions(self) -> None:
        """Translate and compile all modules, after SQLite itself or a check that there is one."""
        check_names()
        folder = amalgamation()
        macros = [*MACROS, *([("FASTCACHE_DEBUG", None)] if os.environ.get("FASTCACHE_DEBUG") else [])]
        units = {name: Extension(name, [source_of(name)], define_macros=macros) for name in MODULES}
        for unit in units.values():
            unit.depends = [note("macros.txt", str(macros))]
        finder = units[COMPILED]
        finder.include_dirs = ["build"]
        finder.depends.append(note("modules.h", modules_header()))
        callers = [units[name] for name in CALLERS_OF_SQLITE]
        for caller in callers:
            caller.depends.append(note("sqlite.txt", str(folder or "system")))
        linked = next(each for each in self.extensions if each.name == CONNECTION)
        if folder is None:
            self._require_system_sqlite()
            linked.libraries = ["sqlite3"]
        else:
            for caller in callers:
                caller.include_dirs = [str(folder)]
            linked.extra_objects = self._compile_amalgamation(folder)
            linked.libraries = [] if sys.platform == "win32" else ["m"]
        if sys.platform == "linux":
            # dladdr and pthread_atfork, which are in the C library itself from glibc 2.34 on.
            for each in self.extensions:
                each.libraries = [*each.libraries, "dl", "pthread"]
        translated = cythonize(list(units.values()), build_dir="build", compiler_directives=DIRECTIVES)
        self.parallel = self.parallel or True
        with ThreadPoolExecutor(os.cpu_count() if self.parallel is True else self.parallel) as pool:
            compiled = dict(zip([each.name for each in translated], pool.map(self._compile, translated), strict=True))
        for extension in self.extensions:
            extension.sources = []
            extension.extra_objects = [*extension.extra_objects, *(compiled[name] for name in OBJECTS[extension.name])]
            extension.depends = extension.extra_objects
        super().build_extensions()

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """Name the functions by which CPython creates the modules of an object."""
        return [init_function(name) for name in OBJECTS[ext.name]]

    def _compile(self, unit: Extension) -> str:
        """Compile one C file, unless what is there is as new; return the path of the result."""
        (made,) = self.compiler.object_filenames(unit.sources, output_dir=self.build_temp)
        if self.force or newer_group([*unit.sources, *unit.depends], made):
            self.compiler.compile(
                unit.sources,
                output_dir=self.build_temp,
                macros=unit.define_macros,
                include_dirs=unit.include_dirs,
                debug=self.debug,
                extra_postargs=self._compiler_flags(),
            )
        return made

    def _compiler_flags(self) -> list[str]:
        if self.compiler.compiler_type == "msvc":
            return []
        strict = [*STRICT, "-Werror"] if os.environ.get("FASTCACHE_WERROR") else STRICT
        # Cython gives each module a few names that the linker sees; only PyInit_ is anybody else's business.
        return ["-O2", "-fvisibility=hidden", *strict]

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
    ext_modules=[Extension(name, [source_of(each) for each in modules]) for name, modules in OBJECTS.items()],
    cmdclass={"build_ext": BuildEngine},
)
