"""LIST-FEATURES: when it is asked, what each answer leads to, and how a proxy that is down is passed over.

The fake proxy's record shows what the library did; what the program sees is `dial`'s account of it. Answers that are no
list are cases_wrong.py's.
"""

from dataclasses import replace

from fake_proxy import (
    NO_AUTHENTICATION,
    PASSWORD,
    Script,
    Stage,
    close,
    fdl,
    for_name,
    honestly,
    in_turn,
    list_features,
    only_connect,
    rep,
    send,
    silence,
)
from scene import SILENT_PROXY
from suite import Case

BACKGROUND, INLINE, OFF = ({"discover": how} for how in ("background", "inline", "off"))
ASKED = 300  # milliseconds, after which a question in the background has been answered

# What the library says on one connection.
CONNECT = "offers 00; connect 203.0.113.80:7"
QUESTION = "offers 00; features for 0.0.0.0:0"
HELD_QUESTION = "offers 00; features, held, for 0.0.0.0:0"

NAMES, IPV6 = (0x02, 0x03), (0x02, 0x04)
HELD_CONNECTIONS = (0x04, 0x10)
WITHOUT_PASSWORD, WITH_PASSWORD = (0x03, 0x00), (0x03, 0x02)
CONNECT_COMMAND, SOCKS5 = (0x04, 0x01), (0x01, 0x05)


def lists(octets: bytes | None = None, **more) -> Script:
    """A proxy that answers LIST-FEATURES with this list."""
    hold = {key: more.pop(key) for key in ("hold", "break_hold") if key in more}
    return Script(at={Stage.FEATURES: list_features(octets, **hold), **more.pop("at", {})}, **more)


def connected(*what: str, slow: int | None = None) -> str:
    """What `dial` says of these, all successful; number `slow` is slow."""
    return "\n".join(f"{one}: 0{', slow' if i == slow else ''}\necho: the same" for i, one in enumerate(what))


TWICE, THRICE = connected(*["203.0.113.80:7"] * 2), connected(*["203.0.113.80:7"] * 3)

WHEN = [
    Case(
        "features / off: never asked",
        "dial {echo} {echo}",
        proxies=(lists(),),
        upstream=OFF,
        says=TWICE,
        sees=(CONNECT,) * 2,
    ),
    Case(
        "features / background: asked once, beside the program's own",
        f"dial {{echo}} pause:{ASKED} {{echo}} ~{{echo}}",
        proxies=(lists(),),
        upstream=BACKGROUND,
        says=connected("203.0.113.80:7", "203.0.113.80:7", "~203.0.113.80:7"),
        sees=(CONNECT,) * 3 + (QUESTION,),
    ),
    Case(
        "features / inline: asked on the connection that carries the request",
        "dial {echo} ~{echo}",
        proxies=(lists(),),
        upstream=INLINE,
        says=connected("203.0.113.80:7", "~203.0.113.80:7"),
        sees=(HELD_QUESTION + "; connect 203.0.113.80:7", CONNECT),
    ),
    Case(
        "features / inline, without blocking",
        "dial ~{echo} {echo}",
        proxies=(lists(),),
        upstream=INLINE,
        says=connected("~203.0.113.80:7", "203.0.113.80:7"),
        sees=(HELD_QUESTION + "; connect 203.0.113.80:7", CONNECT),
    ),
    Case(
        "features / inline, not held: the request on a fresh connection",
        "dial {echo} {echo}",
        proxies=(lists(hold=False),),
        upstream=INLINE,
        says=TWICE,
        sees=(HELD_QUESTION, CONNECT, CONNECT),
    ),
    Case(
        "features / inline, granted but not held",
        "dial {echo} {echo}",
        proxies=(lists(break_hold=True),),
        upstream=INLINE,
        says=TWICE,
        sees=(HELD_QUESTION, CONNECT, CONNECT),
    ),
    Case(
        "features / inline, slow by the octet",
        "dial {echo}",
        proxies=(lists(by_the_octet=True),),
        upstream=INLINE | {"discover_timeout": 0.8},
        says=connected("203.0.113.80:7"),
        sees=(HELD_QUESTION + "; connect 203.0.113.80:7",),
    ),
    Case(
        "features / inline, with a password",
        "dial {echo}",
        proxies=(lists(methods=(PASSWORD,), users={"alice": "secret"}, as_user="alice:secret"),),
        upstream=INLINE,
        says=connected("203.0.113.80:7"),
        sees=("offers 00 02; as alice; features, held, for 0.0.0.0:0; connect 203.0.113.80:7",),
    ),
    Case(
        "features / asked again when the answer is too old",
        "dial {echo} pause:1300 {echo} pause:200",
        proxies=(lists(fdl(without=(HELD_CONNECTIONS,))),),
        upstream=BACKGROUND | {"feature_lifetime": 1},
        says=TWICE,
        sees=(CONNECT,) * 2 + (QUESTION,) * 2,
    ),
    Case(
        "features / known in a child",
        f"dial {{echo}} pause:{ASKED} child {{echo}}",
        proxies=(lists(),),
        upstream=BACKGROUND,
        says=TWICE + "\nthe child ended with 0",
        sees=(CONNECT,) * 2 + (QUESTION,),
    ),
    Case(
        "features / 64 threads, one question",
        f"many_connects threads_by_name echo.test 7 {5 * ASKED}",
        proxies=(lists(hold=False),),
        upstream=BACKGROUND | {"handshake_timeout": 5},
        says="64 of 64 threads did well",
        sees=("offers 00; connect echo.test:7",) * 64 + (QUESTION,),
        seconds=20,
    ),
]

