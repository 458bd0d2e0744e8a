"""Options, --check, --hash-password, and the shipped files."""

import json
import pathlib
import re
import tempfile

from harness import Skip, run

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"

# A string, or a comment: a // inside a string is none.
STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def without_comments(path):
    return json.loads(STRING_OR_COMMENT.sub(lambda match: match.group(1) or " ", path.read_text(encoding="utf-8")))


def test_version_and_help():
    assert re.fullmatch(r"socksify-relay \d+\.\d+\.\d+\n", run("--version").stdout)
    for option in ("--help", "-h"):
        result = run(option)
        assert result.returncode == 0 and result.stdout.startswith("Usage: socksify-relay") and not result.stderr


def test_wrong_usage_is_one_line_and_status_2():
    for arguments, why in (
        (["--nonsense"], 'unknown option "--nonsense"'),
        (["file.json"], 'unknown option "file.json"'),
        (["--config"], "--config wants a value"),
        (["--embedded"], "--embedded wants --watch-pid"),
        (["--embedded", "--watch-pid", "x"], "--watch-pid wants a process id"),
        (["--embedded", "--watch-pid", "-1"], "--watch-pid wants a process id"),
        (["--embedded", "--watch-pid=1", "--host", "x"], "--host wants NAME=ADDRESS"),
        (["--embedded", "--watch-pid=1", "--host", "a.test=b.test"], "--host wants NAME=ADDRESS"),
        (["--watch-pid", "1"], "--watch-pid belongs to --embedded"),
        (["--allow-loopback"], "--allow-loopback belongs to --embedded"),
        (["--version", "--check"], "one thing at a time"),
        (["--help=yes"], "--help takes no value"),
    ):
        result = run(*arguments)
        assert result.returncode == 2, (arguments, result)
        assert result.stdout == "" and result.stderr.count("\n") == 1 and why in result.stderr, (arguments, result)


def check(text):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        return run("--check", file.name), file.name


def test_check_says_ok():
    result, name = check("{}")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{name}: ok\n", "")
    for arguments in (["--check", "--config", name], ["--config", name, "--check"]):
        assert run(*arguments).returncode == 1  # it is gone by now


def test_check_tells_each_mistake_with_its_line():
    result, name = check('{\n "lisen": "x",\n "limits": {"connections": 0},\n "timeouts": {"idle": -1}\n}\n')
    assert result.returncode == 1 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 3, lines
    assert lines[0].startswith(f'{name}:2:2: lisen: found an unknown key') and 'did you mean "listen"?' in lines[0]
    assert lines[1].startswith(f"{name}:3:28: limits.connections: found 0; allowed: a number from 1")
    assert lines[2].startswith(f"{name}:4:23: timeouts.idle: found -1; allowed: seconds")


def test_a_configuration_that_is_not_there():
    result = run("--config", "/nonexistent/relay.json")
    assert result.returncode == 1
    assert result.stderr == "socksify-relay: /nonexistent/relay.json: No such file or directory\n"


def test_the_shipped_configuration_is_right():
    result = run("--check", str(CONF / "relay.json"))
    assert result.returncode == 0, result.stderr


REFUSED = {
    "an unknown key": {"lisen": "127.0.0.1:1"},
    "an unknown key below": {"limits": {"connection": 1}},
    "a name to listen on": {"listen": "localhost:1080"},
    "no address": {"listen": []},
    "an unknown method": {"auth": {"methods": "gssapi"}},
    "a password": {"auth": {"methods": "password", "users": {"alice": "secret"}}},
    "a text for a flag": {"features": {"names": "no"}},
    "a limit of 0": {"limits": {"connections": 0}},
    "half a lookup": {"limits": {"lookups": 0.5}},
    "a timeout of 0": {"timeouts": {"handshake": 0}},
    "6 s to close": {"timeouts": {"close": 6}},
    "no action": {"rules": [{"port": 1}]},
    "an unknown action": {"rules": [{"action": "block"}]},
    "a name for a client": {"rules": [{"client": "a.example", "action": "deny"}]},
    "a port beyond 65535": {"rules": [{"port": 65536, "action": "deny"}]},
    "an unknown level": {"log": {"level": "loud"}},
    "half an octet": {"test_behaviour": {"list_also": "0"}},
    "a name for an address": {"hosts": {"a.example": "b.example"}},
}

ACCEPTED = {
    "lists": {"listen": ["127.0.0.1:1", "[::1]:1"], "hosts": {"a.example": ["192.0.2.1", "2001:db8::1"]}},
    "a rule": {
        "rules": [{"client": ["10.0.0.0/8", "::1"], "user": "alice", "destination": ["*.example.org", "*"],
                   "port": [1, "2-3"], "action": "allow", "comment": "ours"}]
    },
    "numbers": {"timeouts": {"handshake": 0.5, "idle": 0, "keepalive": 0}, "limits": {"lookups": 256}},
    "octets": {"test_behaviour": {"list_instead": "FF 00 00", "reply_delay_ms": 60000}},
}  # fmt: skip


def test_the_parser_accepts_and_refuses_what_it_should():
    for what, document in REFUSED.items():
        assert check(json.dumps(document))[0].returncode == 1, what
    for what, document in ACCEPTED.items():
        result = check(json.dumps(document))[0]
        assert result.returncode == 0, (what, result.stderr)


def test_the_schema_accepts_and_refuses_the_same():
    try:
        import jsonschema  # pylint: disable=import-outside-toplevel
    except ImportError as error:
        raise Skip("python3-jsonschema is not there") from error
    schema = json.loads((CONF / "relay.schema.json").read_text(encoding="utf-8"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    validator = kind(schema)
    for error in validator.iter_errors(without_comments(CONF / "relay.json")):
        raise AssertionError(f"relay.json: {error.message}")
    for what, document in ACCEPTED.items():
        for error in validator.iter_errors(document):
            raise AssertionError(f"{what}: {error.message}")
    for what, document in REFUSED.items():
        assert not validator.is_valid(document), what


def test_the_commented_examples_of_the_shipped_file_are_right():
    """What stands behind // on a line of its own, put in."""
    text = (CONF / "relay.json").read_text(encoding="utf-8")
    rules = re.findall(r"^    // (\{ .*\"action\".*\}),?(?: *//.*)?$", text, re.MULTILINE)
    hosts = re.findall(r"^    // (\"intranet.*\])$", text, re.MULTILINE)
    assert len(rules) == 5 and len(hosts) == 1, (rules, hosts)
    result = check(f"{{\"rules\": [{', '.join(rules)}], \"hosts\": {{{hosts[0]}}}}}")[0]
    assert result.returncode == 0, result.stderr


def test_hash_password():
    first, second = run("--hash-password", input="secret\n"), run("--hash-password", input="secret")
    for result in (first, second):
        assert result.returncode == 0 and re.fullmatch(r"\$\w+\$\S+\n", result.stdout), result
        users = {"auth": {"methods": "password", "users": {"alice": result.stdout.strip()}}}
        assert check(json.dumps(users))[0].returncode == 0
    assert first.stdout != second.stdout  # salted
    for wrong in ("", "\n", "x" * 256):
        result = run("--hash-password", input=wrong)
        assert result.returncode == 1 and result.stdout == "" and result.stderr.count("\n") == 1


def test_a_hash_of_other_programs():
    """mkpasswd, openssl passwd -6, htpasswd -B."""
    for found in (
        "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/",
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    ):
        users = {"auth": {"methods": "password", "users": {"alice": found}}}
        assert check(json.dumps(users))[0].returncode == 0
