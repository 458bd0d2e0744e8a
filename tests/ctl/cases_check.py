"""check: errors with their places, where rules are looked for, and what is legal but surely not meant."""

import os
from pathlib import Path

from suite import NOBODY, Place, Skipped, case, contains, equal

ROOT = Path(__file__).resolve().parents[2]
PROXY = {"proxy": {"url": "socks5://127.0.0.1:1080"}}


def rules(*some: dict, **more) -> dict:
    return {"upstreams": PROXY, "rules": list(some), "default": "proxy"} | more


def warnings(place: Place, content: dict, **more) -> list[str]:
    """What check warns of: "KEY: TEXT"."""
    place.write("rules.json", content)
    answer = place.json("check", "rules.json", **more)
    equal(answer["errors"], [])
    return [f"{warning.get('key', '')}: {warning['text']}" for warning in answer["warnings"]]


def only(found: list[str], *parts: str) -> None:
    equal(len(found), 1)
    contains(found[0], *parts)


@case
def fine(place: Place) -> None:
    """good rules: what they are, and exit status 0"""
    place.write("rules.json", rules({"destination": "*.corp.example", "route": "direct"}))
    contains(place.text("check", "rules.json"), "Fine.", "socks5://127.0.0.1:1080", "via proxy")
    answer = place.json("check", "rules.json")
    equal(answer["usable"], True)
    equal(answer["source"], "rules.json")
    equal(answer["rules"], 1)
    equal(answer["default"], "via proxy")
    equal(answer["upstreams"], [{"name": "proxy", "url": "socks5://127.0.0.1:1080"}])
    equal((answer["errors"], answer["warnings"]), ([], []))
    equal(place.json("-c", "rules.json", "check"), answer)


@case
def shipped(place: Place) -> None:
    """the shipped rules and all examples can be read"""
    for path in [ROOT / "conf" / "socksify.json", *(ROOT / "conf" / "examples").glob("*.json")]:
        for error in place.run("--json", "check", path).json["errors"]:
            # Passwords come from files and variables that this machine does not have.
            assert "password" in error["text"], error


@case
def errors(place: Place) -> None:
    """every error names file, line, column, key, what was found, what is allowed and what was meant"""
    text = '{\n "upstreams": {"a": {"url": "socks5://a.example"}},\n "rules": [\n  {"port": 70000, "rout": "a"}],\n "defualt": "a"}\n'
    place.write("rules.json", text)
    finished = place.run("check", "rules.json")
    equal(finished.status, 1)
    contains(
        finished.out,
        "rules.json:4:12: rules[0].port: found 70000; allowed: 0 to 65535",
        'did you mean "route"?',
        'did you mean "default"?',
        "everything is refused",
    )
    answer = place.json("check", "rules.json", status=1)
    equal(answer["usable"], False)
    first = next(error for error in answer["errors"] if error["key"] == "rules[0].port")
    equal((first["file"], first["line"], first["column"], first["key"]), ("rules.json", 4, 12, "rules[0].port"))
    equal(first["found"], "70000")
    contains(first["allowed"], "0 to 65535")
    assert [error.get("suggestion") for error in answer["errors"]].count("route") == 1, answer


@case
def syntax(place: Place) -> None:
    """what is no JSON is told with its place; what is no file, too"""
    place.write("rules.json", '{\n "upstreams": {,}\n}')
    contains(place.text("check", "rules.json", status=1), "rules.json:2:")
    contains(place.text("check", "missing.json", status=1), "missing.json", "No such file")
    place.write("empty.json", "")
    equal(place.json("check", "empty.json", status=1)["usable"], False)
    equal(place.json("check", place.directory, status=1)["usable"], False)
    os.mkfifo(place.directory / "pipe")
    equal(place.json("check", "pipe", status=1)["usable"], False)


@case
def urls(place: Place) -> None:
    """-p with a URL that is wrong: what, and never its password"""
    answer = place.json("-p", "socks4://bob:hunter2@127.0.0.1", "check", status=1)
    contains(answer["errors"][0]["found"], "socks4")
    for url in ("socks5://bob:hunter2@", "socks5://bob:hunter2@x:99999", "bob:hunter2@x", "socks5://bob:hunter2%zz@x"):
        assert "hunter2" not in place.text("-p", url, "check", status=1)


@case
def secrets(place: Place) -> None:
    """no answer of any command holds a password"""
    upstreams = {"a": {"url": "socks5://bob:hunter2@127.0.0.1:9"}, "b": {"url": "socks5://127.0.0.1:9", "username": "u"}}
    upstreams["b"] |= {"password_file": str(place.write("password", "hunter2\n"))}
    place.write("rules.json", {"upstreams": upstreams, "default": ["a", "b"]})
    broken = {"upstreams": {"a": {"url": "socks5://x", "username": "u", "password": "hunter2", "password_env": "hunter2-"}}}
    place.write("broken.json", broken)
    for file in ("rules.json", "broken.json"):
        for command in (["check"], ["explain", "a.example:1", "--ask"], ["features"], ["doctor", "true"]):
            for json in ([], ["--json"]):
                finished = place.run(*json, "-v", "-c", file, *command)
                assert "hunter2" not in finished.out + finished.err, finished


