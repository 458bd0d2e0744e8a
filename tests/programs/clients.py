"""The programs under test, as a table: what a user would type, what it needs, and how one sees that it has worked.

The wrapper (`socksify -p URL --`) is put before a client's command. `check` looks at what became of it and returns None
or a complaint. Paths are fixed, because the lab lives in a private world (world.py).
"""

import filecmp
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from destinations import (
    BIG,
    CA,
    ECHO_PORT,
    HELLO,
    HERE,
    REFUSED_PORT,
    REPOSITORIES,
    REPOSITORY_NOTE,
    SSH_CONFIG,
    WEB_ROOT,
)
from lab import FAR, LEAK_NAMESERVER, UNREACHABLE
from machine import Finished
from world import STATE

SCRIPTS = HERE / "scripts"
CASE = STATE / "case"  # the working directory of a client, made anew for each
CLASSES = STATE / "classes"  # the compiled Java

Check = Callable[[Finished], str | None]


# What a check can be. -----------------------------------------------------------------------------------------------


def exits(*allowed: int) -> Check:
    expected = " or ".join(map(str, allowed))
    return lambda end: None if end.status in allowed else f"exit status {end.status}, expected {expected}"


def fails(end: Finished) -> str | None:
    """It ends by itself and says that it could not."""
    return None if end.status and end.status > 0 else f"exit status {end.status}, expected a failure"


def whatever(end: Finished) -> str | None:
    """Only leaks count."""
    return None


def _succeeds_and(complaint: Check) -> Check:
    return lambda end: exits(0)(end) or complaint(end)


def prints(text: str) -> Check:
    """Its standard output is `text`, to the octet."""
    return _succeeds_and(
        lambda end: None if end.stdout == text else f"printed {end.stdout[:200]!r}, expected {text[:200]!r}"
    )


def says(pattern: str) -> Check:
    """Something in its output, on either stream, matches."""
    return _succeeds_and(lambda end: None if re.search(pattern, end.output) else f"its output lacks /{pattern}/")


def copies(original: Path, copy: str) -> Check:
    """It leaves the file `copy` in its directory, the same as `original`."""

    def complaint(end: Finished) -> str | None:
        path = end.directory / copy
        same = path.exists() and filecmp.cmp(original, path, shallow=False)
        return None if same else f"{copy} is not the same as {original}"

    return _succeeds_and(complaint)


@_succeeds_and
def clones(end: Finished) -> str | None:
    """It leaves a working copy of the repository in the directory `clone`."""
    note = end.directory / "clone" / "NOTE"
    return None if note.exists() and note.read_text() == REPOSITORY_NOTE else "the clone lacks its files"


# The table. ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Client:
    name: str
    command: str  # quoted as for a shell; the first word is the program, without which the case is skipped
    check: Check
    needs: str = ""  # servers on `far`
    core: bool = False  # in the representative set, which every SOCKS server meets
    stdin: str = ""
    environment: dict = field(default_factory=dict)
    timeout: float = 20  # seconds
    uses: str = ""  # see `features`; names and ipv6 are seen in the command
    as_bare: str = ""  # how connecting fails: where the SOCKS server tells it, status and words must be as bare

    @property
    def argv(self) -> list[str]:
        return shlex.split(self.command)

    @property
    def features(self) -> set[str]:
        """What it takes of a SOCKS server, and of who runs it.

        names         destinations by name
        ipv6          destinations by IPv6 address, or with no other
        half-close    one direction goes on when the other has been closed
        capabilities  the program's file has some, and ld.so preloads nothing into such a one unless root runs it
        """
        features = set(self.uses.split())
        if ".test" in self.command:
            features.add("names")
        if any(text in self.command for text in (FAR.v6, UNREACHABLE.v6, ".v6.far.test")):
            features.add("ipv6")
        return features


CURL = f"curl -q -sS --cacert {CA}"  # -q: no ~/.curlrc; -S: errors in words, which are compared
SSH = f"ssh -F {SSH_CONFIG}"
SCP = f"scp -q -F {SSH_CONFIG}"
PSQL = 'psql -X -U postgres -Atc "select 6*7"'
PYTHON = "/usr/bin/python3"
# Without UsePerfData the JVM leaves no file in /tmp, which is not the lab's.
JAVA = f"java -XX:-UsePerfData -XX:TieredStopAtLevel=1 -cp {CLASSES}"
URLLIB = f"import urllib.request; print(urllib.request.urlopen('http://web.far.test/hello').read().decode(), end='')"
PERL = (
    "my $s = IO::Socket::INET->new(q(echo.far.test:7)) or die $@;"
    "print $s qq(perl\\n); $s->flush; shutdown $s, 1; print <$s>"
)
V4, V6 = FAR.v4, FAR.v6

