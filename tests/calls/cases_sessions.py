"""Sessions with a proxy (doc/wire.md, section 9): when one is opened, what its token is used for, and what becomes of a
connect whose token is not taken: the program never sees it.

The fake proxy gives the tokens of its script, one after the other, and knows those that it has given.
"""

from fake_proxy import (
    NO_AUTHENTICATION,
    PASSWORD,
    SESSION,
    Script,
    Stage,
    close,
    fdl,
    honestly,
    in_turn,
    list_features,
    rep,
    send,
    silence,
)
from suite import Case, Logged

SOON = 300  # milliseconds, after which what goes on in the background is over
FIRST, SECOND = b"the first token.", b"the second token"
OURS = ((0x80, 0x00, b"socksify"), (0x80, 0x01, b"\x02"))
SESSIONS = ((0x03, 0xA0, b""), (0x04, 0xA0, b"\x01"), (0x80, 0x02, bytes((0, 0, 1, 44, 0, 0, 0, 64))))
WITHOUT_PASSWORD = (0x03, 0x00)

LIST = fdl(plus=(*OURS, *SESSIONS), without=(WITHOUT_PASSWORD,))
CREDENTIALS = {"users": {"alice": "secret"}, "as_user": "alice:secret"}


def with_sessions(octets: bytes = LIST, at: dict | None = None, **more) -> Script:
    return Script(
        **{"methods": (SESSION, PASSWORD), "tokens": (FIRST, SECOND), "tells_segments": True, **CREDENTIALS, **more},
        at={Stage.FEATURES: list_features(octets), **(at or {})},
    )


# What the library says on one connection.
UNKNOWN = "offers 00 02; as alice; connect 203.0.113.80:7"
QUESTION = "offers 02, and goes on; as alice; features for 0.0.0.0:0"
LEARNT = (UNKNOWN, QUESTION)  # the first connect, and what it asks
BY_PASSWORD = "offers 02, and goes on; as alice; connect 203.0.113.80:7"
OPENS = "offers 02, and goes on; as alice; open session"
BY_TOKEN = "offers a0, and goes on; by token the first token.; connect 203.0.113.80:7"
REFUSED = "offers a0, and goes on; by token the first token."
OPENED = (*LEARNT, *[BY_PASSWORD] * 2, OPENS)

TO_OPEN = f"{{echo}} pause:{SOON} {{echo}} {{echo}} pause:{SOON}"


def connected(*what: str) -> str:
    return "\n".join(f"{one}: 0\necho: the same" for one in what)


def session(hazard: str, script: Script, sees: tuple[str, ...], then: str = "{echo} ~{echo}", **more) -> Case:
    """Connects until there is a session; `then` shows what it is good for."""
    what = more.pop("dials", then).replace("{echo}", "203.0.113.80:7").split()
    return Case(
        f"sessions / {hazard}",
        f"dial {TO_OPEN} {then}",
        proxies=(script,),
        upstream={"discover": "background"} | more.pop("upstream", {}),
        says=more.pop("says", connected(*["203.0.113.80:7"] * 3, *(one for one in what if ":7" in one))),
        sees=sees,
        **more,
    )