def searched(place: Place, env: dict[str, str], expected: str, status: int = 0) -> None:
    """The rules that are used, and that the place marked as used is the one that they come from."""
    answer = place.json("check", env=env, status=status)
    equal(answer["source"], expected)
    used = [one["place"] for one in answer["places"] if one["used"]]
    if status == 0:
        equal(len(used), 1)
        assert expected in used[0] or used[0] == "$SOCKSIFY_CONFIG", answer


@case
def search_order(place: Place) -> None:
    """rules are looked for as the library does it, and the answer shows where"""
    named = str(place.write("named.json", rules()))
    xdg = str(place.write("xdg/socksify/socksify.json", rules()))
    home = str(place.write("home/.config/socksify/socksify.json", rules()))
    env = {"XDG_CONFIG_HOME": str(place.directory / "xdg"), "ALL_PROXY": "socks5://127.0.0.1"}
    searched(place, env | {"SOCKSIFY_CONFIG": named}, named)
    searched(place, env, xdg)
    searched(place, {"ALL_PROXY": "socks5://127.0.0.1"}, home)
    no_file = env | {"SOCKSIFY_CONFIG": ""}
    searched(place, no_file | {"SOCKSIFY_PROXY": "socks5://127.0.0.1"}, "SOCKSIFY_PROXY")
    searched(place, no_file, "ALL_PROXY")
    searched(place, {"SOCKSIFY_CONFIG": "", "all_proxy": "socks5h://127.0.0.1"}, "all_proxy")
    searched(place, {"SOCKSIFY_CONFIG": "", "ALL_PROXY": "http://127.0.0.1"}, "no rules", status=1)
    searched(place, env | {"SOCKSIFY_CONFIG": "/missing.json"}, "/missing.json", status=1)
    text = place.text("check", env=env)
    contains(text, "first that is there", "$SOCKSIFY_CONFIG", "not set", "not looked at (set)")


@case
def never_matches(place: Place) -> None:
    """warned of: a rule that an earlier one covers"""
    wide, narrow = {"route": "direct"}, {"route": "block"}
    covered = [
        ({}, {}),
        ({}, {"destination": "a.example", "port": 80}),
        ({"destination": "*"}, {"destination": "10.0.0.0/8"}),
        ({"destination": "*.example"}, {"destination": "a.b.example"}),
        ({"destination": "*.example"}, {"destination": "*.b.EXAMPLE."}),
        ({"destination": "10.0.0.0/8"}, {"destination": ["10.1.2.3", "10.2.0.0/16", "::ffff:10.0.0.1"]}),
        ({"destination": "2001:db8::/32"}, {"destination": "2001:db8:1::/48"}),
        ({"port": ["1-99", "100-200"]}, {"port": "50-150"}),
        ({"operation": ["connect", "bind"]}, {"operation": "bind"}),
        ({"protocol": "tcp"}, {"protocol": "tcp", "port": 1}),
        ({"program": "s?h"}, {"program": "/usr/bin/ssh"}),
        ({"program": "/opt/*"}, {"program": ["/opt/a*", "/opt/b"]}),
    ]
    for first, second in covered:
        found = warnings(place, rules(wide | first, narrow | second))
        found = [one for one in found if "program" not in one]  # which this machine may not have
        only(found, "rules[1]: it never decides anything: rule 1 (line ")


@case
def may_match(place: Place) -> None:
    """not warned of: a rule that an earlier one covers in part, or that differs in one constraint"""
    uncovered = [
        ({"destination": "example"}, {"destination": "a.example"}),
        ({"destination": "*.example"}, {"destination": "example"}),
        ({"destination": "*.example"}, {"destination": "*"}),
        ({"destination": "*.example"}, {}),
        ({"destination": "*.b.example"}, {"destination": "*.example"}),
        ({"destination": "10.0.0.0/8"}, {"destination": "10.0.0.0/7"}),
        ({"destination": "10.0.0.0/9"}, {"destination": "10.0.0.0/8"}),
        ({"destination": "0.0.0.0/0"}, {"destination": "::/0"}),
        ({"port": ["1-99", "101-200"]}, {"port": "50-150"}),
        ({"port": "1-65535"}, {}),
        ({"operation": "connect"}, {"destination": "a.example"}),
        ({"protocol": ["tcp", "udp"]}, {}),
        ({"program": "s*"}, {}),
        ({"program": "s?"}, {"program": "s*"}),
        ({"program": "s*"}, {"program": "/bin/*/s*"}),
        ({"program": "/bin/ssh"}, {"program": "ssh"}),
    ]
    for first, second in uncovered:
        found = warnings(place, rules(first | {"route": "direct"}, second | {"route": "block"}))
        equal([one for one in found if "already cover" in one], [])


