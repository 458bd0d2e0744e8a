"""The scene: the machine that a victim runs on, and the one with everything else, joined by two links.

      prog                                          far (the run's own network namespace)
    ┌───────────────────────┐  socks0             ┌──────────────────────────────────────┐
    │ the victim  10.64.1.2 ├─────────────────────┤ 10.64.1.1  fd64:1::1   SOCKS servers │
    │                       │  out0 (default)     │                                      │  away0
    │             10.64.2.2 ├─────────────────────┤ 203.0.113.80  2001:db8:80::80        ├───────── a router (far.py)
    └───────────────────────┘                     │   echo on 7; nobody on 9             │
                                                  │ 203.0.113.81  2001:db8:80::81        │
                                                  │   echo of datagrams on 7             │
                                                  └──────────────────────────────────────┘

Bare, a victim reaches the destinations by out0. Shimmed, it has no business there: every packet that leaves by out0 is a
leak, and is counted and described by the gauge.

The router answers for places that are not there, as routers do and after as little time: a victim and a SOCKS server on
`far` find the same.

setns() is a thread's own affair: the main thread lives on `prog`, so what it starts is there too; the servers' thread
stays on `far`. The whole scene is inside a private world (tests/programs/world.py) and ends with it.
"""

import os
import socket
import struct
import subprocess
from pathlib import Path

import world

PROXY_V4, PROXY_V6 = "10.64.1.1", "fd64:1::1"
SILENT_PROXY, UNREACHABLE_PROXY = "10.64.3.1", "10.64.3.2"  # by socks0; nobody there
NAMESERVER = "10.64.2.1"
STATE = world.STATE

# What a destination is called in the case tables, and how a victim is told of it.
PLACES = {
    "echo": "203.0.113.80:7",
    "echo6": "[2001:db8:80::80]:7",
    "other": "203.0.113.81:7",
    "other6": "[2001:db8:80::81]:7",
    "mapped_other": "[::ffff:203.0.113.81]:7",
    "mapped": "[::ffff:203.0.113.80]:7",
    "refused": "203.0.113.80:9",
    "refused6": "[2001:db8:80::80]:9",
    "mapped_refused": "[::ffff:203.0.113.80]:9",
    "unreachable": "192.0.2.1:7",
    "unreachable6": "[2001:db8:dead::1]:7",
    "no_net": "198.51.100.1:7",
    "silent": "192.0.2.66:7",
    "nameserver": f"{NAMESERVER}:53",
}
# What the name server on `far` knows.
NAMES = {
    "echo.test": ("203.0.113.80", "2001:db8:80::80"),
    "v4.test": ("203.0.113.80",),
    "v6.test": ("2001:db8:80::80",),
}

# What the router says of what is behind it; of anything else, nothing.
ROUTER_V4, ROUTER_V6 = "10.64.9.2", "fd64:9::2"
HOST_UNREACHABLE = ("192.0.2.1", "2001:db8:dead::1", UNREACHABLE_PROXY)
NET_UNREACHABLE = ("198.51.100.1",)

_QUIET = """
for key in accept_dad router_solicitations accept_ra; do echo 0 > /proc/sys/net/ipv6/conf/default/$key; done
ip link set lo up
"""
_SETUP = f"""{_QUIET}
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
ip netns add prog
ip netns exec prog sh -ec '{_QUIET}'
for link in socks0 out0; do
    ip link add $link type veth peer name $link netns prog
    ip link set $link up; ip -n prog link set $link up
done
ip address add {PROXY_V4}/24 dev socks0;         ip address add {PROXY_V6}/64 dev socks0 nodad
ip -n prog address add 10.64.1.2/24 dev socks0;  ip -n prog address add fd64:1::2/64 dev socks0 nodad
ip address add 10.64.2.1/24 dev out0;            ip address add fd64:2::1/64 dev out0 nodad
ip -n prog address add 10.64.2.2/24 dev out0;    ip -n prog address add fd64:2::2/64 dev out0 nodad
ip -n prog route add default via 10.64.2.1;      ip -n prog route add default via fd64:2::1
ip -n prog route add 10.64.3.0/24 via {PROXY_V4}
ip address add 203.0.113.80/32 dev lo;           ip address add 2001:db8:80::80/128 dev lo nodad
ip address add 203.0.113.81/32 dev lo;           ip address add 2001:db8:80::81/128 dev lo nodad
ip tuntap add away0 mode tun;                    ip link set away0 up
ip address add 10.64.9.1/24 dev away0;           ip address add fd64:9::1/64 dev away0 nodad
ip route add default dev away0;                  ip -6 route add default dev away0
"""


