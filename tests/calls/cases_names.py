"""Names: getaddrinfo and its kin, DNS by hand, and what a name's address is good for.

Bare, a name has the addresses that the name server knows; shimmed, one from the pool. So most of this is not compared
with a bare run but with what it must be.
"""

from fake_proxy import Script
from scene import PROXY_V6
from suite import Case, Difference

HONEST = (Script(),)

# One address for each question, of the family asked for; flags and services as without the library.
OF_A_NAME = """
echo.test, 80, AF_UNSPEC, type 1, flags 0: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
echo.test, 80, AF_INET, type 1, flags 0: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
echo.test, 80, AF_INET6, type 1, flags 0: 0
  AF_INET6 type 1 protocol 6 pool6 port 80, 28 octets
echo.test, 80, AF_INET6, type 1, flags 0x8: 0
  AF_INET6 type 1 protocol 6 pool6 port 80, 28 octets
echo.test, 80, AF_UNSPEC, type 1, flags 0x20: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
echo.test, 80, AF_UNSPEC, type 1, flags 0x2: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets, canonical echo.test
echo.test, 80, AF_UNSPEC, type 1, flags 0x1: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
echo.test, 80, AF_UNSPEC, type 2, flags 0: 0
  AF_INET type 2 protocol 17 pool port 80, 16 octets
echo.test, 80, AF_INET, type 0, flags 0: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
  AF_INET type 2 protocol 17 pool port 80, 16 octets
  AF_INET type 3 protocol 0 pool port 80, 16 octets
echo.test, NULL, AF_INET, type 1, flags 0: 0
  AF_INET type 1 protocol 6 pool port 0, 16 octets
echo.test, http, AF_INET, type 1, flags 0: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
echo.test, http, AF_INET, type 1, flags 0x400: EAI_NONAME
echo.test, no-such-service, AF_INET, type 1, flags 0: EAI_SERVICE
echo.test, 80, AF_INET, type 1, flags 0x42: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets, canonical echo.test
echo.test, 80, AF_UNSPEC, type 1, flags 0, no hints: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
  AF_INET type 2 protocol 17 pool port 80, 16 octets
  AF_INET type 3 protocol 0 pool port 80, 16 octets
"""

# Only what goes there directly may be asked of the machine's resolver; the gauge sees that nothing else is.
BACK_TO_NO_NAME = """
203.0.113.80:7
plain: 0
  '203.0.113.80' 'echo'
name required: EAI_NONAME
numeric: 0
  '203.0.113.80' '7'
cut short: EAI_FAMILY
[2001:db8:80::80]:7
plain: 0
  '2001:db8:80::80' 'echo'
name required: EAI_NONAME
numeric: 0
  '2001:db8:80::80' '7'
cut short: EAI_FAMILY
198.19.200.200:7
plain: 0
  'pool' 'echo'
name required: EAI_NONAME
numeric: 0
  'pool' '7'
cut short: EAI_FAMILY
127.0.0.1:80
plain: 0
  'localhost' 'http'
name required: 0
  'localhost' 'http'
numeric: 0
  '127.0.0.1' '80'
cut short: EAI_FAMILY
"""

BACK_TO_THE_NAME = """
AF_INET
plain: 0
  'echo.test' 'echo'
name required: 0
  'echo.test' 'echo'
numeric service: 0
  'echo.test' '7'
too little room: EAI_OVERFLOW
numeric: 0
  'pool' 'echo'
AF_INET6
plain: 0
  'echo.test' 'echo'
name required: 0
  'echo.test' 'echo'
numeric service: 0
  'echo.test' '7'
too little room: EAI_OVERFLOW
"""

BY_THE_OLD_FUNCTIONS = """
gethostbyname echo.test
  'echo.test' AF_INET 4 octets: pool
gethostbyname2 echo.test AF_INET
  'echo.test' AF_INET 4 octets: pool
gethostbyname2 echo.test AF_INET6
  'echo.test' AF_INET6 16 octets: pool6
gethostbyname_r = 0
  'echo.test' AF_INET 4 octets: pool
gethostbyname2_r = 0
  'echo.test' AF_INET6 16 octets: pool6
"""

