"""bind, listen and accept: as the kernel has it, with peers that come through BIND."""

import asyncio

from fake_proxy import Script, Stage, fdl, in_turn, list_features, on_the_wire, rep, send
from real_proxy import SECOND
from suite import Case

CALLER, CALLER6 = "203.0.113.80:21", "[2001:db8:80::80]:21"
LISTEN = {"SOCKSIFY_LISTEN": "1"}
# By default a case does not ask for features, and a listener without a list is asked for by BIND.
BY_LISTEN = {"discover": "background"}
WAYS = (
    ("BIND", CALLER, {}),
    ("BIND, IPv6", CALLER6, {}),
    ("LISTEN", CALLER, BY_LISTEN),
    ("LISTEN, IPv6", CALLER6, BY_LISTEN),
)
SCENARIOS = (
    ("blocking", "blocking"),
    ("of an ordinary user", "unprivileged"),
    ("a peer before accept, a name before listen", "early"),
    ("a peer that has left before accept", "leaves"),
    ("non-blocking, poll and select", "nonblocking"),
    ("edge-triggered epoll", "edges"),
    ("options that a peer inherits", "options"),
    ("four threads", "threads"),
    ("three children", "forked"),
    ("the process that has called listen() ends", "inherited"),
    ("a peer's connection after exec", "executes"),
    ("beside a peer, at that connection's own address", "beside_a_peer"),
    ("the process becomes another program", "becomes"),
    ("the process becomes another program, and a peer waits", "becomes_with_a_peer"),
    ("other programs have it for a while", "lends"),
    ("another program has it, and its own process closes it", "gives_away"),
    ("another program has it, and its own process ends", "ends"),
    ("close-on-exec", "keeps"),
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


LISTS_LISTEN = fdl(plus=((0x04, 0xA1, b"\x01"), (0x04, 0xA2, b"\x01"), (0x80, 0x00, b"socksify")))
WITHOUT_IPV6 = fdl(without=((0x02, 0x04),), plus=((0x04, 0xA1, b"\x01"), (0x04, 0xA2, b"\x01"), (0x80, 0x00, b"socksify")))
LISTS_BIND = fdl(plus=((0x04, 0x02, b"\x01\x02"),))
LISTS_BOTH = fdl(plus=((0x04, 0x02, b"\x01\x02"), (0x04, 0xA1, b"\x01"), (0x04, 0xA2, b"\x01"), (0x80, 0x00, b"socksify")))
UNASKED = Script(at={Stage.REQUEST: send(rep(2))})
ASKS = "offers 00; features, held, for 0.0.0.0:0; command a1 0.0.0.0:4711 with flag 01"
ASKS_AGAIN = ASKS.replace("features, held, for 0.0.0.0:0; ", "")
NUMBER = bytes((1, 2, 3, 4))
PEER = b"\x01\x00\x0e" + NUMBER + on_the_wire("203.0.113.80", 4242)
GONE = b"\x02\x00\x07" + NUMBER
FIRST_BACKLOG = r"and sends b'\x03\x00\x07\x00\x00\x00\x04'"
BACKLOGS = r"and sends b'\x03\x00\x07\x00\x00\x00\x04\x03\x00\x07\x00\x00\x00\x07'"


def grants(*notes: bytes):
    """LISTEN at the port of the request, and then these notes."""

    async def deed(connection) -> None:
        await connection.send(b"\x05\x00\x01" + on_the_wire(*connection.destination) + b"".join(notes))
        await connection.await_end()

    return deed


def agreed(name: str, scenario: str, deeds: tuple, says: str, sees: tuple[str, ...], features: bytes) -> Case:
    """`deeds`: what the proxy, whose list is `features`, says to one request after the other."""
    return Case(
        f"listening / {name}",
        f"listening {scenario} 4711",
        proxies=(Script(at={Stage.FEATURES: list_features(features), Stage.REQUEST: in_turn(*deeds)}),),
        upstream=BY_LISTEN,
        environment=LISTEN,
        says=f"bind = 0\nlisten = {says}",
        sees=sees,
    )


async def sends_a_peer(connection) -> None:
    await connection.send(b"\x05\x00\x00" + on_the_wire("203.0.113.1", 4711))
    await asyncio.sleep(0.2)
    await connection.send(b"\x05\x00\x00" + on_the_wire("203.0.113.80", 4242))
    await connection.await_end()


async def tells_bind_from_listen(connection) -> None:
    match connection.command:
        case 0x02:
            await connection.send(rep(0xA0))
        case 0xA1:
            await connection.send(rep(2))
        case _:
            await connection.answer_honestly()


def noted(name: str, *deeds, sees: tuple[str, ...]) -> Case:
    """A listener that nobody comes to: what the proxy says to LISTEN, and to what follows."""
    return agreed(name, "patient", deeds, "0\nlisten = 0\naccept = -1 EAGAIN", sees, LISTS_LISTEN)


def listed(name: str, *deeds, errno: str, sees: tuple[str, ...], features: bytes = LISTS_LISTEN) -> Case:
    """There is no listener, and that is why."""
    return agreed(name, "local", deeds, f"-1 {errno}", sees, features)


CASES = [
    *(
        Case(f"listening / {name}, {way}", f"listening {scenario} {caller}", upstream=upstream)
        for way, caller, upstream in WAYS
        for name, scenario in SCENARIOS
    ),
    *(
        Case(f"listening / {name}, danted", f"listening {scenario} {CALLER}", proxies=(SECOND,), needs="danted")
        for name, scenario in SCENARIOS
        if scenario in ("early", "leaves", "options")  # it takes one at a time
    ),
    Case("listening / a port that is asked for, and a local client", "listening local 4711", environment=LISTEN),
    *(
        Case(f"listening / SO_REUSEPORT, {way}", f"listening same_port {CALLER} {port}", upstream=upstream, environment=LISTEN)
        for way, upstream, port in (("BIND", {}, 4713), ("LISTEN", BY_LISTEN, 4714))
    ),
    Case("listening / a thread whose cancellation is pending", "listening cancelled 4711", environment=LISTEN),
    Case(
        "listening / a peer that finds no room when it is closed",
        "listening crowded 4711",
        proxies=(Script(at={Stage.REQUEST: sends_a_peer}),),
        environment=LISTEN,
        says="bind = 0\nlisten = 0\nconnect = 0\nconnect = 0\n0 sockets",
    ),
    # Asked, that proxy would say no.
    Case("listening / no rule speaks of it", "listening local 4711", proxies=(UNASKED,)),
    *(
        Case(f"listening / at {where}, which is this machine's", f"listening at {where}", proxies=(UNASKED,), environment=LISTEN)
        for where in ("127.0.0.1:4711", "127.1.2.3:0", "[::1]:4711", "[::ffff:127.0.0.1]:0")
    ),
    Case(
        "listening / a filter on it is not the program's to remove",
        f"listening filtered {CALLER}",
        says="bind = 0\nlisten = 0\nSO_DETACH_FILTER = -1 EPERM",
    ),
    *(
        Case(
            f"listening / for both families, {name}",
            "listening at [::]:4711",
            proxies=(Script(at={Stage.FEATURES: list_features(features), Stage.REQUEST: send(rep(0xA0))}),),
            upstream=BY_LISTEN,
            environment=LISTEN,
            says="bind = 0\nlisten = -1 EADDRINUSE",
            sees=(f"offers 00; features, held, for 0.0.0.0:0; command {command}",),
        )
        for name, features, command in (
            ("by LISTEN", LISTS_LISTEN, "a1 [::]:4711 with flag 01"),
            ("by LISTEN without IPv6", WITHOUT_IPV6, "a1 0.0.0.0:4711 with flag 01"),
            ("by BIND", LISTS_BIND, "02 0.0.0.0:4711"),
        )
    ),
    Case(
        "listening / for one peer, by BIND where there is LISTEN, too",
        f"listening refused_beside {CALLER}",
        proxies=(Script(at={Stage.FEATURES: list_features(LISTS_BOTH), Stage.REQUEST: tells_bind_from_listen}),),
        upstream=BY_LISTEN,
        says="bind = 0\nlisten = -1 EADDRINUSE",
    ),
    *(
        Case(
            f"listening / {name}",
            "listening local 4711",
            environment={**LISTEN, "SOCKSIFY_LISTENERS": text},
        )
        for name, text in (
            ("told of listeners that are none", "3,1,2,4,5,6,8,192.0.2.1:80,2 192.0.2.1:80 - 0 0 p0;0,0,0;;,;x,-1,99999999999999999999"),
            ("told of listeners, all of it wrong", ";" * 100 + "," * 1000),
        )
    ),
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
    listed("LISTEN, the port is in use at the proxy", send(rep(0xA0)), errno="EADDRINUSE", sees=(ASKS,)),
    listed("LISTEN, the port is not for us", send(rep(0xA1)), errno="EACCES", sees=(ASKS,)),
    listed(
        "LISTEN, another port is given",
        send(b"\x05\0\0" + on_the_wire("203.0.113.1", 4712)),
        errno="EADDRINUSE",
        sees=(ASKS,),
    ),
    listed(
        "the list has neither BIND nor LISTEN",
        errno="EOPNOTSUPP",
        features=fdl(),
        sees=("offers 00; features, held, for 0.0.0.0:0",),
    ),
    listed(
        "the list has LISTEN, and the proxy has not: then by BIND",
        *(send(rep(7)), send(rep(0xA0))),
        errno="EADDRINUSE",
        sees=("offers 00; command 02 0.0.0.0:4711", ASKS),
    ),
    noted("BACKLOG is told with each listen()", grants(), sees=(f"{ASKS}; {BACKLOGS}",)),
    noted("a peer that has gone is not asked for", grants(PEER, GONE), sees=(f"{ASKS}; {BACKLOGS}",)),
    noted(
        "a peer that has gone while it is asked for is no error",
        *(grants(PEER), send(rep(0xA2))),
        sees=("offers 00; command a2 1.2.3.4:0", f"{ASKS}; {BACKLOGS}"),
    ),
    noted(
        "what is no note ends the connection, and LISTEN is asked for again",
        *(grants(b"\x01\x00\x02"), grants(b"\x01\x00\x0e" + NUMBER + b"\x05" + bytes(6)), grants()),
        sees=(
            f"{ASKS_AGAIN}; {FIRST_BACKLOG}",
            f"{ASKS_AGAIN}; {BACKLOGS}",
            f"{ASKS}; {FIRST_BACKLOG}",
        ),
    ),
]
