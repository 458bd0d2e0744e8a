"""Visits a server: visitors.py HOW MANY HOST PORT, with `in-a-row` or `at-once` for HOW. Prints how many were served.

A visitor sends one line and wants it back, behind its own address and port as it knows them if the server tells any;
with HTTP in place of a line if PORT is followed by a path. It comes again as long as the port refuses: between two
peers of BIND nobody listens there.
"""

import asyncio
import sys
import time

PATIENCE = 15  # seconds, for one visitor


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, path: str | None) -> bool:
    if path:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
        return answer.startswith(b"HTTP/1.") and b" 200 " in answer.partition(b"\r\n")[0] and b"hello" in answer
    line = f"visitor {number}"
    writer.write(f"{line}\n".encode())
    answer = (await reader.readline()).decode().rstrip("\n")
    host, port, *_ = writer.get_extra_info("sockname")
    return answer in (line, f"{host} {port} {line}")


async def visit(number: int, host: str, port: int, path: str | None) -> bool:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        try:
            async with asyncio.timeout(PATIENCE):
                return await converse(reader, writer, number, path)
        except (OSError, TimeoutError) as error:
            # One that the proxy's kernel took before it stopped listening is reset.
            print(f"visitor {number}: {error!r}", file=sys.stderr)
        finally:
            writer.close()
    return False


async def main(how: str, many: str, host: str, port: str, path: str | None = None) -> None:
    visits = [visit(number, host, int(port), path) for number in range(int(many))]
    if how == "at-once":
        served = await asyncio.gather(*visits)
    else:
        served = [await one for one in visits]
    print(f"{sum(served)} of {many}")


asyncio.run(main(*sys.argv[1:]))
