"""Datagrams through UDP ASSOCIATE: as the kernel has it, but for what stands in a Difference."""

from fake_proxy import Datagrams, Script, Stage, after, by_name, fdl, list_features, on_the_wire, rep, send
from real_proxy import SECOND
from scene import PROXY_V4, PROXY_V6
from suite import Case, Difference


def through_both(name: str, victim: str, **more) -> list[Case]:
    """By way of the real server, and of danted."""
    return [
        Case(f"datagrams / {name}", victim, **more),
        Case(f"datagrams / {name}, danted", victim, proxies=(SECOND,), needs="danted", **more),
    ]


FAMILIES = (("IPv4", "{echo} 4"), ("IPv6", "{echo6} 6"), ("IPv4-mapped", "{mapped} 6"), ("IPv4 on AF_INET6", "{echo} 6"))

BY_IPV6 = [
    Case(f"datagrams / {how}, {family}{blocking}, relay by IPv6", f"udp_calls {how} {destination}{blocking}", proxy_host=PROXY_V6)
    for family, destination in FAMILIES
    if destination.endswith("6")  # an AF_INET socket does not get there
    for how in ("connected", "unconnected")
    for blocking in ("", " nonblocking")
]

CALLS = [
    case
    for family, destination in FAMILIES
    for how in ("connected", "unconnected")
    for blocking in ("", " nonblocking")
    for case in through_both(f"{how}, {family}{blocking}", f"udp_calls {how} {destination}{blocking}")
]


def _too_long(*sizes: int) -> tuple[Difference, ...]:
    return tuple(
        Difference(f"{call} = {size}", f"{call} = -1 EMSGSIZE", "with its header it is longer than a datagram may be")
        for size in sizes
        for call in ("send", "sendto")
    )


_CUTS = "the kernel would cut and join datagrams with no regard for their headers"
SEGMENTS = (
    Difference("UDP_SEGMENT = 0", "UDP_SEGMENT = -1 ENOPROTOOPT", _CUTS),
    Difference("UDP_GRO = 0", "UDP_GRO = -1 ENOPROTOOPT", _CUTS),
    Difference("sendmsg with UDP_SEGMENT = 5", "sendmsg with UDP_SEGMENT = -1 EINVAL", _CUTS),
)

WITHIN_THE_KERNEL = tuple(
    Difference(f"{call} = {result}", f"{call} = -1 EINVAL", "what goes within the kernel has no place for a header")
    for call, result in (
        ("splice to it", "5"),
        ("splice from it", "5"),
        ("syscall splice", "-1 EAGAIN"),
        ("sendfile", "5"),
        ("sendfile64", "5"),
        ("syscall sendfile", "5"),
    )
)

_V6ONLY_EXCHANGE = "sendto = 5\nrecvfrom = 5 'hello' from [2001:db8:80::80]:7, 28 octets\n"
_V6ONLY_UNREACHABLE = "sendto = -1 ENETUNREACH\n"
# A socket that is bound stays one of IPv6 alone.
V6ONLY = (
    f"IPV6_V6ONLY = 0\nnot bound\n{_V6ONLY_EXCHANGE}IPV6_V6ONLY = 0\nnot bound\nconnect = 0\n{_V6ONLY_EXCHANGE}"
    f"IPV6_V6ONLY = 0\nbind = 0\nbound\n{_V6ONLY_UNREACHABLE}"
    f"IPV6_V6ONLY = 0\nbind = 0\nbound\nconnect = 0\n{_V6ONLY_UNREACHABLE}"
)

