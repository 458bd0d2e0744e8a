"""connect() and the life of a socket around it."""

from fake_proxy import (
    PASSWORD,
    Script,
    Stage,
    close,
    honestly,
    in_turn,
    later,
    rep,
    reset,
    send,
    silence,
    when_ended,
)
from real_proxy import UNIX_SOCKET
from scene import PROXY_V6, SILENT_PROXY, UNREACHABLE_PROXY
from suite import Case, Difference

# A proxy that takes its time with the answer, and none with all else.
WAY = 300  # milliseconds
SLOW = (Script(at={Stage.REQUEST: later(WAY / 1000, honestly)}),)
NEVER = (Script(at={Stage.REQUEST: silence}),)

# --- blocking ---

BLOCKING = [
    Case("connect / blocking / accepted", "connect_blocking plain {echo} {echo6} {mapped}"),
    Case("connect / blocking / refused", "connect_blocking plain {refused} {refused6} {mapped_refused}"),
    Case(
        "connect / blocking / unreachable",
        "connect_blocking plain {unreachable} {unreachable6} {no_net}",
        differs=(
            Difference(
                "poll: OUT|ERR|HUP",
                "poll: OUT|HUP",
                "no ICMP message came to the program's own machine to lie in the error queue",
            ),
        ),
    ),
    Case("connect / blocking / again after a success", "connect_blocking again {echo} {echo}"),
    Case("connect / blocking / again after a refusal", "connect_blocking again {refused} {refused} {echo}"),
    Case("connect / blocking / again elsewhere", "connect_blocking again {echo} {refused}"),
    Case("connect / blocking / options and flags survive", "connect_blocking options_survive {echo}"),
    Case("connect / blocking / the answer is slow", "connect_blocking plain {echo} {refused}", proxies=SLOW),
    Case("connect / blocking / EINTR", "connect_blocking interrupted {silent}", proxies=NEVER),
    Case("connect / blocking / SO_SNDTIMEO", "connect_blocking send_timeout {silent}", proxies=NEVER),
]

# --- non-blocking, by each way of watching ---

WATCHERS = (
    "poll",
    "select",
    "epoll_level",
    "epoll_level_before",
    "epoll_edge",
    "epoll_edge_before",
    "epoll_edge_never_collected",
    "epoll_oneshot",
    "epoll_exclusive",
    "epoll_changed",
    "epoll_deleted",
    "epoll_two",
    "epoll_nested",
    "thread_in_epoll_wait",
    "thread_in_poll",
    "thread_in_poll_before",
)
WATCHED = [
    Case(f"connect / {watcher} / {outcome}", f"connect_watched {watcher} {place} {{way}}", proxies=proxies, way=way)
    for watcher in WATCHERS
    for outcome, place, proxies, way in (
        ("accepted", "{echo}", (), 0),
        ("refused", "{refused}", (), 0),
        ("accepted, not before the proxy has answered", "{echo}", SLOW, WAY),
        ("refused, not before the proxy has answered", "{refused}", SLOW, WAY),
    )
] + [
    Case(f"connect / {watcher} / {outcome}", f"connect_watched {watcher} {place}")
    for watcher in ("poll", "select", "epoll_edge_before")
    for outcome, place in (
        ("unreachable", "{unreachable}"),
        ("no network", "{no_net}"),
        ("accepted by IPv6", "{echo6}"),
        ("refused by IPv6", "{refused6}"),
    )
]

