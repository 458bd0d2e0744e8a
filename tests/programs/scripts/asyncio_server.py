"""Listens on HOST PORT and answers each line with the peer's address, its port and the line."""

import asyncio
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host, port, *_ = writer.get_extra_info("peername")
    async for line in reader:
        writer.write(f"{host.removeprefix('::ffff:')} {port} ".encode() + line)
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]), backlog=100)
    await server.serve_forever()


asyncio.run(main())