# How a list may end.
ENDS = [
    Case(
        f"features / a list that ends with {end}",
        "dial {echo} echo.test:7",
        proxies=(lists(fdl(without=(NAMES,), end=octets), hold=hold),),
        upstream=INLINE,
        says=connected("203.0.113.80:7", slow=0 if slow else None) + "\necho.test:7: EAFNOSUPPORT",
        sees=sees,
    )
    for end, octets, hold, slow, sees in (
        ("END", b"\xff\0\0", True, False, (HELD_QUESTION + "; connect 203.0.113.80:7",)),
        ("an END that has a value", b"\xff\0\2hi", True, False, (HELD_QUESTION + "; connect 203.0.113.80:7",)),
        ("a bare FF and the connection", b"\xff", False, False, (HELD_QUESTION, CONNECT)),
        ("the connection", b"", False, False, (HELD_QUESTION, CONNECT)),
        ("a bare FF on a held connection", b"\xff", True, True, (HELD_QUESTION, CONNECT)),
    )
]


def after_the_list(hazard: str, octets: bytes, then: str, says: str, sees: tuple[str, ...] = (), **more) -> Case:
    """One connect; its list is known then; `then` shows what it leads to. `sees` is what comes on top."""
    return Case(
        f"features / {hazard}",
        f"dial {{echo}} pause:{ASKED} {then}",
        proxies=(
            lists(octets, **{key: more.pop(key) for key in ("at", "methods", "users", "as_user") if key in more}),
        ),
        upstream=BACKGROUND | more.pop("upstream", {}),
        says=connected("203.0.113.80:7") + "\n" + says,
        sees=more.pop("first", (CONNECT, QUESTION)) + sees,
        **more,
    )


WITH_CREDENTIALS = {"users": {"alice": "secret"}, "as_user": "alice:secret"}
UNKNOWN_TAGS = ((0x7F, 0x01, b"whatever"), (0x80, 0x00, b"x"), (0x02, 0x77, b""))