STRANGER = """
connect = 0
sendto = 5
recvfrom = 5 'hello' from 203.0.113.80:7, 16 octets
recv: the answer
recv = -1 EAGAIN
sendto = 5
recvfrom = 5 'hello' from 203.0.113.80:7, 16 octets
recv: the answer
recv = -1 EAGAIN
"""
# Which of them is meant can't be told from the address.
TOO_MANY_NAMES = "sendto = 5\nrecvfrom = 0\nfrom elsewhere\n"
EXCHANGE = """
sendto = 5
recvfrom = 5 'hello' from 203.0.113.80:7, 16 octets
""".lstrip()
EXCHANGE6 = EXCHANGE.replace("203.0.113.80:7, 16", "[2001:db8:80::80]:7, 28")
ONCE = EXCHANGE + "recv = -1 EAGAIN\n"
NAMED_CONNECTED = """
connect = 0
sendto = 5
recvfrom = 0
from there
peer the same
""".lstrip()
NAMED = "sendto = 5\nrecvfrom = 0\nfrom there\n"
REFUSED_BLOCKING = """
connect = 0
send = -1 EOPNOTSUPP
at once
recv = -1 EAGAIN
send = -1 EOPNOTSUPP
at once
recv = -1 EAGAIN
""".lstrip()
REFUSED_LATER = """
connect = 0
send = 5
at once
recv = -1 EOPNOTSUPP
send = -1 EOPNOTSUPP
at once
recv = -1 EAGAIN
""".lstrip()
REFUSED_BY_RULES_LATER = """
connect = 0
send = 5
at once
recv = -1 EACCES
send = 5
at once
recv = -1 EACCES
""".lstrip()
ENDS = """
connect = 0
sendto = 3
recvfrom = 3 'one' from 203.0.113.80:7, 16 octets
sendto = 3
recvfrom = 3 'two' from 203.0.113.80:7, 16 octets
sendto = -1 ECONNREFUSED
sendto = 4
recvfrom = 4 'four' from 203.0.113.80:7, 16 octets
sendto = 4
recvfrom = 4 'five' from 203.0.113.80:7, 16 octets
"""
def _woken_by_end(*, connects: bool, blocking: bool) -> str:
    peer = "getpeername = 203.0.113.80:7, 16 octets\n" if connects else ""
    exchange = "sendto = 3\nrecvfrom = 3 '{}' from 203.0.113.80:7, 16 octets\n"
    return (
        ("connect = 0\n" if connects else "")
        + exchange.format("one")
        + ("" if blocking else "poll: 1 ERR\n")
        + "recv = -1 ECONNREFUSED\nSO_ERROR = 0\nrecv = -1 EAGAIN\n"
        + peer
        + exchange.format("two")
    )


def _woken_by_refusal(*, connects: bool, asks: bool) -> str:
    peer = "getpeername = 203.0.113.80:7, 16 octets\n" if connects else ""
    told = "SO_ERROR = EACCES\n" if asks else "recv = -1 EACCES\n"
    wakes = "sendto = 5\nepoll_wait = 1\nERR\npoll: 1 ERR\n"
    return ("connect = 0\n" if connects else "") + wakes + told + "SO_ERROR = 0\npoll: OUT\nrecv = -1 EAGAIN\n" + peer


_BOTH = (True, False)
WOKEN_BY_END = "".join(_woken_by_end(connects=connects, blocking=blocking) for connects in _BOTH for blocking in _BOTH)
WOKEN_BY_REFUSAL = "".join(_woken_by_refusal(connects=connects, asks=asks) for connects in _BOTH for asks in _BOTH)
FORKED_EARLY = """
bind = 0
sendto = 5
recvfrom = 5 'hello' from 203.0.113.80:7, 16 octets
close = 0
bind = 0
child 0
"""
DIRECT = {"rules": [{"destination": "203.0.113.81/32", "protocol": "udp", "route": "direct"}]}
ALL_DIRECT = {"rules": [{"protocol": "udp", "route": "direct"}]}
SHORT = (b"", b"\0", b"\0\0\0", b"\0\0\0\1\x7f\0\0\1\0", b"\0\0\0\3\xffabc", b"\0\0\0\x09garbage garbage garbage")
FRAGMENTS = (b"\0\0\1" + on_the_wire("203.0.113.80", 7) + b"part", b"\0\0\x82" + on_the_wire("203.0.113.80", 7) + b"end")


def _to_a(case: str, datagrams: Datagrams, victim: str = "once {echo}", says: str = ONCE, **more) -> Case:
    """By way of a proxy that does as `datagrams` says."""
    return Case(f"datagrams / {case}", f"udp_proxies {victim}", says=says, proxies=(Script(datagrams=datagrams),), **more)


