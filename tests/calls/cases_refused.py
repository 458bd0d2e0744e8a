"""What no proxy of today can carry is refused with a clear errno, and nothing leaves; what goes directly goes."""

from fake_proxy import Script, Stage, rep, send
from suite import Case

RULES = {"rules": [{"destination": "203.0.113.0/24", "protocol": "udp", "route": "direct"}]}

# By every call, to one destination.
NOTHING = """
connect = -1 EOPNOTSUPP
send = -1 EDESTADDRREQ
getpeername = -1 ENOTCONN
sendto = -1 EOPNOTSUPP
sendto nothing = -1 EOPNOTSUPP
sendmsg = -1 EOPNOTSUPP
sendmmsg = -1 EOPNOTSUPP
sendto MSG_CONFIRM = -1 EOPNOTSUPP
""".lstrip()
# A UDP socket can be connected to anybody, and says only when it sends that it can't.
NO_DATAGRAMS = NOTHING.replace("connect = -1 EOPNOTSUPP", "connect = 0").replace("EDESTADDRREQ", "EOPNOTSUPP")
NO_DATAGRAMS = NO_DATAGRAMS.replace("getpeername = -1 ENOTCONN", "getpeername = 0")
TCP_ALONE = (Script(at={Stage.REQUEST: send(rep(7))}),)  # a proxy without UDP
_RAW_SOCKET = """
socket SOCK_RAW = fd
connect = -1 EOPNOTSUPP
send = -1 EDESTADDRREQ
sendto = -1 EOPNOTSUPP
sendmsg = -1 EOPNOTSUPP
""".lstrip()
# net.ipv4.ping_group_range lets nobody have a socket for pings.
RAW = _RAW_SOCKET * 4 + "socket for pings = -1 EACCES\n"

CASES = [
    Case("udp / proxied", "datagrams to_each {echo} {echo6}", says=NO_DATAGRAMS * 2, proxies=TCP_ALONE),
    Case(
        "udp / proxied, on AF_INET6", "datagrams on_inet6 {mapped} {echo6}", says=NO_DATAGRAMS * 2, proxies=TCP_ALONE
    ),
    Case(
        "udp / proxied, with no family in the address",
        "datagrams without_a_family {echo}",
        says="sendto = -1 EOPNOTSUPP\nsendmsg = -1 EOPNOTSUPP\nsendmmsg = -1 EOPNOTSUPP",
        proxies=TCP_ALONE,
    ),
    Case("udp / UDP-Lite", "datagrams udp_lite {echo}", says=NOTHING),
    Case("udp / on loopback", "datagrams loopback"),
    Case("udp / direct by the rules", "datagrams to_each {echo}", rules=RULES, direct=True),
    Case(
        "udp / loopback and proxied in one sendmmsg",
        "datagrams mixed {echo}",
        proxies=TCP_ALONE,
        says="""
            sendmmsg = 1
            recv = 5
            sendmmsg = -1 EOPNOTSUPP
            recv = -1 EAGAIN
            """,
    ),
    Case(
        "udp / from loopback elsewhere",
        "datagrams connected_then_elsewhere {echo}",
        proxies=TCP_ALONE,
        says="""
            connect = 0
            sendto = -1 EOPNOTSUPP
            connect = 0
            send = -1 EOPNOTSUPP
            recv = -1 EAGAIN
            connect to nobody = 0
            send = -1 EDESTADDRREQ
            """,
    ),
    Case("udp / arguments that make no sense", "datagrams bad_arguments {echo}"),
    Case("below TCP / raw", "below_tcp raw {echo} {echo6}", says=RAW * 2),
    Case(
        "below TCP / SCTP",
        "below_tcp sctp {echo}",
        says="""
            socket SCTP = -1 EPROTONOSUPPORT
            socket SCTP = -1 ESOCKTNOSUPPORT
            SCTP_SOCKOPT_CONNECTX = -1 EOPNOTSUPP
            SCTP_SOCKOPT_CONNECTX = -1 EOPNOTSUPP
            SCTP_SOCKOPT_CONNECTX = -1 EOPNOTSUPP
            """,
    ),
    Case(
        "below TCP / packets",
        "below_tcp packet",
        says="socket AF_PACKET = -1 EPERM\nsocket AF_PACKET = -1 EPERM\nsendto AF_PACKET = -1 EPERM",
    ),
    Case("fast open / MSG_FASTOPEN", "below_tcp fast_open {echo}"),
    Case("fast open / TCP_FASTOPEN_CONNECT", "below_tcp fast_open_connect {echo}"),
    Case("send / a stream to an address", "below_tcp stream_with_address {echo}"),
    Case("syscall / stream", "raw_syscalls stream {echo}"),
    Case("syscall / non-blocking", "raw_syscalls nonblocking {echo}"),
    Case(
        "syscall / datagram",
        "raw_syscalls datagram {echo}",
        says="connect = 0\nsendto = -1 EOPNOTSUPP\nsendmsg = -1 EOPNOTSUPP\nsendmmsg = -1 EOPNOTSUPP",
        proxies=TCP_ALONE,
    ),
    Case("syscall / a ring", "raw_syscalls ring", says="io_uring_setup = -1 ENOSYS"),
    Case("syscall / others", "raw_syscalls others"),
]