# A failure of the proxy's wakes as one of the destination's does; only the errno is another.
FAULTS = (
    ("nobody listens", Script(listening=False), "ECONNREFUSED"),
    ("silent", Script(at={Stage.GREETING: silence}), "ETIMEDOUT"),
    ("wrong password", Script(methods=(PASSWORD,), as_user="alice:wrong"), "EACCES"),
    ("no such name", Script(at={Stage.REQUEST: send(rep(4))}), "EHOSTUNREACH"),
    ("not allowed", Script(at={Stage.REQUEST: send(rep(2))}), "EACCES"),
)
FAULTY = [
    Case(
        f"connect / {watcher} / the proxy's fault: {fault}",
        f"connect_watched {watcher} {{refused}}",
        proxies=(script,),
        differs=(Difference("SO_ERROR = ECONNREFUSED", f"SO_ERROR = {error}", "bare, there is no proxy"),)
        if error != "ECONNREFUSED"
        else (),
    )
    for watcher in ("poll", "select", "epoll_level", "epoll_edge_before", "thread_in_epoll_wait")
    for fault, script, error in FAULTS
]

# --- a second connect(), and other calls at the wrong moment ---

AGAIN = [
    Case("again / under way", "connect_again under_way {silent}"),
    Case("again / after a success", "connect_again after_success {echo}"),
    Case("again / after a failure", "connect_again after_failure {refused}"),
    Case("again / after a failure that was read", "connect_again after_failure_was_read {refused}"),
    Case("again / elsewhere after a failure", "connect_again elsewhere_after_failure {refused} {echo}"),
    Case("again / read and write after a failure", "connect_again io_after_failure {refused}"),
    Case(
        "again / AF_UNSPEC at each moment",
        "connect_again disconnect {echo} {silent}",
        differs=(
            Difference(
                "poll: OUT|ERR|HUP\nSO_ERROR = ECONNRESET", "poll: OUT|HUP\nSO_ERROR = 0", "the socket is a fresh one"
            ),
        ),
    ),
    Case("early / send, recv and their kin", "early_io everything {silent}"),
    Case("early / reads and writes after a failure", "early_io after_failure {refused}"),
    Case(
        "early / shutdown",
        "early_io shut_down {silent}",
        differs=(
            Difference(
                "poll: OUT|ERR|HUP\nSO_ERROR = ECONNRESET", "poll: OUT|HUP\nSO_ERROR = 0", "the socket is a fresh one"
            ),
        ),
    ),
    Case(
        "early / what is written never reaches the handshake",
        "early_io not_sent {echo}",
        proxies=(Script(at={Stage.GREETING: later(0.2, honestly), Stage.REQUEST: later(0.2, honestly)}),),
        says="""
            connect = -1 EINPROGRESS
            taken early: 0
            SO_ERROR = 0
            echo: the same
            """,
        sees=("offers 00; connect 203.0.113.80:7",),
    ),
]

# --- options, flags, numbers ---

OPTIONS = [
    Case(f"options / {moment} / {outcome}", f"socket_options {moment} {place}", proxies=SLOW)
    for moment, outcome, place in (
        ("before", "kept", "{echo}"),
        ("before", "kept on IPv6", "{echo6}"),
        ("during", "kept", "{echo}"),
        ("during", "kept on IPv6", "{echo6}"),
        ("after", "kept", "{echo}"),
        ("blocking", "kept", "{echo}"),
        ("blocking", "kept on IPv6", "{echo6}"),
        ("failed", "kept", "{refused}"),
    )
] + [
    Case("options / a low-water mark above what a proxy sends", "socket_options low_water {echo} 0", proxies=SLOW),
    Case("options / and the wait for connect() ends before it", "socket_options low_water {echo} 100", proxies=SLOW),
    Case("options / pointers and sizes that are wrong", "socket_options bad_arguments {echo} {silent}"),
    Case("flags / survive", "descriptor_flags survive {echo} plain", proxies=SLOW),
    Case("flags / survive with FD_CLOEXEC", "descriptor_flags survive {echo} cloexec", proxies=SLOW),
    Case("flags / changed under way", "descriptor_flags changed_under_way {echo}", proxies=SLOW),
    Case("flags / changed before a failure", "descriptor_flags changed_before_failure {refused}", proxies=SLOW),
    Case("flags / FIONBIO", "descriptor_flags by_ioctl {echo}", proxies=SLOW),
    Case("flags / the numbers of other descriptors", "descriptor_flags numbers {echo}", proxies=SLOW),
    Case("flags / a loop that closes everything", "descriptor_flags close_all {echo}", proxies=SLOW),
]