CASES = [
    session(
        "opened beside the second connect that could use one, and used from the next one on",
        with_sessions(),
        (*OPENED, BY_TOKEN, BY_TOKEN),
    ),
    Case(
        "sessions / a process that connects once does not ask for one",
        f"dial {{echo}} pause:{SOON} {{echo}} pause:{SOON}",
        proxies=(with_sessions(),),
        upstream={"discover": "background"},
        says=connected(*["203.0.113.80:7"] * 2),
        sees=(*LEARNT, BY_PASSWORD),
    ),
    session(
        "with the SYN: one round trip",
        with_sessions(fdl(plus=(*OURS, *SESSIONS, (0x80, 0x03, b"")), without=(WITHOUT_PASSWORD,)), fast_open=True),
        # The control connection may be the first with a cookie, or the one that gets it.
        (
            *LEARNT,
            BY_PASSWORD,
            "with the SYN: " + BY_PASSWORD,
            OPENS,
            *["with the SYN: " + BY_TOKEN] * 2,
        ),
    ),
    session(
        "one message after the other, where the rules want that",
        with_sessions(),
        (
            UNKNOWN,
            "offers 02; as alice; features for 0.0.0.0:0",
            *["offers 02; as alice; connect 203.0.113.80:7"] * 2,
            "offers 02; as alice; open session",
            "offers a0; by token the first token.; connect 203.0.113.80:7",
        ),
        "{echo}",
        upstream={"pipelining": "off"},
    ),
    session(
        "none without a password to spare",
        with_sessions(fdl(plus=(*OURS, *SESSIONS)), methods=(NO_AUTHENTICATION, SESSION, PASSWORD)),
        (
            "offers 00 02; connect 203.0.113.80:7",
            "offers 00, and goes on; features for 0.0.0.0:0",
            *["offers 00, and goes on; connect 203.0.113.80:7"] * 3,
        ),
        "{echo}",
    ),
    session(
        "none where the rules say so",
        with_sessions(),
        (*LEARNT, *[BY_PASSWORD] * 3),
        "{echo}",
        upstream={"sessions": "off"},
    ),
    session(
        "none where the list has the command, but not the method",
        with_sessions(fdl(plus=(*OURS, SESSIONS[1]), without=(WITHOUT_PASSWORD,))),
        (*LEARNT, *[BY_PASSWORD] * 3),
        "{echo}",
    ),
    session(
        "a token that the proxy has forgotten: by password at once, and no new session the same minute",
        with_sessions(at={Stage.TOKEN: in_turn(honestly, send(b"\x01\x01"), honestly)}),
        (*OPENED, BY_TOKEN, REFUSED, *[BY_PASSWORD] * 2),
        f"{{echo}} {{echo}} pause:{SOON} ~{{echo}}",
    ),
    session(
        "a token that the proxy has forgotten, without blocking",
        with_sessions(at={Stage.TOKEN: in_turn(honestly, send(b"\x01\x01"), honestly)}),
        (*OPENED, BY_TOKEN, REFUSED, BY_PASSWORD),
        f"{{echo}} ~{{echo}} pause:{SOON}",
    ),
    session(
        "a token that was never good: by password, and no other session for a while",
        with_sessions(at={Stage.TOKEN: send(b"\x01\x01")}),
        (*OPENED, REFUSED, *[BY_PASSWORD] * 3),
        f"{{echo}} {{echo}} pause:{SOON} {{echo}}",
    ),
    session(
        "a proxy that takes no tokens any more: by password",
        with_sessions(at={Stage.GREETING: in_turn(*[honestly] * 5, send(b"\x05\xff"), honestly)}),
        (*OPENED, "offers a0, and goes on", *[BY_PASSWORD] * 2),
        f"{{echo}} {{echo}} pause:{SOON}",
    ),
    session(
        "a proxy that closes upon a token: by password",
        with_sessions(at={Stage.TOKEN: close}),
        (*OPENED, REFUSED, *[BY_PASSWORD] * 2),
        f"{{echo}} ~{{echo}} pause:{SOON}",
    ),
    session(
        "a proxy that refuses a session is not asked again soon",
        with_sessions(at={Stage.REQUEST: in_turn(*[honestly] * 3, send(rep(0xA4)), honestly)}),
        (*OPENED, *[BY_PASSWORD] * 2),
        f"{{echo}} pause:{SOON} {{echo}}",
    ),
    session(
        "a proxy that gives no token, or half of one",
        with_sessions(at={Stage.REQUEST: in_turn(*[honestly] * 3, send(rep(0) + b"\x10half"), honestly)}),
        (*OPENED, *[BY_PASSWORD] * 2),
        f"{{echo}} pause:{SOON} {{echo}}",
    ),
    session(
        "a proxy that never answers for a session holds nobody up",
        with_sessions(at={Stage.REQUEST: in_turn(*[honestly] * 3, silence, honestly)}),
        (*OPENED, *[BY_PASSWORD] * 2),
    ),
    session(
        "a token outlives its control connection",
        with_sessions(at={Stage.REQUEST: in_turn(*[honestly] * 3, send(rep(0) + b"\x10" + FIRST + b"\0\0\1\x2c"), honestly)}, lifetime=300),
        (*OPENED, REFUSED, BY_PASSWORD),
        "{echo}",
    ),
    session(
        "a token without a lifetime ends with its control connection",
        with_sessions(at={Stage.REQUEST: in_turn(*[honestly] * 3, send(rep(0) + b"\x10" + FIRST + bytes(4)), honestly)}),
        (*OPENED, BY_PASSWORD, OPENS, BY_TOKEN),
        f"{{echo}} pause:{SOON} {{echo}}",
    ),
    session(
        "a destination that is refused is the destination's, not the token's",
        with_sessions(),
        (*OPENED, *[BY_TOKEN.replace(":7", ":9")] * 2, BY_TOKEN),
        "{refused} ~{refused} {echo}",
        says=connected(*["203.0.113.80:7"] * 3)
        + "\n203.0.113.80:9: ECONNREFUSED\n~203.0.113.80:9: ECONNREFUSED\n"
        + connected("203.0.113.80:7"),
    ),
    session(
        "a child of fork uses the token, and leaves the connection to its parent",
        with_sessions(),
        (*OPENED, BY_TOKEN, BY_TOKEN),
        "child {echo} ~{echo}",
        says=connected(*["203.0.113.80:7"] * 4, "~203.0.113.80:7") + "\nthe child ended with 0",
    ),
    session(
        "another program begins by password",
        with_sessions(),
        (*OPENED, *LEARNT),
        f"exec {{echo}} pause:{SOON}",
    ),
    Case(
        "sessions / 64 threads, some of whose tokens are refused",
        "many_connects threads {echo}",
        proxies=(with_sessions(at={Stage.TOKEN: in_turn(*[honestly] * 20, send(b"\x01\x01"), close, honestly)}),),
        upstream={"discover": "inline"},
        logs=(Logged("has let us in by a token"), Logged("trying once more, by password")),
        seconds=20,
    ),
]
