"""A proxy that answers every wrong thing at every point, and what the program is told of it.

The tables make a matrix: at each stage, the right answer cut after each of its octets, where the proxy then closes,
resets, is silent or goes on with garbage; and each answer that is whole but wrong. Each is a proxy of its own, all of
one stage are spoken to at the same time, by each way to connect: a thread that waits, poll(), and edge-triggered epoll.

What must come of an answer is worked out here, from RFC 1928, RFC 1929, the draft and doc/wire.md, by no code of the
library's: `outcome_of_reply` and its kin.
"""

import string
from dataclasses import dataclass, replace
from typing import Iterable

from fake_proxy import (
    HOLD,
    PASSWORD,
    Deed,
    Script,
    Stage,
    close,
    echo,
    fdl,
    flood,
    garbage,
    in_turn,
    list_features,
    nothing_more,
    rep,
    reset,
    send,
    silence,
)
from suite import Case

WAYS = ("blocking", "poll", "edge")

# Milliseconds. Nobody who is answered waits for a timeout; who is not, waits for one, and not for another.
AT_ONCE = {"upstream": {"connect_timeout": 5, "handshake_timeout": 4, "discover_timeout": 3}, "limit": 2500}
WAITING = {"upstream": {"connect_timeout": 5, "handshake_timeout": 0.8, "discover_timeout": 0.6}, "limit": 500}


@dataclass(frozen=True)
class Wrong:
    """One proxy, and what the program is told: an errno, or 0 and what the destination seems to say."""

    label: str
    script: Script
    told: str
    waits: bool = False
    sees: tuple[str, ...] | None = None  # {} stands for the label
    told_again: str = ""  # by the second round of connects; as the first, if nothing is given


HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>\r\n"
TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x28"
SOMEBODY_ELSES = {
    "http": HTTP,
    "tls-alert": TLS_ALERT,
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "smtp": b"220 mail.example ESMTP\r\n",
    "socks4": b"\0\x5a\0\0\0\0\0\0",
    "zeros": bytes(300),
    "ones": b"\xff" * 300,
    "garbage": garbage(80),
}

SUCCESS = "0, echo"
Wrongs = Iterable[Wrong]
ENDS: dict[str, Deed] = {"closes": close, "resets": reset, "silent": silence}


@dataclass(frozen=True)
class Outcome:
    """Of one answer: refused with `code`, cut short by the proxy, silent, no SOCKS, or accepted with octets to spare."""

    what: str
    code: int = 0
    rest: bytes = b""


def outcome_of_end(end: Deed) -> Outcome:
    return Outcome("closed" if end in (close, reset) else "silent")


# --- what comes of an answer to CONNECT ---

ERRNO_OF_REP = {
    1: "ECONNABORTED",
    2: "EACCES",
    3: "ENETUNREACH",
    4: "EHOSTUNREACH",
    5: "ECONNREFUSED",
    6: "ETIMEDOUT",
    7: "EOPNOTSUPP",
    8: "EAFNOSUPPORT",
    9: "ETIMEDOUT",
    0xA0: "EADDRINUSE",
    0xA1: "EACCES",
    0xA3: "EACCES",
    0xA4: "ENOBUFS",
} | {code: "EHOSTUNREACH" for code in range(0xF0, 0xF8)}


def size_of_reply(octets: bytes) -> int | None:
    """Of the whole message; nothing for an ATYP that isn't."""
    match octets[3]:
        case 1:
            return 10
        case 4:
            return 22
        case 3:
            return 7 + octets[4] if len(octets) > 4 else 7
    return None


def outcome_of_reply(octets: bytes, end: Deed) -> Outcome:
    if octets and octets[0] != 5:
        return Outcome("no socks")
    if len(octets) > 1 and octets[1] != 0:
        return Outcome("refused", octets[1])  # final, whatever follows
    if len(octets) < 4:
        return outcome_of_end(end)
    size = size_of_reply(octets)
    if size is None:
        return Outcome("no socks")
    if len(octets) < size:
        return outcome_of_end(end)
    if octets[3] == 3 and 0 in octets[5 : 5 + octets[4]]:
        return Outcome("no socks")  # a NUL is in nobody's name
    return Outcome("accepted", rest=octets[size:])