DECISIONS = [
    after_the_list(
        "names: sent as they are", fdl(), "echo.test:7", connected("echo.test:7"), ("offers 00; connect echo.test:7",)
    ),
    after_the_list(
        "no names: refused without a connection", fdl(without=(NAMES,)), "echo.test:7", "echo.test:7: EAFNOSUPPORT"
    ),
    after_the_list(
        "no names, resolved here as the rules say",
        fdl(without=(NAMES,)),
        "v4.test:7",
        connected("v4.test:7"),
        (CONNECT,),
        upstream={"without_names": "resolve"},
        direct=True,  # the question goes to the machine's own name server
    ),
    after_the_list(
        "no names nor IPv6, resolved here: the IPv4 address",
        fdl(without=(NAMES, IPV6)),
        "echo.test:7",
        connected("echo.test:7"),
        (CONNECT,),
        upstream={"without_names": "resolve"},
        direct=True,
    ),
    after_the_list(
        "no names, and the machine knows none either",
        fdl(without=(NAMES,)),
        "nowhere.test:7",
        "nowhere.test:7: EHOSTUNREACH",
        upstream={"without_names": "resolve"},
        direct=True,
    ),
    after_the_list(
        "IPv6", fdl(), "{echo6}", connected("[2001:db8:80::80]:7"), ("offers 00; connect [2001:db8:80::80]:7",)
    ),
    after_the_list(
        "no IPv6: refused without a connection", fdl(without=(IPV6,)), "{echo6}", "[2001:db8:80::80]:7: ENETUNREACH"
    ),
    after_the_list(
        "no CONNECT: refused without a connection",
        fdl(without=(CONNECT_COMMAND,)),
        "{echo}",
        "203.0.113.80:7: EOPNOTSUPP",
    ),
    after_the_list(
        "SOCKS 4 alone: refused without a connection",
        fdl(without=(SOCKS5,), plus=((0x01, 0x04, b""),)),
        "{echo}",
        "203.0.113.80:7: EOPNOTSUPP",
    ),
    after_the_list("tags that nobody knows", fdl(plus=UNKNOWN_TAGS), "{echo}", connected("203.0.113.80:7"), (CONNECT,)),
    after_the_list(
        "an empty list says nothing",
        b"\xff\0\0",
        "echo.test:7",
        connected("echo.test:7"),
        ("offers 00; connect echo.test:7",),
    ),
    after_the_list(
        "with a password: the cheaper way alone is offered",
        fdl(),
        "{echo}",
        connected("203.0.113.80:7"),
        (CONNECT,),
        first=("offers 00 02; connect 203.0.113.80:7", QUESTION),
        **WITH_CREDENTIALS,
    ),
    after_the_list(
        "with a password: the only way is offered",
        fdl(without=(WITHOUT_PASSWORD,)),
        "{echo}",
        connected("203.0.113.80:7"),
        ("offers 02; as alice; connect 203.0.113.80:7",),
        first=("offers 00 02; as alice; connect 203.0.113.80:7", "offers 02; as alice; features for 0.0.0.0:0"),
        methods=(PASSWORD,),
        **WITH_CREDENTIALS,
    ),
    after_the_list(
        "with a password: which the proxy has no use for",
        fdl(without=(WITH_PASSWORD,)),
        "{echo}",
        connected("203.0.113.80:7"),
        (CONNECT,),
        first=("offers 00 02; connect 203.0.113.80:7", QUESTION),
        **WITH_CREDENTIALS,
    ),
    after_the_list(
        "without a password: which the proxy wants: refused without a connection",
        fdl(without=(WITHOUT_PASSWORD,)),
        "{echo}",
        "203.0.113.80:7: EACCES",
    ),
    # The list depends on something: it is asked for what it depends on.
    after_the_list(
        "SCOPE client: one question",
        fdl(scope="client"),
        "{echo} {echo6}",
        connected("203.0.113.80:7", "[2001:db8:80::80]:7"),
        (CONNECT, "offers 00; connect [2001:db8:80::80]:7"),
    ),
    after_the_list(
        "SCOPE method: one question", fdl(scope="method"), "{echo}", connected("203.0.113.80:7"), (CONNECT,)
    ),
    after_the_list(
        "SCOPE destination: one question each",
        fdl(scope="destination"),
        "{echo} {echo} echo.test:7 echo.test:7",
        connected("203.0.113.80:7", "203.0.113.80:7", "echo.test:7", "echo.test:7"),
        (
            "offers 00; features, held, for 203.0.113.80:0; connect 203.0.113.80:7",
            CONNECT,
            "offers 00; features, held, for echo.test:0; connect echo.test:7",
            "offers 00; connect echo.test:7",
        ),
    ),
    # The proxy contradicts its own list: what was believed is dropped, the plain exchange follows, nobody asks again.
    *(
        after_the_list(
            f"contradicted by REP {code:02x}",
            fdl(),
            "echo.test:7 echo.test:7",
            connected("echo.test:7", "echo.test:7"),
            ("offers 00; connect echo.test:7",) * 3,
            at={Stage.REQUEST: for_name("echo.test", in_turn(send(rep(code)), honestly))},
        )
        for code in (7, 8)
    ),
    after_the_list(
        "contradicted by the choice of a method",
        fdl(without=(WITH_PASSWORD,)),
        "{echo} {echo}",
        connected("203.0.113.80:7", "203.0.113.80:7"),
        (
            "offers 00",
            "offers 00 02; as alice; connect 203.0.113.80:7",
            "offers 02; as alice; connect 203.0.113.80:7",  # at once, as the question has shown that it may
        ),
        first=("offers 00 02; as alice; connect 203.0.113.80:7", "offers 02; as alice; features for 0.0.0.0:0"),
        methods=(PASSWORD,),
        **WITH_CREDENTIALS,
    ),
    after_the_list(
        "not contradicted by a refused destination",
        fdl(),
        "{refused} {echo}",
        "203.0.113.80:9: ECONNREFUSED\n" + connected("203.0.113.80:7"),
        ("offers 00; connect 203.0.113.80:9", CONNECT),
    ),
    Case(
        "features / inline: the list rules out the request that is under way",
        "dial echo.test:7 {echo}",
        proxies=(lists(fdl(without=(NAMES,)), at={Stage.REQUEST: for_name("echo.test", send(rep(8)))}),),
        upstream=INLINE,
        says="echo.test:7: EAFNOSUPPORT\n" + connected("203.0.113.80:7"),
    ),
]

