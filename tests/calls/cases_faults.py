"""Each call that the library makes of libc fails, one after the other, and the program notices an errno at most.

faults.cpp makes them fail, under_faults.cpp tells what a program saw. Whatever fails and whenever: no crash, nothing
that hangs, nothing beside the proxy; an errno that a program expects of the call that it made, or none; and when
nothing fails any more, all works, and there is no descriptor more and no setting changed.
"""

import asyncio
from dataclasses import dataclass, field, replace

from cases_listening import LISTS_LISTEN
from cases_optimistic import EARLY_DATA, WITH_PASSWORD
from cases_optimistic import RULE as WAITS_FOR_NOBODY
from cases_sessions import FIRST, with_sessions
from fake_proxy import (
    OPEN_SESSION,
    Connection,
    Datagrams,
    Deed,
    Script,
    Stage,
    echo,
    honestly,
    later,
    list_features,
    on_the_wire,
    rep,
    send,
)
from scene import PROXY_V6
from suite import Case, Check, Suite

# A library each of whose allocations may fail, and what has it fail.
SCARCE = ("{victims}/scarce/libsocksify.so", "{victims}/libfaults.so")

GOOD_PORT, FIRST_PORT = 7, 10000
FEWEST = 10  # faults of a sweep: with less, something does not fail that should
FEWEST_OF_MEMORY = 5  # a connect() takes little

# What a program may be told besides of what failed: that there is too little of something.
WANT = {"EAGAIN", "EMFILE", "ENOBUFS", "ENOMEM"}


# What no kernel does, and nothing can be done about: a flag that could be set can be set back, and an option of a socket
# can be had.
BEYOND_HELP = {
    ("F_SETFL", "flags of a file"),
    ("F_SETFL", "blocking"),
    ("F_SETFL", "not blocking"),
    ("getsockopt", "no TCP_NODELAY"),
    ("setsockopt", "no TCP_NODELAY"),
}


def for_port(port: int, deed: Deed, otherwise: Deed) -> Deed:
    async def choose(connection: Connection) -> None:
        await (deed if connection.destination[1] == port else otherwise)(connection)

    return choose


ACCEPT = send(rep(0), echo)
HONEST = Script(at={Stage.REQUEST: ACCEPT})
SLOW = Script(at={Stage.REQUEST: for_port(GOOD_PORT, ACCEPT, later(0.03, ACCEPT))})
REFUSING = Script(at={Stage.REQUEST: for_port(GOOD_PORT, ACCEPT, send(rep(5)))})
BY_IPV6 = Script(at={Stage.REQUEST: ACCEPT}, host=PROXY_V6)
DOWN = Script(listening=False)
WITH_DATAGRAMS = Script(at={Stage.REQUEST: for_port(0, honestly, ACCEPT)}, datagrams=Datagrams())



async def has_listeners(connection: Connection) -> None:
    """By BIND a peer comes at once, and by LISTEN one after the other: each echoes."""
    match connection.command:
        case 0x02:
            await connection.send(b"\x05\0\0" + on_the_wire("203.0.113.1", connection.destination[1] or 4711))
            await connection.send(b"\x05\0\0" + on_the_wire("203.0.113.80", 4242))
            await connection.echo()
        case 0xA1:
            await connection.send(b"\x05\0\0" + on_the_wire("203.0.113.1", connection.destination[1] or 4711))
            for number in range(100):
                await connection.send(b"\x01\0\x0e" + number.to_bytes(4) + on_the_wire("203.0.113.80", 4242))
                await asyncio.sleep(0.1)
        case _:
            await ACCEPT(connection)


BY_BIND = Script(at={Stage.REQUEST: has_listeners})
BY_LISTEN = Script(at={Stage.FEATURES: list_features(LISTS_LISTEN), Stage.REQUEST: has_listeners})
LISTENERS = {"rules": [{"operation": "bind", "route": ["p0"]}]}
FOR_THE_PROGRAM = {"default": "direct", "rules": [{"program": "under_faults", "route": ["p0"]}]}


async def accept_or_open(connection: Connection) -> None:
    await (honestly if connection.command == OPEN_SESSION else ACCEPT)(connection)


