"""Start the processes of ``workers.py`` and talk with them, one JSON line at a time."""

import json
import pathlib
import subprocess
import sys
import threading

WORKERS = pathlib.Path(__file__).with_name("workers.py")
PATIENCE_SECONDS = 150


class Process:
    """One worker: ``hear`` what it says, ``tell`` it to go on, ``finish`` it."""

    def __init__(self, folder, command, *arguments):
        self.command = command
        self.popen = subprocess.Popen(
            [sys.executable, str(WORKERS), command, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self._watchdog = threading.Timer(PATIENCE_SECONDS, self.popen.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def hear(self):
        """Wait for the next thing it says."""
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError(f"{self.command} ended early: {self.popen.stderr.read()}")
        return json.loads(line)

    def tell(self, message="go"):
        self.popen.stdin.write(json.dumps(message) + "\n")
        self.popen.stdin.flush()

    def kill(self):
        """Kill it at once (SIGKILL) and return what it had said and nobody had heard."""
        self.popen.kill()
        said = self.popen.stdout.read()
        self.end()
        return [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]

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
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            stream.close()


class Processes:
    """All processes of one test; none outlives it."""

    def __init__(self, folder):
        self._folder = folder
        self._started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._started:
            process.end()

    def start(self, command, *arguments):
        process = Process(self._folder, command, *arguments)
        self._started.append(process)
        return process
