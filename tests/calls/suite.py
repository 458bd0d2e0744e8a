"""Runs cases: a victim bare and shimmed, and compares. One line for each case; of one that failed, what differs."""

import difflib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from fake_proxy import FakeProxy, Script
from far import Far
from real_proxy import RealProxy
from scene import PLACES, PROXY_V4, STATE, Gauge

HOME = STATE / "home"
ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(HOME), "LC_ALL": "C.UTF-8"}

_BEYOND_DOUBT = "leaked|SIG|Aborted|Segmentation fault"  # what no second try makes good

TOGETHER = 4  # cases at a time; they wait more than they work

# Short enough for cases that wait for them, long enough for a busy machine.
UPSTREAM = {"discover": "off", "connect_timeout": 0.8, "handshake_timeout": 0.8, "discover_timeout": 0.4}


@dataclass(frozen=True)
class Difference:
    """Lines of the bare output, and what stands in their place shimmed. One that is gone is a failure."""

    bare: str
    shimmed: str
    why: str


@dataclass(frozen=True)
class Logged:
    """What the library tells of itself, at level info, where neither program nor proxy could tell."""

    text: str  # a part of a line
    times: int | None = None  # so many lines; once at least, if nothing is given


@dataclass(frozen=True)
class Case:
    """One victim, run shimmed, and bare unless `says` gives what it must print.

    In `victim`, {echo} and the like stand for the scene's places, {way} for 0 bare and `way` shimmed (milliseconds that
    the handshake takes), {lib} for the library.
    """

    name: str
    victim: str
    says: str | None = None
    differs: tuple[Difference, ...] = ()
    proxies: tuple[Script | str, ...] = ()  # in the order of trying; a URL is used as it is; none: the real server
    proxy_host: str = PROXY_V4  # where the real server is addressed
    upstream: dict = field(default_factory=dict)  # further keys of each upstream
    rules: dict = field(default_factory=dict)  # further keys of the rules file
    config: str | None = None  # the rules file as it is; empty: there is none
    sees: tuple[str, ...] | None = None  # the first fake proxy's record, sorted
    second_sees: tuple[str, ...] | None = None
    others_see: tuple[tuple[str, ...] | None, ...] = ()  # from the third on
    logs: tuple[Logged, ...] = ()  # no log is written where nothing is asked of it
    stderr: tuple[str, ...] = ()  # a regular expression for each line
    environment: dict = field(default_factory=dict)
    preloaded: tuple[str, ...] = ("{lib}",)  # LD_PRELOAD: files, or names that ld.so finds
    way: int = 0
    needs: str = ""  # a program; without it, the case is skipped
    direct: bool = False  # packets may leave beside the proxy
    seconds: float = 10
    pending: str = ""  # what it waits for; it must fail until then
    together: bool = False  # with others like it, at the same time: no hurry, no bare run, and leaks are told of all


@dataclass(frozen=True)
class Check:
    """Something that is looked at from outside: `look` returns what is wrong."""

    name: str
    tool: str  # without it, the check is skipped; may be empty
    look: Callable[["Suite"], list[str]]
    together: bool = False


@dataclass
class Finished:
    status: int | None  # None: ran out of time
    stdout: str
    stderr: str


@dataclass
class Seen:
    """What became of a shimmed run."""

    end: Finished
    records: list[list[str]]  # of the fake proxies, in their order
    leaks: list[str]
    log: list[str]