# --- pipelining ---

PIPELINED = "offers 00, and goes on; connect 203.0.113.80:7"
PIPELINED_QUESTION = "offers 00, and goes on; features for 0.0.0.0:0"
PIPELINED_HARMLESS = "offers 00, and goes on; associate 0.0.0.0:0"
AHEAD = ((0x80, 0x00, b"socksify"), (0x80, 0x01, b"\x01"))


def pipelining(hazard: str, script: Script, sees: tuple[str, ...], then: str = "{echo} ~{echo}", **more) -> Case:
    """One connect, from which the question learns; `then` shows what came of it."""
    says = more.pop("says", None) or connected("203.0.113.80:7", "~203.0.113.80:7")
    pause = more.pop("pause", ASKED)
    return Case(
        f"pipelining / {hazard}",
        f"dial {{echo}} pause:{pause} {then}",
        proxies=(replace(script, tells_segments=True),),
        upstream=more.pop("upstream", BACKGROUND),
        says=connected("203.0.113.80:7") + "\n" + says,
        sees=sees,
        **more,
    )


REFUSES_LIST = {Stage.FEATURES: close}
DISAPPOINTS = {"handshake_timeout": 0.6, "discover_timeout": 0.3}

PIPELINING = [
    pipelining(
        "by a proxy that has no LIST-FEATURES, and answers so",
        Script(),
        (CONNECT, PIPELINED_QUESTION, PIPELINED, PIPELINED),
    ),
    pipelining(
        "with a password, which is not sent where it has not been asked for before",
        Script(methods=(PASSWORD,), **WITH_CREDENTIALS),
        (
            "offers 00 02; as alice; connect 203.0.113.80:7",
            "offers 02, and goes on; as alice; features for 0.0.0.0:0",
            *["offers 02, and goes on; as alice; connect 203.0.113.80:7"] * 2,
        ),
    ),
    pipelining(
        "with a password that the proxy has no use for",
        Script(**WITH_CREDENTIALS),
        ("offers 00 02; connect 203.0.113.80:7", PIPELINED_QUESTION, PIPELINED, PIPELINED),
    ),
    pipelining(
        "by a proxy that closes upon LIST-FEATURES: another command tells",
        Script(at=REFUSES_LIST),
        (CONNECT, PIPELINED_QUESTION, PIPELINED_HARMLESS, PIPELINED, PIPELINED),
    ),
    pipelining(
        "by a proxy that closes upon all but CONNECT: not found out",
        Script(at=REFUSES_LIST | {Stage.REQUEST: only_connect}),
        (CONNECT, PIPELINED_QUESTION, PIPELINED_HARMLESS, QUESTION, CONNECT, CONNECT),
    ),
    pipelining(
        "by a proxy that takes one segment for one message",
        Script(loses_what_follows=True),
        (CONNECT, "offers 00, and goes on", QUESTION, CONNECT, CONNECT),
        upstream=BACKGROUND | DISAPPOINTS,
        pause=800,
    ),
    pipelining(
        "announced by the list of one that was asked on the program's connection",
        lists(fdl(plus=AHEAD)),
        (HELD_QUESTION + "; connect 203.0.113.80:7", PIPELINED, PIPELINED),
        upstream=INLINE,
    ),
    pipelining(
        "off",
        lists(fdl(plus=AHEAD)),
        (CONNECT, QUESTION, CONNECT, CONNECT),
        upstream=BACKGROUND | {"pipelining": "off"},
    ),
    Case(
        "pipelining / always: from the first connect on, the password unasked",
        "dial {echo} ~{echo}",
        proxies=(Script(methods=(PASSWORD,), tells_segments=True, **WITH_CREDENTIALS),),
        upstream=OFF | {"pipelining": "always"},
        says=connected("203.0.113.80:7", "~203.0.113.80:7"),
        sees=("offers 02, and goes on; as alice; connect 203.0.113.80:7",) * 2,
    ),
    Case(
        "pipelining / always, to a proxy that loses it: once more in sequence, and no more then",
        "dial {echo} ~{echo}",
        proxies=(Script(loses_what_follows=True, tells_segments=True),),
        upstream=OFF | DISAPPOINTS | {"pipelining": "always"},
        says=connected("203.0.113.80:7", "~203.0.113.80:7", slow=0),
        sees=("offers 00, and goes on", CONNECT, CONNECT),
    ),
    Case(
        "pipelining / always, to a proxy that wants no password: once more with all that we have",
        "dial {echo} {echo}",
        proxies=(Script(tells_segments=True, **WITH_CREDENTIALS),),
        upstream=OFF | {"pipelining": "always"},
        says=TWICE,
        sees=("offers 02, and goes on",) + ("offers 00 02; connect 203.0.113.80:7",) * 2,
    ),
    # It has been seen to take it, and takes it no more.
    *(
        pipelining(
            f"no more: {what} in place of an answer",
            Script(at={Stage.GREETING: in_turn(honestly, honestly, deed, honestly)}),
            (CONNECT, PIPELINED_QUESTION, "offers 00, and goes on", CONNECT, CONNECT),
            says=connected("203.0.113.80:7", "~203.0.113.80:7", slow=0 if deed is silence else None),
            upstream=BACKGROUND | DISAPPOINTS,
        )
        for what, deed in (
            ("the end", close),
            ("nothing", silence),
            ("no SOCKS", send(b"HTTP/1.1 400\r\n\r\n")),
            ("the answer to the second message", send(b"\1\0")),
            ("another method", send(b"\5\2")),
        )
    ),
    pipelining(
        "a destination that is refused is no reason to leave it",
        Script(),
        (CONNECT, PIPELINED_QUESTION, "offers 00, and goes on; connect 203.0.113.80:9", PIPELINED),
        "{refused} ~{echo}",
        says="203.0.113.80:9: ECONNREFUSED\n" + connected("~203.0.113.80:7"),
    ),
    pipelining(
        "a destination that nobody answers for is no reason to leave it",
        Script(at={Stage.REQUEST: for_name("dark.test", silence)}),
        (
            CONNECT,
            PIPELINED_QUESTION,
            "offers 00, and goes on; connect dark.test:7",
            "offers 00; connect dark.test:7",
            PIPELINED,
        ),
        "dark.test:7 {echo}",
        says="dark.test:7: ETIMEDOUT, slow\n" + connected("203.0.113.80:7"),
        upstream=BACKGROUND | DISAPPOINTS,
    ),
    pipelining(
        "known in a child",
        Script(),
        (CONNECT, PIPELINED_QUESTION, PIPELINED),
        "child {echo}",
        says=connected("203.0.113.80:7") + "\nthe child ended with 0",
    ),
]