def told_of(outcome: Outcome) -> str:
    match outcome.what:
        case "no socks":
            return "ECONNABORTED"
        case "refused":
            return ERRNO_OF_REP.get(outcome.code, "ECONNABORTED")
        case "closed":
            return "ECONNREFUSED"
        case "silent":
            return "ETIMEDOUT"
    return heard(outcome.rest)


def heard(octets: bytes, end: str = "echo") -> str:
    """How the victim shows that the destination said these octets."""
    if not octets:
        return f"0, {end}"
    text = "".join(chr(o) if chr(o) in string.ascii_letters + string.digits else "." for o in octets)
    return f"0, '{text}', {end}" if len(text) <= 64 else f"0, '{text[:8]}' and {len(text) - 8} more, {end}"


def cuts(right: bytes) -> Iterable[tuple[str, bytes, Deed]]:
    """The right answer, cut after each octet, and what follows: label, octets, deed."""
    for size in range(len(right)):
        for label, end in ENDS.items():
            yield f"{size}-then-{label}", right[:size], end
        yield f"{size}-then-garbage", right[:size] + garbage(len(right) - size), echo


NAMED, NAMELESS = b"\5\0\0\3\4name\0\7", b"\5\0\0\3\0\0\7"
REPLIES = {"ipv4": rep(0), "name": NAMED, "ipv6": b"\5\0\0\4" + bytes(18)}


Answer = tuple[str, bytes, Deed]  # label, octets, what the proxy does then
Answers = Iterable[Answer]


def cut_successes() -> Answers:
    for form, right in REPLIES.items():
        for label, octets, then in cuts(right):
            yield f"{form}-{label}", octets, then


def refusals() -> Answers:
    for code in range(1, 256):
        yield f"rep-{code:02x}", rep(code), silence


def cut_refusals() -> Answers:
    for code in (1, 5, 7, 8, 0x55, 0xF3):
        for label, octets, then in cuts(rep(code)):
            if len(octets) > 1:
                yield f"rep-{code:02x}-{label}", octets, then


def odd_replies() -> Answers:
    for form, right in REPLIES.items():
        yield f"{form}-and-more", right + b"early", echo
        yield f"{form}-and-garbage", right + garbage(50), echo
    for code in (0, 5):
        for kind in (0, 2, 5, 0x7F, 0xFF):
            yield f"rep-{code:02x}-atyp-{kind:02x}", bytes((5, code, 0, kind)) + bytes(30), silence
    for version in (0, 1, 4, 6, 0x85, 0xFF):
        yield f"version-{version:02x}", bytes((version,)) + rep(0)[1:], silence
    for flag in (1, 0x80, 0xFF):
        yield f"flag-{flag:02x}", rep(0, flag), echo
    yield "bnd-no-name", NAMELESS, echo
    yield "bnd-no-name-and-more", NAMELESS + b"early", echo
    yield "bnd-name-with-nul", b"\5\0\0\3\4n\0me\0\7", silence
    yield "bnd-name-no-text", b"\5\0\0\3\4\xff\r\n \0\7", echo
    for label, octets in SOMEBODY_ELSES.items():
        yield label, octets, silence


def long_replies() -> Answers:
    yield "a-lot-more", rep(0) + b"early" * 20000, echo
    longest = b"\5\0\0\3\xff" + b"n" * 255 + b"\0\7"
    yield "bnd-name-of-255", longest, echo
    yield "bnd-name-of-255-and-more", longest + b"early", echo
    for size in (5, 6, 255, 260, 261):
        for label, end in ENDS.items():
            yield f"bnd-name-of-255-{size}-then-{label}", longest[:size], end


REPLY_GROUPS = {
    "cut": cut_successes,
    "refused": refusals,
    "refused and cut": cut_refusals,
    "odd": odd_replies,
    "long": long_replies,
}


def at_request(answers: Answers) -> Wrongs:
    for label, octets, then in answers:
        outcome = outcome_of_reply(octets, then)
        script = Script(at={Stage.REQUEST: send(octets, then)})
        sees = None if outcome.what == "accepted" else ("offers 00; connect {}.test:7",)
        yield Wrong(label, script, told_of(outcome), outcome.what == "silent", sees)


# --- on a connection that was held after the list: what contradicts the list is tried once more, without it ---


