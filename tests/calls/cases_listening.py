"""bind, listen and accept: as the kernel has it, with peers that come through BIND."""

from fake_proxy import Script, Stage, rep, send
from real_proxy import SECOND
from suite import Case

CALLER, CALLER6 = "203.0.113.80:21", "[2001:db8:80::80]:21"
LISTEN = {"SOCKSIFY_LISTEN": "1"}
SCENARIOS = (
    ("blocking", "blocking"),
    ("a peer before accept, a name before listen", "early"),
    ("a peer that has left before accept", "leaves"),
    ("non-blocking, poll and select", "nonblocking"),
    ("edge-triggered epoll", "edges"),
    ("options that a peer inherits", "options"),
    ("four threads", "threads"),
    ("three children", "forked"),
    ("closed, duplicated, shut down while waiting", "closing"),
    ("arguments that make no sense", "arguments"),
)


def refused(name: str, code: int, errno: str) -> Case:
    return Case(
        f"listening / {name}",
        "listening local 4711",
        proxies=(Script(at={Stage.REQUEST: send(rep(code))}),),
        environment=LISTEN,
        says=f"bind = 0\nlisten = -1 {errno}",
        sees=("offers 00; command 02 0.0.0.0:4711",),
    )


CASES = [
    *(Case(f"listening / {name}", f"listening {scenario} {CALLER}") for name, scenario in SCENARIOS),
    *(Case(f"listening / {name}, IPv6", f"listening {scenario} {CALLER6}") for name, scenario in SCENARIOS),
    *(
        Case(f"listening / {name}, danted", f"listening {scenario} {CALLER}", proxies=(SECOND,), needs="danted")
        for name, scenario in SCENARIOS
        if scenario in ("early", "leaves", "options")  # it takes one at a time
    ),
    Case("listening / a port that is asked for, and a local client", "listening local 4711", environment=LISTEN),
    Case("listening / no rule speaks of it", "listening local 4711"),
    Case(
        "listening / a rule keeps it here",
        "listening local 4711",
        rules={"rules": [{"operation": "bind", "port": 4711, "route": "direct"}]},
        environment=LISTEN,
    ),
    Case(
        "listening / a rule forbids it",
        "listening local 4711",
        rules={"rules": [{"operation": "bind", "route": "block"}]},
        says="bind = 0\nlisten = -1 EACCES",
    ),
    refused("the proxy has no BIND", 7, "EOPNOTSUPP"),
    refused("the proxy forbids it", 2, "EACCES"),
    refused("the port is in use at the proxy", 0xA0, "EADDRINUSE"),
    refused("the proxy fails, and a port was asked for", 1, "EADDRINUSE"),
]
