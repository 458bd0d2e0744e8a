"""`"optimistic": true`: connect() does not wait for the proxy, and the kernel's promises hold all the same.

Most cases run bare as well, and what the program sees must be the same. The proxy announces early data and is known
from the victim's first connections.
"""

from cases_features import BACKGROUND, CONNECT, QUESTION, fdl, lists
from fake_proxy import (
    PASSWORD,
    Deed,
    Stage,
    after_early_data,
    close,
    echo,
    honestly,
    in_turn,
    later,
    on_the_wire,
    rep,
    reset,
    send,
    silence,
)
from suite import Case, Logged

EARLY = ((0x80, 0x00, b"socksify"), (0x80, 0x01, b"\x02"))
FAST_EARLY = (*EARLY, (0x80, 0x03, b""))
EARLY_DATA, AHEAD_ONLY = fdl(plus=EARLY), fdl(plus=((0x80, 0x00, b"socksify"), (0x80, 0x01, b"\x01")))
RULE = {"rules": [{"route": "p0", "optimistic": True}]}


# Of a victim's connects, those after the one from which the list is known.
CONNECTS = {"each_write": 12, "disconnected": 3}
OPTIMISTIC = "which has not answered yet"


def optimistic(hazard: str, victim: str, request: Deed | None = None, list_: bytes = EARLY_DATA, **more) -> Case:
    """`request`: how the third CONNECT is answered. `connects`: so many did not wait for the proxy."""
    connects = more.pop("connects", CONNECTS.get(victim.split()[0], 2))
    script = lists(list_, at={Stage.REQUEST: in_turn(honestly, honestly, request)} if request else {}, **more.pop("script", {}))
    return Case(
        f"optimistic / {hazard}",
        f"optimistic {victim}",
        proxies=(script,),
        upstream=BACKGROUND | more.pop("upstream", {"handshake_timeout": 3}),
        rules=RULE | more.pop("rules", {}),
        logs=(Logged(OPTIMISTIC, connects),),
        **more,
    )


def seen_with_syn(victim: str) -> tuple[str, ...] | None:
    """The first optimistic connect gets the cookie that all later ones show. What of a SYN that is kept has left when the
    program connects to nobody is a matter of time."""
    later_ones = CONNECTS.get(victim, 2) - 1
    return None if victim == "disconnected" else (CONNECT, QUESTION, CONNECT, *["with the SYN: " + CONNECT] * later_ones)


def alike(kind: str, with_syn: bool = False, **more) -> list[Case]:
    """What a program sees is what it sees bare."""
    if with_syn:
        more |= {"list_": fdl(plus=FAST_EARLY), "script": {"fast_open": True}}
    return [
        optimistic(
            f"{kind}: {hazard}", f"{victim} {{echo}}", sees=seen_with_syn(victim) if with_syn else None, **dict(more)
        )
        for hazard, victim in (
            ("the program writes first", "write_first"),
            ("each call that writes", "each_write"),
            ("nothing to read is nothing to read", "quiet"),
            ("without blocking", "without_blocking"),
            ("edge-triggered epoll", "edges"),
            ("closed at once, and what was written gets there", "closed_at_once"),
            ("many octets at once", "many_octets"),
            ("one thread reads, another writes", "two_threads"),
            ("half closed", "half_closed"),
            ("duplicates share the reply", "duplicated"),
            ("a forked child reads no reply", "forked"),
            ("what is executed reads no reply", "executed"),
            ("what is executed and inherits the number reads no reply", "inherited"),
            ("stdio reads no reply", "stdio"),
            ("options are the program's own", "own_options"),
            ("a time limit, and a signal", "impatient"),
            ("connect() to nobody", "disconnected"),
        )
    ]


LATE = later(0.15, honestly)
IPV6_BOUND = b"\x05\x00\x00" + on_the_wire("2001:db8:80::1", 4711)
NAME_BOUND = b"\x05\x00\x00" + on_the_wire("bound.example", 4711)
GREETS = b"hello"

SPEAKS_FIRST = """
    connect = 0
    recv = 5
    'hello'
    echo: the same
"""
POLLED_FIRST = """
    connect = 0
    poll = 1
    recv = 5
    'hello'
    SO_RCVLOWAT = 1, TCP_NODELAY = off
    echo: the same
"""
POLLED_IN_VAIN = POLLED_FIRST.replace(
    "recv = 5\n    'hello'\n    SO_RCVLOWAT", "recv = -1 EAGAIN\n    SO_RCVLOWAT"
)


