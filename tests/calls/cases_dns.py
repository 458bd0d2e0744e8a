"""Programs that ask a name server by themselves. Bare they would be answered by the scene's, which nobody may reach."""

from fake_proxy import Script
from suite import Case

POOL4, POOL6, NO_DATA = "code 0, 1 answers, the same ID: yes\n  type 1, of the pool", "", "code 0, 0 answers, the same ID: yes"
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

CASES = [
    Case("dns / by UDP, answered from the pool", "name_server by_udp {nameserver} echo.test", proxies=NOBODY, says=by_udp(NO_DATA)),
    Case(
        "dns / by UDP, the rest by the rules' resolver",
        "name_server by_udp {nameserver} echo.test",
        rules={"resolver": SERVER},
        says=by_udp(MX),
    ),
    Case(
        "dns / by UDP, to a server of the program's choice",
        "name_server by_udp 203.0.113.80:53 echo.test",
        proxies=NOBODY,
        rules={"dns": "all"},
        says=by_udp(NO_DATA).replace(SERVER, "203.0.113.80:53"),
    ),
    Case(
        "dns / by UDP, about a name that goes directly",
        "name_server by_udp {nameserver} echo.test",
        rules={"rules": [{"destination": "echo.test", "route": "direct"}]},
        direct=True,
    ),
    Case("dns / by TCP, answered from the pool", "name_server by_tcp {nameserver} echo.test", proxies=NOBODY, says=by_tcp(NO_DATA)),
    Case(
        "dns / by TCP, the rest by the rules' resolver",
        "name_server by_tcp {nameserver} echo.test",
        rules={"resolver": SERVER},
        says=by_tcp(MX),
    ),
    Case(
        "dns / by TCP, to a server of the program's choice",
        "name_server by_tcp 203.0.113.80:53 echo.test",
        proxies=NOBODY,
        rules={"dns": "all"},
        says=by_tcp(NO_DATA).replace(SERVER, "203.0.113.80:53"),
    ),
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
        "dns / by TCP, about a name that goes directly",
        "name_server by_tcp {nameserver} echo.test",
        rules={"rules": [{"destination": "echo.test", "route": "direct"}]},
        direct=True,
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
