"""Which module of the package names which other one: every import, cimport, stub and late load, as arrows."""

import ast
import dataclasses
import pathlib
import re

PACKAGE = "fastcache"
SUFFIXES = (".py", ".pyi", ".pyx", ".pxd")


@dataclasses.dataclass(frozen=True, order=True)
class Arrow:
    """One module names another one."""

    source: str
    target: str

    def __str__(self):
        return f"{self.source} -> {self.target}"


@dataclasses.dataclass(frozen=True)
class File:
    """A file of the package, and the module that it is, or is a part of."""

    path: pathlib.Path
    module: str

    @property
    def text(self):
        return self.path.read_text(encoding="utf-8")


@dataclasses.dataclass
class Found:
    """What was found in the sources.

    Attributes:
        modules: all modules that there are.
        arrows: for each arrow, file and line of each place where it stands.
        unknown: by module, where it imports late and does not say what.
    """

    modules: set[str]
    arrows: dict[Arrow, list[str]] = dataclasses.field(default_factory=dict)
    unknown: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def sources(root):
    """The files of a package (list of File)."""
    return [
        File(path, ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__"))
        for path in sorted(root.rglob("*"))
        if path.suffix in SUFFIXES
    ]


def read(root, loader):
    """Read a package.

    Args:
        root: its folder (Path).
        loader: the module whose function ``load`` imports late (str).
    """
    files = sources(root)
    found = Found({file.module for file in files})
    for file in files:
        reader = Python if file.path.suffix in (".py", ".pyi") else Cython
        reader(file, loader, found).read()
    return found


class Reader:
    """Reads one file."""

    def __init__(self, file, loader, found):
        self.file = file
        self.loader = loader
        self.found = found
        self.package = file.module if file.path.stem == "__init__" else file.module.rpartition(".")[0]

    def named(self, target, line, names=()):
        """``import target``, or ``from target import names``: of these, each may be a module, or something in one."""
        if target.startswith("."):
            dots = len(target) - len(target.lstrip("."))
            base = self.package.split(".")
            target = ".".join(filter(None, [*base[: len(base) - dots + 1], target.lstrip(".")]))
        if target.partition(".")[0] != self.file.module.partition(".")[0]:
            return
        parts = {f"{target}.{name}" for name in names} & self.found.modules
        if not names or len(parts) < len(names):
            parts.add(target)
        for part in parts - {self.file.module}:
            self.found.arrows.setdefault(Arrow(self.file.module, part), []).append(self.place(line))

    def unknown(self, line):
        """``load`` of what only the running program knows."""
        self.found.unknown.setdefault(self.file.module, []).append(self.place(line))

    def place(self, line):
        return f"{self.file.path.name}:{line}"


class Python(Reader):
    """Reads Python, and stubs."""

    def read(self):
        tree = ast.parse(self.file.text)
        # What load() may take a name from: tables of literals.
        self.tables = {
            target.id: [value.value for value in node.value.values]
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
            for target in node.targets
            if isinstance(target, ast.Name) and all(isinstance(value, ast.Constant) for value in node.value.values)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.named(alias.name, node.lineno)
            elif isinstance(node, ast.ImportFrom):
                self.named("." * node.level + (node.module or ""), node.lineno, [alias.name for alias in node.names])
            elif isinstance(node, ast.Call) and self.is_load(node.func):
                self.load(node)

    def is_load(self, function):
        if isinstance(function, ast.Attribute):
            holder = function.value
            return (
                function.attr == "load" and isinstance(holder, ast.Name) and holder.id == self.loader.rpartition(".")[2]
            )
        return isinstance(function, ast.Name) and function.id == "load"

    def load(self, call):
        argument = call.args[0]
        if isinstance(argument, ast.Constant):
            self.named(argument.value, call.lineno)
        elif isinstance(argument, ast.Subscript) and getattr(argument.value, "id", None) in self.tables:
            for name in self.tables[argument.value.id]:
                self.named(name, call.lineno)
        else:
            self.unknown(call.lineno)


class Cython(Reader):
    """Reads Cython, which has no parser of its own that would be as small: statements by their first word."""

    STATEMENT = re.compile(
        r"^[ \t]*(?:from[ \t]+(?P<holder>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n]+)"
        r"|c?import[ \t]+(?P<modules>[^\n]+))",
        re.MULTILINE,
    )
    INCLUDE = re.compile(r"^[ \t]*include[ \t]", re.MULTILINE)

    def read(self):
        code = without_texts(self.file.text)
        assert not self.INCLUDE.search(code), f"{self.file.path} includes another file, which is not read"
        loads_by_name = False
        for statement in self.STATEMENT.finditer(code):
            line = code.count("\n", 0, statement.start()) + 1
            if statement["holder"]:
                names = [name.split()[0] for name in statement["names"].strip("() \t").split(",") if name.strip()]
                self.named(statement["holder"], line, names)
                # An atomic load is another word of the same name.
                loads_by_name |= statement["holder"] == self.loader and "load" in names
            else:
                for name in statement["modules"].split(","):
                    self.named(name.split()[0], line)
        own = self.loader.rpartition(".")[2]
        call = re.compile(rf"(?<![\w.])(?:{own}\.{'|' if loads_by_name else ''})load\(\s*(?P<argument>[^)]*)\)")
        for load in call.finditer(code):
            line = code.count("\n", 0, load.start()) + 1
            literal = re.fullmatch(r"[\"']([\w.]+)[\"']\s*", load["argument"])
            if literal:
                self.named(literal[1], line)
            else:
                self.unknown(line)


def without_texts(text):
    """The code of a file of Cython: without docstrings, C and comments, and with as many lines."""

    def left(found):
        return found["kept"] or "\n" * found[0].count("\n")

    return re.sub(
        r'"""(?:[^\\]|\\.)*?"""|(?P<kept>"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\')|#[^\n]*',
        left,
        text,
        flags=re.DOTALL,
    )


def circles(arrows):
    """The modules that lead back to themselves, together with those they do so through: a list of sets.

    (Tarjan, "Depth-first search and linear graph algorithms", 1972.)
    """
    targets = {}
    for arrow in sorted(arrows):
        targets.setdefault(arrow.source, []).append(arrow.target)
    order, lowest, path, found = {}, {}, [], []

    def visit(module):
        order[module] = lowest[module] = len(order)
        path.append(module)
        for target in targets.get(module, ()):
            if target not in order:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in path:
                lowest[module] = min(lowest[module], order[target])
        if lowest[module] == order[module]:
            circle = set(path[path.index(module) :])
            del path[path.index(module) :]
            if len(circle) > 1:
                found.append(circle)

    for module in sorted(targets):
        if module not in order:
            visit(module)
    return found


ROOT = pathlib.Path(__file__).resolve().parents[2] / PACKAGE
