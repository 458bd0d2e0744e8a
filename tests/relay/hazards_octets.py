"""octets: what is easily got wrong between the greeting and the first octet of a tunnel."""

from ends import (
    END, LIST, LIST_AND_HOLD, LISTED, LISTED_AND_HELD, NONE, Far, Relay, auth, connect, connect_name
)
from hazards import Place, case, equal

NAMED = bytes.fromhex("800008 736f636b73696679 80010102")  # "socksify", and what may come early
WHOLE = bytes.fromhex("01050100 020100 020300 020400 030000 040100 040300 04100101") + NAMED + END


@case
def vector(place: Place) -> None:
    """the test vector with hold, octet for octet, and then CONNECT with early data on the same connection"""
    relay, far = Relay(place), place.keep(Far())
    client = relay.client()
    client.send(bytes.fromhex("05100101000000000000"))
    client.expect("05000101000000000000" + WHOLE.hex())
    client.expect_silence()
    client.send(connect(*far.address) + b"early")
    equal(client.reply(), (0, 0, *far.accept().socket.getpeername()))


@case
def request_without_authentication(place: Place) -> None:
    """a request where the password belongs reaches nobody"""
    relay, far = Relay(place, auth=auth(place)), place.keep(Far())
    client = relay.dial()
    client.send(bytes.fromhex("050102") + connect(*far.address))
    client.expect("0502")
    client.expect_closed()
    far.expect_nobody()


@case
def method_not_offered(place: Place) -> None:
    """no acceptable method: 05 FF arrives whole although the request is there already, and reaches nobody"""
    relay, far = Relay(place, auth=auth(place)), place.keep(Far())
    for greeting in ("050100", "0501ff", "05020180"):
        client = relay.dial()
        client.send(bytes.fromhex(greeting) + connect(*far.address) + bytes(1000))
        client.expect("05ff")
        client.expect_end()
    far.expect_nobody()


