"""The SOCKS servers on the machine `proxy`, as a table: how each is started, and what each can and cannot do.

One runs at a time, on port 1080 of the address that `prog` can reach.
"""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable
from urllib.parse import quote

from destinations import SSH_CONFIG
from lab import FAR, PROXY, SOCKS_PORT, Lab
from machine import ROOT, SOMEBODY, Account, Daemon, Daemons
from world import STATE

USER, PASSWORD = "socksuser", "p@ss:w%rd/"  # what a URL can hold only in escaped form


LIBRARY_LOG = STATE / "library.log"  # of the programs that connect to a server which has `fast` ways


@dataclass(frozen=True)
class FastWay:
    """Of a connect. A program cannot tell whether it was taken."""

    name: str
    times: Callable[[Lab], int]  # that it has been taken
    by_each: bool = False  # program, as its first connect can take it


def logged(text: str) -> Callable[[Lab], int]:
    """As the library says, in lines with `text`."""
    return lambda lab: LIBRARY_LOG.read_text(errors="replace").count(text)


def syns_with_data(lab: Lab) -> int:
    """As the kernel of `prog` has counted: those whose data has been acknowledged."""
    names, numbers = lab.prog.shell("grep ^TcpExt: /proc/net/netstat").splitlines()
    return int(dict(zip(names.split(), numbers.split()))["TCPFastOpenActive"])


OPTIMISTIC = FastWay("a connect that does not wait for the proxy", logged("which has not answered yet"), by_each=True)
HELD = FastWay("a connection that the proxy holds", logged("takes a connection that is held"))
TOKEN = FastWay("a token in place of the password", logged("has let us in by a token"))
FAST_OPEN = FastWay("data with the SYN", syns_with_data, by_each=True)


@dataclass(frozen=True)
class SocksServer:
    name: str
    start: Callable[["SocksServer", Lab, Path], list[Daemon]]  # writes the configuration; the daemons, in order
    programs: tuple[str, ...] = ()  # without them the server is skipped
    needs: str = ""  # servers on `far`
    password: bool = False
    family: int = 4  # of the address on which it listens
    tells: str = ""  # the failures that its replies tell apart (WIRE.md d.10)
    lacks: str = ""  # of Client.features; clients that need them are left out
    everything: bool = False  # meets every client by default, not only the representative ones
    meets: str = ""  # of Client.features; by default it meets the clients that need one of them, too
    settings: dict = field(default_factory=dict)  # of the relay: what its configuration says besides
    upstream: dict = field(default_factory=dict)  # what the rules say of it besides the URL
    rule: dict = field(default_factory=dict)  # what the rule that leads there says besides
    fast: tuple[FastWay, ...] = ()  # ways that it is there to show
    client: Account = ROOT  # who runs the programs

    @property
    def address(self) -> str:
        return PROXY.v4 if self.family == 4 else PROXY.v6

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if self.family == 6 else self.address
        credentials = f"{USER}:{quote(PASSWORD, safe='')}@" if self.password else ""
        return f"socks5://{credentials}{host}:{SOCKS_PORT}"

    def daemons(self, lab: Lab, build: Path) -> Daemons:
        # Another server takes this one's address: what was learnt of that one says nothing of this one.
        for learnt in Path("/dev/shm").glob("socksify-*/socksify-proxies"):
            learnt.unlink()
        LIBRARY_LOG.write_text("")
        LIBRARY_LOG.chmod(0o666)  # some programs become somebody else
        return Daemons(self.start(self, lab, build))

    def daemon(self, lab: Lab, argv: list[str]) -> Daemon:
        return Daemon(lab.proxy, self.name, argv, (self.address, SOCKS_PORT))


def relay(server: SocksServer, lab: Lab, build: Path) -> list[Daemon]:
    host = f"[{server.address}]" if server.family == 6 else server.address
    settings: dict = {"listen": f"{host}:{SOCKS_PORT}", **server.settings}
    if server.password:
        settings["auth"] = {"methods": "password", "users": {USER: _hashed_password()}}
    else:
        settings["insecure_open"] = True  # it is not on loopback, and asks nobody who he is
    config = STATE / f"{server.name}.json"
    config.write_text(json.dumps(settings))
    if settings.get("features", {}).get("fast_open"):
        lab.proxy.shell("echo 3 >/proc/sys/net/ipv4/tcp_fastopen")
    program = str(build / "src" / "relay" / "socksify-relay")
    lab.proxy.shell(f"{program} --check {config}")
    return [server.daemon(lab, [program, "--config", str(config)])]


def _hashed_password() -> str:
    """PASSWORD as crypt(5) has it."""
    argv = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(argv, input=PASSWORD, capture_output=True, text=True, check=True).stdout.strip()