def at_held_request(answers: Answers) -> Wrongs:
    held, plain = "offers 00; features, held, for 0.0.0.0:0; connect {}.test:7", "offers 00; connect {}.test:7"
    for label, octets, then in answers:
        outcome = outcome_of_reply(octets, then)
        again = outcome.what in ("no socks", "closed") or outcome.what == "refused" and outcome.code in (7, 8)
        yield Wrong(
            label,
            Script(
                at={
                    Stage.FEATURES: list_features(),
                    Stage.REQUEST: in_turn(send(octets, then), send(rep(0), echo)),
                }
            ),
            SUCCESS if again else told_of(outcome),
            outcome.what == "silent",
            (held, plain) if again else None if outcome.what == "accepted" else (held,),
        )


# --- greeting and password ---


def at_greeting(answers: Answers) -> Wrongs:
    for label, octets, then in answers:
        if octets in (b"", b"\5"):
            outcome = outcome_of_end(then)
        else:
            outcome = Outcome("refused", 2) if octets == b"\5\xff" else Outcome("no socks")
        script = Script(at={Stage.GREETING: send(octets, then)})
        yield Wrong(label, script, told_of(outcome), outcome.what == "silent", ("offers 00",))


def choices() -> Answers:
    yield from cuts(b"\5\0")
    for version in (0, 1, 4, 6, 0x85, 0xFF):
        yield f"version-{version:02x}", bytes((version, 0)), silence
        yield f"version-{version:02x}-alone", bytes((version,)), silence
    for label, octets in SOMEBODY_ELSES.items():
        yield label, octets, silence


def methods() -> Answers:
    for method in range(1, 256):
        yield f"method-{method:02x}", bytes((5, method)), silence


def too_long(stage: Stage, right: bytes, more: dict) -> Wrongs:
    """Octets after an answer begin the next one: there are servers that answer before they have read the request."""
    early = {"reply": rep(0), "refusal": rep(5), "reply-and-more": rep(0) + b"early", "half": rep(0)[:5]}
    for label, octets in (early | SOMEBODY_ELSES).items():
        script = Script(at={stage: send(right + octets, nothing_more), Stage.REQUEST: echo}, **more)
        outcome = outcome_of_reply(octets, silence)
        yield Wrong(f"with-{label}", script, told_of(outcome), outcome.what == "silent")


WITH_PASSWORD = {"methods": (PASSWORD,), "users": {"alice": "secret"}, "as_user": "alice:secret"}


def at_password(answers: Answers) -> Wrongs:
    """RFC 1929; VER is not looked at (doc/wire.md)."""
    for label, octets, then in answers:
        if len(octets) < 2:
            outcome = outcome_of_end(then)
        else:
            outcome = Outcome("accepted") if octets[1] == 0 else Outcome("refused", 2)
        accepted = outcome.what == "accepted"
        script = Script(
            at={Stage.PASSWORD: send(octets, nothing_more if accepted else then), Stage.REQUEST: send(rep(0), echo)},
            **WITH_PASSWORD,
        )
        sees = ("offers 00 02; as alice" + ("; connect {}.test:7" if accepted else ""),)
        yield Wrong(label, script, told_of(outcome), outcome.what == "silent", sees)


def verdicts() -> Answers:
    yield from cuts(b"\1\0")
    for version in (0, 2, 4, 5, 0xFF):
        yield f"version-{version:02x}", bytes((version, 0)), silence
        yield f"version-{version:02x}-refused", bytes((version, 1)), silence
    for label, octets in SOMEBODY_ELSES.items():
        if octets[1] != 0:
            yield label, octets, silence


def statuses() -> Answers:
    for status in range(1, 256):
        yield f"status-{status:02x}", bytes((1, status)), silence


# --- LIST-FEATURES ---

HELD = rep(0, HOLD)
ENDLESS = {
    "entries": flood(b"\x90\0\0" * 500),
    "large-entries": flood((b"\x90\0\xff" + bytes(255)) * 8),
    "one-entry-at-a-time": flood(b"\x90\0\1x"),
    "server-names": flood(b"\x10\1\x05proxy" * 100),
}
BAD_LENGTHS = {
    "value-longer-than-the-rest": b"\1\5\xff" + fdl()[3:],
    "end-inside-a-value": b"\1\5\x03\xff\0\0" + b"\2\1",
    "end-with-a-length-and-no-value": fdl(end=b"\xff\0\x09val"),
    "end-of-two-octets": fdl(end=b"\xff\0"),
    "end-of-one-octet": fdl(end=b"\xff"),
    "entry-of-two-octets": fdl(end=b"") + b"\4\1",
    "length-of-255-and-nothing": fdl(end=b"") + b"\4\1\xff",
}