def refusals() -> list[Case]:
    says = """
        connect = 0
        poll = 1
        recv = -1 {0}
        recv = 0
        send = -1 EPIPE
        SO_ERROR = 0
    """
    found = """
        connect = -1 EINPROGRESS
        poll = 1
        SO_ERROR = {0}
        SO_ERROR = 0
        recv = 0
    """
    written = """
        connect = 0
        send = -1 {0}
        send = -1 EPIPE
        connect = {1}
    """
    cases = []
    for what, deed, error, next_connect in (
        ("general failure", send(rep(1)), "ECONNABORTED", "0"),
        ("not allowed", send(rep(2)), "EACCES", "0"),
        ("network unreachable", send(rep(3)), "ENETUNREACH", "0"),
        ("host unreachable", send(rep(4)), "EHOSTUNREACH", "0"),
        ("refused", send(rep(5)), "ECONNREFUSED", "0"),
        ("refused, with octets behind", send(rep(5) + b"no data of yours"), "ECONNREFUSED", "0"),
        ("closed", close, "ECONNRESET", "-1 ECONNREFUSED"),
        ("reset", reset, "ECONNRESET", "-1 ECONNREFUSED"),
        ("not SOCKS", send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "ECONNRESET", "-1 ECONNABORTED"),
    ):
        cases += [
            optimistic(f"{what}, told by a read", "refused {echo}", deed, says=says.format(error)),
            optimistic(f"{what}, told by SO_ERROR", "refused_later {echo}", deed, says=found.format(error)),
            optimistic(
                f"{what}, told by a write",
                "refused_write {echo}",
                deed,
                says=written.format(error, next_connect),
                connects=3 if next_connect == "0" else 2,
            ),
        ]
    cases.append(
        optimistic(
            "silence, told when the time is over",
            "refused {echo}",
            silence,
            says=says.format("ETIMEDOUT"),
            upstream={"handshake_timeout": 0.6},
        )
    )
    return cases


ORDINARY = """
    connect = -1 ECONNREFUSED
    poll = 1
    recv = -1 ENOTCONN
    recv = -1 ENOTCONN
    send = -1 EPIPE
    SO_ERROR = 0
"""
WITH_PASSWORD = {"methods": (PASSWORD,), "users": {"alice": "secret"}, "as_user": "alice:secret"}
PASSWORD_ALONE = fdl(without=((0x03, 0x00),), plus=EARLY)
AT_ONCE = "connect = 0\nrecv = 4\n'ping'"

ORDINARY_CASES = [
    optimistic(f"not {where}", "refused {echo}", send(rep(5)), list_, says=ORDINARY, connects=0, **more)
    for where, list_, more in (
        ("to a proxy that takes no early data", AHEAD_ONLY, {}),
        ("by a rule that does not say so", EARLY_DATA, {"rules": {"rules": [{"route": "p0"}]}}),
        ("where the rules rule pipelining out", EARLY_DATA, {"upstream": {"pipelining": "off"}}),
        ("where the answer depends on the client's address", fdl(plus=EARLY, scope="client"), {}),
    )
]

CASES = [
    *ORDINARY_CASES,
    optimistic("the octets leave before the answer", "two_threads {echo}", after_early_data, says=AT_ONCE),
    optimistic(
        "the octets leave before the answer, with a password",
        "two_threads {echo}",
        after_early_data,
        PASSWORD_ALONE,
        script=WITH_PASSWORD,
        says=AT_ONCE,
    ),
    optimistic(
        "the octets go with the SYN",
        "write_first {echo}",
        list_=fdl(plus=FAST_EARLY),
        script={"fast_open": True},
        sees=(CONNECT, QUESTION, CONNECT, "with the SYN: " + CONNECT),
    ),
    optimistic(
        "closed before the answer, and all that was written has come",
        "closed_at_once {echo}",
        later(0.15, send(rep(0), silence)),
        sees=(CONNECT, QUESTION, CONNECT, CONNECT + "; and sends b'ping'"),
    ),
    *alike("at once"),
    *alike("a late reply", request=LATE),
    *alike("octet by octet", script={"by_the_octet": True}),
    *alike("with the SYN", with_syn=True),
    optimistic("the destination speaks first", "read_first {echo}", send(rep(0) + GREETS, echo), says=SPEAKS_FIRST),
    optimistic("and is polled first", "poll_first {echo}", send(rep(0) + GREETS, echo), says=POLLED_FIRST),
    optimistic(
        "data in the segment of an IPv6 BND",
        "poll_first {echo}",
        send(IPV6_BOUND + GREETS, echo),
        says=POLLED_FIRST,
    ),
    optimistic(
        "an IPv6 BND alone wakes for nothing, and once",
        "poll_first {echo}",
        later(0.15, send(IPV6_BOUND, echo)),
        says=POLLED_IN_VAIN,
    ),
    optimistic("a BND that is a name", "read_first {echo}", send(NAME_BOUND + GREETS, echo), says=SPEAKS_FIRST),
    *refusals(),
]