# --- duplicates, close, fork ---

DUPLICATES = (
    [
        Case(f"{how} / {moment}", f"duplicates {moment} {how} {{echo}} {{way}}", proxies=SLOW, way=WAY)
        for how in ("dup", "dup2", "dup3", "fcntl", "F_DUPFD", "F_DUPFD_CLOEXEC")
        for moment in ("before", "during", "after")
    ]
    + [
        Case(f"{how} / {hazard}", f"duplicates {scenario} {how} {place}", proxies=SLOW)
        for how in ("dup", "dup2")
        for hazard, scenario, place in (
            ("the original is closed while under way", "original_closed", "{echo}"),
            ("one failure for both", "failed", "{refused}"),
        )
    ]
    + [
        Case(
            "dup / before, blocking",
            "duplicates before_blocking dup {echo}",
            differs=(
                Difference(
                    "connect by the duplicate = -1 EISCONN",
                    "connect by the duplicate = 0",
                    "made without blocking, it lets the next connect() of a number that we don't know succeed once",
                ),
            ),
        ),
        Case("dup2 / in place of another connection", "duplicates replaced {echo} {silent}"),
        Case("dup / arguments that make no sense", "duplicates bad_arguments {echo}"),
    ]
)

CLOSE = [
    Case(
        "close / under way: the proxy sees the end, the destination nothing",
        "close_early seen_by_the_proxy {silent} {echo}",
        proxies=(Script(at={Stage.REQUEST: in_turn(silence, when_ended(0, honestly))}),),
        upstream={"handshake_timeout": 5},
        sees=("offers 00; connect 192.0.2.66:7", "offers 00; connect 203.0.113.80:7"),
    ),
    Case("close / the number is a file's before the answer", "close_early number_reused {echo} 500", proxies=SLOW),
    Case("close / the number connects again", "close_early number_reused_by_connect {echo}", proxies=SLOW),
    Case("close / epoll forgets", "close_early forgotten_by_epoll {echo}", proxies=SLOW),
    Case("close / a hundred times", "close_early storm {echo}"),
    Case("close / fclose", "close_early by_fclose {echo}", proxies=SLOW),
    Case("close / close_range", "close_early by_close_range {echo}", proxies=SLOW),
    Case("close / closefrom", "close_early by_closefrom {echo}", proxies=SLOW),
]

FORK = [
    Case("fork / after connect", "fork_and_exec after {echo}"),
    Case("fork / the child connects too", "fork_and_exec child_connects {echo}"),
    Case("fork / many children while under way", "fork_and_exec many_children {echo}"),
    Case("fork / under way, both see it succeed", "fork_and_exec under_way {echo}", proxies=SLOW),
    Case("fork / under way, and the child closes", "fork_and_exec child_closes {echo}", proxies=SLOW),
    Case("fork / under way, and the parent ends", "fork_and_exec child_inherits {echo}", proxies=SLOW),
    Case("exec / nothing of the library's is inherited", "fork_and_exec descriptors_after_exec {echo}", proxies=SLOW),
    Case("exec / with a connection", "fork_and_exec exec {echo}"),
    Case("SCM_RIGHTS / a connection", "fork_and_exec sent {echo}"),
    Case("pidfd_getfd / a connection", "fork_and_exec taken_over {echo}"),
    Case("SCM_RIGHTS / a connection under way", "fork_and_exec sent_under_way {echo}", proxies=SLOW),
]

MANY = [
    Case("many / 1000 at once under a soft limit of 1024", "many_connects parked {echo} 1000", seconds=40),
    Case(
        "many / 300 at once, no room above the soft limit", "many_connects parked_without_room {echo} 300", seconds=20
    ),
    Case("many / above number 1024", "many_connects above_1024 {echo} 50", seconds=20),
    # Without discovery: a probe's socket has a number of the program's for a moment.
    Case(
        "many / until there are no descriptors left", "many_connects until_refused {echo}", proxies=(Script(),), seconds=20
    ),
    Case("many / 64 threads", "many_connects threads {echo}", seconds=20),
    Case("many / 64 threads by name", "many_connects threads_by_name v4.test 7", seconds=20),
]