# --- TCP Fast Open ---

FAST = fdl(plus=(*AHEAD, (0x80, 0x03, b"")))
WITH_SYN = "with the SYN: " + PIPELINED

FAST_OPEN = [
    pipelining(
        "with the SYN, from the second connection on that could",
        replace(lists(FAST), fast_open=True),
        (CONNECT, PIPELINED_QUESTION, PIPELINED, WITH_SYN, WITH_SYN),
        "{echo} {echo} ~{echo}",
        says=connected("203.0.113.80:7", "203.0.113.80:7", "~203.0.113.80:7"),
    ),
    pipelining(
        "with the SYN, and a password",
        replace(
            lists(fdl(plus=(*AHEAD, (0x80, 0x03, b"")), without=(WITHOUT_PASSWORD,)), methods=(PASSWORD,), **WITH_CREDENTIALS),
            fast_open=True,
        ),
        (
            "offers 00 02; as alice; connect 203.0.113.80:7",
            "offers 02, and goes on; as alice; features for 0.0.0.0:0",
            "offers 02, and goes on; as alice; connect 203.0.113.80:7",
            "with the SYN: offers 02, and goes on; as alice; connect 203.0.113.80:7",
        ),
        "{echo} {echo}",
        says=TWICE,
    ),
    pipelining(
        "not with the SYN, if the list does not say so",
        replace(lists(fdl(plus=AHEAD)), fast_open=True),
        (CONNECT, PIPELINED_QUESTION, PIPELINED, PIPELINED),
        "{echo} {echo}",
        says=TWICE,
    ),
    pipelining(
        "not with the SYN, if the rules say so",
        replace(lists(FAST), fast_open=True),
        (CONNECT, PIPELINED_QUESTION, PIPELINED, PIPELINED),
        "{echo} {echo}",
        says=TWICE,
        upstream=BACKGROUND | {"fast_open": "off"},
    ),
    pipelining(
        "not with the SYN, if the proxy's kernel takes none",
        lists(FAST),
        (CONNECT, PIPELINED_QUESTION, PIPELINED, PIPELINED),
        "{echo} {echo}",
        says=TWICE,
    ),
    pipelining(
        "with the SYN, and closed in place of an answer: once more in sequence",
        replace(
            lists(FAST, at={Stage.GREETING: in_turn(honestly, honestly, honestly, close, honestly)}), fast_open=True
        ),
        (CONNECT, PIPELINED_QUESTION, PIPELINED, "with the SYN: offers 00, and goes on", CONNECT, CONNECT),
        "{echo} {echo} {echo}",
        says=connected(*["203.0.113.80:7"] * 3),
    ),
    pipelining(
        "with the SYN, to a destination that is refused",
        replace(lists(FAST), fast_open=True),
        (
            CONNECT,
            PIPELINED_QUESTION,
            PIPELINED,
            *["with the SYN: offers 00, and goes on; connect 203.0.113.80:9"] * 2,
        ),
        "{echo} {refused} ~{refused}",
        says=connected("203.0.113.80:7") + "\n203.0.113.80:9: ECONNREFUSED\n~203.0.113.80:9: ECONNREFUSED",
    ),
]

