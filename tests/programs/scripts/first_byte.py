"""Times until connect() returns, and until the first octet of an echo. Usage: first_byte.py HOST PORT COUNT PAUSE

One line per connection, as JSON: begin and end (seconds since the epoch), connect and first_byte (milliseconds from
begin, which is before the name is looked up). PAUSE, in seconds, follows each one, so that nothing of it is left on
its way.
"""

import json
import socket
import sys
import time

host, port, count, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])

for _ in range(count):
    begin = time.time()
    started = time.perf_counter()
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tcp.connect(address)
        connected = time.perf_counter()
        tcp.send(b"?")
        if tcp.recv(1) != b"?":
            sys.exit("no echo")
        answered = time.perf_counter()
        end = time.time()
    times = {"connect": 1e3 * (connected - started), "first_byte": 1e3 * (answered - started)}
    print(json.dumps({"begin": begin, "end": end, **times}), flush=True)
    time.sleep(pause)