BACK_BY_THE_OLD_FUNCTIONS = """
gethostbyaddr echo.test
  'echo.test' AF_INET 4 octets: pool
  gethostbyaddr_r = 0
  'echo.test' AF_INET 4 octets: pool
  gethostbyaddr_r with no room = 34
  none, NETDB_INTERNAL
gethostbyaddr echo.test
  'echo.test' AF_INET6 16 octets: pool6
  gethostbyaddr_r = 0
  'echo.test' AF_INET6 16 octets: pool6
  gethostbyaddr_r with no room = 34
  none, NETDB_INTERNAL
gethostbyaddr 203.0.113.80:7
  none, HOST_NOT_FOUND
  gethostbyaddr_r = 0
  none, HOST_NOT_FOUND
gethostbyaddr [2001:db8:80::80]:7
  none, HOST_NOT_FOUND
  gethostbyaddr_r = 0
  none, HOST_NOT_FOUND
  none, NETDB_INTERNAL
  gethostbyaddr_r = 97
  none, NETDB_INTERNAL
"""

OF_NO_NAME = """
, 80, AF_INET, type 1, flags 0: EAI_NONAME
with space, 80, AF_INET, type 1, flags 0: EAI_NONAME
1.2.3.4.5, 80, AF_INET, type 1, flags 0: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
999.1.1.1, 80, AF_INET, type 1, flags 0: 0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
the following has 256 octets
EAI_NONAME
the following has 253 octets
0
  AF_INET type 1 protocol 6 pool port 80, 16 octets
"""

SAME_EVERYWHERE = """
by a child, before: the same
again: the same
by a child, after: the same
by another process: the same
by another process with no environment: the same
in capitals: the same
with a trailing dot: the same
another name: another
"""

_QUERIES = ("res_query", "res_search", "res_querydomain", "res_nquery", "res_nsearch", "res_nquerydomain")
_SENDS = ("res_send", "res_nsend")
_POOL_BY_TYPE = {1: "pool", 28: "pool6"}


def dns_by_hand(known: tuple[int, ...], otherwise: str = "NO_DATA") -> str:
    """A and AAAA from the pool, of other types what is `known`; else there is no data, or `otherwise`."""
    lines = []
    for kind in (1, 28, 15, 16, 33):
        lines.append(f"echo.test, type {kind}")
        if kind in _POOL_BY_TYPE:
            for call in _QUERIES + _SENDS:
                lines += [f"{call}: code 0, 1 questions, 1 answers", f"  echo.test: {_POOL_BY_TYPE[kind]}"]
        elif kind in known:
            for call in _QUERIES + _SENDS:
                lines += [f"{call}: code 0, 1 questions, 1 answers", f"  echo.test: a record of type {kind}"]
        else:
            lines += [f"{call} = -1, {otherwise}" for call in _QUERIES]
            if otherwise == "NO_DATA":
                lines += [f"{call}: code 0, 1 questions, 0 answers" for call in _SENDS]
            else:
                lines += [f"{call} = -1, {otherwise}" for call in _SENDS]
    return "\n".join(lines)


_LINE = "  AF_INET type 1 protocol 6 127.0.0.1 port 80, 16 octets, canonical "
AS_ASKED_FOR = (Difference(_LINE + "localhost", _LINE + "lab", "the canonical name is the one that was asked for"),)

