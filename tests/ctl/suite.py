"""Cases, and what they need: socksifyctl in an environment of its own, and a place for files."""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

NOBODY = 65534
SECONDS = 120  # that one run of socksifyctl may take


class Skipped(Exception):
    """What the case needs is not on this machine."""


@dataclass
class Finished:
    """One run of socksifyctl."""

    argv: list[str]
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"no JSON ({error}):\n{self}") from None

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}\n  status {self.status}\n  stdout: {self.out}\n  stderr: {self.err}"


class Place:
    """A directory for one case, and the socksifyctl that is run from it."""

    def __init__(self, build: Path, directory: Path):
        self.build = build
        self.directory = directory
        self.program = build / "src" / "ctl" / "socksifyctl"

    def write(self, name: str, content: str | bytes | dict, mode: int = 0o600) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content, indent=1)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    def run(
        self,
        *arguments: str | Path,
        env: dict[str, str] | None = None,
        user: int | None = None,
        program: Path | None = None,
        stdout: int | None = None,
    ) -> Finished:
        """Nothing of this process's environment but PATH: no rules of this machine have a part in a test."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory / "home")}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        argv = [str(program or self.program), *map(str, arguments)]
        try:
            done = subprocess.run(
                argv,
                env=environment | (env or {}),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=stdout if stdout is not None else subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=SECONDS,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                check=False,
            )
        except PermissionError:
            raise Skipped(f"user {user} can't get at {argv[0]}") from None
        finished = Finished(argv, done.returncode, (done.stdout or b"").decode(), done.stderr.decode())
        assert done.returncode in (0, 1, 2), finished  # never a signal, nor what a sanitizer ends with
        assert "Sanitizer" not in finished.err and "runtime error" not in finished.err, finished
        return finished

    def json(self, *arguments: str | Path, status: int = 0, **more) -> dict:
        """The answer to `--json`, which must come with this exit status."""
        finished = self.run("--json", *arguments, **more)
        assert finished.status == status and finished.err == "", finished
        return finished.json

    def text(self, *arguments: str | Path, status: int = 0, **more) -> str:
        """The answer for people."""
        finished = self.run(*arguments, **more)
        assert finished.status == status and finished.err == "", finished
        return finished.out


Case = Callable[[Place], None]
CASES: list[Case] = []


def case(function: Case) -> Case:
    """Adds a case; its docstring is its name."""
    CASES.append(function)
    return function


def equal(found, expected) -> None:
    assert found == expected, f"found {found!r}, expected {expected!r}"


def contains(text: str, *parts: str) -> None:
    for part in parts:
        assert part in text, f"{part!r} is not in:\n{text}"


def run_cases(build: Path, wanted: list[str]) -> int:
    """Runs the cases whose name has one of `wanted` in it. The exit status."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for function in CASES:
        name = f"{function.__module__.removeprefix('cases_')}: {function.__doc__}"
        if wanted and not any(part in name for part in wanted):
            continue
        with tempfile.TemporaryDirectory(prefix="socksifyctl-") as directory:
            os.chmod(directory, 0o755)  # another user has to get in
            try:
                function(Place(build, Path(directory)))
                outcome, why = "passed", ""
            except Skipped as reason:
                outcome, why = "skipped", f" ({reason})"
            except Exception:  # of whatever kind: the other cases are still to be run
                outcome, why = "failed", ""
                traceback.print_exc(file=sys.stdout)
        counts[outcome] += 1
        print(f"{outcome.ljust(7)} {name}{why}", flush=True)
    print(f"ctl: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0
