"""The servers on `far`, in a thread of their own with an event loop: destinations, and whatever a case adds."""

import asyncio
import fcntl
import os
import socket
import struct
import threading
from concurrent.futures import Future
from typing import Awaitable, Callable

from scene import HOST_UNREACHABLE, NAMES, NAMESERVER, NET_UNREACHABLE, PROXY_V4, ROUTER_V4, ROUTER_V6

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Far:
    """`run` is the way in from the main thread: it has a coroutine carried out there and waits for its result."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.run(self._start_destinations())

    def run(self, coroutine: Awaitable, timeout: float = 10):
        future: Future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(timeout)

    async def _start_destinations(self) -> None:
        for host in ("203.0.113.80", "2001:db8:80::80"):
            await listen(echo, host, 7)
            await listen(caller, host, 21)
        for host in ("203.0.113.80", "2001:db8:80::80", "203.0.113.81", "2001:db8:80::81"):
            Port(echo_datagram, host, 7)
        await self._loop.create_datagram_endpoint(NameServer, local_addr=(NAMESERVER, 53))
        await listen(answer_by_tcp, NAMESERVER, 53)
        self._router = Router(self._loop)


async def listen(serve: Callable, host: str, port: int = 0) -> asyncio.Server:
    return await asyncio.start_server(serve, host, port, backlog=4096)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await pump(reader, writer)
    writer.close()


async def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Comes to whom it is told to, as an FTP server does, and says as what: a line VERB HOST:PORT TIMES each time."""
    here = writer.get_extra_info("sockname")[0]
    while line := (await reader.readline()).decode():
        verb, where, times = line.split()
        host, port = where.rsplit(":", 1)
        for _ in range(int(times)):
            peer, to_peer = await come(host.strip("[]"), int(port), here)
            own_host, own_port = to_peer.get_extra_info("sockname")[:2]
            if verb == "leave":
                to_peer.close()
            else:
                if verb == "greet":
                    to_peer.write(b"hello")
                task = asyncio.ensure_future(echo(peer, to_peer))
                _callers.add(task)
                task.add_done_callback(_callers.discard)
            told = f"[{own_host}]:{own_port}" if ":" in own_host else f"{own_host}:{own_port}"
            writer.write(f"{told}\n".encode())
    writer.close()


async def come(host: str, port: int, here: str) -> Streams:
    """Between two peers of BIND nobody listens, and who has come as the port closes is sent away."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port, local_addr=(here, 0))
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
            continue
        await asyncio.sleep(0.1)
        if not writer.is_closing():
            return reader, writer


_callers: set[asyncio.Task] = set()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes octets on until the end or an error, which is passed on as an end."""
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def answer_by_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 7766."""
    try:
        while True:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            response = NameServer().response_to(await reader.readexactly(size))
            writer.write(struct.pack("!H", len(response)) + response)
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


class Port:
    """A UDP port that calls `receive(port, message, sender)`. asyncio's own sends no empty datagrams."""

    def __init__(self, receive: Callable, host: str, number: int = 0):
        self._receive = receive
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, number))
        self.number = self._socket.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._socket, self._on_readable)

    def send(self, message: bytes, to) -> None:
        try:
            self._socket.sendto(message, to)
        except OSError:
            pass  # too long with its header, say: lost, as datagrams may be

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _on_readable(self) -> None:
        try:
            message, sender = self._socket.recvfrom(65536)
        except OSError:
            return
        self._receive(self, message, sender)


def echo_datagram(port: Port, message: bytes, sender) -> None:
    """Returns each datagram. What begins with a word that it knows is a wish:

    "stranger PORT": before it is returned, a datagram for the victim's port comes from somebody else, past every proxy.
    "burst N SIZE": N datagrams, numbered from 0, of so many octets.
    """
    match message[:64].split():
        case [b"stranger", number]:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((PROXY_V4, 0))
                stranger.sendto(b"from a stranger", ("10.64.1.2", int(number)))
        case [b"burst", count, size]:
            for i in range(int(count)):
                port.send(str(i).encode().ljust(int(size), b"."), sender)
            return
    port.send(message, sender)


