"""explain: by which rule, by which way, with which words."""

import socket
from pathlib import Path

from proxies import FakeProxy, features
from suite import Place, case, contains, equal

UPSTREAMS = {"first": {"url": "socks5://127.0.0.1:1081"}, "second": {"url": "socks5://bob:pw@127.0.0.1:1082"}}


def rules(place: Place, *some: dict, **more) -> Path:
    content = {"upstreams": UPSTREAMS, "rules": list(some), "default": "first"} | more
    return place.write("rules.json", content)


@case
def by_rule(place: Place) -> None:
    """the first rule that matches, with its line and comment, and all that it leads through"""
    rules(
        place,
        {"destination": "*.test", "port": 25, "route": "block"},
        {"destination": "*.test", "comment": "the lab", "route": ["first", "second"]},
    )
    answer = place.json("-c", "rules.json", "explain", "www.test:443")
    equal((answer["action"], answer["by"], answer["rule"], answer["comment"]), ("via", "rule", 2, "the lab"))
    assert answer["line"] > 1, answer
    equal([upstream["name"] for upstream in answer["upstreams"]], ["first", "second"])
    first, second = answer["upstreams"]
    equal((first["command"], first["address_type"], first["methods"]), ("CONNECT", 3, [0]))
    equal(second["methods"], [0, 2])
    equal((first["features"], first["discover"]), ("unknown", "background"))
    equal(answer["name"], "pool")
    text = place.text("-c", "rules.json", "explain", "www.test:443")
    contains(text, "rule 2 (line", '"the lab"', "CONNECT to www.test:443, address type 03 (host name)", "198.18.0.0/15")
    contains(text, "as bob", "not known here")

    answer = place.json("-c", "rules.json", "explain", "www.test:25")
    equal((answer["action"], answer["rule"], answer["errno"]), ("block", 1, "EACCES"))


@case
def otherwise(place: Place) -> None:
    """no rule: the default; and each kind of host as its own address type"""
    rules(place)
    for host, number in {"example.org": 3, "192.0.2.1": 1, "[2001:db8::1]": 4, "[::ffff:192.0.2.1]": 1}.items():
        answer = place.json("-c", "rules.json", "explain", f"{host}:80")
        equal((answer["by"], answer["upstreams"][0]["address_type"]), ("default", number))
        assert "rule" not in answer


@case
def this_machine(place: Place) -> None:
    """loopback, the proxies themselves, and names that this machine knows"""
    rules(place)
    answer = place.json("-c", "rules.json", "explain", "localhost:80")
    equal((answer["action"], answer["by"], answer["name"]), ("direct", "loopback", "loopback"))
    answer = place.json("-c", "rules.json", "explain", "127.0.0.1:1081")
    equal((answer["action"], answer["by"]), ("direct", "proxy"))
    answer = place.json("-c", "rules.json", "explain", f"{socket.gethostname()}:80")
    equal((answer["name"], answer["destination"]["asked"]), ("hosts", socket.gethostname()))
    rules(place, loopback="block")
    answer = place.json("-c", "rules.json", "explain", "[::1]:80")
    equal((answer["action"], answer["errno"]), ("block", "EACCES"))


@case
def names(place: Place) -> None:
    """a name is looked up here only if every connection to it would be direct"""
    rules(place, {"destination": "in.test", "route": "direct"}, {"destination": "half.test", "port": 80, "route": "direct"})
    equal(place.json("-c", "rules.json", "explain", "in.test:1")["name"], "locally")
    answer = place.json("-c", "rules.json", "explain", "half.test:80")
    equal((answer["name"], answer["action"]), ("pool", "direct"))
    contains(place.text("-c", "rules.json", "explain", "half.test:80"), "looked up by this machine when")


@case
def stray_addresses(place: Place) -> None:
    """an address of the pool that stands for no name"""
    rules(place)
    answer = place.json("-c", "rules.json", "explain", "198.19.255.254:80")
    equal((answer["action"], answer["by"], answer["errno"]), ("block", "pool", "EHOSTUNREACH"))