WITH_SESSIONS = with_sessions(tokens=(FIRST,) * 10_000, at={Stage.REQUEST: accept_or_open})

A_MOMENT = 0.003  # seconds, in which more comes of a client that need not wait for the proxy


async def accept_early(connection: Connection) -> None:
    await asyncio.sleep(A_MOMENT)
    if connection.octets_behind():
        connection.story.append("and early data")
    await ACCEPT(connection)


async def list_and_hold(connection: Connection) -> None:
    await list_features()(connection)
    await asyncio.sleep(A_MOMENT)
    if not connection.octets_behind():
        connection.story.append("waits")


LISTING = Script(at={Stage.FEATURES: list_features(), Stage.REQUEST: ACCEPT})
LISTING_EARLY = Script(at={Stage.FEATURES: list_features(EARLY_DATA), Stage.REQUEST: accept_early})
HOLDING = Script(at={Stage.FEATURES: list_and_hold, Stage.REQUEST: ACCEPT})


@dataclass(frozen=True)
class Sweep:
    name: str
    scenario: str
    proxies: tuple[Script, ...] = (HONEST,)
    upstream: dict = field(default_factory=dict)
    rules: dict = field(default_factory=dict)
    ends: tuple[str, ...] = ("0",)  # how its connects end, if nothing fails
    destination: str = "203.0.113.80"
    fails_later: bool = False  # than connect()
    seen_once: str = ""  # by the proxy, on one connection at least: what is swept has been there
    memory: bool = False  # each allocation may fail, and nothing else does


SWEEPS = (
    Sweep("blocking", "blocking"),
    Sweep("poll", "poll"),
    Sweep("edge-triggered epoll", "edge"),
    Sweep("many at once", "many"),
    Sweep("refused, and once more", "refused", (REFUSING,), ends=("ECONNREFUSED", "ECONNABORTED")),
    Sweep("given up", "given_up", (SLOW,)),
    Sweep("interrupted", "interrupted", (SLOW,)),
    Sweep("duplicates", "duplicated", (SLOW,)),
    Sweep("fork under way", "forked", (SLOW,)),
    Sweep("by name", "name"),
    Sweep("features inline", "poll", (LISTING,), {"discover": "inline"}),
    Sweep("features in the background", "blocking", (LISTING,), {"discover": "background"}),
    Sweep("held connections", "often", (HOLDING,), {"discover": "inline", "hold": 4}, seen_once="; waits; connect"),
    Sweep("sessions", "often", (WITH_SESSIONS,), {"discover": "inline", "hold": "off"}, seen_once="; by token"),
    Sweep(
        "optimistic",
        "often",
        (LISTING_EARLY,),
        {"discover": "inline"},
        rules=WAITS_FOR_NOBODY,
        fails_later=True,
        seen_once="; and early data",
    ),
    Sweep("by a proxy on IPv6, blocking", "blocking", (BY_IPV6,)),
    Sweep("by a proxy on IPv6", "edge", (BY_IPV6,)),
    Sweep("by the second proxy", "blocking", (DOWN, HONEST)),
    Sweep("by the second proxy, with poll", "poll", (DOWN, HONEST)),
    Sweep("by a rule for the program", "blocking", rules=FOR_THE_PROGRAM),
    Sweep("exec without an environment", "executed"),
    Sweep("a listener by BIND", "listens", (BY_BIND,), rules=LISTENERS),
    Sweep("a listener by LISTEN", "listens", (BY_LISTEN,), {"discover": "background"}, rules=LISTENERS),
    Sweep("datagrams, blocking", "datagrams", (WITH_DATAGRAMS,)),
    Sweep("datagrams", "datagrams_to", (WITH_DATAGRAMS,)),
)

# Most of what the library needs comes from memory that it has already: not so here.
MEMORY_SWEEPS = tuple(
    replace(sweep, name=f"memory / {sweep.name}", memory=True) for sweep in SWEEPS if "second" not in sweep.name
)


def check(sweep: Sweep, number: int) -> Check:
    first_port = FIRST_PORT + 1200 * number  # so that a leak can be told from those of the others
    return Check(f"faults / {sweep.name}", "", lambda suite: complaints_of(sweep, first_port, suite), together=True)


