"""The command line: usage, exit statuses, what goes where."""

import json
import os

from suite import Place, case, contains, equal

WRONG = {  # arguments, and what the one line must say
    (): "which command?",
    ("chekc",): "did you mean check?",
    ("xyzzy",): "there are check, explain, features and doctor",
    ("--jsn", "check"): "did you mean --json?",
    ("--json=yes", "check"): "takes no value",
    ("explain",): "HOST:PORT",
    ("explain", "example.org"): "did you mean example.org:443?",
    ("explain", "http://example.org/a?b"): "did you mean example.org:80?",
    ("explain", "2001:db8::1:443"): "did you mean [2001:db8::1]:443?",
    ("explain", "example.org", "443"): "did you mean example.org:443?",
    ("explain", "a:1", "b:2"): "one HOST:PORT",
    ("explain", "a:1", "--prgram", "x"): "did you mean --program?",
    ("explain", "a:1", "--program"): "--program wants",
    ("--udp", "explain", "a:1"): "belongs to explain",
    ("check", "--udp"): "belongs to explain",
    ("check", "a", "b"): "one file",
    ("-c",): "-c wants",
    ("-c", "a", "-p", "socks5://b", "check"): "either",
    ("features", "a", "b"): "one upstream",
    ("-p", "socks5://127.0.0.1:9", "features", "proxi"): "did you mean proxy?",
    ("doctor",): "doctor wants a command",
    ("--library", "x", "doctor", "true"): "belongs to doctor",
    ("explain", "a:1", "--program", "no-such-program-anywhere"): "not found in PATH",
}


@case
def wrong_usage(place: Place) -> None:
    """wrong usage ends with 2, and one line on stderr that helps"""
    for arguments, expected in WRONG.items():
        finished = place.run(*arguments, env={"SOCKSIFY_PROXY": "socks5://127.0.0.1:9"})
        assert finished.status == 2 and finished.out == "", finished
        equal(finished.err.count("\n"), 1)
        contains(finished.err, "socksifyctl: ", expected)


@case
def secrets(place: Place) -> None:
    """what stands before an @ is never shown, however wrong the usage"""
    for arguments in (["bob:hunter2@x"], ["--bob:hunter2@x"], ["explain", "bob:hunter2@x"], ["features", "bob:hunter2@x"]):
        finished = place.run(*arguments, env={"SOCKSIFY_PROXY": "socks5://127.0.0.1:9"})
        assert finished.status == 2 and "hunter2" not in finished.err, finished


@case
def help_and_version(place: Place) -> None:
    """--help and --version go to stdout and end with 0, wherever they stand"""
    for arguments in (["--help"], ["-h"], ["help"], ["check", "--help"], ["explain", "a:1", "--help"]):
        contains(place.text(*arguments), "Usage: socksifyctl", "explain HOST:PORT", "Exit status")
    equal(place.text("--version").split()[0], "socksifyctl")


@case
def doctors_arguments(place: Place) -> None:
    """all that follows doctor's COMMAND is the command's own"""
    answer = place.json("-p", "socks5://127.0.0.1:9", "doctor", "sh", "--json", "-c", "exit", "--help", status=1)
    equal(answer["command"], ["sh", "--json", "-c", "exit", "--help"])


@case
def options_behind(place: Place) -> None:
    """options may stand before and behind the command, and together with their value"""
    for arguments in (
        ["--json", "-p", "socks5://127.0.0.1:9", "check"],
        ["check", "--json", "-psocks5://127.0.0.1:9"],
        ["check", "--proxy=socks5://127.0.0.1:9", "--json"],
    ):
        equal(json.loads(place.text(*arguments))["usable"], True)


@case
def full_disk(place: Place) -> None:
    """an answer that can't be written is an error"""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        finished = place.run("--help", stdout=full)
    finally:
        os.close(full)
    equal(finished.status, 1)
    contains(finished.err, "can't be written")