def danted(server: SocksServer, lab: Lab, build: Path) -> list[Daemon]:
    if server.password:  # danted knows no users but those of the system
        lab.proxy.add_user(Account(USER, 60002, 65534, STATE), _hashed_password())
    config = STATE / f"{server.name}.conf"
    config.write_text(
        # user.privileged: the method `username` reads /etc/shadow.
        f"""
        logoutput: stderr
        internal: {server.address} port = {SOCKS_PORT}
        external: far0
        user.privileged: root
        user.unprivileged: nobody
        clientmethod: none
        socksmethod: {"username" if server.password else "none"}
        client pass {{ from: 0/0 to: 0/0 }}
        socks pass {{ from: 0/0 to: 0/0 protocol: tcp udp }}
        socks pass {{ from: 0/0 to: 0/0 command: bindreply udpreply }}
        """
    )
    return [server.daemon(lab, ["danted", "-f", str(config), "-p", str(STATE / "danted.pid")])]


def microsocks(server: SocksServer, lab: Lab, build: Path) -> list[Daemon]:
    password = ["-u", USER, "-P", PASSWORD] if server.password else []
    return [server.daemon(lab, ["microsocks", "-i", server.address, "-p", str(SOCKS_PORT), *password])]


def openssh(server: SocksServer, lab: Lab, build: Path) -> list[Daemon]:
    listen = f"{server.address}:{SOCKS_PORT}"
    options = ["-F", str(SSH_CONFIG), "-o", "ExitOnForwardFailure=yes"]
    return [server.daemon(lab, ["ssh", *options, "-N", "-D", listen, FAR.v4])]


def shadowsocks(server: SocksServer, lab: Lab, build: Path) -> list[Daemon]:
    both = ["-u", "-m", "chacha20-ietf-poly1305", "-k", "lab", "-s", FAR.v4, "-p", "8388"]
    return [
        Daemon(lab.far, "ss-server", ["ss-server", *both], (FAR.v4, 8388)),
        server.daemon(lab, ["ss-local", *both, "-b", server.address, "-l", str(SOCKS_PORT)]),
    ]


_ALL = "refused unreachable"

# fmt: off
SERVERS = [
    SocksServer("relay", relay, tells=_ALL, everything=True, settings={"features": {"bind": True, "listen": True}}),
    SocksServer("relay-bind", relay, tells=_ALL, meets="bind", lacks="both-families", settings={"features": {"bind": True}}),
    SocksServer("relay-listen", relay, tells=_ALL, meets="bind", settings={"features": {"listen": True}}),
    SocksServer("relay-password", relay, tells=_ALL, password=True, lacks="bind"),
    # Where the relay has no IPv4 address, a datagram of an IPv4 socket cannot get there.
    SocksServer("relay-ipv6", relay, tells=_ALL, family=6, lacks="bind datagrams"),
    SocksServer("relay-by-user", relay, tells=_ALL, password=True, client=SOMEBODY, lacks="bind capabilities"),
    # The relay as a lesser server
    SocksServer("relay-featureless", relay, tells=_ALL, settings={"features": {"list_features": False}}, lacks="bind"),
    SocksServer("relay-silent", relay, tells=_ALL, settings={"test_behaviour": {"list_features": "silence"}}, lacks="bind"),
    SocksServer("relay-fast-open", relay, tells=_ALL, lacks="bind", settings={"features": {"fast_open": True}},
                fast=(FAST_OPEN,)),
    SocksServer("relay-fast-open-password", relay, tells=_ALL, password=True, lacks="bind",
                settings={"features": {"fast_open": True}}, fast=(FAST_OPEN,)),
    SocksServer("relay-held", relay, tells=_ALL, lacks="bind", upstream={"hold": 4}, fast=(HELD,)),
    SocksServer("relay-held-password", relay, tells=_ALL, password=True, lacks="bind", upstream={"hold": 4},
                fast=(HELD,)),
    SocksServer("relay-sessions", relay, tells=_ALL, password=True, lacks="bind", settings={"features": {"sessions": True}},
                fast=(TOKEN,)),
    # What fails does so at the first read or write.
    SocksServer("relay-optimistic", relay, lacks="bind refusal readiness", rule={"optimistic": True}, fast=(OPTIMISTIC,)),
    SocksServer("relay-optimistic-fast-open", relay, lacks="bind refusal readiness", rule={"optimistic": True},
                settings={"features": {"fast_open": True}}, fast=(OPTIMISTIC, FAST_OPEN)),
    SocksServer("relay-nameless", relay, tells=_ALL, lacks="bind names", settings={"features": {"names": False}}),
    SocksServer("relay-ipv4-only", relay, tells=_ALL, lacks="bind ipv6", settings={"features": {"ipv6": False}}),
    # What people run
    # It hears a destination from that port alone that was sent to.
    SocksServer("danted", danted, ("danted",), tells=_ALL, everything=True, lacks="other-ports again both-families"),
    SocksServer("danted-password", danted, ("danted",), tells=_ALL, password=True,
                lacks="other-ports again both-families"),
    SocksServer("microsocks", microsocks, ("microsocks",), tells=_ALL, lacks="half-close datagrams bind"),
    SocksServer("microsocks-password", microsocks, ("microsocks",), tells=_ALL, lacks="half-close datagrams bind",
                password=True),
    SocksServer("ssh-D", openssh, ("ssh",), needs="ssh", lacks="datagrams bind"),
    SocksServer("shadowsocks", shadowsocks, ("ss-local", "ss-server"), lacks="half-close refusal bind"),
]
# fmt: on
