"""features: what proxies say of themselves, and the ways in which they say nothing."""

import contextlib
import socket

from proxies import SUCCEEDED, FakeProxy, danted, features, free_port, microsocks, openssh, relay, shadowsocks, text
from suite import Place, case, contains, equal

SILENCE = {"discover_timeout": 0.3, "handshake_timeout": 0.5}

# doc/wire.md, the list that is everybody's test vector.
LIST = bytes.fromhex("010501000201000203000204000300000302000401000402010104030201040404020102" + "04100101")


def rules(place: Place, url: str, **settings) -> None:
    place.write("rules.json", {"upstreams": {"fake": {"url": url} | settings}})


def asked(place: Place, proxy: FakeProxy, status: int = 0, **settings) -> dict:
    rules(place, proxy.url, **settings)
    (upstream,) = place.json("-c", "rules.json", "features", status=status)["upstreams"]
    return upstream


@case
def whole_list(place: Place) -> None:
    """a whole list, in words and in octets"""
    entries = [LIST, bytes.fromhex("0010020103"), text(1, b"proxy.example"), text(2, b"https://proxy.example/"), text(4, b"0.25")]
    entries += [bytes.fromhex("071306") + b"Hello.", bytes.fromhex("800008") + b"socksify"]
    with FakeProxy(features(*entries)) as proxy:
        upstream = asked(place, proxy)
        answer = place.text("-c", "rules.json", "-v", "features")
    equal(proxy.requests[0], bytes.fromhex("05100001000000000000"))
    equal((upstream["name"], upstream["usable"], upstream["list_features"]), ("fake", True, "listed"))
    equal((upstream["url"], upstream["address"]), (proxy.url, proxy.url.removeprefix("socks5://")))
    assert upstream["connect_ms"] > 0 and upstream["round_trip_ms"] > 0 and upstream["features_ms"] > 0, upstream
    equal(upstream["method"]["code"], 0)
    listed = upstream["features"]
    equal(listed["versions"], ["5.0"])
    equal([one["code"] for one in listed["address_types"]], [1, 3, 4])
    equal([one["code"] for one in listed["methods"]], [0, 2])
    equal([(one["code"], one["value"]) for one in listed["commands"]][-1], (16, "01"))
    equal([one["name"] for one in listed["commands"]][:3], ["CONNECT", "BIND", "UDP ASSOCIATE"])
    equal(listed["persistent"], True)
    equal(listed["scope"], ["client's address", "destination"])
    equal(listed["server"], {"hostname": "proxy.example", "url": "https://proxy.example/", "load": "0.25"})
    equal(listed["extension_sets"], ["socksify"])
    equal(listed["unknown"], [{"tag": 7, "subtag": 0x13, "value": b"Hello.".hex()}])
    equal(listed["octets"], (b"".join(entries) + b"\xff\0\0").hex())
    contains(answer, "5.0", "IPv4, host name, IPv6", "no authentication (00), user name and password (02)")
    contains(answer, "LIST-FEATURES [01]", "hold the connection", "same client's address, destination", "proxy.example")
    contains(answer, "07 13: 48 65 6c 6c 6f 2e", "05 00 00 01 00 00 00 00 00 00 01 05 01 00 02")


@case
def not_said(place: Place) -> None:
    """what a list does not speak of is not said, which is not the same as no"""
    with FakeProxy(features()) as proxy:
        contains(place.text("-p", proxy.url, "features"), "not said")
        equal(place.json("-p", proxy.url, "features")["upstreams"][0]["features"]["versions"], [])


@case
def ends(place: Place) -> None:
    """lists that come in pieces, or end without a whole END"""
    for answer in ([bytes([octet]) for octet in SUCCEEDED + LIST[:7] + b"\xff\0\0"], [SUCCEEDED + LIST + b"\xff"], [SUCCEEDED + LIST]):
        with FakeProxy(answer) as proxy:
            equal(asked(place, proxy)["list_features"], "listed")


@case
def hostile_texts(place: Place) -> None:
    """control characters, turned writing and what is no text at all never reach the terminal"""
    evil = b"\x1b]0;owned\x07\r\n\x9b2J\xc2\x9b2J\xe2\x80\xae\xff\xc0\x80\xf4\x90\x80\x80ok\xc3\xa9"
    with FakeProxy(features(text(1, evil), text(3, bytes(range(256))[1:]), bytes([0x80, 0, len(evil)]) + evil)) as proxy:
        for arguments in ([], ["-v"], ["--json"]):
            finished = place.run(*arguments, "-p", proxy.url, "features")
            equal(finished.status, 0)
            bad = [c for c in finished.out if c != "\n" and not c.isprintable()]
            equal(bad, [])
        contains(place.text("-p", proxy.url, "features"), r"\x1b]0;owned\x07\x0d\x0a\x9b2J\xc2\x9b2J\u{202e}\xff\xc0\x80", "oké")