def cut_lists(flag: int) -> Answers:
    right = rep(0, flag) + fdl()
    for size in range(len(right)):
        for label, end in ENDS.items():
            yield f"{size}-then-{label}", right[:size], end
    for size in range(len(rep(0))):
        yield f"{size}-then-garbage", right[:size] + garbage(len(right) - size), close


def no_lists(flag: int) -> Answers:
    for code in (7, 0xA5):
        yield f"rep-{code:02x}-and-a-list", rep(code, flag) + fdl(), close
    for kind in (0, 2, 0xFF):
        yield f"atyp-{kind:02x}", bytes((5, 0, flag, kind)) + bytes(6) + fdl(), close
    for version in (0, 1, 4, 0xFF):
        yield f"version-{version:02x}", bytes((version, 0, flag, 1)) + bytes(6) + fdl(), close
    for label, octets in BAD_LENGTHS.items():
        for how, end in ENDS.items():
            yield f"{label}-then-{how}", rep(0, flag) + octets, end
    for label, end in ENDLESS.items():
        yield f"endless-{label}", rep(0, flag), end
    for label, octets in SOMEBODY_ELSES.items():
        yield label, octets, close
        yield f"reply-then-{label}", rep(0, flag) + octets, close


def refused_lists(_: int) -> Answers:
    yield from refusals()


def cut_refused_lists(_: int) -> Answers:
    for label, octets, then in cut_refusals():
        yield label, octets, close if then is echo else then


LIST_GROUPS = {
    "cut": cut_lists,
    "no list": no_lists,
    "refused": refused_lists,
    "refused and cut": cut_refused_lists,
}


def waits_for_a_list(octets: bytes, then: Deed) -> bool:
    """Whether only the timeout ends it."""
    is_silent = then is silence and outcome_of_reply(octets, then).what in ("silent", "accepted")
    return is_silent and fdl() not in octets


def at_held_features(answers: Answers) -> Wrongs:
    """Asked on the program's own connection, which is of no use then: the request follows on a fresh one."""
    for label, octets, then in answers:
        script = Script(at={Stage.FEATURES: send(octets, then), Stage.REQUEST: send(rep(0), echo)})
        plain = "offers 00; connect {}.test:7"
        sees = ("offers 00; features, held, for 0.0.0.0:0", plain, plain)
        yield Wrong(label, script, SUCCESS, waits_for_a_list(octets, then), sees)


def more_than_a_list() -> Answers:
    """The server waits for the request: whatever it says before is not what the draft describes."""
    for label, octets in {"reply": rep(0), "zero": b"\0", "list": fdl()}.items():
        yield f"with-{label}", HELD + fdl() + octets, silence


# What a list must not lack for a program to connect by name: of each TAG that has entries, this one.
NEEDED = {0x01: 0x05, 0x02: 0x03, 0x03: 0x00, 0x04: 0x01}


def told_by_list(octets: bytes, then: Deed) -> str:
    """What becomes of a name when this answer to a question on a connection of its own is all that is known."""
    entries, listed = [], octets[10:]
    if outcome_of_reply(octets, then).what != "accepted" or then not in (*ENDS.values(),):
        return SUCCESS
    while listed[:1] != b"\xff":
        if not listed and entries and then is close:
            break  # a list may end with the connection
        if len(listed) < 3 or len(listed) < 3 + listed[2]:
            return SUCCESS  # no list
        entries.append((listed[0], listed[1]))
        listed = listed[3 + listed[2] :]
    for tag, subtag in NEEDED.items():
        if any(entry[0] == tag for entry in entries) and (tag, subtag) not in entries:
            return {0x02: "EAFNOSUPPORT", 0x03: "EACCES"}.get(tag, "EOPNOTSUPP")
    return SUCCESS


