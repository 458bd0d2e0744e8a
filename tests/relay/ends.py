"""The two ends of a connection through the relay, and the relay between them."""

import contextlib
import functools
import ipaddress
import json
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from hazards import QUIET, WAIT, Place, Skipped, equal, eventually

USER, PASSWORD = "alice", "correct horse"
NONE = bytes.fromhex("050100")
NO_ADDRESS = bytes.fromhex("01000000000000")
LIST = bytes.fromhex("05100001000000000000")
LIST_AND_HOLD = bytes.fromhex("05100101000000000000")
LISTED = bytes.fromhex("05000001000000000000")
LISTED_AND_HELD = bytes.fromhex("05000101000000000000")
END = bytes.fromhex("ff0000")


class Relay:
    """A relay with this configuration, which listens on a port of its own. Loopback is open unless said otherwise."""

    def __init__(self, place: Place, listen: str = "127.0.0.1:0", **config):
        self._place = place
        number = len(list(place.directory.glob("relay*.json")))
        self.file = place.directory / f"relay{number}.json"
        self._log = place.directory / f"log{number}"
        self._log.touch()
        self._base = {"listen": listen, "guard_own_host": False, "log": {"level": "debug"}}
        self.configure(**config)
        with self._log.open("wb") as log:
            self.process = place.start(
                place.program, "--config", self.file, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )
        self.await_log("event=listening")
        self.port = int(re.search(r"event=listening address=\S*:(\d+)", self.log).group(1))

    def configure(self, **config) -> None:
        self.file.write_text(json.dumps(self._base | config))

    def reload(self, event: str) -> None:
        before = self.log.count(f"event={event}")
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: self.log.count(f"event={event}") > before, f"{event} in the log:\n{self.log}")

    @property
    def log(self) -> str:
        return self._log.read_text()

    def await_log(self, text: str) -> None:
        eventually(lambda: text in self.log or self.process.poll() is not None, f"{text} in:\n{self.log}")
        assert text in self.log, f"{text} never came; status {self.process.poll()}:\n{self.log}"

    def dial(self, source: str = "127.0.0.1") -> "Client":
        return self._place.keep(Client(self.port, source))

    def client(self, source: str = "127.0.0.1") -> "Client":
        """One that has agreed on method none."""
        client = self.dial(source)
        client.send(NONE)
        client.expect("0500")
        return client

    def tunnel(self, far: "Far", **more) -> "tuple[Client, Peer]":
        client = self.client(**more)
        client.send(connect(*far.address))
        equal(client.reply()[0], 0, "REP")
        return client, far.accept()


