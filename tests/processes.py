"""Start other processes, those of ``workers`` above all, and talk with them, one JSON line at a time."""

import contextlib
import importlib
import json
import os
import pathlib
import pkgutil
import signal
import subprocess
import sys
import textwrap
import threading

import fastcache

from . import workers
from .workers.commands import COMMANDS

for _module in pkgutil.iter_modules(workers.__path__, f"{workers.__name__}."):
    importlib.import_module(_module.name)

STARTS_WORKERS = pathlib.Path(__file__).with_name("start_worker.py")
PATIENCE_SECONDS = 100
# Where the package is that is tested.
PACKAGE = str(pathlib.Path(fastcache.__file__).parents[1])
# How a program begins that the interpreter has imported nothing for.
BEGINNING = f"""\
import sys
assert "threading" not in sys.modules
sys.path.insert(0, {PACKAGE!r})
"""


class Process:
    """One process: ``hear`` what it says, ``tell`` it to go on, ``finish`` it.

    Args:
        folder: where it runs.
        environment: its variables (dict).
        name: what it is called in a failure (str).
        arguments: of the interpreter (list of str).
    """

    def __init__(self, folder, environment, name, arguments):
        self.command = name
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        self._watchdog = threading.Timer(PATIENCE_SECONDS, self._kill_all)
        self._watchdog.daemon = True
        self._watchdog.start()

    def _kill_all(self):
        """Kill it and what it has forked, which would keep its pipes open."""
        # Until it was waited for, nobody else can have got its number.
        if self.popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)

    def hear(self):
        """Wait for the next thing it says."""
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError(f"{self.command} ended early: {self.popen.stderr.read()}")
        return json.loads(line)

    def tell(self, message="go"):
        self.popen.stdin.write(json.dumps(message) + "\n")
        self.popen.stdin.flush()

    def finish(self):
        """Let it end; it must do so by itself, without an error; return the last thing it says, if any."""
        # Not communicate(), which does not know what hear() has left in the buffer. What a worker complains
        # about fits into the pipe.
        self.popen.stdin.close()
        said, complaint = self.popen.stdout.read(), self.popen.stderr.read()
        self.popen.wait()
        self.end()
        assert self.popen.returncode == 0, f"{self.command} exited with {self.popen.returncode}: {complaint}"
        assert not complaint, f"{self.command} complained: {complaint}"
        lines = said.splitlines()
        return json.loads(lines[-1]) if lines else None

    def end(self):
        self._watchdog.cancel()
        self._kill_all()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            # What it was told, and was killed before it heard it, is written once more.
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Processes:
    """All processes of one test; none outlives it."""

    def __init__(self, folder, bytecode):
        self._folder = folder
        # Starting is most of what many a worker does: let it find everything compiled, whatever the user has set.
        self._compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(bytecode)}
        self._compiled["PYTHONPATH"] = os.pathsep.join([PACKAGE, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._started:
            process.end()

    def start(self, command, *arguments):
        """Start a command of ``workers``."""
        module = COMMANDS[command].__module__.rpartition(".")[2]
        return self._run(command, str(STARTS_WORKERS), module, command, json.dumps(arguments))

    def start_program(self, name, program, *arguments):
        """Start a program that has imported nothing yet, not even what an interpreter's ``site`` does: its text.

        It finds its arguments (str) from ``sys.argv[1]`` on."""
        return self._run(name, "-I", "-S", "-c", BEGINNING + textwrap.dedent(program), *arguments)

    def start_file(self, name, program, *arguments):
        """Start a program that lies in a file of its own, as a user's does: its text."""
        path = self._folder / f"{name}.py"
        path.write_text(textwrap.dedent(program), encoding="utf-8")
        return self._run(name, str(path), *arguments)

    def _run(self, name, *arguments):
        process = Process(self._folder, os.environ | self._compiled, name, arguments)
        self._started.append(process)
        return process