# fmt: off
CLIENTS = [
    # curl: a resolver in a thread, non-blocking connects, poll; races IPv6 against IPv4.
    Client("curl by name", f"{CURL} http://web.far.test/hello", prints(HELLO), "web", core=True),
    Client("curl by IPv4 address", f"{CURL} http://{V4}/hello", prints(HELLO), "web", core=True),
    Client("curl by IPv6 address", f"{CURL} http://[{V6}]/hello", prints(HELLO), "web", core=True),
    Client("curl by a name with IPv4 only", f"{CURL} http://web.v4.far.test/hello", prints(HELLO), "web"),
    Client("curl by a name with IPv6 only", f"{CURL} http://web.v6.far.test/hello", prints(HELLO), "web"),
    Client("curl https", f"{CURL} https://web.far.test/hello", prints(HELLO), "web", core=True),
    Client("curl -Z, 50 URLs of 50 names",
           f"{CURL} -Z --parallel-max 50 http://host[1-50].far.test/hello",
           prints(HELLO * 50), "web", core=True),
    Client("curl -Z, 50 https URLs, no connection shared",
           f"{CURL} -Z --parallel-immediate --http1.1 -H 'Connection: close' https://web.far.test/hello?[1-50]",
           prints(HELLO * 50), "web"),
    Client("curl 10 MB", f"{CURL} -o big http://web.far.test/big", copies(BIG, "big"), "web", core=True),
    Client("curl 10 MB over https", f"{CURL} -o big https://web.far.test/big", copies(BIG, "big"), "web"),
    # Other programs that fetch: wget blocks; aria2c uses epoll; lftp resolves in a child process.
    Client("wget", "wget -q -O - http://web.far.test/hello", prints(HELLO), "web", core=True),
    Client("wget https", f"wget -q -O - --ca-certificate={CA} https://web.far.test/hello", prints(HELLO), "web"),
    Client("aria2c, 4 connections",
           "aria2c -q --no-conf --async-dns=false -x4 -s4 -k1M http://web.far.test/big",
           copies(BIG, "big"), "web"),
    Client("lftp", "lftp -c 'get http://web.far.test/big'", copies(BIG, "big"), "web"),
    # git, ssh and what travels inside ssh
    Client("git over http", "git clone -q http://web.far.test/git/project.git clone", clones, "web", core=True),
    Client("git over git://", "git clone -q git://git.far.test/project.git clone", clones, "git"),
    Client("git over ssh", f"git clone -q ssh://ssh.far.test{REPOSITORIES}/project.git clone", clones, "ssh",
           environment={"GIT_SSH_COMMAND": SSH}),
    Client("ssh", f"{SSH} ssh.far.test 'echo $((6*7))'", prints("42\n"), "ssh", core=True),
    Client("ssh by IPv6 address", f"{SSH} {V6} 'echo $((6*7))'", prints("42\n"), "ssh"),
    Client("scp to us", f"{SCP} ssh.far.test:{BIG} big", copies(BIG, "big"), "web ssh"),
    Client("scp to far", f"{SCP} {CA} ssh.far.test:{CASE}/up", copies(CA, "up"), "web ssh"),
    Client("rsync over ssh", f"rsync -a -e '{SSH}' ssh.far.test:{WEB_ROOT}/ www", copies(BIG, "www/big"), "web ssh",
           core=True),
    Client("rsync daemon", "rsync -a rsync://rsync.far.test/www/ www", copies(BIG, "www/big"), "web rsync"),
    # Languages
    Client("python urllib", f'{PYTHON} -c "{URLLIB}"', prints(HELLO), "web", core=True),
    Client("python asyncio, 100 at once",
           f"{PYTHON} {SCRIPTS}/asyncio_clients.py 100 {ECHO_PORT} echo.far.test {V4} {V6}",
           prints("100 of 100\n"), "echo", core=True),
    Client("node fetch",
           f"node {SCRIPTS}/fetch.mjs http://web.far.test/hello https://web.far.test/hello",
           prints(HELLO * 2), "web", core=True, environment={"NODE_EXTRA_CA_CERTS": str(CA)}),
    Client("node net.connect",
           f"node {SCRIPTS}/connect.mjs echo.far.test:7 {V4}:7 {V6}:7",
           prints(f"node to echo.far.test\nnode to {V4}\nnode to {V6}\n"), "echo"),
    Client("java HttpClient",
           f"{JAVA} Fetch {CA} http://web.far.test/hello https://web.far.test/hello",
           prints(HELLO * 2), "web", core=True, timeout=30),
    Client("java Socket and SocketChannel",
           f"{JAVA} Connect {ECHO_PORT} echo.far.test {V4} {V6}",
           prints("socket\nsocket\nchannel\n" * 3), "echo", timeout=30),
    Client("perl IO::Socket", f"perl -MIO::Socket::INET -e '{PERL}'", prints("perl\n"), "echo", uses="half-close"),
    # Databases
    Client("psql", f"{PSQL} -h db.far.test", prints("42\n"), "postgresql", core=True),
    Client("psql by IPv6 address", f"{PSQL} -h {V6}", prints("42\n"), "postgresql"),
    Client("redis-cli", "redis-cli -h redis.far.test ping", prints("PONG\n"), "redis", core=True),
    # Tools of the network
    Client("openssl s_client",
           f"openssl s_client -brief -verify_return_error -CAfile {CA} -connect web.far.test:443",
           says("Verification: OK"), "web", core=True),
    Client("ncat", f"ncat echo.far.test {ECHO_PORT}", prints("ncat\n"), "echo", uses="half-close", stdin="ncat\n"),
    Client("socat", f"socat -t 5 - TCP:echo.far.test:{ECHO_PORT}", prints("socat\n"), "echo",
           uses="half-close", stdin="socat\n"),
    Client("bash /dev/tcp",
           """bash -c 'exec 3<>/dev/tcp/echo.far.test/7; echo bash >&3; read -r line <&3; echo "$line"'""",
           prints("bash\n"), "echo"),
    Client("iperf3", "iperf3 -c iperf.far.test -n 5M -P 2", says("receiver"), "iperf3"),
    # Failures. Only the proxy can know that there is no such name, and only when it is asked to connect: 7, not 6.
    Client("curl to a refused port", f"{CURL} http://web.far.test:{REFUSED_PORT}/", exits(7), "",
           core=True, as_bare="refused"),
    Client("curl to a refused port, IPv6", f"{CURL} http://[{V6}]:{REFUSED_PORT}/", exits(7), as_bare="refused"),
    Client("curl to an unreachable address", f"{CURL} http://{UNREACHABLE.v4}/", exits(7),
           core=True, as_bare="unreachable"),
    Client("curl to an unreachable address, IPv6", f"{CURL} http://[{UNREACHABLE.v6}]/", exits(7),
           as_bare="unreachable"),
    Client("curl to a name that does not exist", f"{CURL} http://nowhere.test/", fails, core=True),
    Client("errno of a refused port", f"{PYTHON} {SCRIPTS}/connect_error.py {V4} {REFUSED_PORT}", exits(1),
           as_bare="refused"),
    Client("errno of an unreachable address", f"{PYTHON} {SCRIPTS}/connect_error.py {UNREACHABLE.v4} 80", exits(1),
           as_bare="unreachable"),
    # What cannot be carried must fail, and must not leave by another way.
    Client("a datagram", f"{PYTHON} {SCRIPTS}/send_datagram.py {V4} 53", fails, core=True),
    Client("a DNS query over UDP", f"dig +tries=1 +time=1 @{LEAK_NAMESERVER.v4} web.far.test", fails),
    Client("ping", f"ping -c1 -W1 {V4}", fails, uses="capabilities"),
    Client("ping -6", f"ping -6 -c1 -W1 {V6}", fails, uses="capabilities"),
    Client("aria2c with its own DNS client", "aria2c -q --no-conf --stop=5 http://web.far.test/hello", whatever, "web"),
    # A name is answered without a question to anybody.
    Client("getent", "getent ahosts web.far.test", exits(0)),
]
# fmt: on
