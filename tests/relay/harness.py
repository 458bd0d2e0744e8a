"""What the cases are made of: a relay, a client that speaks octets, and servers to be connected to."""

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

PROGRAM = pathlib.Path("socksify-relay")  # set by run.py
PATIENCE = 20  # seconds, for what must happen: a loaded machine under a sanitizer is slow


class Skip(Exception):
    """Why a case can't be run here."""


def octets(text):
    return bytes.fromhex(text)


def wait_until(condition, what, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"not within {patience} s: {what}")


# --- Endpoints and requests -------------------------------------------------------------------------------------------


def packed(host, port):
    """ATYP, ADDR and PORT; a host that is no address is a name."""
    for family, kind in ((socket.AF_INET, 1), (socket.AF_INET6, 4)):
        with contextlib.suppress(OSError):
            return bytes([kind]) + socket.inet_pton(family, host) + struct.pack("!H", port)
    name = host.encode()
    return bytes([3, len(name)]) + name + struct.pack("!H", port)


def request(host, port, command=1, flag=0):
    return bytes([5, command, flag]) + packed(host, port)


GREETING = octets("05 01 00")
LIST_FEATURES = octets("05 10 00 01 00000000 0000")
LIST_FEATURES_HOLD = octets("05 10 01 01 00000000 0000")


def password_message(user, password):
    return bytes([1, len(user)]) + user.encode() + bytes([len(password)]) + password.encode()


