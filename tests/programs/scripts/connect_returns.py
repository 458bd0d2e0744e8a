"""How long a non-blocking connect() keeps its caller. Usage: connect_returns.py HOST PORT COUNT

One line per connection: microseconds. Each one is waited for, with poll, before the next begins.
"""

import errno
import select
import socket
import sys
import time

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]

for _ in range(count):
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as tcp:
        before = time.perf_counter_ns()
        result = tcp.connect_ex(address)
        after = time.perf_counter_ns()
        if result == errno.EINPROGRESS:
            poll = select.poll()
            poll.register(tcp, select.POLLOUT)
            poll.poll(10_000)
            result = tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result:
            sys.exit(f"connect: {errno.errorcode[result]}")
        print((after - before) / 1e3, flush=True)
