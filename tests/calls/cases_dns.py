"""Programs that ask a name server by themselves. Bare they would be answered by the scene's, which nobody may reach."""

from collections.abc import Callable

from fake_proxy import Script
from suite import Case

POOL4, NO_DATA = "code 0, 1 answers, the same ID: yes\n  type 1, of the pool", "code 0, 0 answers, the same ID: yes"
MX = "code 0, 1 answers, the same ID: yes\n  type 15"
SERVER = "10.64.2.1:53"


def by_udp(of_mx: str) -> str:
    """What a program sees that asks for A, AAAA and MX, and, connected, for A once more; twice."""
    aaaa = "code 0, 1 answers, the same ID: yes\n  type 28"
    asked = [f"sent: all\n{answer}\nfrom {SERVER}" for answer in (POOL4, aaaa, of_mx)]
    connected = f"connect = 0\ngetpeername = {SERVER}, 16 octets\nsent: all\n{POOL4}\nfrom {SERVER}"
    return "\n".join([*asked, connected] * 2)


def by_tcp(of_mx: str) -> str:
    """The same by TCP, and for A once more, and ten times."""
    aaaa = "code 0, 1 answers, the same ID: yes\n  type 28"
    asked = [f"send = 0\n{answer}" for answer in (POOL4, aaaa, of_mx)]
    at_once = ["at once", "send = 0", "shutdown = 0", *[POOL4] * 10, "no more"]
    once = ["SO_ERROR = 0", f"getpeername = {SERVER}, 16 octets", *asked, "octet by octet", POOL4, *at_once]
    return "\n".join(once * 2)


NOBODY = (Script(listening=False),)
OF_CHOICE = "203.0.113.80:53"


def over(transport: str, asks: str, what_it_sees: Callable[[str], str]) -> list[Case]:
    """What holds by UDP and by TCP alike."""
    return [
        Case(
            f"dns / by {transport}, answered from the pool",
            f"name_server {asks} {{nameserver}} echo.test",
            proxies=NOBODY,
            says=what_it_sees(NO_DATA),
        ),
        Case(
            f"dns / by {transport}, the rest by the rules' resolver",
            f"name_server {asks} {{nameserver}} echo.test",
            rules={"resolver": SERVER},
            says=what_it_sees(MX),
        ),
        Case(
            f"dns / by {transport}, to a server of the program's choice",
            f"name_server {asks} {OF_CHOICE} echo.test",
            proxies=NOBODY,
            rules={"dns": "all"},
            says=what_it_sees(NO_DATA).replace(SERVER, OF_CHOICE),
        ),
        Case(
            f"dns / by {transport}, about a name that goes directly",
            f"name_server {asks} {{nameserver}} echo.test",
            rules={"rules": [{"destination": "echo.test", "route": "direct"}]},
            direct=True,
        ),
    ]


CASES = [
    *over("UDP", "by_udp", by_udp),
    *over("TCP", "by_tcp", by_tcp),
    Case(
        "dns / by TCP, to a server on this machine",
        "name_server by_tcp 127.0.0.53:53 echo.test",
        proxies=NOBODY,
        rules={"dns": "all"},
        says=by_tcp(NO_DATA).replace(SERVER, "127.0.0.53:53"),
    ),
    Case(
        "dns / by TCP, by IPv6",
        "name_server by_tcp [2001:db8:80::80]:53 echo.test",
        proxies=NOBODY,
        rules={"dns": "all"},
        says=by_tcp(NO_DATA).replace(f"{SERVER}, 16", "[2001:db8:80::80]:53, 28"),
    ),
    Case(
        "dns / by TCP, not a question",
        "name_server nonsense {nameserver}",
        proxies=NOBODY,
        says="connect = 0\nsend = 7\nno more",
    ),
    Case(
        "dns / by TCP, as any other destination",
        "name_server by_tcp {nameserver} echo.test",
        rules={"dns": "off"},
    ),
]