# --- families ---

UNIX_PROXY = str(UNIX_SOCKET)
NO_PORT, NO_PORT6 = (
    (
        Difference(
            f"getsockname = {family} octets, a port",
            f"getsockname = {family} octets, no port",
            "a stream to an AF_UNIX socket has none",
        ),
    )
    for family in ("AF_INET, 16", "AF_INET6, 28")
)

UNBOUND = (
    Difference(
        "getsockname = AF_INET, 16 octets, a port",
        "getsockname = AF_INET, 16 octets, no port",
        "the attempt was another socket's; the program has its family back, in a fresh one",
    ),
)

FAMILIES = [
    Case(f"family / {hazard} / {manner}", f"families {manner} {arguments}", proxy_host=proxy, differs=differs)
    for manner in ("blocking", "nonblocking")
    for hazard, arguments, proxy, differs in (
        ("AF_INET6 to a mapped address", "inet6 {mapped} {mapped_refused}", "10.64.1.1", ()),
        ("AF_INET6 to IPv6", "inet6 {echo6} {refused6}", "10.64.1.1", ()),
        ("AF_INET6 to IPv6 by a proxy on IPv6", "inet6 {echo6} {refused6}", PROXY_V6, ()),
        ("AF_INET6 to a mapped address by a proxy on IPv6", "inet6 {mapped} {mapped_refused}", PROXY_V6, ()),
        ("AF_INET by a proxy on IPv6", "inet {echo}", PROXY_V6, ()),
        ("AF_INET by a proxy on IPv6, refused", "inet {refused}", PROXY_V6, UNBOUND),
        ("IPV6_V6ONLY to IPv6", "inet6only {echo6} {refused6}", "10.64.1.1", ()),
        ("IPV6_V6ONLY to IPv6 by a proxy on IPv6", "inet6only {echo6}", PROXY_V6, ()),
        ("IPV6_V6ONLY to a mapped address", "inet6only {mapped}", "10.64.1.1", ()),
        ("AF_INET to IPv6", "inet {echo6}", "10.64.1.1", ()),
        ("AF_INET6 to IPv4", "inet6 {echo}", "10.64.1.1", ()),
    )
] + [
    Case(
        f"family / {hazard} by a proxy on AF_UNIX / {manner}",
        f"families {manner} {arguments}",
        proxy_host=UNIX_PROXY,
        differs=differs,
    )
    for manner in ("blocking", "nonblocking")
    for hazard, arguments, differs in (
        ("AF_INET", "inet {echo}", NO_PORT),
        ("AF_INET6", "inet6 {echo6} {refused6}", NO_PORT6),
        ("AF_INET6 to a mapped address", "inet6 {mapped} {mapped_refused}", NO_PORT6),
    )
] + [
    Case(
        "connect / epoll_edge_before / accepted by a proxy on AF_UNIX",
        "connect_watched epoll_edge_before {echo} 0",
        proxy_host=UNIX_PROXY,
        differs=NO_PORT,
    ),
    Case(
        "connect / a proxy on AF_UNIX that is not there, then one on TCP",
        "dial {echo} ~{echo}",
        rules={
            "upstreams": {
                "gone": {"url": "socks5://localhost/run/no-such-socket", "discover": "off"},
                "there": {"url": "socks5://10.64.1.1:1080"},
            },
            "default": ["gone", "there"],
        },
    ),
    Case("family / bound AF_INET", "families bound inet {echo}"),
    Case("family / bound AF_INET6 to a mapped address", "families bound inet6 {mapped}"),
    Case("family / bound AF_INET6 to IPv6", "families bound inet6 {echo6}"),
    Case("family / MPTCP", "families mptcp {echo}"),
]

