"""Cases that are given a place to work in, which ends whatever they have started. How they are run: run.py."""

import contextlib
import functools
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable

import harness
from harness import Skip as Skipped

WAIT = 10  # seconds for what must happen; much more than it takes
QUIET = 0.3  # seconds in which what must not happen would have happened


class Place:
    """A directory for one case, the relay's program, and an end for all that the case leaves behind."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack):
        self.program = harness.PROGRAM
        self.directory = directory
        self._stack = stack

    def keep(self, thing):
        """Enters `thing`, which goes when the case is over."""
        return self._stack.enter_context(thing)

    def start(self, *arguments: str | Path, **more) -> subprocess.Popen:
        # Not to be interrupted between the start and the promise to end it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGALRM})
        try:
            process = subprocess.Popen(list(map(str, arguments)), cwd=self.directory, **more)
            self._stack.callback(end, process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process

    def run(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess:
        """The relay's program, to its end."""
        process = self.start(
            self.program, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, err = process.communicate(stdin, timeout=WAIT)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def children() -> set[int]:
    """Of this process: orphans too, which come to it (PR_SET_CHILD_SUBREAPER)."""
    found = set()
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path("/proc", str(int(entry)), "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.add(int(entry))
    return found


def end_orphans() -> None:
    for pid in children():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def case(function: Callable[[Place], None]) -> Callable[[], None]:
    """Makes a case of run.py of it; its docstring is its name."""

    @functools.wraps(function)
    def run() -> None:
        with tempfile.TemporaryDirectory(prefix="relay-") as directory, contextlib.ExitStack() as stack:
            stack.callback(end_orphans)
            function(Place(Path(directory), stack))

    run.is_case = True
    return run


def equal(found, expected, what: str = "") -> None:
    show = lambda value: value.hex(" ") if isinstance(value, bytes) and len(value) < 400 else repr(value)[:2000]
    if found != expected:
        raise AssertionError(f"{what}{what and ': '}found {show(found)}, expected {show(expected)}")


def contains(text: str, *parts: str) -> None:
    for part in parts:
        assert part in text, f"{part!r} is not in:\n{text}"


def eventually(condition: Callable[[], object], what: str, seconds: float = WAIT) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.01)
