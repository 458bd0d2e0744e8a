"""A SOCKS5 server that does as it is told, and keeps a record of what it was asked.

A `Script` says what it can do and where it misbehaves. Its `at` gives, for a stage of the handshake, a deed to be done
instead of the honest answer:

    Script(at={Stage.REQUEST: send(rep(5))})                 every destination refuses
    Script(at={Stage.GREETING: silence})                     takes connections and says nothing
    Script(at={Stage.REQUEST: later(0.3, honestly)})         the honest answer, late
    Script(at={Stage.REQUEST: in_turn(send(rep(8)), honestly)})   once wrong, then right
    Script(datagrams=Datagrams(answer=by_name("echo.test")))      names the host that it was told of

The record has one line for each connection, of what the client sent and what became of it:

    offers 00; features, held, for 0.0.0.0:0; connect echo.test:7
    offers 00; associate 0.0.0.0:0; 2 × to 203.0.113.80:7
    offers 00, and goes on; connect echo.test:7               what followed came in one segment with the greeting
"""

import asyncio
import enum
import secrets
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Awaitable, Callable

import far
from scene import NAMES

NO_AUTHENTICATION, PASSWORD, SESSION, NONE_ACCEPTABLE = 0x00, 0x02, 0xA0, 0xFF
CONNECT, ASSOCIATE, LIST_FEATURES, OPEN_SESSION = 0x01, 0x03, 0x10, 0xA0
HOLD = 0x01
_SYN_DATA = 0x20  # TCPI_OPT_SYN_DATA, of tcpi_options


class Stage(enum.Enum):
    ACCEPTED = enum.auto()  # before anything was read
    GREETING = enum.auto()
    PASSWORD = enum.auto()
    TOKEN = enum.auto()
    FEATURES = enum.auto()
    REQUEST = enum.auto()


class Over(Exception):
    """The connection is at its end."""


def rep(code: int, flag: int = 0) -> bytes:
    return bytes((5, code, flag, 1, 0, 0, 0, 0, 0, 0))


# --- Feature Description Lists (doc/wire.md) ---

Entry = tuple[int, int, bytes]  # TAG, SUBTAG, VALUE
ALL_FEATURES: tuple[Entry, ...] = (
    (0x01, 0x05, b""),  # SOCKS 5
    (0x02, 0x01, b""),  # IPv4
    (0x02, 0x03, b""),  # names
    (0x02, 0x04, b""),  # IPv6
    (0x03, 0x00, b""),  # no authentication
    (0x03, 0x02, b""),  # user name and password
    (0x04, 0x01, b""),  # CONNECT
    (0x04, 0x03, b""),  # UDP ASSOCIATE
    (0x04, 0x10, b"\x01"),  # LIST-FEATURES, held
)
SCOPES = {"client": 0x01, "method": 0x02, "destination": 0x03}


def fdl(*, without: tuple = (), plus: tuple[Entry, ...] = (), scope: str = "", end: bytes = b"\xff\x00\x00") -> bytes:
    """The list of all features, without those whose (TAG, SUBTAG) is given."""
    scopes = bytes(SCOPES[word] for word in scope.split())
    entries = ((0x00, 0x10, scopes),) if scopes else ()
    entries += tuple(entry for entry in ALL_FEATURES if entry[:2] not in without) + plus
    return b"".join(bytes((tag, subtag, len(value))) + value for tag, subtag, value in entries) + end


# --- deeds ---

Deed = Callable[["Connection"], Awaitable[None]]


async def honestly(connection: "Connection") -> None:
    await connection.answer_honestly()


async def close(connection: "Connection") -> None:
    raise Over


async def only_connect(connection: "Connection") -> None:
    """As `ssh -D`: an end is the answer to all other commands."""
    if connection.command != CONNECT:
        raise Over
    await connection.answer_honestly()


async def reset(connection: "Connection") -> None:
    connection.end_by_reset = True
    raise Over


async def nothing_more(connection: "Connection") -> None:
    """And on with the handshake."""


async def silence(connection: "Connection") -> None:
    """Nothing more, until the client gives up."""
    await connection.await_end()


async def after_early_data(connection: "Connection") -> None:
    """The honest answer, but not before the program's first octets have come."""
    while not connection.octets_behind():
        await asyncio.sleep(0.01)
    await connection.answer_honestly()


async def echo(connection: "Connection") -> None:
    """What a destination would do, if there were one."""
    await connection.echo()


def flood(piece: bytes) -> Deed:
    """The same again and again, until the client gives up."""

    async def deed(connection: "Connection") -> None:
        while True:
            await connection.send(piece)

    return deed