# --- what makes no sense, and what is not ours ---

BAD = [
    Case("bad / descriptors", "bad_connects descriptors {echo}"),
    Case("bad / addresses", "bad_connects addresses {echo}"),
    Case("bad / addresses on IPv6", "bad_connects addresses {echo6}"),
    Case("bad / pointers to nowhere", "bad_connects bad_pointer {echo}"),
    Case("bad / broadcast, multicast and port 0", "bad_connects special 255.255.255.255:7 224.0.0.1:7 203.0.113.80:0"),
    Case("unix / stream", "unix_sockets stream"),
    Case("unix / datagram", "unix_sockets datagram"),
]

# --- the proxy misbehaves: what the program is told, blocking and not; its wrong answers are cases_wrong.py's ---

TO_ECHO = "dial {echo} ~{echo}"


def told(error: str, slow: bool = False) -> str:
    """What `dial` says of both ways."""
    late = ", slow" if slow else ""
    lines = [f"{how}203.0.113.80:7: {error}{late}" + ("\necho: the same" if error == "0" else "") for how in ("", "~")]
    return "\n".join(lines)


def misbehaviour(hazard: str, script: Script | str, error: str, slow: bool = False, **more) -> Case:
    return Case(f"proxy / {hazard}", TO_ECHO, says=told(error, slow), proxies=(script,), **more)


def at(stage: Stage, deed) -> Script:
    return Script(at={stage: deed})


HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"
WITH_PASSWORD = {"methods": (PASSWORD,), "users": {"alice": "secret"}, "as_user": "alice:secret"}

PROXY = [
    misbehaviour("nobody listens", Script(listening=False), "ECONNREFUSED"),
    misbehaviour("its host is silent", f"socks5://{SILENT_PROXY}:1080", "ETIMEDOUT", slow=True),
    misbehaviour("its host is unreachable", f"socks5://{UNREACHABLE_PROXY}:1080", "EHOSTUNREACH"),
    misbehaviour("its name does not exist", "socks5://nowhere.test:1080", "EHOSTUNREACH", direct=True),
    misbehaviour("silent from the start", at(Stage.ACCEPTED, silence), "ETIMEDOUT", slow=True),
    misbehaviour("closes at once", at(Stage.ACCEPTED, close), "ECONNREFUSED"),
    misbehaviour("resets at once", at(Stage.ACCEPTED, reset), "ECONNREFUSED"),
    misbehaviour("speaks first, and HTTP", at(Stage.ACCEPTED, send(HTTP)), "ECONNABORTED"),
    misbehaviour("accepts no method", Script(methods=()), "EACCES"),
    misbehaviour("wants a password that the rules don't have", Script(methods=(PASSWORD,)), "EACCES"),
    misbehaviour(
        "right password", Script(**WITH_PASSWORD), "0", sees=("offers 00 02; as alice; connect 203.0.113.80:7",) * 2
    ),
    misbehaviour(
        "wrong password",
        Script(**WITH_PASSWORD | {"as_user": "alice:wrong"}),
        "EACCES",
        sees=("offers 00 02; as alice",) * 2,
    ),
    misbehaviour("a failure, and reset", at(Stage.REQUEST, send(rep(5), reset)), "ECONNREFUSED"),
    misbehaviour("slow by the octet", Script(by_the_octet=True), "0"),
    misbehaviour("slow by the octet, with a password", Script(**WITH_PASSWORD, by_the_octet=True), "0"),
    misbehaviour(
        "slow by the octet, and too slow",
        Script(by_the_octet=True, at={Stage.GREETING: later(0.4, honestly), Stage.REQUEST: later(0.9, honestly)}),
        "ETIMEDOUT",
        slow=True,
    ),
]

CASES = BLOCKING + WATCHED + FAULTY + AGAIN + OPTIONS + DUPLICATES + CLOSE + FORK + MANY + FAMILIES + BAD + PROXY
