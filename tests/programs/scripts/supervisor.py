"""Listens on a port, and has two programs serve there, which it gives the socket's number: supervisor.py PORT COMMAND…

As many supervisors, it closes its own."""

import socket
import subprocess
import sys

listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=100)
fd = listener.fileno()
servers = [subprocess.Popen([*sys.argv[2:], str(fd)], pass_fds=[fd]) for _ in range(2)]
listener.close()
for server in servers:
    server.wait()
