"""Serves on a listening socket that it has inherited, as number FD: each line comes back behind the peer's address and port."""

import asyncio
import socket
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host, port, *_ = writer.get_extra_info("peername")
    async for line in reader:
        writer.write(f"{host} {port} ".encode() + line)
    writer.close()


async def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    server = await asyncio.start_server(serve, sock=listener)
    await server.serve_forever()


asyncio.run(main())
