"""Talks to an echo by UDP, on sockets that wait and on one that does not. Usage: datagrams.py PORT HOST…

One line for each host: what came back by each way, if it came from where it had been sent to.
"""

import asyncio
import socket
import sys

PORT = int(sys.argv[1])


def unconnected(udp, address):
    udp.sendmsg([b"un", b"connected"], [], 0, address)
    octets, source = udp.recvfrom(100)
    return octets if source[:2] == address[:2] else b"not from there"


def connected(udp, address):
    udp.connect(address)
    udp.send(b"connected")
    return udp.recv(100)


class Once(asyncio.DatagramProtocol):
    def __init__(self):
        self.heard = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        self.heard.done() or self.heard.set_result(data)


async def asynchronous(address):
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Once, remote_addr=address[:2])
    transport.sendto(b"asynchronous")
    try:
        return await asyncio.wait_for(protocol.heard, 5)
    finally:
        transport.close()


for host in sys.argv[2:]:
    family, _, _, _, address = socket.getaddrinfo(host, PORT, type=socket.SOCK_DGRAM)[0]
    answers = []
    for way in (unconnected, connected):
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, (5).to_bytes(8, "little") + bytes(8))
            answers.append(way(udp, address))
    answers.append(asyncio.run(asynchronous(address)))
    print(*(answer.decode() for answer in answers))
