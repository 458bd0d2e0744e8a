"""Says by what error a blocking and a non-blocking connect to a port end. Usage: connect_error.py HOST PORT

Exit status 1 if both fail. A proxy that says yes first and hangs up then has failed too; it just cannot say why.
"""

import errno
import select
import socket
import sys


def target(host: str, port: str):
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.socket(family, socket.SOCK_STREAM), address


def outcome(tcp: socket.socket, error: int) -> str:
    if error:
        return errno.errorcode.get(error, str(error))
    tcp.setblocking(True)
    tcp.settimeout(5)
    try:
        return "connected" if tcp.recv(1) else "closed"
    except OSError as later:
        return f"closed ({later})"


def blocking(host: str, port: str) -> str:
    tcp, address = target(host, port)
    return outcome(tcp, tcp.connect_ex(address))


def non_blocking(host: str, port: str) -> str:
    tcp, address = target(host, port)
    tcp.setblocking(False)
    error = tcp.connect_ex(address)
    if error == errno.EINPROGRESS:
        poll = select.poll()
        poll.register(tcp, select.POLLOUT)
        if not poll.poll(10_000):
            return "silence"
        error = tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return outcome(tcp, error)


outcomes = [way(*sys.argv[1:]) for way in (blocking, non_blocking)]
print("blocking %s, non-blocking %s" % tuple(outcomes))
sys.exit("connected" not in outcomes)
