"""An echo server on every address, TCP and UDP. Usage: echo.py PORT

What a client sends comes back; when the client has closed its side, the server closes its own.
"""

import asyncio
import socket
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        writer.close()
    except ConnectionError:
        pass  # a client that went away is no news


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def main() -> None:
    server = await asyncio.start_server(echo, ["0.0.0.0", "::"], int(sys.argv[1]), backlog=1024)
    for family in (socket.AF_INET, socket.AF_INET6):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.bind(("", int(sys.argv[1])))
        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, sock=udp)
    await server.serve_forever()


asyncio.run(main())
