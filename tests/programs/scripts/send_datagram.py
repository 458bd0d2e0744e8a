"""Sends one UDP datagram by each call that can, and says what became of it. Usage: send_datagram.py HOST PORT

Exit status 1 if none could be sent.
"""

import errno
import socket
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])


def connected(udp, address):
    udp.connect(address)
    udp.send(b"datagram")


WAYS = {
    "sendto": lambda udp, address: udp.sendto(b"datagram", address),
    "sendmsg": lambda udp, address: udp.sendmsg([b"data", b"gram"], [], 0, address),
    "connect+send": connected,
}

sent = 0
for way, send in WAYS.items():
    family, _, _, _, address = socket.getaddrinfo(HOST, PORT, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        try:
            send(udp, address)
            sent += 1
            print(way, "sent")
        except OSError as error:
            print(way, errno.errorcode.get(error.errno, error))
sys.exit(sent == 0)