# --- what one process leaves to the next ---


def learnt(hazard: str, script: Script, sees: tuple[str, ...], then: str = "{echo}", **more) -> Case:
    """One process connects and hears what the proxy answers to the question; `then` is another one's."""
    case = pipelining(hazard, script, sees, "exec " + then, rules={"learnt_by": "user"}, **more)
    return replace(case, name=f"learnt / {hazard}")


NEXT = connected("203.0.113.80:7")

LEARNT = [
    learnt("by another process: at its first connect", Script(), (CONNECT, PIPELINED_QUESTION, PIPELINED), says=NEXT),
    learnt(
        "by a process that ends half-way: the next one goes on where it was",
        Script(at={Stage.FEATURES: close, Stage.GREETING: in_turn(honestly, honestly, silence, honestly)}),
        (
            CONNECT,
            PIPELINED_QUESTION,
            "offers 00, and goes on; and sends b'\\x05\\x03\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00'",
            CONNECT,
            PIPELINED_HARMLESS,
            PIPELINED,
        ),
        f"{{echo}} pause:{ASKED} {{echo}}",
        says=TWICE,
    ),
    learnt(
        "a list, with all that it says",
        lists(fdl(plus=AHEAD, without=(WITHOUT_PASSWORD,)), methods=(PASSWORD,), **WITH_CREDENTIALS),
        (
            "offers 00 02; as alice; connect 203.0.113.80:7",
            "offers 02, and goes on; as alice; features for 0.0.0.0:0",
            "offers 02, and goes on; as alice; connect 203.0.113.80:7",
        ),
        says=NEXT,
    ),
    learnt(
        "that a proxy loses what comes behind the greeting",
        Script(loses_what_follows=True),
        (CONNECT, "offers 00, and goes on", QUESTION, CONNECT),
        says=NEXT,
        upstream=BACKGROUND | DISAPPOINTS,
        pause=800,
    ),
    learnt(
        "a list that depends on the client's address, which is the same",
        lists(fdl(plus=AHEAD, scope="client method")),
        (CONNECT, PIPELINED_QUESTION, PIPELINED),
        says=NEXT,
    ),
    learnt(
        "a list that rules a request out is asked for anew",
        lists(fdl(without=(NAMES,))),
        # On the connection itself, as it is known that it can be held.
        (CONNECT, PIPELINED_QUESTION, PIPELINED_QUESTION.replace(" for", ", held, for") + "; connect echo.test:7"),
        f"echo.test:7 pause:{ASKED} echo.test:7",
        says=connected("echo.test:7") + "\necho.test:7: EAFNOSUPPORT",
    ),
    learnt(
        "a list that is contradicted is nobody's any more",
        lists(fdl(plus=AHEAD), at={Stage.REQUEST: in_turn(honestly, send(rep(7)), honestly)}),
        (CONNECT, PIPELINED_QUESTION, PIPELINED, CONNECT, PIPELINED, PIPELINED_QUESTION),
        f"{{echo}} exec {{echo}} pause:{ASKED}",
        says=TWICE,
    ),
    learnt(
        "another server has taken the proxy's place, and loses what comes behind the greeting",
        Script(at={Stage.GREETING: in_turn(honestly, honestly, silence, honestly)}),
        (CONNECT, PIPELINED_QUESTION, "offers 00, and goes on", CONNECT, CONNECT),
        "{echo} exec {echo}",
        says=connected("203.0.113.80:7", "203.0.113.80:7", slow=0),
        upstream=BACKGROUND | DISAPPOINTS,
    ),
    learnt(
        "is too old",
        Script(),
        (CONNECT, PIPELINED_QUESTION, CONNECT, PIPELINED_QUESTION),
        f"{{echo}} pause:{ASKED}",
        says=NEXT,
        upstream=BACKGROUND | {"feature_lifetime": 1},
        pause=2100,
    ),
    replace(
        pipelining(
            "is each process's own, if the rules say so",
            Script(),
            (CONNECT, PIPELINED_QUESTION, CONNECT, PIPELINED_QUESTION),
            f"exec {{echo}} pause:{ASKED}",
            says=NEXT,
        ),
        name="learnt / is each process's own, if the rules say so",
    ),
    learnt(
        "and never asked for, where the rules say so",
        Script(),
        (CONNECT, CONNECT),
        says=NEXT,
        upstream=OFF,
    ),
]