class Client:
    """A connection to the relay."""

    def __init__(self, port, host="127.0.0.1", source=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((host, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_slowly(self, data):
        for i in range(len(data)):
            self.socket.sendall(data[i : i + 1])
            time.sleep(0.002)

    def read(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            assert piece, f"end of file after {data.hex(' ')} ({len(data)} of {size} octets)"
            data += piece
        return data

    def expect(self, text):
        wanted = octets(text) if isinstance(text, str) else text
        found = self.read(len(wanted))
        assert found == wanted, f"{found.hex(' ')} instead of {wanted.hex(' ')}"

    def read_all(self):
        """To the end of file; a reset is an error."""
        data = b""
        while piece := self.socket.recv(65536):
            data += piece
        return data

    def expect_end(self):
        rest = self.read_all()
        assert rest == b"", f"{rest.hex(' ')} instead of the end"

    def is_silent(self, seconds=0.15):
        return not select.select([self.socket], [], [], seconds)[0]

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)

    def read_reply(self):
        """REP, FLAG, BND as (host, port)."""
        head = self.read(4)
        assert head[0] == 5, head.hex(" ")
        if head[3] == 1:
            host = socket.inet_ntop(socket.AF_INET, self.read(4))
        elif head[3] == 4:
            host = socket.inet_ntop(socket.AF_INET6, self.read(16))
        else:
            raise AssertionError(f"ATYP {head[3]}")
        return head[1], head[2], (host, struct.unpack("!H", self.read(2))[0])

    def expect_refusal(self, code):
        """A failure reply, then the end, both soon."""
        begun = time.monotonic()
        reply = self.read_reply()
        assert reply == (code, 0, ("0.0.0.0", 0)), reply
        self.expect_end()
        assert time.monotonic() - begun < 10

    def read_list(self):
        """The entries of an FDL, up to its END."""
        entries = []
        while (head := self.read(3))[0] != 0xFF:
            entries.append((head[0], head[1], self.read(head[2])))
        self.read(head[2])
        return entries

    def greet(self):
        self.send(GREETING)
        self.expect("05 00")

    def log_in(self, user, password):
        self.send(octets("05 01 02"))
        self.expect("05 02")
        self.send(password_message(user, password))
        return self.read(2) == b"\x01\x00"

    def expect_no_way_without_password(self):
        """Who offers none is told so, and the connection ends."""
        self.send(GREETING)
        self.expect("05 ff")
        self.expect_end()

    def connect(self, host, port):
        """CONNECT that must succeed: BND."""
        self.send(request(host, port))
        code, flag, bound = self.read_reply()
        assert (code, flag) == (0, 0), f"REP {code:02x}"
        return bound


# --- The relay --------------------------------------------------------------------------------------------------------


class Relay:
    """A relay with this configuration, for one case. `log` is what it has written so far, line by line."""

    def __init__(self, config=None, environment=None, prefix=()):
        self.directory = tempfile.TemporaryDirectory(prefix="relay-")
        self.file = pathlib.Path(self.directory.name) / "relay.json"
        self.config = {"listen": "127.0.0.1:0", "guard_own_host": False, "log": {"level": "debug"}, **(config or {})}
        self.write(self.config)
        self.environment = {**os.environ, **(environment or {})}
        self.prefix = list(prefix)
        self.log = []
        self.process = None
        self.ports = []

    def write(self, config):
        self.config = config
        self.file.write_text(json.dumps(config))

    def __enter__(self):
        self.process = subprocess.Popen(
            [*self.prefix, str(PROGRAM), "--config", str(self.file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.environment, text=True,
        )  # fmt: skip
        threading.Thread(target=self._read_log, daemon=True).start()
        listen = self.config["listen"]
        expected = 1 if isinstance(listen, str) else len(listen)
        wait_until(
            lambda: len(self._listening()) >= expected or self.process.poll() is not None, "the relay listens"
        )
        assert self.process.poll() is None, "\n".join(self.log)
        self.ports = [int(address.rpartition(":")[2]) for address in self._listening()]
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5 if kind else 3)
        if self.process.poll() is None:
            self.process.terminate()  # the second signal
        status = self.process.wait(PATIENCE)
        self.process.stderr.close()
        self.directory.cleanup()
        text = "\n".join(self.log)
        if kind:
            print(text)
            return
        assert status == 0, f"ended with {status}\n{text}"
        assert "Sanitizer" not in text and "runtime error" not in text, text

    def _read_log(self):
        with contextlib.suppress(ValueError):  # closed meanwhile
            for line in self.process.stderr:
                self.log.append(line.rstrip("\n"))

    def _listening(self):
        return [match[1] for line in self.log if (match := re.search(r"event=listening address=(\S+)", line))]

    @property
    def port(self):
        return self.ports[0]

    def client(self, **options):
        return Client(self.port, **options)

    def greeted(self, **options):
        client = self.client(**options)
        client.greet()
        return client

    def signal(self, number):
        self.process.send_signal(number)

    def wait_for_log(self, *parts):
        return wait_until(
            lambda: next((line for line in list(self.log) if all(part in line for part in parts)), None),
            f"a line with {parts} in\n" + "\n".join(self.log),
        )

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def processor_time(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- Servers ----------------------------------------------------------------------------------------------------------


class Server:
    """Runs `serve(socket)` on a thread for each connection."""

    def __init__(self, serve, host="127.0.0.1", port=0):
        self.serve = serve
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.listener.bind((host, port))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.peers = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.listener.accept()
                self.peers.append(peer)
                threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with contextlib.suppress(OSError), connection:
            self.serve(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def echo(connection):
    while piece := connection.recv(65536):
        connection.sendall(piece)


def silent_server(host="127.0.0.1", port=0):
    """A listener whose queue is full: the kernel answers no SYN, and a connect hangs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        knock = socket.socket(family, socket.SOCK_STREAM)
        knock.setblocking(False)
        knock.connect_ex(listener.getsockname()[:2])
        waiting.append(knock)
    time.sleep(0.05)

    @contextlib.contextmanager
    def manage():
        try:
            yield listener.getsockname()[1]
        finally:
            for one in [listener, *waiting]:
                one.close()

    return manage()


def free_port(host="127.0.0.1"):
    """A port that nobody listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def needs_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        raise Skip(f"no IPv6 here: {error}") from error


def run(*arguments, **options):
    """The program to its end."""
    options = {"capture_output": True, "text": True, "timeout": PATIENCE, "stdin": subprocess.DEVNULL, **options}
    if "input" in options:
        del options["stdin"]
    return subprocess.run([str(PROGRAM), *arguments], check=False, **options)


def hashed(password):
    result = run("--hash-password", input=password + "\n")
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


_QUICK = {}


def quick_hash(password):
    """A cheap one, so that a case doesn't wait for it."""
    if password not in _QUICK:
        with contextlib.suppress(ImportError):
            import crypt  # pylint: disable=import-outside-toplevel,deprecated-module

            _QUICK[password] = crypt.crypt(password, "$6$rounds=1000$saltsalt$")
        _QUICK.setdefault(password, hashed(password))
    return _QUICK[password]


def with_users(methods="password", **users):
    return {"auth": {"methods": methods, "users": {name: quick_hash(word) for name, word in users.items()}}}


def reset(connection):
    """Closes with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


SIGTERM, SIGINT, SIGHUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