def at_features(answers: Answers) -> Wrongs:
    """Asked in the background: the first round of connects knows nothing of it, the second what was learnt."""
    for label, octets, then in answers:
        script = Script(at={Stage.FEATURES: send(octets, then), Stage.REQUEST: send(rep(0), echo)})
        told_again = told_by_list(octets, then)
        plain = "offers 00; connect {}.test:7"
        connects = (plain, plain) if told_again == SUCCESS else (plain,)
        question = "offers 00; features for 0.0.0.0:0"
        # The question comes in one segment with the greeting. An end instead of an answer may be the answer: another
        # command tells. If nothing is answered, or with no SOCKS, the question may have been lost.
        more = {"closed": ("offers 00; associate 0.0.0.0:0",), "silent": (question,), "no socks": (question,)}
        asked = (question, *more.get(outcome_of_reply(octets, then).what, ()))
        yield Wrong(label, script, SUCCESS, False, (*asked, *connects), told_again)


# --- the cases ---


def slowly(wrongs: Wrongs) -> Wrongs:
    """The same with each octet in a segment of its own, but for those that are only cut."""
    for wrong in wrongs:
        if "-then-" not in wrong.label:
            yield replace(wrong, script=replace(wrong.script, by_the_octet=True))


def cases(where: str, wrongs: Wrongs, upstream: dict, *, rounds: int = 1, pause: int = 0) -> list[Case]:
    """One for each way to connect; one more for each if some of the proxies keep us waiting."""
    wrongs = list(wrongs)
    made = []
    for when, times in (("", AT_ONCE), (", silence", WAITING)):
        if those := [wrong for wrong in wrongs if wrong.waits == bool(when)]:
            times = times | {"upstream": times["upstream"] | upstream}
            made += [case(f"wrong / {where}{when} / {way}", way, those, times, rounds, pause) for way in WAYS]
    return made


def case(name: str, way: str, wrongs: list[Wrong], times: dict, rounds: int, pause: int) -> Case:
    says = [f"{wrong.label}: {wrong.told}{', slow' if wrong.waits else ''}" for wrong in wrongs]
    if rounds == 2:
        says += [f"{wrong.label}: {wrong.told_again or wrong.told}" for wrong in wrongs]
    works = way != "blocking" or times["upstream"]["discover"] == "background"
    says.append(f"descriptors: {2 if works else 0} more")
    sees = [wrong.sees and tuple(line.format(wrong.label) for line in wrong.sees) for wrong in wrongs]
    rules = [{"destination": f"{wrong.label}.test", "route": [f"p{i}"]} for i, wrong in enumerate(wrongs)]
    names = " ".join(f"{wrong.label}.test:7" for wrong in wrongs)
    return Case(
        name,
        f"all_at_once {way} {times['limit']} {rounds} {pause} {names}",
        says="\n".join(says),
        proxies=tuple(wrong.script for wrong in wrongs),
        upstream=times["upstream"],
        rules={"rules": rules},
        sees=sees[0],
        second_sees=sees[1] if len(sees) > 1 else None,
        others_see=tuple(sees[2:]),
        seconds=60,
        together=True,
    )


OFF, INLINE, BACKGROUND = ({"discover": how} for how in ("off", "inline", "background"))


def all_cases() -> Iterable[Case]:
    yield from cases("greeting", at_greeting(choices()), OFF)
    yield from cases("greeting, method", at_greeting(methods()), OFF)
    yield from cases("greeting, too long", too_long(Stage.GREETING, b"\5\0", {}), OFF)
    yield from cases("password", at_password(verdicts()), OFF)
    yield from cases("password, status", at_password(statuses()), OFF)
    yield from cases("password, too long", too_long(Stage.PASSWORD, b"\1\0", WITH_PASSWORD), OFF)
    for group, answers in REPLY_GROUPS.items():
        yield from cases(f"request, {group}", at_request(answers()), OFF)
    yield from cases("request, odd, by the octet", slowly(at_request(odd_replies())), OFF)
    for group, answers in REPLY_GROUPS.items():
        yield from cases(f"held request, {group}", at_held_request(answers()), INLINE)
    for group, lists in LIST_GROUPS.items():
        yield from cases(f"features inline, {group}", at_held_features(lists(HOLD)), INLINE, rounds=2)
    yield from cases("features inline, too long", at_held_features(more_than_a_list()), INLINE, rounds=2)
    for group, lists in LIST_GROUPS.items():
        asked = BACKGROUND | {"discover_timeout": 0.5}
        yield from cases(f"features in the background, {group}", at_features(lists(0)), asked, rounds=2, pause=900)


CASES = list(all_cases())