class Tally:
    """Prints each case's outcome and counts it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._begun = time.monotonic()

    def passed(self, name: str) -> None:
        self._report("passed", f"ok   {name}")

    def failed(self, name: str, complaints: list[str]) -> None:
        self._report("failed", f"FAIL {name}")
        for line in "\n".join(complaints).splitlines():
            print(f"     | {line}", flush=True)

    def skipped(self, name: str, why: str) -> None:
        self._report("skipped", f"skip {name}: {why}")

    def _report(self, outcome: str, line: str) -> None:
        self._counts[outcome] += 1
        now = time.monotonic()
        print(f"{line} ({now - self._begun:.2f} s)", flush=True)
        self._begun = now

    def summary(self) -> int:
        """Prints the last line; returns the exit status."""
        counts = (f"{self._counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
        print("calls:", ", ".join(counts), flush=True)
        return 1 if self._counts["failed"] else 0


class Suite:
    """Made on `far`'s side of the main thread; runs cases on `prog`."""

    def __init__(self, build: Path, library: Path, real: RealProxy, far: Far, show: bool):
        self.victims, self.library, self._real, self._far, self._show = build / "tests/calls", library, real, far, show
        self.tally = Tally()
        self.gauge = Gauge()
        self._bare: dict[str, Finished] = {}

    # One case. -------------------------------------------------------------------------------------------------------

    def run(self, cases: list[Case | Check]) -> None:
        """One after the other, but for those that stand together."""
        for together, some in itertools.groupby(cases, lambda case: case.together):
            if together:
                self._run_together(list(some))
            else:
                for case in some:
                    self._tell(case, self._look_again(case, self._look(case)))

    def _run_together(self, cases: list[Case | Check]) -> None:
        self.gauge.take()
        failed = []
        with ThreadPoolExecutor(TOGETHER) as pool:
            for case, complaints in zip(cases, pool.map(self._look, cases)):
                if complaints:
                    failed.append((case, complaints))
                else:
                    self._tell(case, complaints)
        for case, complaints in failed:
            self._tell(case, self._look_again(case, complaints))
        if leaks := self.gauge.take():
            self.tally.failed(f"leaks of those from {cases[0].name} to {cases[-1].name}", _of_leaks(leaks))

    def _look(self, case: Case | Check) -> list[str] | None:
        """What is wrong; nothing if it can't be seen here."""
        tool = case.tool if isinstance(case, Check) else case.needs
        if tool and not shutil.which(tool, path=ENVIRONMENT["PATH"] + ":/usr/sbin:/usr/local/sbin"):
            return None
        try:
            return case.look(self) if isinstance(case, Check) else self._complaints(case)
        except (OSError, subprocess.SubprocessError) as error:  # a program that was not built, say
            return [str(error)]

    def _look_again(self, case: Case | Check, complaints: list[str] | None) -> list[str] | None:
        """Much here is a matter of milliseconds, on a machine that has other things to do. A second failure counts; a leak
        or a crash does at once."""
        if not complaints or any(re.search(_BEYOND_DOUBT, line) for line in complaints) or _is_pending(case):
            return complaints
        print(f"     | {case.name}, at the first try:", *complaints, sep="\n     | ", flush=True)
        self._bare.clear()
        return self._look(case)

    def _tell(self, case: Case | Check, complaints: list[str] | None) -> None:
        if complaints is None:
            tool = case.tool if isinstance(case, Check) else case.needs
            return self.tally.skipped(case.name, f"{tool} is not installed")
        pending = _is_pending(case)
        if not pending:
            self.tally.failed(case.name, complaints) if complaints else self.tally.passed(case.name)
        elif complaints:
            self.tally.skipped(case.name, f"not yet: {case.pending}")
        else:
            self.tally.failed(case.name, [f"passes, though it is marked as not yet: {case.pending}"])

    def _complaints(self, case: Case) -> list[str]:
        expected, complaints = self._expected(case)
        seen = self.run_shimmed(case)
        if self._show:
            lines = [case.victim, *seen.end.stdout.splitlines(), *map(str, seen.records), *seen.end.stderr.splitlines()]
            print(*(f"     > {line}" for line in lines), sep="\n")
        if expected != seen.end.stdout:
            complaints.append(_diff(expected, seen.end.stdout, "bare" if case.says is None else "expected", "shimmed"))
        complaints += _complaints_of_end(seen.end, case)
        if not case.direct:
            complaints += _of_leaks(seen.leaks)
        for i, (wanted, record) in enumerate(zip((case.sees, case.second_sees, *case.others_see), seen.records)):
            if wanted is not None and sorted(wanted) != record:
                complaints.append(f"the record of proxy {i}:" if i else "the proxy's record:")
                complaints.append(_diff(_lines(sorted(wanted)), _lines(record), "expected", "seen"))
        return complaints + _complaints_of_log(seen.log, case)

    def run_shimmed(self, case: Case) -> Seen:
        fakes = [FakeProxy(script) for script in case.proxies if isinstance(script, Script)]
        directory = Path(tempfile.mkdtemp(dir=STATE))
        directory.chmod(0o755)  # for victims that become somebody else
        config = directory / "socksify.json"
        self._write_rules(case, fakes, config)
        if not case.together:
            self.gauge.take()
        log = directory / "log"
        end = self._start(self._argv(case, case.way), case.seconds, self._shimmed_environment(case, config, log))
        logged = log.read_text(errors="replace").splitlines() if log.exists() else []
        shutil.rmtree(directory)
        records = [self._far.run(fake.stop()) for fake in fakes]
        return Seen(end, records, [] if case.together else self.gauge.take(), logged)

    def _expected(self, case: Case) -> tuple[str, list[str]]:
        """What the victim has to print, and what is wrong with that itself."""
        if case.says is not None:
            return textwrap.dedent(case.says).strip() + "\n", []
        complaints = []
        argv = self._argv(case, 0)
        key = " ".join(argv)
        if key not in self._bare:
            self._bare[key] = self._start(argv, case.seconds, {})
        bare = self._bare[key]
        if bare.status != 0 or bare.stderr:
            complaints.append(f"bare: status {bare.status}, stderr {bare.stderr!r}")
        text = bare.stdout
        for difference in case.differs:
            text, found = re.subn(f"^{re.escape(difference.bare)}$", lambda _: difference.shimmed, text, flags=re.M)
            if not found:
                complaints.append(f"no difference any more: {difference.bare!r}")
        return text, complaints

    # What it takes. --------------------------------------------------------------------------------------------------

    def _argv(self, case: Case, way: int) -> list[str]:
        words = case.victim.format(**PLACES, way=way, lib=self.library, victims=self.victims).split()
        return [str(self.victims / words[0]), *words[1:]]

    def _write_rules(self, case: Case, fakes: list[FakeProxy], config: Path) -> None:
        config.touch(0o600)  # as a file with passwords in it should be
        running = iter(fakes)
        urls = []
        for proxy in case.proxies:
            if isinstance(proxy, str):
                urls.append(proxy)
                continue
            fake = next(running)
            host = proxy.host or PROXY_V4
            urls.append(_url(host, self._far.run(fake.start(host)), proxy))
        if case.config is not None:
            if case.config:
                config.write_text(case.config)
            else:
                config.unlink()
            return
        urls = urls or [_url(case.proxy_host, self._real.port)]
        upstreams = {f"p{i}": {"url": url, **UPSTREAM, **case.upstream} for i, url in enumerate(urls)}
        if not case.proxies:  # the real server does what real servers do
            upstreams["p0"] |= {"discover": "background", "connect_timeout": 5, "handshake_timeout": 5}
        # One case's proxies are not the next one's, though they may have the same address.
        rules = {"upstreams": upstreams, "default": list(upstreams), "learnt_by": "process"}
        config.write_text(json.dumps(rules | case.rules))

    def _shimmed_environment(self, case: Case, config: Path, log: Path) -> dict:
        rules = {} if case.config == "" else {"SOCKSIFY_CONFIG": str(config)}
        preload = ":".join(case.preloaded).format(lib=self.library, victims=self.victims)
        logging = {"SOCKSIFY_LOG": "info", "SOCKSIFY_LOG_FILE": str(log)} if case.logs else {}
        return {"LD_PRELOAD": preload, **rules, **logging, **case.environment}

    def _start(self, argv: list[str], seconds: float, environment: dict) -> Finished:
        """Runs a victim to its end, or for so long, and ends what it leaves behind."""
        process = subprocess.Popen(
            argv,
            env=ENVIRONMENT | environment,
            cwd=HOME,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=seconds)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            status = None
        else:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # children that outlived it
            except ProcessLookupError:
                pass
        return Finished(status, out, err)