PROXIES = [
    _to_a("one in, one out", Datagrams(), sees=("offers 00; associate 0.0.0.0:0; 1 × to 203.0.113.80:7",)),
    Case(
        "datagrams / by IPv6",
        "udp_proxies once {echo6} {mapped}",
        says=EXCHANGE6 + "recv = -1 EAGAIN\n" + ONCE.replace("203.0.113.80:7, 16", "[::ffff:203.0.113.80]:7, 28"),
        proxies=(Script(host=PROXY_V6),),
        sees=(
            "offers 00; associate [::]:0; 1 × to [2001:db8:80::80]:7",
            "offers 00; associate [::]:0; 1 × to 203.0.113.80:7",
        ),
    ),
    _to_a("BND.ADDR of zeros", Datagrams(bound=("0.0.0.0", 0))),
    _to_a("BND.ADDR of the other family's zeros", Datagrams(bound=("::", 0))),
    _to_a("BND.ADDR of mapped zeros", Datagrams(bound=("::ffff:0.0.0.0", 0))),
    _to_a("BND.ADDR mapped", Datagrams(bound=(f"::ffff:{PROXY_V4}", 0))),
    _to_a(
        "BND.ADDR of another family",
        Datagrams(bound=(PROXY_V6, 0)),
        says="sendto = -1 ENETUNREACH\nrecv = -1 EAGAIN",
    ),
    _to_a("short ones and garbage", Datagrams(answer=after(*SHORT))),
    _to_a("fragments", Datagrams(answer=after(*FRAGMENTS))),
    _to_a("late", Datagrams(wait=0.3)),
    _to_a("stranger", Datagrams(), "stranger {echo}", STRANGER),
    _to_a("names", Datagrams(), "names echo.test:7", (NAMED_CONNECTED + NAMED) * 2),
    _to_a("names, answered by name", Datagrams(answer=by_name("echo.test")), "names echo.test:7", (NAMED_CONNECTED + NAMED) * 2),
    _to_a(
        "connected to one name after another of one address",
        Datagrams(),
        "names echo.test:7 v4.test:7",
        (NAMED_CONNECTED * 2 + NAMED + TOO_MANY_NAMES) * 2,
    ),
    _to_a("the proxy ends", Datagrams(most=2), "ends {echo}", ENDS),
    _to_a("the proxy ends, non-blocking", Datagrams(most=2), "ends {echo} nonblocking", ENDS),
    _to_a("the proxy ends, and nothing is sent", Datagrams(most=1), "woken_by_end {echo}", WOKEN_BY_END),
    _to_a("forked early", Datagrams(wait=0.3), "forked_early {echo}", FORKED_EARLY),
    _to_a("bound again", Datagrams(), "bound_again {echo}", "over"),
    Case(
        "datagrams / the proxy ends, and nothing is sent, IPv6",
        "udp_proxies woken_by_end {echo6}",
        says=WOKEN_BY_END.replace("203.0.113.80:7, 16", "[2001:db8:80::80]:7, 28"),
        proxies=(Script(host=PROXY_V6, datagrams=Datagrams(most=1)),),
    ),
    Case(
        "datagrams / the proxy ends, and nothing is sent, IPv4 on AF_INET6",
        "udp_proxies woken_by_end {mapped}",
        says=WOKEN_BY_END.replace("203.0.113.80:7, 16", "[::ffff:203.0.113.80]:7, 28"),
        proxies=(Script(datagrams=Datagrams(most=1)),),
    ),
    Case(
        "datagrams / refused, and nothing is sent",
        "udp_proxies woken_by_refusal {echo}",
        says=WOKEN_BY_REFUSAL,
        proxies=(Script(at={Stage.REQUEST: send(rep(2))}),),
    ),
    Case(
        "datagrams / refused, and nothing is sent, IPv6",
        "udp_proxies woken_by_refusal {echo6}",
        says=WOKEN_BY_REFUSAL.replace("203.0.113.80:7, 16", "[2001:db8:80::80]:7, 28"),
        proxies=(Script(host=PROXY_V6, at={Stage.REQUEST: send(rep(2))}),),
    ),
    _to_a(
        "some direct",
        Datagrams(),
        "on_one_socket {echo} {other}",
        (EXCHANGE + EXCHANGE.replace(".80:", ".81:")) * 2,
        rules=DIRECT,
        direct=True,
        sees=("offers 00; associate 0.0.0.0:0; 2 × to 203.0.113.80:7",),
    ),
    _to_a(
        "closed early",
        Datagrams(wait=0.2),
        "closed_early {echo}",
        "failures 0\nclose = 0\nrecv = -1 EAGAIN\n" + EXCHANGE,
    ),
    # It is asked once, and remembered.
    Case(
        "datagrams / refused",
        "udp_proxies refused {echo}",
        says=REFUSED_BLOCKING * 2,
        proxies=(Script(at={Stage.REQUEST: send(rep(7))}),),
        sees=("offers 00; associate 0.0.0.0:0",),
    ),
    Case(
        "datagrams / refused, non-blocking",
        "udp_proxies refused {echo} nonblocking",
        says=REFUSED_LATER + REFUSED_BLOCKING,
        proxies=(Script(at={Stage.REQUEST: send(rep(7))}),),
        sees=("offers 00; associate 0.0.0.0:0",),
    ),
    Case(
        "datagrams / refused, but not for good",
        "udp_proxies refused {echo}",
        says=REFUSED_BLOCKING.replace("EOPNOTSUPP", "EACCES") + REFUSED_BY_RULES_LATER,
        proxies=(Script(at={Stage.REQUEST: send(rep(2))}),),
        sees=("offers 00; associate 0.0.0.0:0",) * 4,
    ),
    Case(
        "datagrams / refused, though it is in the list",
        "udp_proxies refused {echo}",
        says=REFUSED_BLOCKING * 2,
        proxies=(Script(at={Stage.FEATURES: list_features(fdl()), Stage.REQUEST: send(rep(7))}),),
        upstream={"discover": "inline"},
        sees=("offers 00; associate 0.0.0.0:0", "offers 00; features, held, for 0.0.0.0:0; associate 0.0.0.0:0"),
    ),
    Case(
        "datagrams / not in the list",
        "udp_proxies refused {echo}",
        says=REFUSED_BLOCKING * 2,
        proxies=(Script(at={Stage.FEATURES: list_features(fdl(without=((0x04, 0x03),)))}),),
        upstream={"discover": "inline"},
        sees=("offers 00; features, held, for 0.0.0.0:0",),
    ),
]