class Peer:
    """A socket with a little more."""

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self.socket.settimeout(WAIT)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def send_singly(self, octets: bytes) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in octets:
            self.socket.sendall(bytes([octet]))
            time.sleep(0.002)

    def finish(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def read(self, size: int) -> bytes:
        """So many octets; fewer if the connection ends."""
        got = bytearray()
        while len(got) < size:
            piece = self.socket.recv(min(size - len(got), 1 << 18))
            if not piece:
                break
            got += piece
        return bytes(got)

    def rest(self) -> bytes:
        """All until the end of file. A reset is an error."""
        return self.read(1 << 40)

    def expect(self, octets: str | bytes) -> None:
        wanted = bytes.fromhex(octets) if isinstance(octets, str) else octets
        equal(self.read(len(wanted)), wanted)

    def expect_end(self) -> None:
        equal(self.rest(), b"", "before the end")

    def expect_closed(self) -> None:
        """Without a word; a reset will do."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self.expect_end()

    def expect_silence(self, seconds: float = QUIET) -> None:
        """Open, but nothing comes."""
        self.socket.settimeout(seconds)
        try:
            piece = self.socket.recv(100)
        except TimeoutError:
            return
        finally:
            self.socket.settimeout(WAIT)
        raise AssertionError(f"not silence: {piece.hex(' ') or 'the end'}")


class Client(Peer):
    def __init__(self, port: int, source: str = "127.0.0.1"):
        super().__init__(socket.create_connection(("127.0.0.1", port), WAIT, (source, 0)))

    def authenticate(self, user: str = USER, password: str = PASSWORD) -> None:
        self.send(bytes.fromhex("050102"))
        self.expect("0502")
        self.send(credentials(user, password))

    def reply(self) -> tuple[int, int, str, int]:
        """REP, FLAG, BND.ADDR and BND.PORT."""
        head = self.read(4)
        equal(len(head), 4, f"length of a reply's head {head.hex(' ')!r}")
        equal(head[0], 5, "VER")
        assert head[3] in (1, 4), f"ATYP of {head.hex(' ')}"
        size = 4 if head[3] == 1 else 16
        rest = self.read(size + 2)
        equal(len(rest), size + 2, "length of address and port")
        return head[1], head[2], str(ipaddress.ip_address(rest[:size])), int.from_bytes(rest[size:])

    def expect_refusal(self, rep: int, request: bytes | None = None) -> None:
        """A whole failure reply, then the end of file, not a reset."""
        if request is not None:
            self.send(request)
        equal(self.reply()[0], rep, "REP")
        self.expect_end()

    def features(self, request: bytes = LIST_AND_HOLD, reply: bytes = LISTED_AND_HELD) -> "list[tuple[int, int, bytes]]":
        """The entries of a feature list, read until END."""
        self.send(request)
        self.expect(reply)
        return self.read_features()

    def read_features(self) -> "list[tuple[int, int, bytes]]":
        entries = []
        while True:
            head = self.read(3)
            equal(len(head), 3, f"length of an entry's head {head.hex(' ')!r}")
            value = self.read(head[2])
            equal(len(value), head[2], "LEN")
            if head[0] == 0xFF:
                equal(head + value, END)
                return entries
            entries.append((head[0], head[1], value))


class Far:
    """A destination."""

    def __init__(self, host: str = "127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        try:
            self._listener.bind((host, 0))
        except OSError as error:
            self._listener.close()
            raise Skipped(f"no {host} here: {error.strerror}") from None
        self._listener.listen()
        self._listener.settimeout(WAIT)
        self._open: list[Peer] = []

    @property
    def address(self) -> tuple[str, int]:
        return self._listener.getsockname()[:2]

    @property
    def port(self) -> int:
        return self.address[1]

    def __enter__(self) -> "Far":
        return self

    def __exit__(self, *_) -> None:
        self._listener.close()
        for peer in self._open:
            peer.close()

    def accept(self) -> Peer:
        peer = Peer(self._listener.accept()[0])
        self._open.append(peer)
        return peer

    def expect_nobody(self) -> None:
        self._listener.settimeout(QUIET)
        try:
            self._listener.accept()
        except TimeoutError:
            return
        finally:
            self._listener.settimeout(WAIT)
        raise AssertionError("there was a connection")


class Closed(Far):
    """A port that is taken, so that nobody else listens there, and refuses."""

    def __init__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._open = []


def address(host: str, port: int) -> bytes:
    """ATYP, address and port; whatever is no address is a name."""
    try:
        packed = ipaddress.ip_address(host).packed
        return (b"\1" if len(packed) == 4 else b"\4") + packed + port.to_bytes(2)
    except ValueError:
        return name(host, port)


def name(text: str, port: int) -> bytes:
    return b"\3" + bytes([len(text)]) + text.encode() + port.to_bytes(2)


def connect(host: str, port: int) -> bytes:
    return b"\5\1\0" + address(host, port)


def connect_name(text: str, port: int) -> bytes:
    return b"\5\1\0" + name(text, port)


def credentials(user: str, password: str) -> bytes:
    return b"\1" + bytes([len(user)]) + user.encode() + bytes([len(password)]) + password.encode()


@functools.cache
def _hashed(program: Path, password: str) -> str:
    done = subprocess.run(
        [program, "--hash-password"], input=password + "\n", capture_output=True, text=True, timeout=WAIT, check=True
    )
    return done.stdout.strip()


def auth(place: Place, *methods: str) -> dict:
    """What "auth" is for alice and bob."""
    hashed = _hashed(place.program, PASSWORD)
    return {"methods": list(methods or ("password",)), "users": {USER: hashed, "bob": hashed}}
