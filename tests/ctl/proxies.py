"""Proxies to look at: one that answers what it is told to, and real ones, each on a free port of 127.0.0.1."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Iterator

from suite import Place, Skipped

SUCCEEDED = bytes.fromhex("05000001000000000000")
END = bytes.fromhex("ff0000")


def features(*entries: bytes) -> list[bytes]:
    """The whole answer to LIST-FEATURES."""
    return [SUCCEEDED + b"".join(entries) + END]


def text(subtag: int, value: bytes) -> bytes:
    """An entry under SERVER."""
    return bytes([0x10, subtag, len(value)]) + value


class FakeProxy:
    """Takes one message per state, and answers LIST-FEATURES with `answer`, a piece at a time.

    `greeting` goes out in place of the method's reply; nothing follows it. After the answer the connection is closed,
    or, if `stays`, left open. `requests` is what came after the authentication.
    """

    def __init__(
        self,
        answer: list[bytes] | None = None,
        *,
        greeting: bytes | None = None,
        user: tuple[str, str] | None = None,
        stays: bool = False,
        family: int = socket.AF_INET,
    ):
        self._answer = answer or []
        self._greeting = greeting
        self._user = user
        self._stays = stays
        self._listener = socket.socket(family)
        self._listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self._listener.family == socket.AF_INET else "[::1]"
        return f"socks5://{host}:{self.port}"

    def __enter__(self) -> "FakeProxy":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                with contextlib.suppress(OSError):
                    self._speak(connection)
                if not self._stays:
                    connection.close()

    def _speak(self, connection: socket.socket) -> None:
        offered = connection.recv(1024)[2:]
        if self._greeting is not None:
            connection.sendall(self._greeting)
            return
        method = 2 if self._user else 0
        connection.sendall(bytes([5, method if method in offered else 0xFF]))
        if method not in offered:
            return
        if self._user:
            name, password = (word.encode() for word in self._user)
            expected = bytes([1, len(name)]) + name + bytes([len(password)]) + password
            accepted = connection.recv(1024) == expected
            connection.sendall(bytes([1, 0 if accepted else 1]))
            if not accepted:
                return
        self.requests.append(connection.recv(1024))
        for number, piece in enumerate(self._answer):
            time.sleep(0.05 if number else 0)  # each a segment of its own
            connection.sendall(piece)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(argv: list[str], port: int) -> Iterator[str]:
    """A server that listens on `port`; its URL. Ended by its process id."""
    if shutil.which(argv[0]) is None:
        raise Skipped(f"{argv[0]} is not installed")
    server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(200):
            assert server.poll() is None, f"{argv}: ended: {server.stderr.read().decode()}"
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"socks5://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stderr.close()


def relay(place: Place, **settings) -> contextlib.AbstractContextManager[str]:
    port = free_port()
    config = place.write("relay.json", {"listen": f"127.0.0.1:{port}"} | settings)
    return running([str(place.build / "src" / "relay" / "socksify-relay"), "--config", str(config)], port)


def microsocks(*options: str) -> contextlib.AbstractContextManager[str]:
    port = free_port()
    return running(["microsocks", "-i", "127.0.0.1", "-p", str(port), *options], port)


def danted(place: Place) -> contextlib.AbstractContextManager[str]:
    port = free_port()
    config = place.write(
        "danted.conf",
        f"""
        logoutput: stderr
        internal: 127.0.0.1 port = {port}
        external: lo
        clientmethod: none
        socksmethod: none
        user.unprivileged: {"nobody" if os.getuid() == 0 else ""}
        client pass {{ from: 0/0 to: 0/0 }}
        socks pass {{ from: 0/0 to: 0/0 protocol: tcp udp }}
        """,
        mode=0o644,
    )
    return running(["danted", "-f", str(config), "-p", str(place.directory / "danted.pid")], port)


def shadowsocks() -> contextlib.AbstractContextManager[str]:
    port = free_port()
    nobody = ["-s", "127.0.0.1", "-p", "9", "-k", "x", "-m", "aes-256-gcm"]
    return running(["ss-local", *nobody, "-b", "127.0.0.1", "-l", str(port)], port)


@contextlib.contextmanager
def openssh(place: Place) -> Iterator[str]:
    """ssh -D, through an sshd of its own."""
    sshd = shutil.which("sshd", path="/usr/sbin:/sbin")
    if sshd is None or shutil.which("ssh-keygen") is None:
        raise Skipped("openssh is not installed")
    key, host_key = place.directory / "key", place.directory / "host_key"
    for path in (key, host_key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    config = place.write(
        "sshd_config",
        f"""
        Port {port}
        ListenAddress 127.0.0.1
        HostKey {host_key}
        AuthorizedKeysFile {key}.pub
        PidFile none
        StrictModes no
        UsePAM no
        PermitRootLogin yes
        """,
    )
    with running([sshd, "-D", "-e", "-f", str(config)], port):
        socks = free_port()
        options = [f"-i{key}", "-F/dev/null", "-oStrictHostKeyChecking=no", f"-oUserKnownHostsFile={place.directory}/known"]
        options += ["-oExitOnForwardFailure=yes", "-oIdentitiesOnly=yes", f"-p{port}"]
        with running(["ssh", *options, "-N", "-D", f"127.0.0.1:{socks}", "127.0.0.1"], socks) as url:
            yield url