def _cover(path: str, content: str) -> None:
    """Puts `content` in the place of the file `path`, in this world alone."""
    source = STATE / path.replace("/", "_")
    source.write_text(content)
    target = os.path.realpath(path)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).touch()
    subprocess.run(["mount", "--bind", str(source), target], check=True)


def build() -> None:
    """Builds everything but the servers; call it once, on `far`."""
    done = subprocess.run(["sh", "-ec", _SETUP], capture_output=True, text=True)
    if done.returncode != 0:
        raise world.NotPossibleHere("the scene can't be built: " + done.stderr.strip().replace("\n", "; "))
    _cover("/etc/hosts", "127.0.0.1 localhost lab\n::1 localhost\n203.0.113.80 listed.test listed # by hand\n")
    _cover("/etc/nsswitch.conf", "passwd: files\ngroup: files\nservices: files\nhosts: files dns\n")
    _cover("/etc/resolv.conf", f"nameserver {NAMESERVER}\noptions timeout:1 attempts:1\n")
    (STATE / "home").mkdir()


def enter_prog() -> None:
    """The calling thread, and what it starts from now on, are on `prog`."""
    with open("/run/netns/prog") as namespace:
        world._call("setns", namespace.fileno(), world.CLONE_NEWNET)


class Gauge:
    """What leaves `prog` by out0. A TCP connection counts by its SYN: the rest may be of an earlier, bare run."""

    _PACKET_OUTGOING = 4
    _ALL = 0x0003  # ETH_P_ALL
    _OWN_ICMPV6 = bytes([130, 131, 132, 133, 134, 135, 136, 137, 143])  # MLD and neighbour discovery: the kernel's own

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(self._ALL))
        self._socket.bind(("out0", self._ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE: a bare run of thousands of packets
        self._socket.setblocking(False)

    def take(self) -> list[str]:
        """What has left since the last time, a line for each packet."""
        leaks = []
        while True:
            try:
                packet, (_, protocol, kind, *_) = self._socket.recvfrom(256)
            except BlockingIOError:
                return leaks
            if kind == self._PACKET_OUTGOING and (leak := self._describe(protocol, packet)):
                leaks.append(leak)

    def _describe(self, protocol: int, packet: bytes) -> str | None:
        if protocol == 0x0800:
            carried, to, rest = (
                packet[9],
                socket.inet_ntop(socket.AF_INET, packet[16:20]),
                packet[(packet[0] & 15) * 4 :],
            )
        elif protocol == 0x86DD:
            carried, to, rest = packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40]), packet[40:]
            # MLD has a hop-by-hop header.
            if carried == socket.IPPROTO_HOPOPTS or carried == socket.IPPROTO_ICMPV6 and rest[:1] in self._OWN_ICMPV6:
                return None
        else:
            return None  # ARP
        if carried == socket.IPPROTO_TCP and len(rest) >= 14:
            syn, ack = rest[13] & 0x02, rest[13] & 0x10
            return f"TCP SYN to {to} port {struct.unpack_from('!H', rest, 2)[0]}" if syn and not ack else None
        if carried in (socket.IPPROTO_UDP, socket.IPPROTO_UDPLITE) and len(rest) >= 4:
            return f"UDP to {to} port {struct.unpack_from('!H', rest, 2)[0]}"
        return f"IP protocol {carried} to {to}"