CASES = [
    Case("names / questions without a name", "names without_a_name"),
    Case("names / of a name", "names of_a_name echo.test", says=OF_A_NAME),
    Case("names / in /etc/hosts", "names of_a_name listed.test"),
    Case("names / of this machine", "names of_a_name lab", differs=AS_ASKED_FOR),
    Case("names / localhost", "names of_a_name localhost"),
    Case("names / that are none", "names of_no_name", says=OF_NO_NAME),
    Case("names / international", "names international", says="0\nxn--bcher-kva.test\nEAI_IDN_ENCODE"),
    Case("names / the same address everywhere", "names same_everywhere echo.test", says=SAME_EVERYWHERE),
    Case("names / back to the name", "names back_to_the_name echo.test", says=BACK_TO_THE_NAME),
    Case(
        "names / back to no name",
        "names back_to_no_name {echo} {echo6} 198.19.200.200:7 127.0.0.1:80",
        says=BACK_TO_NO_NAME,
    ),
    Case("names / gethostbyname and its kin", "names by_the_old_functions echo.test", says=BY_THE_OLD_FUNCTIONS),
    Case(
        "names / gethostbyname of literals",
        "names by_the_old_functions 203.0.113.80 2001:db8:80::80 127.0.0.1 localhost",
    ),
    Case(
        "names / into small buffers",
        "names into_small_buffers echo.test",
        says="gethostbyname2_r = 0\n  'echo.test' AF_INET 4 octets: pool\ntoo small at first: yes",
    ),
    Case(
        "names / gethostbyaddr",
        "names back_by_the_old_functions echo.test {echo} {echo6}",
        says=BACK_BY_THE_OLD_FUNCTIONS,
    ),
    Case("names / res_query and its kin", "dns_by_hand queries echo.test", says=dns_by_hand(())),
    Case(
        "names / res_query and its kin, by their old names",
        "dns_by_hand old_names echo.test",
        says="\n".join(
            f"__{call}: code 0, 1 questions, 1 answers\n  echo.test: pool"
            for call in (*_QUERIES[:3], "res_send", *_QUERIES[3:], "res_nsend")
        ),
    ),
    Case("seldom used / second names", "seldom_used second_names {echo}"),
    Case(
        "seldom used / rcmd and rexec",
        "seldom_used remote_commands 203.0.113.80",
        says="\n".join(f"{call} = -1 EOPNOTSUPP" for call in ("rcmd", "rcmd_af", "rexec", "rexec_af")),
    ),
    Case("seldom used / names of networks", "seldom_used networks"),
    Case("seldom used / the host's number", "seldom_used host_id"),
    Case("seldom used / wordexp", "seldom_used words whole", says="wordexp = 0\n  a\n  198.1"),
    Case("seldom used / wordexp, environment cleared", "seldom_used words cleared", says="wordexp = 0\n  a\n  198.1"),
    *(
        Case(
            f"names / res_query asks the rules' resolver {how}",
            "dns_by_hand queries echo.test",
            rules={"resolver": "10.64.2.1:53"} | rules,
            says=dns_by_hand((15,)),
            proxy_host=proxy,
            direct=how == "directly",
        )
        for how, rules, proxy in (
            ("through the proxy", {}, "10.64.1.1"),
            ("through a proxy on IPv6", {}, PROXY_V6),
            ("directly", {"rules": [{"destination": "10.64.2.1", "route": "direct"}]}, "10.64.1.1"),
        )
    ),
    Case(
        "names / the rules' resolver can't be reached",
        "dns_by_hand queries echo.test",
        rules={"resolver": "203.0.113.80:9"},
        says=dns_by_hand((), "TRY_AGAIN"),
    ),
    Case(
        "names / getaddrinfo_a",
        "dns_by_hand asynchronous echo.test 203.0.113.80",
        says="\n".join(["getaddrinfo_a = 0", "gai_error = 0", "  pool", "gai_error = 0", "  203.0.113.80:7"] * 2),
    ),
    Case(
        "names / connect by name",
        "dial echo.test:7 ~echo.test:7",
        proxies=HONEST,
        says="echo.test:7: 0\necho: the same\n~echo.test:7: 0\necho: the same",
        sees=("offers 00; connect echo.test:7",) * 2,
    ),
    Case(
        "names / connect to a name that does not exist",
        "dial nowhere.test:7 ~nowhere.test:7",
        proxies=HONEST,
        says="nowhere.test:7: EHOSTUNREACH\n~nowhere.test:7: EHOSTUNREACH",
        sees=("offers 00; connect nowhere.test:7",) * 2,
    ),
    Case(
        "names / an address of the pool that nobody was given",
        "dial 198.19.200.200:7 ~198.19.200.200:7",
        proxies=HONEST,
        says="198.19.200.200:7: EHOSTUNREACH\n~198.19.200.200:7: EHOSTUNREACH",
        sees=(),
    ),
    Case(
        "names / resolved here, where the rules say so",
        "dial v4.test:7",
        rules={"rules": [{"destination": "*.test", "route": "direct"}]},
        direct=True,
    ),
]
