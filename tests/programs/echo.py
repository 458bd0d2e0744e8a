"""An echo server on every address. Usage: echo.py PORT

What a client sends comes back; when the client has closed its side, the server closes its own.
"""

import asyncio
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        writer.close()
    except ConnectionError:
        pass  # a client that went away is no news


async def main() -> None:
    server = await asyncio.start_server(echo, ["0.0.0.0", "::"], int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


asyncio.run(main())
