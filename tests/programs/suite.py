"""Runs cases: a client through a SOCKS server, in the lab. One line per case; the output of one that failed follows."""

import os
import re
import shlex
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Callable

from clients import BUILT, CASE, SCRIPTS, Client, fails
from destinations import Far
from lab import FAR, PROG, PROXY, Lab
from leaks import Leaks
from machine import ROOT, Account, Finished, LabError
from servers import FastWay, SocksServer

SHOWN_LINES = 40


class Tally:
    """Prints each case's outcome and counts it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._begun = time.monotonic()

    def passed(self, name: str) -> None:
        self._report("passed", f"ok   {name}")

    def failed(self, name: str, why: str, output: str = "") -> None:
        self._report("failed", f"FAIL {name}: {why}")
        for line in output.rstrip().splitlines()[-SHOWN_LINES:]:
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
        print("programs:", ", ".join(counts), flush=True)
        return 1 if self._counts["failed"] else 0


class Suite:
    """`wrapper(server, build)` gives the words that are put before a client's command."""

    def __init__(self, build: Path, wrapper: Callable[[SocksServer, Path], list[str]]):
        self.build = build
        self.wrapper = wrapper
        self.tally = Tally()
        self.lab = Lab()
        self.far = Far(self.lab)
        self._bare_ends: dict[str, Finished] = {}
        self._made: set[str] = set()

    # The lab's own checks: a gauge that shows nothing has to be seen showing something. ------------------------------

    def check_gauge(self) -> None:
        name = "web.far.test"
        curl = ["curl", "-q", "-s", "--max-time", "1"]
        datagram = ["/usr/bin/python3", str(SCRIPTS / "send_datagram.py")]
        for what, argv, expected in (
            ("a name looked up bare", ["timeout", "2", "getent", "hosts", name], f"DNS query for {name}"),
            ("a bare connect over IPv4", [*curl, f"http://{FAR.v4}/"], f"TCP to {FAR.v4} port 80"),
            ("a bare connect over IPv6", [*curl, f"http://[{FAR.v6}]/"], f"TCP to {FAR.v6} port 80"),
            (
                "a connect to another port of the proxy",
                [*curl, f"http://{PROXY.v4}/"],
                f"TCP to {PROXY.v4} port 80",
            ),
            ("a bare datagram", [*datagram, FAR.v4, "9"], f"UDP to {FAR.v4} port 9"),
            ("a datagram to the proxy", [*datagram, PROXY.v6, "53"], f"UDP to {PROXY.v6} port 53"),
            ("a bare ping", ["ping", "-c1", "-W1", FAR.v4], f"ICMP to {FAR.v4}"),
        ):
            end, leaks = self._run(argv)
            if leaks and expected in str(leaks):
                self.tally.passed(f"gauge / counts {what}")
            else:
                self.tally.failed(f"gauge / counts {what}", f"{leaks}; expected: {expected}", end.output)

    # One server. -----------------------------------------------------------------------------------------------------

    def with_server(self, server: SocksServer, clients: list[Client]) -> None:
        lacking = next((program for program in server.programs if not shutil.which(program)), None)
        if lacking:
            return self._skip_all(server, clients, f"{lacking} is not installed")
        if not server.client.may_read(self.build):
            return self._skip_all(server, clients, f"ordinary users cannot read {self.build}")
        try:
            self.far.require(*server.needs.split())
            daemons = server.daemons(self.lab, self.build)
            with daemons:
                self._with_running(server, clients, daemons.tail)
        except (LabError, OSError, subprocess.CalledProcessError) as error:
            self.tally.failed(f"{server.name} / starts", "it doesn't", str(error))
            self._skip_all(server, clients, "the server does not run")

    def _with_running(self, server: SocksServer, clients: list[Client], log: Callable[[], str]) -> None:
        name = f"{server.name} / serves a client that speaks SOCKS itself"
        if complaint := self._serves(server):
            self.tally.failed(name, complaint, log())
            return self._skip_all(server, clients, "the server does not serve")
        self.tally.passed(name)
        self._check_fast_ways(server)
        for client in clients:
            self.case(server, client)

    def _serves(self, server: SocksServer) -> str | None:
        """What is wrong with the server, as curl's own SOCKS client sees it: then the wrapper isn't to blame."""
        self.far.require("web")
        proxy = server.url.replace("socks5:", "socks5h:")
        host = FAR.v4 if "names" in server.lacks.split() else "web.far.test"
        end, leaks = self._run(["curl", "-q", "-sS", "-m", "10", "--proxy", proxy, f"http://{host}/hello"])
        if end.status != 0:
            return end.output.strip()
        return str(leaks) if leaks else None

    def _check_fast_ways(self, server: SocksServer) -> None:
        """Many connects in a row take each of them. What that needs (the list, a cookie) is there from then on."""
        if not server.fast:
            return
        begun = self._times_taken(server)
        in_a_row = ["curl", "-q", "-sS", "-H", "Connection: close", f"http://{FAR.v4}/hello?[1-30]"]
        for _ in range(5):
            end, leaks = self._run([*self.wrapper(server, self.build), *in_a_row])
            lacking = self._not_taken(server, begun)
            if not lacking or leaks:
                break
        for way in server.fast:
            name = f"{server.name} / {way.name}, by 30 connects in a row"
            if leaks or way in lacking:
                self.tally.failed(name, str(leaks) if leaks else "none", end.output)
            else:
                self.tally.passed(name)

    def _times_taken(self, server: SocksServer) -> list[int]:
        return [way.times(self.lab) for way in server.fast]

    def _not_taken(self, server: SocksServer, begun: list[int]) -> list[FastWay]:
        return [way for way, before in zip(server.fast, begun) if way.times(self.lab) == before]

    def _skip_all(self, server: SocksServer, clients: list[Client], why: str) -> None:
        for client in clients:
            self.tally.skipped(f"{server.name} / {client.name}", why)

    # One case. -------------------------------------------------------------------------------------------------------

    def case(self, server: SocksServer, client: Client) -> None:
        name = f"{server.name} / {client.name}"
        if lacking := next((program for program in client.programs if not shutil.which(program)), None):
            return self.tally.skipped(name, f"{lacking} is not installed")
        try:
            self.far.require(*client.needs.split())
            self._make(client)
        except (LabError, OSError, subprocess.CalledProcessError) as error:
            return self.tally.failed(name, "what it needs does not come up", str(error))
        end, leaks, complaint = self._try(server, client)
        if complaint and not leaks and end.status is not None and end.status >= 0:
            # Clients and servers have races of their own. A second failure counts; a leak or a crash does at once.
            print(f"     | {name}, at the first try: {complaint}", flush=True)
            end, leaks, complaint = self._try(server, client)
        complaints = [str(leaks)] * bool(leaks) + [complaint] * bool(complaint)
        if complaints:
            self.tally.failed(name, "; ".join(complaints), end.output)
        else:
            self.tally.passed(name)

    def _try(self, server: SocksServer, client: Client) -> tuple[Finished, Leaks, str | None]:
        begun = self._times_taken(server)
        end, leaks = self._run([*self.wrapper(server, self.build), *client.argv], client, server.client)
        not_taken = [way.name for way in self._not_taken(server, begun) if way.by_each and client.connects]
        return end, leaks, self._judge(server, client, end) or ", ".join(f"no {name}" for name in not_taken)

    def _make(self, client: Client) -> None:
        if client.made_by and client.made_by not in self._made:
            BUILT.mkdir(exist_ok=True)
            done = subprocess.run(shlex.split(client.made_by), capture_output=True, text=True)
            if done.returncode != 0:
                raise LabError(f"{client.made_by}\n{done.stdout}{done.stderr}")
            self._made.add(client.made_by)

    def _judge(self, server: SocksServer, client: Client, end: Finished) -> str | None:
        if end.status is None:
            return f"ran out of time after {client.timeout:g} s"
        if not client.as_bare:
            return client.check(end)
        if not set(client.as_bare.split()).issubset(server.tells.split()):
            return fails(end)
        bare = self._bare_end(client)
        if (end.status, _words(end)) != (bare.status, _words(bare)):
            return f"not as bare, which ends with {bare.status} and says {_words(bare)!r}"
        return client.check(end)

    def _bare_end(self, client: Client) -> Finished:
        """How the client ends without a wrapper, on the machine that can reach what `prog` cannot."""
        if client.name not in self._bare_ends:
            self._bare_ends[client.name] = self.lab.proxy.run(client.argv, timeout=client.timeout)
        return self._bare_ends[client.name]

    def _run(self, argv: list[str], client: Client | None = None, user: Account = ROOT) -> tuple[Finished, Leaks]:
        """Runs a command on `prog`, in an empty directory, and kills what it leaves behind."""
        shutil.rmtree(CASE, ignore_errors=True)
        CASE.mkdir()
        os.chown(CASE, user.uid, user.gid)
        self.lab.leaks.take()
        if client and client.visited_by:
            end = self._run_visited(argv, client, user)
        elif client:
            end = self.lab.prog.run(argv, CASE, client.environment, user, client.stdin, client.timeout)
        else:
            end = self.lab.prog.run(argv, CASE)
        self.lab.prog.kill_all()
        return end, self.lab.leaks.take()

    def _run_visited(self, argv: list[str], client: Client, user: Account) -> Finished:
        """Runs a server on `prog`, and on `far` those who visit it. What they say counts, if it outlives them.

        Then the proxy's machine knocks at the program's own address, where nobody may be at home: any answer, be it that
        it is closed, leaves by the leak gauge.
        """
        log = CASE / "server.log"
        with log.open("wb") as out:
            server = self.lab.prog.start(argv, CASE, client.environment, user, stdout=out, stderr=out)
        end = self.lab.far.run(shlex.split(client.visited_by), timeout=client.timeout)
        # Less than a second: a second SYN would meet the server as it is killed, whose kernel then answers with RST.
        knock = ["nc.openbsd", "-z", PROG.v4, str(client.listens_at)]
        self.lab.proxy.run(["timeout", "0.5", *knock])
        died = server.poll()
        self.lab.prog.kill_all()
        server.wait()
        if died is not None:
            end.status = 1
            end.stderr += f"the server has ended with status {died}\n"
        end.stderr += log.read_text(errors="replace")
        return end


def _words(end: Finished) -> str:
    """What a command said, without how long it took."""
    return re.sub(r"after \d+ ms", "after N ms", end.output)