# --- several upstreams ---

HONEST = Script()
DOWN = Script(listening=False)


def failover(
    hazard: str,
    first: Script | str,
    says: str,
    sees: tuple | None,
    second_sees: tuple,
    then: str = "{echo} {echo}",
    **more,
) -> Case:
    return Case(
        f"upstreams / {hazard}",
        f"dial {then}",
        proxies=(first, HONEST),
        says=says,
        sees=sees,
        second_sees=second_sees,
        **more,
    )


UPSTREAMS = [
    failover("the first is up", HONEST, TWICE, (CONNECT,) * 2, ()),
    failover("the first is down: the second, without delay", DOWN, TWICE, (), (CONNECT,) * 2),
    failover("the first is down, not blocking", DOWN, connected("~203.0.113.80:7"), (), (CONNECT,), "~{echo}"),
    Case(
        "upstreams / the first one's host is silent: only the first connect waits",
        "dial {echo} {echo} ~{echo}",
        proxies=(f"socks5://{SILENT_PROXY}:1080", HONEST),
        says=connected("203.0.113.80:7", "203.0.113.80:7", "~203.0.113.80:7", slow=0),
        sees=(CONNECT,) * 3,
    ),
    failover(
        "the first is silent",
        Script(at={Stage.GREETING: silence}),
        connected(*["203.0.113.80:7"] * 2, slow=0),
        ("offers 00",),
        (CONNECT,) * 2,
    ),
    failover(
        "the first speaks no SOCKS",
        Script(at={Stage.ACCEPTED: send(b"HTTP/1.1 400\r\n\r\n")}),
        TWICE,
        None,
        (CONNECT,) * 2,
    ),
    failover("the first accepts none of our methods", Script(methods=()), TWICE, ("offers 00",), (CONNECT,) * 2),
    failover(
        "the first refuses the password",
        Script(methods=(PASSWORD,), as_user="alice:wrong"),
        TWICE,
        ("offers 00 02; as alice",),
        (CONNECT,) * 2,
    ),
    # One destination's failure is not the proxy's.
    *(
        failover(
            f"a destination's {what} is no reason to leave the first",
            Script(at={Stage.REQUEST: in_turn(deed, honestly)}),
            f"203.0.113.80:7: {error}\n" + connected("203.0.113.80:7"),
            (CONNECT,) * 2,
            (),
        )
        for what, deed, error in (
            ("REP 01", send(rep(1)), "ECONNABORTED"),
            ("REP 02", send(rep(2)), "EACCES"),
            ("REP 04", send(rep(4)), "EHOSTUNREACH"),
            ("REP 05", send(rep(5)), "ECONNREFUSED"),
            ("close", close, "ECONNREFUSED"),
        )
    ),
    Case(
        "upstreams / all are down: the last one's error, each time",
        "dial {echo} ~{echo}",
        proxies=(Script(at={Stage.ACCEPTED: silence}), DOWN),
        says="203.0.113.80:7: ECONNREFUSED, slow\n~203.0.113.80:7: ECONNREFUSED, slow",
    ),
    failover(
        "by the rules, one after the other",
        HONEST,
        TWICE,
        (),
        (CONNECT,) * 2,
        rules={"rules": [{"destination": "203.0.113.80", "route": ["p1", "p0"]}]},
    ),
]

CASES = WHEN + ENDS + DECISIONS + PIPELINING + FAST_OPEN + LEARNT + UPSTREAMS
