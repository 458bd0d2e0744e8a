"""The lab: three machines, joined so that the program's side can reach one thing, the SOCKS server.

      prog                         proxy                           far
    ┌───────────────┐            ┌────────────────────┐          ┌───────────────────┐
    │ the program   │ socks0     │ the SOCKS server   │    far0  │ web, git, ssh, …  │
    │     10.64.1.2 ├────────────┤ 10.64.1.1          ├──────────┤ 203.0.113.80      │
    │     fd64:1::2 │ TCP 1080,  │ fd64:1::1          │          │ 2001:db8:80::80   │
    └──────┬────────┘ datagrams  │ (forwards nothing) │          │ DNS: *.far.test   │
     leak0 │                     └────────────────────┘          └───────────────────┘
           ▼ everything else: other addresses, other ports of the proxy, DNS, IPv4 and IPv6; counted (leaks.py)

In `prog` there is a way out for everything, so that a leak is seen and not merely unroutable; but it leads to the leak
gauge and nowhere else. Names under far.test exist only in the DNS server on `far`, which `proxy` and `far` ask; the name
servers in the resolv.conf of `prog` lie behind the gauge.
"""

import os
import shutil
from dataclasses import dataclass
from typing import Callable

from leaks import LeakGauge
from machine import ROOT, SOMEBODY, Machine
from world import NotPossibleHere

# Every SOCKS server listens here, one at a time: the routing of `prog` allows this port alone, and for datagrams also
# those from which the kernel of `proxy` takes one when a server wants any.
SOCKS_PORT = 1080
DATAGRAM_PORTS = (40000, 49999)


@dataclass(frozen=True)
class Address:
    v4: str
    v6: str


PROG = Address("10.64.1.2", "fd64:1::2")
PROXY = Address("10.64.1.1", "fd64:1::1")  # as `prog` sees it
PROXY_FAR_SIDE = Address("203.0.113.1", "2001:db8:80::1")
FAR = Address("203.0.113.80", "2001:db8:80::80")
UNREACHABLE = Address("192.0.2.1", "2001:db8:dead::1")  # `proxy` and `far` know that there is no way to it
LEAK = Address("198.51.100.2", "2001:db8:bad::2")
LEAK_NAMESERVER = Address("198.51.100.53", "2001:db8:bad::53")

# What building the lab takes, and the destinations that every run starts; what a case takes beyond is its own affair.
TOOLS = ("env", "fcgiwrap", "git", "ip", "nft", "nginx", "nsenter", "openssl", "ps", "setpriv", "ss")


def check_tools() -> None:
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if lacking:
        raise NotPossibleHere(f"not installed: {', '.join(lacking)} (see tests/programs/packages.txt)")
    if not os.path.exists("/dev/net/tun"):
        raise NotPossibleHere("there is no /dev/net/tun")


def veth(name: str) -> Callable[[Machine, Machine], None]:
    """What joins two machines by a pair of interfaces that bear the same name on both."""

    def join(one: Machine, other: Machine) -> None:
        one.shell(f"ip link add {name} type veth peer name {name} netns {other.pid}")

    return join


class Lab:
    """Builds the machines and their links. There is one per private world (world.py), and it ends with that."""

    def __init__(self, link_to_proxy: Callable[[Machine, Machine], None] = veth("socks0")):
        """`link_to_proxy(prog, proxy)` makes the two interfaces socks0."""
        for user in (ROOT, SOMEBODY):
            user.make_home()
        self.prog, self.proxy, self.far = (Machine(name) for name in ("prog", "proxy", "far"))
        link_to_proxy(self.prog, self.proxy)
        veth("far0")(self.proxy, self.far)
        _give_address(self.proxy, "socks0", PROXY)
        _give_address(self.proxy, "far0", PROXY_FAR_SIDE)
        _give_address(self.far, "far0", FAR)
        for machine in (self.proxy, self.far):
            machine.shell(f"ip route add unreachable {UNREACHABLE.v4}; ip route add unreachable {UNREACHABLE.v6}")
            machine.provide("/etc/resolv.conf", f"nameserver {FAR.v4}\n")
        first, last = DATAGRAM_PORTS
        self.proxy.shell(f"echo {first} {last} > /proc/sys/net/ipv4/ip_local_port_range")
        # No TIME-WAIT: the next SOCKS server wants to listen where a program's peer has just been.
        self.proxy.shell("echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets")
        _confine(self.prog)
        allowed = (f"tcp dport {SOCKS_PORT}", f"udp dport {SOCKS_PORT}", f"udp dport {first}-{last}")
        self.leaks = LeakGauge(self.prog, "leak0", LEAK, "socks0", allowed)


def _give_address(machine: Machine, interface: str, address: Address, option: str = "") -> None:
    machine.shell(
        f"ip address add {address.v4}/24 dev {interface} {option};"
        f"ip address add {address.v6}/64 dev {interface} nodad {option}; ip link set {interface} up"
    )


def _confine(prog: Machine) -> None:
    """Gives the proxy's ports a route of their own, in a table in which nothing else is looked up."""
    # noprefixroute: otherwise the proxy's other ports could be reached past the rule.
    _give_address(prog, "socks0", PROG, "noprefixroute")
    for ip, source, target in (("ip -4", PROG.v4, PROXY.v4), ("ip -6", PROG.v6, PROXY.v6)):
        rule = f"{ip} rule add priority 100 to {target} ipproto"
        prog.shell(
            f"{rule} tcp dport {SOCKS_PORT} lookup 100; {rule} udp dport {SOCKS_PORT} lookup 100;"
            f"{rule} udp dport {DATAGRAM_PORTS[0]}-{DATAGRAM_PORTS[1]} lookup 100;"
            f"{ip} route add {target} dev socks0 src {source} table 100"
        )
    prog.provide("/etc/resolv.conf", f"nameserver {LEAK_NAMESERVER.v4}\nnameserver {LEAK_NAMESERVER.v6}\n")
