"""life: options, configuration, signals, and --embedded."""

import ctypes
import os
import re
import signal
import socket
import threading
import time

from ends import Client, Far, Relay, auth, connect, connect_name
from hazards import WAIT, Place, case, children, contains, equal, eventually


def check(place: Place, text: str):
    (place.directory / "relay.json").write_text(text)
    return place.run("--check", "relay.json")


def one_line(text: str) -> None:
    assert text.endswith("\n") and text.count("\n") == 1, f"not one line: {text!r}"


@case
def beyond_loopback(place: Place) -> None:
    """beyond loopback without authentication it does not start: status 1, one line that says what would do"""
    for listen in ("0.0.0.0:0", "[::]:0", "192.0.2.2:0"):
        (place.directory / "relay.json").write_text('{"listen": "%s"}' % listen)
        done = place.run("--config", "relay.json")
        equal((done.returncode, done.stdout), (1, ""))
        one_line(done.stderr)
        contains(done.stderr, "relay.json:1:", listen, "beyond loopback", '"password"', '"insecure_open": true')


@case
def beyond_loopback_mixed(place: Place) -> None:
    """nor with one such address among others, nor if method none is one of several"""
    equal(check(place, '{"listen": ["127.0.0.1:0", "0.0.0.0:0"]}').returncode, 1)
    users = '"users": {"alice": "%s"}' % auth(place)["users"]["alice"]
    equal(check(place, '{"listen": "0.0.0.0:0", "auth": {"methods": ["password", "none"], %s}}' % users).returncode, 1)
    equal(check(place, '{"listen": "0.0.0.0:0", "auth": {"methods": "password", %s}}' % users).returncode, 0)
    equal(check(place, '{"listen": "0.0.0.0:0", "insecure_open": true}').returncode, 0)
    equal(check(place, '{"listen": ["127.0.0.1:0", "[::1]:0"]}').returncode, 0)


@case
def misspelt(place: Place) -> None:
    """--check says file, line, key, and what is allowed for a misspelt key"""
    done = check(place, '{\n "timeouts": {"handshak": 3}\n}')
    equal((done.returncode, done.stdout), (1, ""))
    one_line(done.stderr)
    contains(done.stderr, "relay.json:2:", "timeouts.handshak", "unknown key", "handshake", "idle", "drain", "did you mean")


@case
def wrong_value(place: Place) -> None:
    """--check says all wrong values at once, each with what is allowed"""
    done = check(place, '{"limits": {"lookups": 0},\n "log": {"level": "loud"}}')
    equal(done.returncode, 1)
    contains(done.stderr, "relay.json:1:", "limits.lookups", "from 1 to 256", "relay.json:2:", "log.level", '"debug"')


@case
def checked(place: Place) -> None:
    """--check of a good file says ok; of none, or of no JSON, why not"""
    done = check(place, "{} // nothing")
    equal((done.returncode, done.stdout, done.stderr), (0, "relay.json: ok\n", ""))
    equal(check(place, "{").returncode, 1)
    done = place.run("--check", "nowhere.json")
    equal(done.returncode, 1)
    contains(done.stderr, "nowhere.json: No such file")


@case
def options(place: Place) -> None:
    """wrong options: status 2 and one line; --help and --version: status 0"""
    for wrong in (["--confg"], ["--embedded"], ["--check", "--embedded"], ["--host", "a=127.0.0.1"], ["--version=1"],
                  ["--embedded", "--watch-pid", "x"], ["--embedded", "--watch-pid", "1", "--host", "a=b"]):
        done = place.run(*wrong)
        equal((done.returncode, done.stdout), (2, ""), str(wrong))
        one_line(done.stderr)
    contains(place.run("--help").stdout, "--check", "--embedded", "--hash-password")
    assert re.fullmatch(r"socksify-relay \S+\n", place.run("--version").stdout)


@case
def port_taken(place: Place) -> None:
    """a port that is taken: status 1, one line with the address"""
    relay = Relay(place)
    (place.directory / "second.json").write_text('{"listen": "127.0.0.1:%d"}' % relay.port)
    done = place.run("--config", "second.json")
    equal(done.returncode, 1)
    one_line(done.stderr)
    contains(done.stderr, f"127.0.0.1:{relay.port}", "in use")


