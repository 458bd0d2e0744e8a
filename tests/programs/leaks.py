"""The leak gauge: every packet that leaves the program's side by another way than to the proxy's ports for SOCKS.

Goal      A case may not pass because a leak found no route. So `prog` has a default route, for IPv4 and IPv6, into a
          TUN device whose other end is this process: nothing answers there, and nothing gets lost unseen.
Counting  is nftables' job (hook `output`: before any queue that could overflow), in two counters:
            leaked   left by the TUN device
            astray   left by the link to the proxy but not for those ports; routing should make that impossible for
                     unicast, but a multicast packet may name its interface
          Neighbour discovery, router solicitation and multicast listener reports are the kernel's own and don't count.
Telling   what leaked is the TUN device's: its packets are read after the case and described, DNS queries by name.
          Its queue holds 1000 packets; beyond that they are still counted, not described.
"""

import fcntl
import ipaddress
import json
import os
import struct
from collections import Counter
from dataclasses import dataclass

import world

_IFF_TUN, _IFF_NO_PI, _TUNSETIFF = 0x0001, 0x1000, 0x400454CA
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
_PROTOCOLS = {_TCP: "TCP", _UDP: "UDP", _ICMP: "ICMP", _ICMPV6: "ICMPv6", 132: "SCTP"}
_KERNELS_OWN_ICMPV6 = {130, 131, 132, 133, 134, 135, 136, 137, 143}  # MLD, ND, MLDv2

_RULES = """
table inet gauge {{
    counter leaked {{ }}
    counter astray {{ }}
    chain output {{
        type filter hook output priority filter; policy accept;
        icmpv6 type {{ {icmpv6} }} return
        oifname "{device}" counter name leaked
        {allowed}
        oifname "{towards_proxy}" counter name astray
    }}
}}
"""


@dataclass(frozen=True)
class Leaks:
    packets: int
    descriptions: list[str]  # one per kind of packet, each with its number

    def __bool__(self) -> bool:
        return self.packets > 0

    def __str__(self) -> str:
        if not self:
            return "nothing leaked"
        return f"leaked {self.packets} packets: " + ("; ".join(self.descriptions) or "(not captured)")


def open_tun(pid: int, name: str) -> int:
    """Creates a TUN device in the network namespace of `pid`; it lives as long as the returned descriptor."""
    with world.network_of(pid):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return fd


class LeakGauge:
    """Makes `device` of `machine` the way for everything that has no other, and counts what takes it.

    By the interface `towards_proxy` may leave what is `allowed`, in the words of nftables.
    """

    def __init__(self, machine, device: str, address, towards_proxy: str, allowed: tuple[str, ...]):
        self._machine = machine
        self._tun = open_tun(machine.pid, device)
        machine.shell(
            f"ip link set {device} txqueuelen 1000 up;"
            f"ip address add {address.v4}/24 dev {device}; ip address add {address.v6}/64 dev {device} nodad;"
            f"ip route add default dev {device}; ip -6 route add default dev {device}"
        )
        icmpv6 = ", ".join(map(str, sorted(_KERNELS_OWN_ICMPV6)))
        lines = "\n".join(f'oifname "{towards_proxy}" {what} return' for what in allowed)
        rules = _RULES.format(device=device, icmpv6=icmpv6, towards_proxy=towards_proxy, allowed=lines)
        machine.shell(f"nft -f - <<'END'\n{rules}\nEND")

    def take(self) -> Leaks:
        """What has leaked since the last call."""
        # Both at once and zeroed in the same step; `list` and then `reset` would lose what came between.
        listing = json.loads(self._machine.shell("nft -j reset counters table inet gauge"))
        counted = {
            entry["counter"]["name"]: entry["counter"]["packets"] for entry in listing["nftables"] if "counter" in entry
        }
        seen = Counter(description for description in map(describe, self._drain()) if description)
        lines = [f"{number} × {description}" for description, number in seen.most_common(10)]
        if counted["astray"]:
            lines.append(f"{counted['astray']} × to the proxy, but not to its ports for SOCKS")
        # A raw socket passes the hook by, but not the device.
        return Leaks(max(counted["leaked"], seen.total()) + counted["astray"], lines)

    def _drain(self):
        while True:
            try:
                yield os.read(self._tun, 65536)
            except BlockingIOError:
                return


def describe(packet: bytes) -> str | None:
    """One line on an IP packet; None if it is of the kind that the kernel sends by itself."""
    if packet[0] >> 4 == 4:
        protocol, header = packet[9], (packet[0] & 15) * 4
        target = ipaddress.ip_address(packet[16:20])
    else:
        protocol, header = packet[6], 40
        if protocol == 0:  # hop-by-hop options, which MLD wears
            protocol, header = packet[40], 40 + 8 + packet[41] * 8
        target = ipaddress.ip_address(packet[24:40])
    body = packet[header:]
    name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
    if protocol == _ICMPV6 and body[0] in _KERNELS_OWN_ICMPV6:
        return None
    if protocol not in (_TCP, _UDP) or len(body) < 8:
        return f"{name} to {target}"
    port = int.from_bytes(body[2:4], "big")
    question = _dns_question(body[8:]) if protocol == _UDP and port == 53 else ""
    return f"{name} to {target} port {port}" + (f" (DNS query for {question})" if question else "")


def _dns_question(message: bytes) -> str:
    """The first name that a DNS query asks for (RFC 1035 §4.1.2); no compression occurs in it."""
    labels, at = [], 12
    while at < len(message) and message[at] != 0:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("ascii", "replace"))
        at += 1 + message[at]
    return ".".join(labels)