class NameServer(asyncio.DatagramProtocol):
    """Knows the scene's NAMES, and no others: their addresses, and one MX record each."""

    _A, _AAAA, _MX, _IN = 1, 28, 15, 1
    _NO_ERROR, _NO_SUCH_NAME = b"\x81\x80", b"\x81\x83"

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, message: bytes, sender) -> None:
        self._transport.sendto(self.response_to(message), sender)

    def response_to(self, message: bytes) -> bytes:
        at, labels = 12, []
        while size := message[at]:
            labels.append(message[at + 1 : at + 1 + size].decode("latin-1").lower())
            at += 1 + size
        question, (kind,) = message[12 : at + 5], struct.unpack_from("!H", message, at + 1)
        addresses = NAMES.get(".".join(labels))
        answers = [self._answer(family, address) for family, address in self._of_kind(kind, addresses or ())]
        if addresses and kind == self._MX:
            answers = [b"\xc0\x0c" + struct.pack("!HHIHH", kind, self._IN, 0, 4, 10) + b"\xc0\x0c"]
        code = self._NO_SUCH_NAME if addresses is None else self._NO_ERROR
        header = message[:2] + code + struct.pack("!HHHH", 1, len(answers), 0, 0)
        return header + question + b"".join(answers)

    def _of_kind(self, kind: int, addresses: tuple[str, ...]) -> list[tuple[int, str]]:
        family = {self._A: socket.AF_INET, self._AAAA: socket.AF_INET6}.get(kind)
        return [
            (family, address)
            for address in addresses
            if family == (socket.AF_INET6 if ":" in address else socket.AF_INET)
        ]

    def _answer(self, family: int, address: str) -> bytes:
        octets, kind = socket.inet_pton(family, address), self._A if family == socket.AF_INET else self._AAAA
        name_of_the_question = b"\xc0\x0c"
        return name_of_the_question + struct.pack("!HHIH", kind, self._IN, 0, len(octets)) + octets


class Router:
    """The other end of away0: answers with ICMP for what it can't reach.

    Not by rules in the kernel: those answer within the victim's own connect(), which no router does, and the kernel
    then takes the answer for a soft error (tcp_v4_err, sock_owned_by_user).
    """

    _TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
    _DELAY = 0.005  # seconds

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._tun, self._TUNSETIFF, struct.pack("16sH22x", b"away0", self._IFF_TUN | self._IFF_NO_PI))
        loop.add_reader(self._tun, self._on_packet)

    def _on_packet(self) -> None:
        packet = os.read(self._tun, 65536)
        if answer := self._answer_v4(packet) if packet[0] >> 4 == 4 else self._answer_v6(packet):
            self._loop.call_later(self._DELAY, os.write, self._tun, answer)

    def _answer_v4(self, packet: bytes) -> bytes | None:
        to = socket.inet_ntop(socket.AF_INET, packet[16:20])
        code = 1 if to in HOST_UNREACHABLE else 0 if to in NET_UNREACHABLE else None
        if code is None:
            return None
        icmp = _with_checksum(struct.pack("!BBHI", 3, code, 0, 0) + packet[:500], 2)
        size, ends = 20 + len(icmp), socket.inet_aton(ROUTER_V4) + packet[12:16]
        return _with_checksum(struct.pack("!BBHIBBH", 0x45, 0, size, 0, 64, socket.IPPROTO_ICMP, 0) + ends, 10) + icmp

    def _answer_v6(self, packet: bytes) -> bytes | None:
        if socket.inet_ntop(socket.AF_INET6, packet[24:40]) not in HOST_UNREACHABLE:
            return None
        ends = socket.inet_pton(socket.AF_INET6, ROUTER_V6) + packet[8:24]
        icmp = struct.pack("!BBHI", 1, 3, 0, 0) + packet[:1200]
        pseudo = ends + struct.pack("!II", len(icmp), socket.IPPROTO_ICMPV6)
        icmp = _with_checksum(pseudo + icmp, len(pseudo) + 2)[len(pseudo) :]
        return struct.pack("!IHBB", 6 << 28, len(icmp), socket.IPPROTO_ICMPV6, 64) + ends + icmp


def _with_checksum(octets: bytes, at: int) -> bytes:
    """The octets with their Internet checksum (RFC 1071) at that place."""
    padded = octets + bytes(len(octets) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return octets[:at] + struct.pack("!H", ~total & 0xFFFF) + octets[at + 2 :]
