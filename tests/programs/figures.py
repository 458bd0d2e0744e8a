#!/usr/bin/python3 -B
"""Figures, not thresholds: what a connect costs in round trips, a non-blocking connect in time, an exec in time.

    tests/programs/figures.py --build build [--round-trip MS] [--server relay] [--wrapper proxychains4]

The first table is measured over a link of known length (delay.py). `trips` is the time to the first octet of the answer
divided by the length; `exchanges` is counted, not timed: how often something went up and something came back before that
octet, the TCP handshake and the echo itself included. A direct connection has 2 of both. 4+3 means two connections, at
the same time (discovery in the background) or one after the other (another attempt): only the time tells which.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import world
from clients import SCRIPTS
from delay import DelayedLink, Segment
from destinations import ECHO_PORT, HERE, Far
from lab import PROXY, SOCKS_PORT, Lab, check_tools
from machine import ROOT, Daemon, Daemons, LabError
from servers import SERVERS, SocksServer
from world import STATE
from wrappers import WRAPPERS

ECHO = "echo.far.test"
PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Way:
    """A way to connect: a server, and how it is asked for its features."""

    name: str
    server: str  # what is put behind the name of --server: "" or "-password"
    discover: str


WAYS = [
    Way("no auth, discovery off", "", "off"),
    Way("password, discovery off", "-password", "off"),
    Way("no auth, background discovery", "", "background"),
    Way("password, background discovery", "-password", "background"),
    Way("no auth, inline discovery", "", "inline"),
    Way("password, inline discovery", "-password", "inline"),
]


@dataclass(frozen=True)
class Cost:
    connect: float  # milliseconds
    first_byte: float  # milliseconds
    exchanges: str  # one number per connection that was under way, joined by +
    up: int  # segments
    down: int


class Figures:
    def __init__(self, options: argparse.Namespace):
        self.build = options.build.resolve()
        self.wrapper = options.wrapper
        self.server = options.server
        self.link = DelayedLink(options.round_trip, self.build / "tests" / "support" / "delay_link")
        self.lab = Lab(self.link)
        self.far = Far(self.lab)
        self.far.require("echo")

    # Round trips. ----------------------------------------------------------------------------------------------------

    def round_trips(self) -> None:
        print(f"Connects over a link of {self.link.round_trip:g} ms, to {self.server} (median of those of a kind)\n")
        print(f"{'':42}{'connect':>10}{'first byte':>12}{'trips':>8}{'exchanges':>11}{'segments':>10}")
        with self._bare_server():
            direct = self._connects([], PROXY.v4, SOCKS_PORT, 6)
        length = statistics.median(cost.connect for cost in direct)
        self._row("bare, to the proxy's machine itself", direct, length)
        for way in WAYS:
            if way.discover != "off" and self.wrapper != "socksify":
                continue
            try:
                costs = self._through(way)
            except LabError as error:
                print(f"{way.name:42}{str(error).strip().splitlines()[-1]}")
                continue
            self._row(f"{way.name}: first", costs[:1], length)
            self._row(f"{way.name}: later", costs[1:], length)
            if way.discover == "background":
                costs = self._through_processes(way)
                self._row(f"{way.name}: first process", costs[:1], length)
                self._row(f"{way.name}: later ones", costs[1:], length)
        print(f"\n(length of the link as measured by a bare connect: {length:.1f} ms)\n")

    def _through(self, way: Way) -> list[Cost]:
        server = self._server(self.server + way.server)
        with self._running(server):
            return self._connects(self._prefix(server, way.discover), ECHO, ECHO_PORT, 6)

    def _through_processes(self, way: Way) -> list[Cost]:
        """Each connect in a process of its own, which ends with the first octet."""
        server = self._server(self.server + way.server)
        with self._running(server):
            prefix = self._prefix(server, way.discover)
            return [self._connects(prefix, ECHO, ECHO_PORT, 1, pause=0)[0] for _ in range(5)]

    def _connects(self, prefix: list[str], host: str, port: int, count: int, pause: float | None = None) -> list[Cost]:
        # The pause outlasts a background discovery, which takes a connection of its own.
        if pause is None:
            pause = 8 * self.link.round_trip / 1000
        script = [PYTHON, str(SCRIPTS / "first_byte.py"), host, str(port), str(count), str(pause)]
        end = self.lab.prog.run([*prefix, *script], timeout=60)
        if end.status != 0:
            raise LabError(end.output or "no output")
        return [self._cost(json.loads(line)) for line in end.stdout.splitlines()]

    def _cost(self, times: dict) -> Cost:
        segments = self.link.segments(times["begin"], times["end"])
        up = sum(segment.target_port == SOCKS_PORT for segment in segments)
        return Cost(
            times["connect"], times["first_byte"], "+".join(map(str, exchanges(segments))), up, len(segments) - up
        )

    @staticmethod
    def _row(name: str, costs: list[Cost], length: float) -> None:
        def middle(value):
            return statistics.median(value(cost) for cost in costs)

        first_byte = middle(lambda cost: cost.first_byte)
        print(
            f"{name:42}{middle(lambda cost: cost.connect):7.1f} ms{first_byte:9.1f} ms{first_byte / length:8.2f}"
            f"{statistics.mode(cost.exchanges for cost in costs):>11}"
            f"{middle(lambda cost: cost.up):6g}↑{middle(lambda cost: cost.down):g}↓"
        )

    # A non-blocking connect. -----------------------------------------------------------------------------------------

    def non_blocking_connect(self) -> None:
        print("Time for a non-blocking connect() to return, over the same link (50 connects)\n")
        with self._bare_server():
            self._returns("bare", [], PROXY.v4, SOCKS_PORT)
        server = self._server(self.server)
        with self._running(server):
            self._returns(self.wrapper, self._prefix(server, "off"), ECHO, ECHO_PORT)
        print()

    def _returns(self, name: str, prefix: list[str], host: str, port: int) -> None:
        script = [PYTHON, str(SCRIPTS / "connect_returns.py"), host, str(port), "50"]
        end = self.lab.prog.run([*prefix, *script], timeout=60)
        if end.status != 0:
            print(f"{name:14}{end.output.strip().splitlines()[-1]}")
            return
        times = sorted(map(float, end.stdout.split()))
        print(f"{name:14}median {statistics.median(times):8.1f} µs, best {times[0]:8.1f}, worst {times[-1]:8.1f}")

    # exec. -----------------------------------------------------------------------------------------------------------

    def exec_true(self, pairs: int = 500) -> None:
        """Pairs, because the machine's speed drifts: each preloaded run is compared with the bare one next to it."""
        server = self._server(self.server)
        with self._running(server):
            prefix = self._prefix(server, "off")
            listing = subprocess.run(
                [*prefix, "env", "-0"], env=ROOT.environment, capture_output=True, text=True, check=True
            )
            preloaded = dict(entry.split("=", 1) for entry in listing.stdout.split("\0") if entry)
            both = [(_exec_time(ROOT.environment), _exec_time(preloaded)) for _ in range(pairs)]
            launched = statistics.median(_exec_time(ROOT.environment, (*prefix, "/bin/true")) for _ in range(30))
        bare = statistics.median(pair[0] for pair in both)
        added = statistics.median(pair[1] - pair[0] for pair in both)
        print(f"exec of /bin/true, {pairs} pairs\n")
        print(f"bare          median {bare:8.1f} µs")
        print(f"{self.wrapper:14}median {added:+8.1f} µs ({100 * added / bare:+.1f} %)")
        print(f"with launcher median {launched:8.1f} µs")

    # Servers. --------------------------------------------------------------------------------------------------------

    def _bare_server(self) -> Daemons:
        """An echo server where the SOCKS server would be: the one address that `prog` reaches directly."""
        argv = [PYTHON, str(HERE / "echo.py"), str(SOCKS_PORT)]
        return Daemons([Daemon(self.lab.proxy, "echo-near", argv, (PROXY.v4, SOCKS_PORT))])

    def _server(self, name: str) -> SocksServer:
        for server in SERVERS:
            if server.name == name:
                return server
        raise LabError(f"there is no server {name}")

    def _running(self, server: SocksServer) -> Daemons:
        self.far.require(*server.needs.split())
        return server.daemons(self.lab, self.build)

    def _prefix(self, server: SocksServer, discover: str) -> list[str]:
        if self.wrapper != "socksify":
            return WRAPPERS[self.wrapper](server, self.build)
        rules = STATE / "socksify.json"
        rules.write_text(
            json.dumps({"upstreams": {"lab": {"url": server.url, "discover": discover}}, "default": "lab"})
        )
        return [*WRAPPERS["socksify"](server, self.build)[:1], "-c", str(rules), "--"]