@case
def refused(place: Place) -> None:
    """no LIST-FEATURES: a REP, in one piece or cut short"""
    with FakeProxy([bytes.fromhex("05070001000000000000")]) as proxy:
        upstream = asked(place, proxy)
        equal((upstream["list_features"], upstream["reply"], upstream["usable"]), ("replied", 7, True))
        contains(place.text("-c", "rules.json", "features"), "REP 07 (command not supported)", "3600 seconds", "RFC 1928 alone")
    with FakeProxy([bytes.fromhex("05070001")]) as proxy:
        upstream = asked(place, proxy)
        equal((upstream["list_features"], upstream["reply"], upstream["answer"]), ("cut short", 7, "05070001"))
        contains(place.text("-c", "rules.json", "features"), "only 4 octets of the reply came: 05 07 00 01")
    with FakeProxy([bytes.fromhex("05070001")], stays=True) as proxy:
        equal(asked(place, proxy, **SILENCE)["list_features"], "cut short")
    with FakeProxy([bytes.fromhex("05ff00ee")]) as proxy:  # an address type that nobody knows
        equal(asked(place, proxy)["reply"], 255)


@case
def no_word(place: Place) -> None:
    """no LIST-FEATURES: closed, or silent until discover_timeout"""
    with FakeProxy([]) as proxy:
        equal(asked(place, proxy)["list_features"], "closed")
        contains(place.text("-c", "rules.json", "features"), "closed the connection without a word")
    with FakeProxy([], stays=True) as proxy:
        equal(asked(place, proxy, **SILENCE)["list_features"], "silent")
        contains(place.text("-c", "rules.json", "features"), "said nothing at all")


@case
def garbage(place: Place) -> None:
    """no LIST-FEATURES: octets that are neither a reply nor a list, of whatever size"""
    for answer in ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], [SUCCEEDED + b"\x01\x05\xff1234"], [SUCCEEDED], [SUCCEEDED + b"\x01\0\0" * 5000]):
        with FakeProxy(answer) as proxy:
            upstream = asked(place, proxy)
            equal((upstream["list_features"], upstream["usable"]), ("garbage", True))
            contains(place.text("-c", "rules.json", "features"), "no feature list: ")


@case
def discover_off(place: Place) -> None:
    """discover: off is asked all the same, and the answer says what programs do"""
    with FakeProxy([]) as proxy:
        rules(place, proxy.url, discover="off")
        contains(place.text("-c", "rules.json", "features"), "never asks it (discover: off)")


@case
def passwords(place: Place) -> None:
    """a password that is taken, one that is not, and one that is lacking"""
    with FakeProxy(features(LIST), user=("bob", "hunter2")) as proxy:
        upstream = asked(place, proxy, username="bob", password="hunter2")
        equal((upstream["method"]["code"], upstream["list_features"]), (2, "listed"))
        upstream = asked(place, proxy, username="bob", password="wrong", status=1)
        equal((upstream["usable"], upstream["reached"], upstream["list_features"]), (False, True, "not asked"))
        contains(upstream["problem"], "refused the user name or the password")
        upstream = asked(place, proxy, status=1)
        contains(upstream["problem"], "without authentication (METHOD FF)")
        contains(upstream["advice"], "username")


@case
def strangers(place: Place) -> None:
    """something else than a SOCKS5 proxy listens there"""
    for greeting, expected in {
        b"HTTP/1.1 400 Bad Request\r\n\r\n": "HTTP",
        b"SSH-2.0-OpenSSH_9.2\r\n": "SSH server",
        b"\0\x5b\0\0\0\0\0\0": "SOCKS4",
        b"\x15\x03\x01\0\x02\x02\x46": "TLS",
        b"\x1b[2Jwho?": "its answer begins with 1b 5b",
        b"\x05\x07": "not offered",
        b"": "closed the connection after the greeting",
    }.items():
        with FakeProxy(greeting=greeting) as proxy:
            upstream = asked(place, proxy, status=1)
            equal((upstream["usable"], upstream["reached"]), (False, True))
            contains(upstream["problem"], expected)
            assert "\x1b" not in place.run("-c", "rules.json", "features").out
    with FakeProxy(greeting=b"\x05", stays=True) as proxy:
        contains(asked(place, proxy, status=1, **SILENCE)["problem"], "said nothing to the greeting")


