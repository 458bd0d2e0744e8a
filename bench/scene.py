"""Where it is measured: machines (tests/programs/machine.py) in a private world, and the programs on them.

    local ── here   a pair of interfaces, no delay: the proxy is 10.64.2.1 on `here`, and so is the destination
    near ── far   a cable of a given length (delay.py): the proxy is 10.64.1.1 on `far`, and so is the destination

The client runs on one processor and the server on the other, where there are two. The destination has an address that no client's
own machine has: Dante's client goes to those directly.
"""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

from delay import DelayedLink
from lab import veth
from machine import LabError, Machine
from peers import Peer, Peers, Proxy
from world import STATE, die_with_parent

LOCAL, LOCAL_PROXY, LINK_NEAR, LINK_PROXY = "10.64.2.2", "10.64.2.1", "10.64.1.2", "10.64.1.1"
DESTINATION = "203.0.113.80"
ECHO, DISCARD, CHARGEN = 7, 9, 19
CLIENT_CPU, SERVER_CPU = 0, min(1, (os.cpu_count() or 1) - 1)


class Failed(Exception):
    """A client did not do what it was asked: the last line says why."""


class Scene:
    def __init__(self, build: Path, peers: Path, quick: bool):
        self.build, self.quick = build, quick
        STATE.joinpath("bench").mkdir()
        for folder in ("home", "runtime"):
            STATE.joinpath("bench", folder).mkdir(mode=0o700)
        self.peers = Peers(build, peers, STATE / "bench")
        self.local, self.here = Machine("local"), Machine("here")
        veth("socks0")(self.local, self.here)
        _join(self.local, LOCAL, self.here, LOCAL_PROXY)
        self.local_proxy = Proxy(LOCAL_PROXY)
        self.link_proxy = Proxy(LINK_PROXY)

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        home = STATE / "bench"
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home / "home"),
            "XDG_RUNTIME_DIR": str(home / "runtime"),
            "LC_ALL": "C.UTF-8",
            **more,
        }

    # Programs. -------------------------------------------------------------------------------------------------------

    def run(
        self,
        machine: Machine,
        argv: list[str],
        environment: dict[str, str],
        cpu: int | None = CLIENT_CPU,
        timeout: float = 60,
    ) -> tuple[str, str]:
        """Its standard output and error. The environment is put on last: what has a library in it is `argv` alone."""
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        pairs = [f"{key}={value}" for key, value in self.environment(environment).items()]
        command = [*pin, "env", "-i", *pairs, *argv]
        command = machine.on(command)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise Failed(f"no end within {timeout:g} s") from None
        if done.returncode != 0:
            raise Failed(done.stderr.strip() or f"status {done.returncode}")
        return done.stdout, done.stderr

    def client(
        self,
        mode: str,
        *arguments: object,
        peer: Peer | None = None,
        environment: dict[str, str] | None = None,
        machine: Machine | None = None,
        proxy: Proxy | None = None,
        to: tuple[str, int] = (DESTINATION, ECHO),
        cpu: int | None = CLIENT_CPU,
        timeout: float = 60,
    ) -> list[dict]:
        """bench-client under a peer, or with an environment of the caller's: what it printed, line by line."""
        if environment is None:
            environment = peer.environment(proxy or self.local_proxy) if peer else {}
        argv = [str(self.build / "bench/bench-client"), mode, to[0], str(to[1]), *map(str, arguments)]
        out, _ = self.run(machine or self.local, argv, environment, cpu, timeout)
        return [json.loads(line) for line in out.splitlines()]

    @contextlib.contextmanager
    def server(self, machine: Machine | None = None, address: str = "0.0.0.0", *, password: bool = False):
        """bench-server, for as long as the block takes."""
        argv = [str(self.build / "bench/bench-server"), address, *(["password"] if password else [])]
        with self.daemon(machine or self.here, argv) as process:
            if process.stdout.readline() != b"ready\n":
                raise LabError("bench-server does not start")
            yield

    @contextlib.contextmanager
    def daemon(self, machine: Machine, argv: list[str], listens: int | None = None, cpu: int | None = SERVER_CPU):
        """A server, for as long as the block takes; if `listens` is given, it is waited for on that TCP port."""
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        pairs = [f"{key}={value}" for key, value in self.environment({}).items()]
        log = (STATE / "bench" / "server.log").open("ab")
        process = subprocess.Popen(
            machine.on([*pin, "env", "-i", *pairs, *argv]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if listens is None else log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
        try:
            deadline = time.monotonic() + 10
            while listens and f":{listens} " not in machine.shell("ss -Hltn"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise LabError(f"{argv[0]} does not listen on port {listens}")
                time.sleep(0.02)
            yield process
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def link(self, round_trip: float):
        """`near` and `far`, `round_trip` milliseconds apart: yields (near, far, link)."""
        name = f"{len(os.listdir(STATE))}"
        near, far = Machine(f"near{name}"), Machine(f"far{name}")
        link = DelayedLink(round_trip, self.build / "bench" / "delay_link")
        link(near, far)
        _join(near, LINK_NEAR, far, LINK_PROXY)
        try:
            yield near, far, link
        finally:
            link.end()
            for machine in (near, far):
                machine.end()


def _join(client: Machine, its: str, server: Machine, proxy: str) -> None:
    """Gives their interfaces socks0 addresses, and puts the destination behind the proxy's."""
    client.shell(
        f"ip address add {its}/24 dev socks0; ip link set socks0 up"
    )
    server.shell(
        f"ip address add {proxy}/24 dev socks0; ip link set socks0 up; ip address add {DESTINATION}/32 dev lo"
    )
    client.shell(f"ip route add {DESTINATION} via {proxy}")
    for machine in (client, server):
        _tune(machine)


def _tune(machine: Machine) -> None:
    # Thousands of connections, one after the other: no TIME_WAIT, and ports enough. TCP Fast Open where it is asked for.
    # Not BBR, where that is this machine's default: it paces, and waits where there is nothing to wait for.
    machine.shell(
        "echo reno >/proc/sys/net/ipv4/tcp_congestion_control;"
        "echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets; echo 1024 65000 >/proc/sys/net/ipv4/ip_local_port_range;"
        "echo 3 >/proc/sys/net/ipv4/tcp_fastopen; echo 4096 >/proc/sys/net/core/somaxconn"
    )