@case
def hash_password(place: Place) -> None:
    """what --hash-password prints lets in with that password only; twice it is not the same"""
    hashes = [place.run("--hash-password", stdin="pass wörd\n").stdout for _ in range(2)]
    for one in hashes:
        one_line(one)
    assert hashes[0] != hashes[1], "no salt"
    relay = Relay(place, auth={"methods": "password", "users": {"carol": hashes[0].strip()}})
    for password, answer in (("pass wörd", "0100"), ("pass word", "0101")):
        client = relay.dial()
        client.send(bytes.fromhex("050102"))
        client.expect("0502")
        octets = password.encode()
        client.send(b"\1\5carol" + bytes([len(octets)]) + octets)
        client.expect(answer)
    for empty in ("", "\n", "x" * 256 + "\n"):
        done = place.run("--hash-password", stdin=empty)
        equal((done.returncode, done.stdout), (1, ""), repr(empty[:2]))


@case
def reload(place: Place) -> None:
    """SIGHUP: the new rule is in force for who comes now; a tunnel goes on"""
    far, relay = place.keep(Far()), Relay(place)
    client, peer = relay.tunnel(far)
    relay.configure(rules=[{"port": far.port, "action": "deny"}])
    relay.reload("reloaded")
    relay.client().expect_refusal(2, connect(*far.address))
    client.send(b"still here")
    peer.expect(b"still here")
    relay.configure()
    relay.reload("reloaded")
    relay.tunnel(far)


@case
def reload_bad(place: Place) -> None:
    """SIGHUP with a bad file, with none, or with an address that is taken: the old one stays in force"""
    far, relay = place.keep(Far()), Relay(place, rules=[{"port": 1, "action": "deny"}])
    taken = place.keep(Far())
    bad_rules = {"rules": [{"action": "deny"}]}
    for bad in (bad_rules | {"rule": []}, bad_rules | {"listen": [f"127.0.0.1:{taken.port}"]}, None):
        if bad is None:
            relay.file.unlink()
        else:
            relay.configure(**bad)
        relay.reload("reload_failed")
        relay.tunnel(far)
        relay.client().expect_refusal(2, connect("127.0.0.1", 1))


@case
def reload_users(place: Place) -> None:
    """SIGHUP: a user who is taken out is not let in, though remembered"""
    relay = Relay(place, auth=auth(place))
    for answer in ("0100", "0101"):
        client = relay.dial()
        client.authenticate()
        client.expect(answer)
        settings = auth(place)
        del settings["users"]["alice"]
        relay.configure(auth=settings)
        relay.reload("reloaded")


@case
def reload_listen(place: Place) -> None:
    """SIGHUP: another address is listened on, the old one no more"""
    relay = Relay(place)
    relay.configure(listen="127.0.0.2:0")
    relay.reload("reloaded")
    eventually(lambda: "address=127.0.0.2:" in relay.log, "the new address")
    new = int(re.search(r"address=127\.0\.0\.2:(\d+)", relay.log).group(1))
    with socket.create_connection(("127.0.0.2", new), WAIT) as client:
        client.sendall(b"\5\1\0")
        equal(client.recv(2), b"\5\0")
    refused_at(relay.port)


def refused_at(port: int) -> None:
    try:
        Client(port).close()
    except ConnectionRefusedError:
        return
    raise AssertionError(f"something listens on port {port}")


@case
def drain(place: Place) -> None:
    """SIGTERM: a running tunnel ends its transfer, nobody new comes in, then status 0"""
    far, relay = place.keep(Far()), Relay(place)
    client, peer = relay.tunnel(far)
    peer.send(b"first")
    client.expect(b"first")
    relay.process.terminate()
    relay.await_log("event=draining")
    refused_at(relay.port)
    size = 3_000_000
    got = []
    reader = threading.Thread(target=lambda: got.append(len(peer.rest())), daemon=True)
    reader.start()
    client.send(bytes(size))
    client.finish()
    reader.join(WAIT)
    equal(got, [size], "octets")
    equal(relay.process.poll(), None, "status before the tunnel's end")
    peer.send(b"last")
    peer.close()
    equal(client.rest(), b"last")
    client.close()
    equal(relay.process.wait(WAIT), 0, "status")
    contains(relay.log, f"up={size}", "event=stopped")


@case
def drain_idle(place: Place) -> None:
    """SIGTERM with nothing under way, or only with held connections: ends at once"""
    for held in (False, True):
        relay = Relay(place)
        if held:
            client = relay.client()
            client.features()
        relay.process.terminate()
        equal(relay.process.wait(5), 0, "status")
        if held:
            client.expect_closed()


