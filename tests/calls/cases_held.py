"""Connections that the proxy holds, ready for the program's next connect(): who takes one, who can't, and what becomes of
one that is of no use.

In each case the victim connects four times before (`warm_up` in held.cpp): the first time the library asks for the list,
the third time it has a connection held, and the fourth one takes that. Another one is ready then.
"""

import ctypes
import socket
import struct
from dataclasses import replace

from cases_features import (
    AHEAD,
    BACKGROUND,
    CONNECT,
    HELD_CONNECTIONS,
    QUESTION,
    WITH_CREDENTIALS,
    WITHOUT_PASSWORD,
    connected,
    lists,
)
from fake_proxy import (
    PASSWORD,
    Connection,
    Deed,
    Script,
    Stage,
    close,
    fdl,
    for_name,
    garbage,
    honestly,
    in_turn,
    later,
    list_features,
    nothing_more,
    rep,
    reset,
    send,
    silence,
)
from suite import Case, Logged

_SO_ATTACH_FILTER = 26

HOLD = BACKGROUND | {"hold": 4}  # "auto" holds nothing where the proxy is as near as here
TO_ECHO, TO_NOBODY = "connect 203.0.113.80:7", "connect 203.0.113.80:9"
READY = "offers 00; features, held, for 0.0.0.0:0"
USED = f"{READY}; {TO_ECHO}"
WARMED_UP = (CONNECT,) * 3 + (QUESTION, USED)


def on_held(deed: Deed) -> Deed:
    """To requests on a connection that was held."""

    async def choose(connection: Connection) -> None:
        held = any(part.startswith("features, held") for part in connection.story)
        await (deed if held else honestly)(connection)

    return choose


def held(hazard: str, scenario: str, *then: str, script: Script = lists(), **more) -> Case:
    """`then`: what the proxy sees after the four connects."""
    words = more.pop("words", "{echo}")
    return Case(
        f"held / {hazard}",
        f"held {scenario} {words}",
        proxies=(script,),
        upstream=HOLD | more.pop("upstream", {}),
        sees=WARMED_UP + then,
        seconds=more.pop("seconds", 15),
        **more,
    )


TAKEN = [
    held("taken", "plain", USED, READY),
    held("taken without blocking", "nonblocking", USED, READY),
    held("options of the socket are those of the connection", "options", USED, USED, READY),
    held("an option that was not set is as on any socket", "no_options", USED, READY),
    held("registered with epoll before", "watched", *[USED] * 4, READY),
    held(
        "refused: the same socket connects again",
        "refused",
        f"{READY}; {TO_NOBODY}",
        CONNECT,
        READY,
        words="{echo} {refused}",
    ),
    held(
        "two threads at once, one connection",
        "at_once",
        USED,
        CONNECT,
        READY,
        script=lists(at={Stage.REQUEST: later(0.05, honestly)}),
        says="2 of 2 did well",
    ),
    held(
        "interrupted by a signal, and goes on",
        "interrupted",
        USED,
        READY,
        script=lists(at={Stage.REQUEST: later(0.15, honestly)}),
        says="""
            connect = -1 EINTR
            SO_ERROR = 0
            getpeername = 203.0.113.80:7, 16 octets
            echo: the same
        """,
    ),
    held(
        "a child is forked meanwhile",
        "forked_meanwhile",
        USED,
        READY,
        script=lists(at={Stage.REQUEST: later(0.15, honestly)}),
    ),
]

AS_ALICE = "offers 02; as alice; "
PIPELINED = "offers 00, and goes on; "


def taken(hazard: str, script: Script, first: str, question: str, later_on: str) -> Case:
    """What is said on the way, where it is not the plain greeting."""
    ready = f"{later_on}features, held, for 0.0.0.0:0"
    return Case(
        f"held / {hazard}",
        "held plain {echo}",
        proxies=(script,),
        upstream=HOLD,
        sees=(first + TO_ECHO, question + "features for 0.0.0.0:0", *[later_on + TO_ECHO] * 2)
        + (f"{ready}; {TO_ECHO}",) * 2
        + (ready,),
    )


ON_THE_WAY = [
    taken(
        "with a password",
        lists(fdl(without=(WITHOUT_PASSWORD,)), methods=(PASSWORD,), **WITH_CREDENTIALS),
        "offers 00 02; as alice; ",
        AS_ALICE,
        AS_ALICE,
    ),
    taken(
        "made in one segment",
        replace(lists(fdl(plus=AHEAD)), tells_segments=True),
        "offers 00; ",
        PIPELINED,
        PIPELINED,
    ),
]

LEFT_ALONE = [
    held("not for a socket with a segment size of its own", "segment_size", CONNECT, READY),
    held("not for a socket with a mark", "marked", CONNECT, READY),
    held("not for a socket that is bound to a device", "device", CONNECT, READY, says="connect = 0\necho: the same"),
    held("not for a bound socket", "bound", CONNECT, READY),
    held("not for a duplicated socket", "duplicated", CONNECT, READY),
    held("not for a socket whose signals go to somebody", "owned", CONNECT, READY),
    held("not for a child, but for its parent", "forked", CONNECT, USED, READY),
    held("nothing is left of it in a child, nor in a program", "inherited", READY),
    held("not for another user", "other_user", CONNECT, READY),
]

# It takes its time, beside others.
IDLE = [held("gone when nobody has connected for a while", "idle", READY, says="sockets: 0", seconds=60, together=True)]