def send(octets: bytes, then: Deed = close) -> Deed:
    async def deed(connection: "Connection") -> None:
        await connection.send(octets)
        await then(connection)

    return deed


def garbage(size: int) -> bytes:
    """Octets that begin like nothing in SOCKS."""
    return bytes(0xA5 ^ i for i in range(size))


def later(seconds: float, deed: Deed) -> Deed:
    async def delayed(connection: "Connection") -> None:
        await asyncio.sleep(seconds)
        await deed(connection)

    return delayed


def in_turn(*deeds: Deed) -> Deed:
    """The first deed to the first who comes to this stage, and so on; the last one to all who come later."""

    async def next_deed(connection: "Connection") -> None:
        turn = connection.proxy.count_turn(next_deed)
        await deeds[min(turn, len(deeds) - 1)](connection)

    return next_deed


def for_name(name: str, deed: Deed, otherwise: Deed = honestly) -> Deed:
    """To requests for that host alone."""

    async def choose(connection: "Connection") -> None:
        await (deed if connection.destination[0] == name else otherwise)(connection)

    return choose


def when_ended(number: int, deed: Deed) -> Deed:
    """When the client has ended connection `number` (from 0)."""

    async def wait(connection: "Connection") -> None:
        await connection.proxy.connections[number].ended.wait()
        await deed(connection)

    return wait


def list_features(octets: bytes | None = None, hold: bool = True, break_hold: bool = False) -> Deed:
    """The answer to LIST-FEATURES: REP 00, the list, and the end or, if wanted and granted, one more command."""

    async def deed(connection: "Connection") -> None:
        held = hold and connection.flag & HOLD
        await connection.send(rep(0, HOLD if held else 0) + (fdl() if octets is None else octets))
        if not held or break_hold:
            raise Over

    return deed


# --- datagrams (RFC 1928 §7) ---


def on_the_wire(host: str, port: int) -> bytes:
    if ":" in host:
        address = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
    elif host.replace(".", "").isdigit():
        address = b"\x01" + socket.inet_aton(host)
    else:
        address = b"\x03" + bytes((len(host),)) + host.encode()
    return address + struct.pack("!H", port)


Answer = Callable[[str, int, bytes], list[bytes]]  # of a source and what it sent: what goes to the client


def true_answer(host: str, port: int, payload: bytes) -> list[bytes]:
    return [bytes(3) + on_the_wire(host, port) + payload]


def by_name(name: str) -> Answer:
    return lambda host, port, payload: true_answer(name, port, payload)


def after(*nonsense: bytes) -> Answer:
    return lambda host, port, payload: [*nonsense, *true_answer(host, port, payload)]


@dataclass(frozen=True)
class Datagrams:
    """How UDP ASSOCIATE is carried out."""

    bound: tuple[str, int] | None = None  # what the reply names instead of the port's own address; port 0: the right one
    host: str = ""  # where the port is; where the proxy is
    answer: Answer = true_answer
    most: int = 0  # so many datagrams from the client, and the control connection ends; 0: no end
    wait: float = 0  # before the reply, in seconds


@dataclass(frozen=True)
class Script:
    methods: tuple[int, ...] = (NO_AUTHENTICATION,)  # accepted, the preferred first
    users: dict[str, str] = field(default_factory=dict)
    as_user: str = ""  # USER:PASSWORD in the URL by which the victim's rules name this server
    at: dict[Stage, Deed] = field(default_factory=dict)
    tokens: tuple[bytes, ...] = ()  # that OPEN SESSION gives, in turn; each is good from then on
    lifetime: int = 300  # that it tells
    datagrams: Datagrams = Datagrams()
    tells_segments: bool = False  # the record says what came in one segment with the greeting
    loses_what_follows: bool = False  # takes one segment for one message, as microsocks does
    fast_open: bool = False  # takes what comes with the SYN
    by_the_octet: bool = False  # each octet of an answer in a segment of its own
    host: str = ""  # where to listen; the scene's proxy address
    listening: bool = True  # else the port refuses


# --- the server ---