@case
def own_loopback(place: Place) -> None:
    """the relay's loopback is denied by default: 02, in every way to write it"""
    far = place.keep(Far())
    relay = Relay(place, guard_own_host=True, hosts={"far.example": "127.0.0.1", "mapped.example": "::ffff:127.0.0.1"})
    ways = [connect(host, far.port) for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "169.254.1.1", "fe80::1")]
    names = ("far.example", "FAR.EXAMPLE", "mapped.example", "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "::1")
    for request in ways + [connect_name(text, far.port) for text in names]:
        refused(relay, request)
    far.expect_nobody()


@case
def own_loopback_by_name_rule(place: Place) -> None:
    """a rule for a name, or for everything, does not open the loopback that the name resolves to"""
    far = place.keep(Far())
    for destination in ("far.example", "*", "0.0.0.0/0", "*.example"):
        rules = [{"destination": destination, "action": "allow"}]
        relay = Relay(place, guard_own_host=True, hosts={"far.example": "127.0.0.1"}, rules=rules)
        refused(relay, connect_name("far.example", far.port))
    far.expect_nobody()


@case
def own_loopback_allowed(place: Place) -> None:
    """the loopback that a rule allows can be reached by address and by name, and no other port of it"""
    far, other = place.keep(Far()), place.keep(Far())
    rules = [{"destination": "127.0.0.0/8", "port": far.port, "action": "allow"}]
    relay = Relay(place, guard_own_host=True, hosts={"far.example": "127.0.0.1"}, rules=rules)
    for request in (connect(*far.address), connect_name("far.example", far.port)):
        client = relay.client()
        client.send(request)
        equal(client.reply()[0], 0, "REP")
        far.accept()
    refused(relay, connect(*other.address))
    other.expect_nobody()


@case
def unspecified(place: Place) -> None:
    """unspecified destinations in every spelling, and the empty name: 02, with loopback open too"""
    far, relay = place.keep(Far()), Relay(place, hosts={"zero.example": ["0.0.0.0", "::", "::ffff:0.0.0.0"]})
    requests = [connect(host, far.port) for host in ("0.0.0.0", "::", "::ffff:0.0.0.0")]
    requests += [connect_name(text, far.port) for text in ("", "0.0.0.0", "::", "zero.example", "0", "0x0")]
    for request in requests:
        refused(relay, request)
    far.expect_nobody()


def refused(relay: Relay, request: bytes, rep: int = 2) -> None:
    try:
        relay.client().expect_refusal(rep, request)
    except AssertionError as error:
        raise AssertionError(f"{request!r}: {error}") from None


@case
def odd_requests(place: Place) -> None:
    """unknown commands: 07; unknown address types: 08 whatever stands behind; on a held connection too"""
    relay = Relay(place)
    for held in (False, True):
        for command in (0, 2, 4, 5, 0x11, 0xFF):
            request = bytes([5, command, 0]) + LIST[3:] + bytes(50_000)
            refused(relay, (LIST_AND_HOLD if held else b"") + request, 7) if not held else after_hold(relay, request, 7)
        for atyp in (0, 2, 5, 0xFF):
            request = bytes([5, 1, 0, atyp]) + bytes(30)
            after_hold(relay, request, 8) if held else refused(relay, request, 8)


def after_hold(relay: Relay, request: bytes, rep: int) -> None:
    client = relay.client()
    client.features()
    client.expect_refusal(rep, request)


@case
def switched_off(place: Place) -> None:
    """a switched-off address type: 08, as text in a name too, and missing from the list"""
    ways = {"ipv4": (1, connect("192.0.2.1", 80), "192.0.2.1"), "names": (3, connect_name("a.example", 80), "127.0.0.1"),
            "ipv6": (4, connect("2001:db8::1", 80), "2001:db8::1")}  # fmt: skip
    for word, (atyp, request, text) in ways.items():
        relay = Relay(place, features={word: False})
        refused(relay, request, 8)
        refused(relay, connect_name(text, 80), 8)
        listed = [subtag for tag, subtag, _ in relay.client().features() if tag == 2]
        equal(listed, [one for one in (1, 3, 4) if one != atyp], f"address types without {word}")


@case
def scope(place: Place) -> None:
    """SCOPE is there exactly when the list depends on client, user or destination, with exactly these octets"""
    deny = {"action": "deny"}
    client, user, host = {"client": "192.0.2.0/24"}, {"user": "bob"}, {"destination": "bad.example"}
    for rules, per_destination, octets in (
        ([], True, None), ([{"action": "allow"}], True, None), ([host | deny], False, None), ([{"port": 25} | deny], True, b"\3"),
        ([{"destination": "*"} | deny], True, None), ([client | deny], False, b"\1"), ([user | deny], False, b"\2"),
        ([host | deny], True, b"\3"), ([client | user | host | deny], True, b"\1\2\3"), ([host | deny, client | deny], True, b"\1\3"),
    ):  # fmt: skip
        relay = Relay(place, auth=auth(place), rules=rules, features={"per_destination": per_destination})
        one = relay.dial()
        one.authenticate()
        one.expect("0100")
        found = [value for tag, subtag, value in one.features() if (tag, subtag) == (0, 0x10)]
        equal(found, [] if octets is None else [octets], str(rules))


@case
def bad_ends(place: Place) -> None:
    """test_behaviour list_end: no END, and a bare FF, held and not held"""
    for word, cut in (("none", 3), ("tag_only", 2)):
        client = Relay(place, test_behaviour={"list_end": word}).client()
        client.send(LIST_AND_HOLD)
        client.expect(LISTED_AND_HELD + WHOLE[:-cut])
        client.expect_silence()
        client.send(LIST)
        equal(client.rest(), LISTED + WHOLE[:-cut])


@case
def bad_answers(place: Place) -> None:
    """test_behaviour list_features: exactly these octets, then the end; CONNECT works all the same"""
    far = place.keep(Far())
    zeros = bytes.fromhex("0001000000000000")
    answers = {"refuse": b"\5\7" + zeros, "general_failure": b"\5\1" + zeros, "close": b"", "garbage": LISTED + b"HTTP/1",
               "four_octets": b"\5\7\0\1"}  # fmt: skip
    for word, octets in answers.items():
        relay = Relay(place, test_behaviour={"list_features": word})
        client = relay.client()
        client.send(LIST_AND_HOLD + NONE)
        equal(client.rest(), octets, word)
        relay.tunnel(far)


@case
def bad_silence(place: Place) -> None:
    """test_behaviour silence: neither an octet nor the end, beyond every timeout"""
    short = {"handshake": 0.2, "held": 0.2, "close": 0.2, "idle": 0.2}
    client = Relay(place, test_behaviour={"list_features": "silence"}, timeouts=short).client()
    client.send(LIST_AND_HOLD)
    client.expect_silence(1)