GARBAGE = (Script(datagrams=Datagrams(answer=after(*SHORT[3:5]))),)  # as much as SO_RCVBUF has room for
BATCHES = [
    *through_both("batches", "udp_batches many {echo}"),
    *through_both("batches, IPv6", "udp_batches many {echo6}"),
    Case("datagrams / batches, mapped", "udp_batches many {mapped}"),
    Case("datagrams / batches among garbage", "udp_batches many {echo}", proxies=GARBAGE),
    *through_both("batches to several", "udp_batches mixed {echo} {other}"),
    Case("datagrams / batches to several, some direct", "udp_batches mixed {echo} {other}", rules=DIRECT, direct=True),
    Case("datagrams / batches to several, all direct", "udp_batches mixed {echo} {other}", rules=ALL_DIRECT, direct=True),
    *through_both("batches that wait", "udp_batches waits {echo}"),
    Case("datagrams / batches that wait among garbage", "udp_batches waits {echo}", proxies=GARBAGE),
    *through_both("rooms side by side", "udp_batches rooms {echo}"),
    Case("datagrams / rooms side by side among garbage", "udp_batches rooms {echo}", proxies=GARBAGE),
]

def once_associated(count: int) -> dict:
    """By one association, whoever sends."""
    return {"proxies": (Script(),), "sees": (f"offers 00; associate 0.0.0.0:0; {count} × to 203.0.113.80:7",)}