@case
def down(place: Place) -> None:
    """a proxy that is down: why, and what to do"""
    rules(place, f"socks5://127.0.0.1:{free_port()}")
    (upstream,) = place.json("-c", "rules.json", "features", status=1)["upstreams"]
    equal((upstream["usable"], upstream["reached"]), (False, False))
    contains(upstream["problem"], "Connection refused")
    contains(upstream["advice"], "is the proxy running")
    rules(place, "socks5://no-such-host.invalid:1080")
    (upstream,) = place.json("-c", "rules.json", "features", status=1)["upstreams"]
    contains(upstream["problem"], "its name can't be resolved")
    with socket.socket() as full:  # whose queue is full: the next SYN gets no answer
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as clients:
            for _ in range(3):
                client = clients.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(full.getsockname())
            rules(place, f"socks5://127.0.0.1:{full.getsockname()[1]}", connect_timeout=0.3)
            (upstream,) = place.json("-c", "rules.json", "features", status=1)["upstreams"]
    contains(upstream["problem"], "timed out")
    contains(upstream["advice"], "connect_timeout")


@case
def all_addresses(place: Place) -> None:
    """a name with several addresses: the first one that answers"""
    with FakeProxy(features(LIST), family=socket.AF_INET6) as proxy:
        equal(asked(place, proxy)["address"], f"[::1]:{proxy.port}")
    with FakeProxy(features(LIST)) as proxy:
        rules(place, f"socks5://localhost:{proxy.port}")
        (upstream,) = place.json("-c", "rules.json", "features")["upstreams"]
        equal(upstream["address"], f"127.0.0.1:{proxy.port}")


@case
def chosen(place: Place) -> None:
    """one upstream of several, by name; a problem of any one of them is a problem"""
    with FakeProxy(features(LIST)) as proxy:
        upstreams = {"up": {"url": proxy.url}, "down": {"url": f"socks5://127.0.0.1:{free_port()}"}}
        place.write("rules.json", {"upstreams": upstreams, "default": ["up", "down"]})
        equal([one["name"] for one in place.json("-c", "rules.json", "features", "up")["upstreams"]], ["up"])
        answer = place.json("-c", "rules.json", "features", status=1)
        equal([one["usable"] for one in answer["upstreams"]], [True, False])


@case
def no_rules(place: Place) -> None:
    """without rules there is nobody to ask"""
    answer = place.json("features", status=1)
    equal((answer["usable"], answer["upstreams"]), (False, []))
    place.write("rules.json", {"default": "direct"})
    contains(place.text("-c", "rules.json", "features"), "nobody to ask")


# Real servers: what doc/wire.md says of each of them.


@case
def the_relay(place: Place) -> None:
    """socksify-relay lists what its configuration says"""
    texts = {"hostname": "relay.example", "url": "https://relay.example/", "opaque_id": "r1", "load": True}
    with relay(place, server=texts) as url:
        upstream = place.json("-p", url, "features")["upstreams"][0]
    listed = upstream["features"]
    equal(upstream["list_features"], "listed")
    equal(listed["persistent"], True)
    assert {1, 3, 4} <= {one["code"] for one in listed["address_types"]}, listed
    equal(listed["server"]["hostname"], "relay.example")
    float(listed["server"]["load"])
    with relay(place, features={"list_features": False}) as url:
        equal(place.json("-p", url, "features")["upstreams"][0]["list_features"], "replied")
    with relay(place, features={"names": False, "hold": False}) as url:
        listed = place.json("-p", url, "features")["upstreams"][0]["features"]
        equal([one["code"] for one in listed["address_types"]], [1, 4])
        equal(listed["persistent"], False)


@case
def microsocks_says_no(place: Place) -> None:
    """microsocks replies REP 07"""
    with microsocks() as url:
        upstream = place.json("-p", url, "features")["upstreams"][0]
        equal((upstream["list_features"], upstream["reply"]), ("replied", 7))
    with microsocks("-u", "bob", "-P", "hunter2") as url:
        contains(place.json("-p", url, "features", status=1)["upstreams"][0]["problem"], "without authentication")
        right = url.replace("//", "//bob:hunter2@")
        equal(place.json("-p", right, "features")["upstreams"][0]["method"]["code"], 2)


@case
def danted_says_nothing(place: Place) -> None:
    """danted closes"""
    with danted(place) as url:
        equal(place.json("-p", url, "features")["upstreams"][0]["list_features"], "closed")


@case
def openssh_says_nothing(place: Place) -> None:
    """ssh -D closes"""
    with openssh(place) as url:
        equal(place.json("-p", url, "features")["upstreams"][0]["list_features"], "closed")


@case
def shadowsocks_is_short(place: Place) -> None:
    """ss-local replies with four octets"""
    with shadowsocks() as url:
        upstream = place.json("-p", url, "features")["upstreams"][0]
        equal((upstream["list_features"], upstream["answer"]), ("cut short", "05070001"))