def complaints_of(sweep: Sweep, first_port: int, suite: Suite) -> list[str]:
    seen = suite.run_shimmed(
        Case(
            sweep.name,
            f"under_faults {sweep.scenario} {sweep.destination}:{first_port} {sweep.destination}:{GOOD_PORT}"
            + " mmap" * sweep.memory,
            proxies=sweep.proxies,
            upstream={"handshake_timeout": 1.2, **sweep.upstream},
            rules=sweep.rules,
            preloaded=SCARCE if sweep.memory else ("{lib}", "{victims}/libfaults.so"),
            seconds=120,
            together=True,
        )
    )
    lines = seen.end.stdout.splitlines()
    complaints = [f"{line}  ← {wrong}" for line in lines for wrong in wrongs(line, sweep)]
    if seen.end.status != 0 or len(lines) < (FEWEST_OF_MEMORY if sweep.memory else FEWEST):
        complaints.append(f"status {seen.end.status} after {len(lines)} faults; {seen.end.stderr}")
    if sweep.seen_once and not any(sweep.seen_once in story for story in seen.records[0]):
        complaints.append(f"the proxy has never seen {sweep.seen_once!r}")
    return complaints


def wrongs(line: str, sweep: Sweep) -> list[str]:
    """The steps of one child's story that no program expects."""
    title, _, story = line.partition(": ")
    return [step for step in story.split("; ") if not is_right(step, sweep, *title.replace(",", "").split()[:3])]


def is_right(step: str, sweep: Sweep, function: str, turn: str, failure: str) -> bool:
    if (function, step) in BEYOND_HELP:
        return True
    call, _, outcome = step.rpartition(" ")
    match call:
        case "again" | "and again":
            if function in ("open", "realpath") and failure == "EACCES":
                return outcome in ("0", "ENETUNREACH")  # rules that can't be read
            return outcome == "0"
        case "no" if sweep.fails_later:
            return outcome == "echo"
        case "nothing":  # comes
            return turn.endswith("+") or function == "open" and failure == "EACCES"
        case "connect" | "child" | "exec" | "send" | "recv":
            if outcome == "ETIMEDOUT":
                return turn.endswith("+") and function in ("poll", "ppoll", "recv", "send", "epoll_wait")
            if outcome == "ENETUNREACH":
                return function in ("open", "read")  # rules that can't be read now
            if outcome == "EIO":
                return call == "exec"
            if outcome == "EINTR":
                return call in ("send", "recv") and function in ("sendmsg", "recvmsg")
            return outcome in {*sweep.ends, failure, *WANT} - {"EBUSY", "ENOSPC"}
        case "bind" | "listen" | "accept":
            if outcome == "ETIMEDOUT":
                return turn.endswith("+") and function in ("poll", "ppoll", "recv", "send", "epoll_wait")
            return outcome in {failure, *WANT}
        case "nobody":  # comes
            return turn.endswith("+") or function == "open" and failure == "EACCES"  # rules that can't be read
        case "getaddrinfo" | "getnameinfo":
            return outcome in ("EAI_AGAIN", "EAI_MEMORY", failure)
        case "getpeername" if sweep.fails_later and outcome == "ENOTCONN":
            return True
        case "epoll_ctl" | "getpeername" | "getsockname" | "setsockopt" | "disconnect" | "dup":
            return outcome in {failure, *WANT}  # the program's own call, which needed that
    return False


def without_memory(proxy: str, script: Script, **upstream: object) -> Case:
    return Case(
        f"memory / none is asked for by a connect, {proxy}",
        "without_memory blocking {echo}",
        "20 connects, memory was not asked for",
        proxies=(script,),
        upstream=upstream,
        preloaded=SCARCE,
    )


CASES = [
    *(check(sweep, number) for number, sweep in enumerate(SWEEPS + MEMORY_SWEEPS)),
    without_memory("nothing known of the proxy", HONEST),
    without_memory("its features known", LISTING, discover="background"),
    without_memory("with a password", replace(LISTING, **WITH_PASSWORD), discover="background"),
    without_memory("with a session's token", WITH_SESSIONS, discover="inline", hold="off"),
]