EXEC = [
    Case("datagrams / exec, connected", "udp_exec replaced {echo} connected", **once_associated(4)),
    Case("datagrams / exec, not connected", "udp_exec replaced {echo} not", **once_associated(4)),
    Case("datagrams / exec, connected only", "udp_exec connected_only {echo}", **once_associated(2)),
    Case("datagrams / exec, in children", "udp_exec children {echo}", **once_associated(10)),
    Case("datagrams / exec, close-on-exec", "udp_exec closed {echo}", **once_associated(3)),
    Case("datagrams / exec, a duplicate with close-on-exec", "udp_exec duplicate_closed {echo}", **once_associated(2)),
    *through_both("exec, IPv6", "udp_exec replaced {echo6} connected"),
]

CASES = [
    *CALLS,
    *BY_IPV6,
    *EXEC,
    *BATCHES,
    *through_both("several at once", "udp_calls several {echo}"),
    *through_both("of nothing", "udp_calls nothing {echo}"),
    *through_both("in pieces", "udp_calls pieces {echo}"),
    *through_both("flags", "udp_messages flags {echo}"),
    *through_both("flags, IPv6", "udp_messages flags {echo6}"),
    *through_both("octets to be read", "udp_messages octets {echo}"),
    *through_both("sizes", "udp_messages sizes {echo}"),
    *through_both("sizes, IPv6", "udp_messages sizes {echo6}"),
    Case("datagrams / too long", "udp_messages too_long {echo} 65498 65507 65508 70000", differs=_too_long(65498, 65507)),
    Case("datagrams / too long, IPv6", "udp_messages too_long {echo6} 65506 65527 65528 70000", differs=_too_long(65506, 65527)),
    *through_both("timeouts", "udp_messages timeouts {echo}"),
    *through_both("overrun", "udp_messages overrun {echo}"),
    *through_both("control messages", "udp_messages control {echo}"),
    Case("datagrams / segments", "udp_messages segments {echo}", differs=SEGMENTS),
    *through_both("polled", "udp_waiting polled {echo}"),
    *through_both("selected", "udp_waiting selected {echo}"),
    *through_both("watched", "udp_waiting watched {echo}"),
    *through_both("not to wait", "udp_waiting dont_wait {echo}"),
    *through_both("shut down", "udp_waiting shut_down {echo}"),
    *through_both("connected again", "udp_sockets connect_again {echo} {other}"),
    Case("datagrams / connected again, IPv6", "udp_sockets connect_again {echo6} {other6}"),
    Case("datagrams / connected again, mapped", "udp_sockets connect_again {mapped} {mapped_other}"),
    *through_both("connected only", "udp_sockets connect_only {echo} {echo6} {mapped}"),
    *through_both("bound", "udp_sockets bound {echo}"),
    *through_both("bound, IPv6", "udp_sockets bound {echo6}"),
    *through_both("several destinations", "udp_sockets several_destinations {echo} {other}"),
    *through_both("several destinations, both families", "udp_sockets several_destinations {echo6} {mapped_other}"),
    *through_both("duplicates", "udp_sockets duplicates {echo}"),
    *through_both("forked", "udp_sockets forked {echo}"),
    *through_both("shared by threads", "udp_sockets shared {echo}"),
    *through_both("close all", "udp_sockets close_all {echo}"),
    Case("datagrams / closed by stdio, then written to", "udp_sockets closed_by_stdio {echo} write"),
    Case("datagrams / closed by stdio, then read", "udp_sockets closed_by_stdio {echo} read"),
    *through_both("a number that is something else by now", "udp_sockets number_again {echo}"),
    Case("datagrams / by other calls", "udp_sockets by_other_calls {echo}", differs=WITHIN_THE_KERNEL),
    *through_both("of no family", "udp_sockets no_family {echo}"),
    *through_both("of no family, IPv6", "udp_sockets no_family {echo6}"),
    Case("datagrams / IPV6_V6ONLY, by IPv6", "udp_sockets v6only {echo6}", proxy_host=PROXY_V6),
    Case("datagrams / IPV6_V6ONLY, by IPv4", "udp_sockets v6only {echo6}", says=V6ONLY),
    *through_both("of the other family", "udp_sockets wrong_family {echo} {echo6}"),
    *PROXIES,
]