def exchanges(segments: list[Segment]) -> list[int]:
    """Per connection, in the order of their beginnings: how often something went up and something came back."""
    counts: dict[int, int] = {}
    waiting: dict[int, bool] = {}
    for segment in segments:
        if not (segment.payload or segment.syn or segment.fin):
            continue  # a bare acknowledgement answers nothing; a FIN does (WIRE.md d.11)
        up = segment.target_port == SOCKS_PORT
        connection = segment.source_port if up else segment.target_port
        counts[connection] = counts.get(connection, 0) + (waiting.get(connection, False) and not up)
        waiting[connection] = up
    return list(counts.values())


def _exec_time(environment: dict[str, str], argv: tuple[str, ...] = ("/bin/true",)) -> float:
    """Microseconds from posix_spawn to the end of the process."""
    before = time.perf_counter_ns()
    pid = os.posix_spawnp(argv[0], argv, environment)
    _, status = os.waitpid(pid, 0)
    after = time.perf_counter_ns()
    if status:
        raise LabError(f"{argv[0]} failed")
    return (after - before) / 1e3


def run(options: argparse.Namespace) -> int:
    figures = Figures(options)
    try:
        figures.round_trips()
        figures.non_blocking_connect()
        figures.exec_true()
    except LabError as error:
        print(error)
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parents[2]
    parser.add_argument(
        "--build", type=Path, default=root / "build", help="meson build directory (default: %(default)s)"
    )
    parser.add_argument("--round-trip", type=float, default=50, metavar="MS", help="length of the link (default: 50)")
    parser.add_argument("--server", default="relay", help="SOCKS server (default: %(default)s)")
    parser.add_argument("--wrapper", choices=WRAPPERS, default="socksify", help="what is put before a client")
    options = parser.parse_args()
    try:
        world.become_root(sys.orig_argv)
        check_tools()
        return world.run_in_private_world(lambda: run(options))
    except world.NotPossibleHere as reason:
        print(f"no figures: {reason}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