def _is_pending(case: Case | Check) -> bool:
    return isinstance(case, Case) and bool(case.pending)


def _url(host: str, port: int, script: Script | None = None) -> str:
    if host.startswith("/"):
        return f"socks5://localhost{host}"
    bracketed = f"[{host}]" if ":" in host else host
    credentials = f"{script.as_user}@" if script and script.as_user else ""
    return f"socks5://{credentials}{bracketed}:{port}"


def _complaints_of_end(end: Finished, case: Case) -> list[str]:
    complaints = []
    if end.status is None:
        complaints.append(f"ran out of time after {case.seconds:g} s")
    elif end.status != 0:
        name = f" ({signal.Signals(-end.status).name})" if end.status < 0 else ""
        complaints.append(f"status {end.status}{name}")
    lines = end.stderr.splitlines()
    if len(lines) != len(case.stderr) or not all(map(re.search, case.stderr, lines)):
        complaints += [f"on stderr: {line!r}" for line in lines] or ["nothing on stderr"]
    return complaints


def _complaints_of_log(log: list[str], case: Case) -> list[str]:
    complaints = []
    for wanted in case.logs:
        times = sum(wanted.text in line for line in log)
        if times != wanted.times if wanted.times is not None else times == 0:
            expected = "once at least" if wanted.times is None else f"{wanted.times} ×"
            complaints.append(f"its log says {times} ×, expected {expected}: {wanted.text!r}")
    return [*complaints, *log] if complaints else []


def _of_leaks(leaks: list[str]) -> list[str]:
    return [f"leaked {number} × {leak}" for leak, number in Counter(leaks).items()]


def _lines(lines: list[str]) -> str:
    return "".join(line + "\n" for line in lines)


def _diff(expected: str, got: str, of: str, to: str) -> str:
    return "\n".join(difflib.unified_diff(expected.splitlines(), got.splitlines(), of, to, n=1, lineterm=""))