@case
def covered_in_part(place: Place) -> None:
    """warned of: one destination of several that an earlier rule sends elsewhere"""
    first = {"destination": "*.example", "route": "direct"}
    found = warnings(place, rules(first, {"destination": ["a.example", "b.test"], "route": "block"}))
    only(found, 'rules[1].destination: "a.example" never gets as far as this: rule 1')
    equal(warnings(place, rules(first, {"destination": ["a.example", "b.test"], "route": "direct"})), [])


@case
def this_machine(place: Place) -> None:
    """warned of: rules for loopback, for which "loopback" decides; unless it says "rules" """
    for destination in ("localhost", "127.0.0.0/8", "::1", "*.localhost"):
        found = warnings(place, rules({"destination": destination, "route": "block"}))
        only(found, "rules[0].destination", '"loopback" decides')
        equal(warnings(place, rules({"destination": destination, "route": "block"}, loopback="rules")), [])


@case
def unused(place: Place) -> None:
    """warned of: an upstream that nothing leads to"""
    content = rules(upstreams=PROXY | {"spare": {"url": "socks5://127.0.0.1:1081"}})
    only(warnings(place, content), "upstreams.spare: no rule leads here")
    equal(warnings(place, content | {"default": ["proxy", "spare"]}), [])
    equal(warnings(place, content | {"rules": [{"port": 1, "route": "spare"}]}), [])


@case
def positions(place: Place) -> None:
    """a warning has file, line and column"""
    place.write("rules.json", '{"upstreams": {"a": {"url": "socks5://127.0.0.1"}},\n "rules": [\n  {"destination": "localhost", "route": "a"}]}')
    (warning,) = place.json("check", "rules.json")["warnings"]
    equal((warning["file"], warning["line"], warning["column"]), ("rules.json", 3, 19))
    contains(place.text("check", "rules.json"), "rules.json:3:19: warning: rules[0].destination: ", "with 1 warning.")


@case
def readable_passwords(place: Place) -> None:
    """warned of: passwords that others may read"""
    password = place.write("password", "secret\n")
    upstream = {"url": "socks5://127.0.0.1", "username": "u", "password_file": str(password)}
    equal(warnings(place, rules(upstreams={"proxy": upstream})), [])
    password.chmod(0o640)
    only(warnings(place, rules(upstreams={"proxy": upstream})), "upstreams.proxy.password_file", "its group may read")
    password.chmod(0o604)
    only(warnings(place, rules(upstreams={"proxy": upstream})), "everybody may read")

    place.write("rules.json", rules(upstreams={"proxy": {"url": "socks5://u:secret@127.0.0.1"}}), mode=0o644)
    (warning,) = place.json("check", "rules.json")["warnings"]
    contains(warning["text"], "everybody may read this file")

    upstream = {"url": "socks5://127.0.0.1", "username": "u", "password_env": "SECRET"}
    found = warnings(place, rules(upstreams={"proxy": upstream}), env={"SECRET": "x"})
    only(found, "upstreams.proxy.password_env", "every program")
    (warning,) = place.json("check", env={"SOCKSIFY_PROXY": "socks5://u:secret@127.0.0.1"})["warnings"]
    contains(warning["text"], "every program")


@case
def writable_rules(place: Place) -> None:
    """warned of: rules that others may change"""
    path = place.write("rules.json", rules())
    path.chmod(0o666)
    (warning,) = place.json("check", path)["warnings"]
    contains(warning["text"], "everybody may write")
    if os.getuid() != 0:
        raise Skipped("another user's file wants root")
    path.chmod(0o600)
    os.chown(path, NOBODY, NOBODY)
    (warning,) = place.json("check", path)["warnings"]
    contains(warning["text"], "belongs to another user")


@case
def programs(place: Place) -> None:
    """warned of: programs that run under another name, or not at all"""
    target = place.write("bin/real-name", Path("/bin/true").read_bytes(), mode=0o755)
    link = place.directory / "bin" / "link"
    link.symlink_to(target)
    script = place.write("bin/script", f"#!{target}\n", mode=0o755)

    def found(program: str | Path) -> list[str]:
        path = f"{place.directory}/bin"
        return warnings(place, rules({"program": str(program), "route": "direct"}), env={"PATH": path})

    for program in (target, "real-name", "real*", "nothing-like-it*"):
        equal(found(program), [])
    for program in (link, "link"):
        only(found(program), "rules[0].program", "is a link to", "real-name")
    only(found(script), "is a script, which", "real-name")
    only(found("missing"), 'there is no "missing" in PATH')
    only(found(place.directory / "missing"), "there is no")


@case
def log_file(place: Place) -> None:
    """warned of: a log that can't be written"""
    only(warnings(place, rules(log={"file": "/nowhere/at/all.log"})), "log.file", "can't be written")
    equal(warnings(place, rules(log={"file": str(place.directory / "new.log")})), [])


@case
def hostile(place: Place) -> None:
    """what stands in a file never moves the cursor"""
    place.write("rules.json", rules({"destination": "\x1b[2Jevil\u202e", "route": "direct"}))
    finished = place.run("check", "rules.json")
    assert "\x1b" not in finished.out and "\u202e" not in finished.out, finished
