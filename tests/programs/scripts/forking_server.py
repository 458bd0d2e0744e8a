"""Listens on a port, and lets four children accept; each line is answered with the peer's address, its port and the line."""

import os
import socket
import sys

listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=100)
for _ in range(4):
    if os.fork() == 0:
        while True:
            connection, (host, port) = listener.accept()
            with connection, connection.makefile("rw") as lines:
                for line in lines:
                    lines.write(f"{host} {port} {line}")
                    lines.flush()
os.wait()