@case
def datagrams(place: Place) -> None:
    """--udp: direct or by the proxy's UDP ASSOCIATE"""
    rules(place, {"destination": "192.0.2.1", "protocol": "udp", "route": "direct"})
    answer = place.json("-c", "rules.json", "explain", "192.0.2.1:53", "--udp")
    equal((answer["action"], answer["destination"]["protocol"]), ("direct", "udp"))
    answer = place.json("-c", "rules.json", "explain", "192.0.2.2:53", "--udp")
    equal((answer["action"], answer["upstreams"][0]["command"]), ("via", "UDP ASSOCIATE"))


@case
def programs(place: Place) -> None:
    """--program: the file that runs, whatever link or script it was called by"""
    target = place.write("bin/tool", Path("/bin/true").read_bytes(), mode=0o755)
    (place.directory / "bin" / "link").symlink_to(target)
    place.write("bin/script", f"#!{place.directory}/bin/link\n", mode=0o755)
    rules(place, {"program": str(target), "route": "block"})
    for program in ("tool", "link", "script", str(target), str(place.directory / "bin" / "script")):
        answer = place.json(
            "-c", "rules.json", "explain", "a.test:1", "--program", program, env={"PATH": f"{place.directory}/bin"}
        )
        equal((answer["action"], answer["destination"]["program"]), ("block", str(target)))
    equal(place.json("-c", "rules.json", "explain", "a.test:1", "--program", "/not/here")["action"], "via")
    contains(place.text("-c", "rules.json", "explain", "a.test:1"), "--program PATH tells")


@case
def no_rules(place: Place) -> None:
    """without rules, everything but loopback is refused"""
    answer = place.json("explain", "example.org:443", status=1)
    equal((answer["usable"], answer["action"], answer["by"], answer["errno"]), (False, "block", "no rules", "ENETUNREACH"))
    assert answer["problems"], answer
    equal(place.json("explain", "127.0.0.1:443", status=1)["action"], "direct")
    place.write("broken.json", "{")
    equal(place.json("-c", "broken.json", "explain", "127.0.0.1:443", status=1)["action"], "block")


@case
def ask(place: Place) -> None:
    """--ask: what the proxy lists decides, as it would for a program"""

    def answer(listed: list[bytes], status: int = 0, **more) -> dict:
        with FakeProxy(features(*listed)) as proxy:
            upstream = {"url": proxy.url} | more
            rules(place, upstreams={"fake": upstream}, default="fake")
            return place.json("-c", "rules.json", "explain", "www.test:443", "--ask", status=status)["upstreams"][0]

    equal(answer([b"\x02\x01\x00", b"\x02\x03\x00"])["features"], "listed")
    equal(answer([b"\x02\x01\x00"])["errno"], "EAFNOSUPPORT")
    equal(answer([b"\x02\x01\x00"], without_names="resolve")["resolved_here"], True)
    equal(answer([b"\x04\x02\x00"])["errno"], "EOPNOTSUPP")
    equal(answer([b"\x01\x04\x00"])["errno"], "EOPNOTSUPP")
    holds = b"\x04\x01\x00\x04\x10\x01\x01"
    equal([answer([holds])["may_be_held"], answer([holds], hold="off")["may_be_held"]], [True, False])


@case
def ask_without_answer(place: Place) -> None:
    """--ask: a proxy without a list, and one that is down"""
    with FakeProxy([bytes.fromhex("05070001000000000000")]) as proxy:
        equal(place.json("-p", proxy.url, "explain", "www.test:443", "--ask")["upstreams"][0]["features"], "none")
        url = proxy.url
    answer = place.json("-p", url, "explain", "www.test:443", "--ask", status=1)
    contains(answer["upstreams"][0]["problem"], "refused")
