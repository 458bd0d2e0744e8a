"""Opens COUNT connections at once, non-blocking, and talks to an echo. Usage: asyncio_clients.py COUNT PORT HOST…"""

import asyncio
import itertools
import sys


async def client(number: int, host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    said = f"client {number}\n".encode() * 1000  # more than one segment
    writer.write(said)
    heard = await reader.readexactly(len(said))
    writer.close()
    return heard == said


async def main() -> None:
    count, port, hosts = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    targets = itertools.islice(itertools.cycle(hosts), count)
    results = await asyncio.gather(*(client(number, host, port) for number, host in enumerate(targets)))
    print(f"{sum(results)} of {count}")


asyncio.run(main())
