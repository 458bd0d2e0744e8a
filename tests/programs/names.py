"""A DNS server for the names that only the proxy's side can know. Usage: names.py ADDRESS IPV4 IPV6

    *.v4.far.test    has an IPv4 address only
    *.v6.far.test    has an IPv6 address only
    *.far.test       has both
    anything else    does not exist (NXDOMAIN)

It listens on UDP and TCP port 53 of ADDRESS, and answers one question per message (RFC 1035 §4).
"""

import ipaddress
import socketserver
import struct
import sys
import threading

A, AAAA, IN = 1, 28, 1
NXDOMAIN = 3


def addresses(name: str, v4: str, v6: str) -> dict[int, bytes] | None:
    """Record type → address octets; None: no such name."""
    both = {A: ipaddress.ip_address(v4).packed, AAAA: ipaddress.ip_address(v6).packed}
    name = "." + name.lower()
    for zone, kinds in ((".v4.far.test", [A]), (".v6.far.test", [AAAA]), (".far.test", [A, AAAA])):
        if name.endswith(zone):
            return {kind: both[kind] for kind in kinds}
    return None


def answer(query: bytes, v4: str, v6: str) -> bytes:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    question = query[12 : at + 5]
    kind = int.from_bytes(query[at + 1 : at + 3], "big")
    known = addresses(".".join(labels), v4, v6)
    address = (known or {}).get(kind)
    recursion_desired = query[2] & 1
    flags = 0x8480 | recursion_desired << 8 | (NXDOMAIN if known is None else 0)  # an authoritative answer
    record = b"\xc0\x0c" + struct.pack("!HHIH", kind, IN, 60, len(address)) + address if address else b""
    return query[:2] + struct.pack("!HHHHH", flags, 1, 1 if address else 0, 0, 0) + question + record


def main() -> None:
    listen, v4, v6 = sys.argv[1:]

    class OverUdp(socketserver.BaseRequestHandler):
        def handle(self):
            query, socket = self.request
            socket.sendto(answer(query, v4, v6), self.client_address)

    class OverTcp(socketserver.StreamRequestHandler):
        def handle(self):
            while header := self.rfile.read(2):
                reply = answer(self.rfile.read(int.from_bytes(header, "big")), v4, v6)
                self.wfile.write(len(reply).to_bytes(2, "big") + reply)

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    udp = socketserver.ThreadingUDPServer((listen, 53), OverUdp)
    threading.Thread(target=udp.serve_forever, daemon=True).start()
    socketserver.ThreadingTCPServer((listen, 53), OverTcp).serve_forever()


if __name__ == "__main__":
    main()