class Connection:
    """One client's, from accept to end."""

    def __init__(self, proxy: "FakeProxy", reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.proxy, self._reader, self._writer = proxy, reader, writer
        self.story: list[str] = []
        self.ended = asyncio.Event()
        self.end_by_reset = False
        self.flag = 0
        self.command = 0
        self.destination: tuple[str, int] = ("", 0)
        self._stage = Stage.ACCEPTED
        self._offered = b""

    async def serve(self) -> None:
        try:
            if Stage.ACCEPTED in self.proxy.script.at:
                await self._at(Stage.ACCEPTED)
            await self._greeting()
            while True:
                await self._request()
        except (Over, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            if self.end_by_reset:
                far.reset(self._writer)
            self._writer.close()
            self.ended.set()

    async def send(self, octets: bytes) -> None:
        pieces = [octets[i : i + 1] for i in range(len(octets))] if self.proxy.script.by_the_octet else [octets]
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.002)

    @property
    def socket(self) -> socket.socket:
        return self._writer.get_extra_info("socket")

    async def await_end(self) -> None:
        if early := await self._reader.read():
            self.story.append(f"and sends {early!r}")
        raise Over

    async def echo(self) -> None:
        await far.pump(self._reader, self._writer)
        raise Over

    async def _at(self, stage: Stage) -> None:
        self._stage = stage
        await self.proxy.script.at.get(stage, honestly)(self)

    async def _read(self, count: int) -> bytes:
        return await self._reader.readexactly(count)

    async def _greeting(self) -> None:
        _, count = await self._read(2)
        self._offered = await self._read(count)
        self._goes_on = self.octets_behind() > 0
        offer = "offers " + " ".join(f"{method:02x}" for method in self._offered)
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
        offer = "with the SYN: " * bool(info[5] & _SYN_DATA) + offer
        self.story.append(offer + (", and goes on" if self._goes_on and self.proxy.script.tells_segments else ""))
        if self._goes_on and self.proxy.script.loses_what_follows:
            await self._read(self.octets_behind())
        await self._at(Stage.GREETING)

    def octets_behind(self) -> int:
        """What has come with the octets that were read last: one segment of the client's, in these networks."""
        return len(self._reader._buffer)

    async def _request(self) -> None:
        _, self.command, self.flag, kind = await self._read(4)
        match kind:
            case 1:
                host = socket.inet_ntop(socket.AF_INET, await self._read(4))
            case 4:
                host = f"[{socket.inet_ntop(socket.AF_INET6, await self._read(16))}]"
            case _:
                host = (await self._read((await self._read(1))[0])).decode("latin-1")
        self.destination = host, struct.unpack("!H", await self._read(2))[0]
        to = f"{host}:{self.destination[1]}"
        if self.command == LIST_FEATURES:
            self.story.append(f"features{', held,' if self.flag & HOLD else ''} for {to}")
            await self._at(Stage.FEATURES)
        else:
            flag = f" with flag {self.flag:02x}" if self.flag else ""
            command = {CONNECT: "connect", ASSOCIATE: "associate", OPEN_SESSION: "open session"}.get(self.command, f"command {self.command:02x}")
            self.story.append(command if self.command == OPEN_SESSION else f"{command} {to}{flag}")
            await self._at(Stage.REQUEST)

    # What an honest server answers. ----------------------------------------------------------------------------------

    async def answer_honestly(self) -> None:
        match self._stage:
            case Stage.GREETING:
                await self._choose_method()
            case Stage.PASSWORD:
                await self.send(b"\x01\x00")
            case Stage.TOKEN:
                await self._admit()
            case Stage.FEATURES:
                await self.send(rep(7))  # most servers don't know the command
                raise Over
            case Stage.REQUEST if self.command == ASSOCIATE:
                await self._associate()
            case Stage.REQUEST if self.command == OPEN_SESSION:
                await self._open_session()
            case Stage.REQUEST:
                await self._connect()

    async def _choose_method(self) -> None:
        method = next((method for method in self.proxy.script.methods if method in self._offered), NONE_ACCEPTABLE)
        await self.send(bytes((5, method)))
        if method == NONE_ACCEPTABLE:
            raise Over
        if method == SESSION:
            self._token = await self._read((await self._read(2))[1])
            self.story.append(f"by token {self._token.decode()}")
            await self._at(Stage.TOKEN)
        if method != PASSWORD:
            return
        name = (await self._read((await self._read(2))[1])).decode()
        password = (await self._read((await self._read(1))[0])).decode()
        self.story.append(f"as {name}")
        if self.proxy.script.users.get(name) != password:
            await self.send(b"\x01\x01")
            raise Over
        await self._at(Stage.PASSWORD)

    async def _admit(self) -> None:
        known = self._token in self.proxy.script.tokens[: self.proxy.sessions]
        await self.send(b"\x01\x00" if known else b"\x01\x01")
        if not known:
            raise Over

    async def _open_session(self) -> None:
        if self.proxy.sessions == len(self.proxy.script.tokens):
            await self.send(rep(0xA4))
            raise Over
        token = self.proxy.script.tokens[self.proxy.sessions]
        self.proxy.sessions += 1
        await self.send(rep(0) + bytes((len(token),)) + token + struct.pack("!I", self.proxy.script.lifetime))
        await self.await_end()

    _REPLIES = {101: 3, 113: 4, 111: 5, 110: 4, 13: 2}  # ENETUNREACH, EHOSTUNREACH, ECONNREFUSED, ETIMEDOUT, EACCES

    async def _connect(self) -> None:
        host, port = self.destination
        try:
            there = await asyncio.open_connection(host.strip("[]"), port)
        except OSError as error:
            code = 4 if isinstance(error, socket.gaierror) else self._REPLIES.get(error.errno or 0, 1)
            await self.send(rep(code))
            raise Over from None
        await self.send(rep(0))
        reader, writer = there
        try:
            await asyncio.gather(far.pump(self._reader, writer), far.pump(reader, self._writer))
        finally:
            writer.close()
        raise Over

    async def _associate(self) -> None:
        how = self.proxy.script.datagrams
        host = how.host or self._writer.get_extra_info("sockname")[0]
        carrier = Carrier(how, host)
        try:
            bound_host, bound_port = how.bound or (host, 0)
            await asyncio.sleep(how.wait)
            await self.send(b"\x05\x00\x00" + on_the_wire(bound_host, bound_port or carrier.number))
            end = asyncio.ensure_future(self._reader.read())
            await asyncio.wait([end, carrier.had_enough], return_when=asyncio.FIRST_COMPLETED)
            end.cancel()
            await asyncio.sleep(0.05)  # for the last answers
        finally:
            self.story += sorted(f"{count} × to {to}" for to, count in carrier.carried.items())
            carrier.close()
        raise Over


class Carrier:
    """Of one association's datagrams."""

    def __init__(self, how: Datagrams, host: str):
        self._how, self._client = how, None
        self._inside = far.Port(self._from_client, host)
        self._outside = {4: far.Port(self._from_outside, "0.0.0.0"), 6: far.Port(self._from_outside, "::")}
        self.number = self._inside.number
        self.carried: Counter[str] = Counter()
        self.had_enough = asyncio.get_running_loop().create_future()

    def close(self) -> None:
        for port in (self._inside, *self._outside.values()):
            port.close()

    def _from_client(self, _, message: bytes, sender) -> None:
        self._client = sender
        kind, at = message[3], {1: 8, 3: 5 + message[4], 4: 20}[message[3]]
        match kind:
            case 1:
                host = socket.inet_ntop(socket.AF_INET, message[4:at])
            case 4:
                host = socket.inet_ntop(socket.AF_INET6, message[4:at])
            case _:
                host = message[5:at].decode()
        port = struct.unpack_from("!H", message, at)[0]
        self.carried[f"[{host}]:{port}" if kind == 4 else f"{host}:{port}"] += 1
        real = NAMES[host][0] if kind == 3 else host
        self._outside[6 if ":" in real else 4].send(message[at + 2 :], (real, port))
        if self.carried.total() == self._how.most:
            self.had_enough.set_result(None)

    def _from_outside(self, _, message: bytes, sender) -> None:
        for answer in self._how.answer(sender[0], sender[1], message):
            self._inside.send(answer, self._client)


class FakeProxy:
    """Serves from `start` to `stop`, both on the servers' thread."""

    def __init__(self, script: Script):
        self.script = script
        self.connections: list[Connection] = []
        self.sessions = 0  # that were opened
        self._turns: dict[Deed, int] = {}
        self._tasks: set[asyncio.Task] = set()

    async def start(self, host: str) -> int:
        """Returns the port."""
        self._server = await far.listen(self._serve, self.script.host or host)
        port = self._server.sockets[0].getsockname()[1]
        if self.script.fast_open:
            # In this machine's network. A key of its own, so that cookies of earlier cases are worth nothing.
            Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("3")
            Path("/proc/sys/net/ipv4/tcp_fastopen_key").write_text("-".join(secrets.token_hex(4) for _ in range(4)))
            self._server.sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        if not self.script.listening:
            self._server.close()
        return port

    async def stop(self) -> list[str]:
        """Waits a moment for connections to end; returns the record, sorted: probes come when they like."""
        self._server.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=1)
            for task in late:
                task.cancel()
        return sorted("; ".join(connection.story) or "nothing" for connection in self.connections)

    def count_turn(self, deed: Deed) -> int:
        turn = self._turns.get(deed, 0)
        self._turns[deed] = turn + 1
        return turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, reader, writer)
        self.connections.append(connection)
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await connection.serve()
