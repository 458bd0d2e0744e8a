"""Listens on HOST PORT, or on the socket that it has inherited as number FD, and answers each line with the peer's address, its
port and the line."""

import asyncio
import socket
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host, port, *_ = writer.get_extra_info("peername")
    async for line in reader:
        writer.write(f"{host.removeprefix('::ffff:')} {port} ".encode() + line)
    writer.close()


async def main() -> None:
    match sys.argv[1:]:
        case [host, port]:
            server = await asyncio.start_server(serve, host, int(port), backlog=100)
        case [fd]:
            server = await asyncio.start_server(serve, sock=socket.socket(fileno=int(fd)))
    await server.serve_forever()


asyncio.run(main())