THRICE = "{echo} pause:300 {echo} {echo} pause:150"  # then one is ready


def ended(hazard: str, script: Script, *sees: str, then: str = "{echo} ~{echo}", **more) -> Case:
    """A held connection that is of no use; `then` are the connects that must not notice."""
    others = then.count("echo")
    says = more.pop("says", None) or connected(*["203.0.113.80:7"] * (others - 1), "~203.0.113.80:7")
    return Case(
        f"held / {hazard}",
        f"dial {THRICE} {then} pause:100",
        proxies=(script,),
        upstream=HOLD | more.pop("upstream", {}),
        says=connected(*["203.0.113.80:7"] * 3) + "\n" + says,
        sees=(CONNECT,) * 3 + (QUESTION,) + sees,
        **more,
    )


def list_and(deed: Deed) -> Deed:
    """The list, held; and then, in place of waiting for the command."""

    async def listing(connection: Connection) -> None:
        await list_features()(connection)
        if connection.flag:
            await deed(connection)

    return listing


async def go_deaf(connection: Connection) -> None:
    """As if the path had forgotten the connection: nothing that comes is taken, not even acknowledged."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET: 0 octets of it
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(instruction))
    connection.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    await silence(connection)


FRESH = (CONNECT,) * 2

OF_NO_USE = [
    *(
        ended(f"{what} while it waits", lists(at={Stage.FEATURES: list_and(later(0.05, deed))}), READY, *FRESH)
        for what, deed in (("ended", close), ("reset", reset), ("octets come", send(b"hello", silence)))
    ),
    # It was alive when it was taken: that may happen once or twice.
    *(
        ended(
            f"{what} in place of the reply",
            lists(at={Stage.REQUEST: on_held(in_turn(deed, honestly))}),
            USED,
            CONNECT,
            USED,
            READY,
            then="{echo} pause:100 ~{echo}",
        )
        for what, deed in (
            ("the end", close),
            ("a reset", reset),
            ("half of one", send(rep(0)[:5])),
            ("half of one, and a reset", send(rep(0)[:5], reset)),
            ("nonsense", send(garbage(10))),
            ("a failure for no reason", send(rep(1))),
        )
    ),
    ended(
        "the end in place of each reply: given up",
        lists(at={Stage.REQUEST: on_held(close)}),
        *(USED, CONNECT) * 3,
        CONNECT,
        then="{echo} pause:100 " * 3 + "~{echo}",
    ),
    ended("granted, and not held: given up", lists(break_hold=True), READY, *FRESH),
    ended("announced, and not granted: given up", lists(hold=False), READY, *FRESH),
    ended(
        "no answer, and yet it is there: a slow destination is waited for",
        lists(at={Stage.REQUEST: on_held(later(1.3, honestly))}),
        USED,
        READY,
        then="~{echo}",
        upstream={"handshake_timeout": 3},
        says=connected("~203.0.113.80:7", slow=0),
    ),
    ended(
        "gone without a word: a fresh connection, in a second",
        lists(at={Stage.FEATURES: list_and(in_turn(go_deaf, nothing_more))}),
        READY,
        CONNECT,
        USED,
        READY,
        then="{echo} pause:100 ~{echo}",
        says=connected("203.0.113.80:7", "~203.0.113.80:7", slow=0),
    ),
    ended(
        "the destination refuses: no other is tried",
        lists(),
        f"{READY}; {TO_NOBODY}",
        then="{refused}",
        says="203.0.113.80:9: ECONNREFUSED",
    ),
    ended(
        "the same failure everywhere: that is the destination's, and no fault of what is held",
        lists(at={Stage.REQUEST: for_name("echo.test", send(rep(1)))}),
        *(f"{READY}; connect echo.test:7", "offers 00; connect echo.test:7"),
        *(CONNECT, READY),
        then="echo.test:7 ~{echo}",
        says="echo.test:7: ECONNABORTED\n" + connected("~203.0.113.80:7"),
    ),
    ended(
        "a reply that contradicts the list",
        lists(at={Stage.REQUEST: on_held(send(rep(7)))}),
        USED,
        *FRESH,
    ),
]

NONE = [
    Case(
        f"held / none {hazard}",
        "held plain {echo}",
        proxies=(lists(octets),),
        upstream=BACKGROUND | upstream,
        sees=(CONNECT,) * 5 + (QUESTION,),
    )
    for hazard, octets, upstream in (
        ("where the rules say off", None, {"hold": "off"}),
        ("where the proxy is near", None, {}),
        ("where the list does not announce them", fdl(without=(HELD_CONNECTIONS,)), {"hold": 4}),
    )
]

RELAY = [
    Case(
        f"held / by the relay / {scenario} {words}",
        f"held {scenario} {words}",
        upstream=HOLD,
        logs=(Logged("takes a connection that is held"),),
        seconds=20,
    )
    for scenario, words in (
        ("plain", "{echo}"),
        ("plain", "{echo6}"),
        ("plain", "{mapped}"),
        ("nonblocking", "{echo}"),
        ("nonblocking", "{echo6}"),
        ("watched", "{echo}"),
        ("refused", "{echo} {refused}"),
        ("threads", "{echo}"),
    )
]

CASES = [*TAKEN, *ON_THE_WAY, *LEFT_ALONE, *OF_NO_USE, *NONE, *RELAY]