@case
def drain_timeout(place: Place) -> None:
    """SIGTERM: a tunnel that does not end is ended when drain's time is over; a second SIGTERM ends it at once"""
    far = place.keep(Far())
    for drain_seconds, again in ((0.5, False), (60, True)):
        relay = Relay(place, timeouts={"drain": drain_seconds})
        client, _ = relay.tunnel(far)
        relay.process.terminate()
        relay.await_log("event=draining")
        client.expect_silence(0.2)
        if again:
            relay.process.terminate()
        equal(relay.process.wait(5), 0, "status")
        client.expect_closed()


PR_SET_CHILD_SUBREAPER = 36


class Embedded:
    def __init__(self, place: Place, *arguments: str):
        self.watched = place.start("/usr/bin/sleep", "60")
        before = children()
        # Its background process comes to us, so that it can be ended by its id.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            done = place.run("--embedded", "--watch-pid", str(self.watched.pid), *arguments)
        finally:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        equal((done.returncode, done.stderr), (0, ""))
        one_line(done.stdout)
        match = re.fullmatch(r"socks5://([0-9a-f]+):([0-9a-f]+)@127\.0\.0\.1:(\d+)\n", done.stdout)
        assert match, done.stdout
        self.user, self.password, self.port = match[1], match[2], int(match[3])
        (self.pid,) = children() - before
        self._place = place

    def client(self) -> Client:
        client = self._place.keep(Client(self.port))
        client.authenticate(self.user, self.password)
        client.expect("0100")
        return client


@case
def embedded(place: Place) -> None:
    """--embedded prints one URL that works, and comes back although the relay goes on"""
    far, relay = place.keep(Far()), Embedded(place, "--allow-loopback", "--host", "far.example=127.0.0.1")
    for request in (connect(*far.address), connect_name("far.example", far.port)):
        client = relay.client()
        client.send(request)
        equal(client.reply()[0], 0, "REP")
        peer = far.accept()
        peer.send(b"hello")
        client.expect(b"hello")


@case
def embedded_refuses(place: Place) -> None:
    """--embedded refuses who has no credentials, and the loopback unless allowed"""
    far, relay = place.keep(Far()), Embedded(place)
    client = place.keep(Client(relay.port))
    client.send(b"\5\1\0")
    client.expect("05ff")
    client = place.keep(Client(relay.port))
    client.authenticate(relay.user, "0" * len(relay.password))
    client.expect("0101")
    client.expect_end()
    relay.client().expect_refusal(2, connect(*far.address))
    far.expect_nobody()


@case
def embedded_credentials(place: Place) -> None:
    """--embedded: other credentials each time, not in its command line, and at least 128 bits"""
    first, second = Embedded(place), Embedded(place)
    assert first.user != second.user and first.password != second.password
    assert len(second.password) >= 32, f"{len(second.password)} hexadecimal digits"
    with open(f"/proc/{first.pid}/cmdline", "rb") as file:
        assert first.password.encode() not in file.read()


@case
def embedded_ends(place: Place) -> None:
    """--embedded ends when the watched process has ended, and lets its port go"""
    relay = Embedded(place)
    relay.client()
    relay.watched.kill()
    relay.watched.wait()
    begun = time.monotonic()
    eventually(lambda: os.waitpid(relay.pid, os.WNOHANG)[0] == relay.pid, "the relay's end")
    assert time.monotonic() - begun < 5
    refused_at(relay.port)


@case
def embedded_without_process(place: Place) -> None:
    """--embedded with a process that does not exist: status 1, one line, no URL"""
    gone = place.start("/bin/true")
    gone.wait()
    done = place.run("--embedded", "--watch-pid", str(gone.pid))
    equal((done.returncode, done.stdout), (1, ""))
    one_line(done.stderr)
    contains(done.stderr, "--watch-pid", str(gone.pid))


@case
def descriptors(place: Place) -> None:
    """no descriptor is left behind, whatever way a connection went"""
    far, relay = place.keep(Far()), Relay(place)
    count = lambda: len(os.listdir(f"/proc/{relay.process.pid}/fd"))

    def one_of_each() -> None:
        client, peer = relay.tunnel(far)
        client.close()
        peer.rest()
        peer.close()
        client, peer = relay.tunnel(far)
        peer.reset()
        client.expect_closed()
        client.close()
        client = relay.client()
        client.expect_refusal(7, bytes.fromhex("05020001000000000000"))
        client.close()
        client = relay.dial()
        client.reset()

    one_of_each()
    time.sleep(0.3)
    before = count()
    for _ in range(20):
        one_of_each()
    eventually(lambda: count() <= before + 16, f"{before} descriptors again")  # pipes are kept for the next
