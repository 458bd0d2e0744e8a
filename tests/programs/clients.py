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
    PACKAGES,
    REFUSED_PORT,
    REPOSITORIES,
    REPOSITORY_NOTE,
    SSH_CONFIG,
    TFTP_FILE,
    WEB_ROOT,
)
from lab import FAR, PROG, PROXY_FAR_SIDE, UNREACHABLE
from machine import SOMEBODY, Finished
from world import STATE

SCRIPTS = HERE / "scripts"
CASE = STATE / "case"  # the working directory of a client, made anew for each
BUILT = STATE / "built"  # what is compiled for this run

Check = Callable[[Finished], str | None]


# What a check can be. -----------------------------------------------------------------------------------------------


def exits(*allowed: int) -> Check:
    expected = " or ".join(map(str, allowed))
    return lambda end: None if end.status in allowed else f"exit status {end.status}, expected {expected}"


def fails(end: Finished) -> str | None:
    """It ends by itself and says that it could not."""
    return None if end.status and end.status > 0 else f"exit status {end.status}, expected a failure"


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
    without: str = ""  # features, see below: it only meets SOCKS servers that lack one of them
    takes: str = ""  # further programs without which the case is skipped
    made_by: str = ""  # the command that compiles what is to be run, once in a run
    core: bool = False  # in the representative set, which every SOCKS server meets
    stdin: str = ""
    environment: dict = field(default_factory=dict)
    timeout: float = 20  # seconds
    answered_here: bool = False  # by the library; nothing connects
    uses: str = ""  # see `features`; names and ipv6 are seen in the command
    visited_by: str = ""  # it is a server, and this command on `far` is its client; `check` looks at that one
    listens_at: int = 0  # that server's port
    as_bare: str = ""  # how connecting fails: where the SOCKS server tells that, status and words must be as bare

    @property
    def argv(self) -> list[str]:
        return shlex.split(self.command)

    @property
    def programs(self) -> list[str]:
        """What must be installed. What the compiler will make is not there yet."""
        ready = [] if self.argv[0].startswith(f"{BUILT}/") else self.argv[:1]
        return [*ready, *self.takes.split(), *shlex.split(self.made_by)[:1]]

    @property
    def connects(self) -> bool:
        """By TCP, that is."""
        return not self.answered_here and not self.features & {"datagrams", "capabilities"}

    @property
    def features(self) -> set[str]:
        """What it takes of a SOCKS server, and of who runs it.

        names         destinations by name
        ipv6          destinations by IPv6 address, or with no other
        half-close    one direction goes on when the other has been closed
        datagrams     UDP
        bind          BIND: somebody connects to the program
        both-families somebody connects to it over IPv6, though it listens for IPv4, too
        again         BIND can have a port that it had a moment ago, though a connection has just ended there
        refusal       where there is no connection, there is no success first and then a closed one
        readiness     what wakes somebody who waits for data is data
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
JAVA = f"java -XX:-UsePerfData -XX:TieredStopAtLevel=1 -cp {BUILT}"
JAVAC = shlex.join(["javac", "-d", str(BUILT), *sorted(map(str, SCRIPTS.glob("*.java")))])
CC = f"cc -O1 -o {BUILT}/spawn {SCRIPTS}/spawn.c"
RUSTC = f"rustc --edition=2021 -O -o {BUILT}/tcp_stream {SCRIPTS}/tcp_stream.rs"
FETCHED = "urllib.request.urlopen('http://web.far.test/hello').read().decode()"
URLLIB = f"import urllib.request; print({FETCHED}, end='')"
URLLIB_AGAIN = f"import urllib.request; print(*({FETCHED} for i in range(30)), sep='', end='')"
PERL = (
    "my $s = IO::Socket::INET->new(q(echo.far.test:7)) or die $@;"
    "print $s qq(perl\\n); $s->flush; shutdown $s, 1; print <$s>"
)
V4, V6 = FAR.v4, FAR.v6
POOL = r"\b198\.1[89]\.\d+\.\d+\b"  # an address that stands for a name
HOSTS = ("echo.far.test", V4, V6, "echo.v6.far.test")
LDAP = "ldapsearch -x -LLL -o nettimeout=5 -b dc=far,dc=test"
# Its own DNS client stays on; the rest would look for hosts of its maker's.
CHROMIUM = (
    "chromium --headless --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
    " --no-first-run --ignore-certificate-errors --log-level=3"
)
AS_SOMEBODY = (
    f"setpriv --reuid={SOMEBODY.uid} --regid={SOMEBODY.gid} --keep-groups"
    f" env HOME={SOMEBODY.home} TMPDIR={SOMEBODY.home}"
)
GET_KEY = "gpg --homedir keys --batch --fetch-keys http://web.far.test/key.asc"
# Each connection that it takes is made by a child of its own.
FORKING_SOCAT = (
    f"socat TCP-LISTEN:8081,bind=127.0.0.1,reuseaddr,fork TCP:echo.far.test:{ECHO_PORT} & "
    "until nc.openbsd -z 127.0.0.1 8081; do sleep .05; done; "
    "for i in 1 2 3; do echo socat $i | nc.openbsd -N 127.0.0.1 8081; done; kill $!"
)
REVERSE_PROXY = (
    f"nginx -e stderr -p {CASE} -c {SCRIPTS}/reverse_proxy.conf && "
    "curl -q -sS --no-progress-meter -Z --parallel-max 20 http://127.0.0.1:8080/hello?[1-20]"
)


def visited(how: str, many: int, port: int, path: str, host: str = PROXY_FAR_SIDE.v4, uses: str = "bind") -> dict:
    """Of a server on `port`: that so many visitors on `far` are served, who go to the proxy's address `host`."""
    return {
        "check": prints(f"{many} of {many}\n"),
        "environment": {"SOCKSIFY_LISTEN": "1"},
        "uses": f"{uses} again" if many > 1 else uses,
        "visited_by": f"{PYTHON} {SCRIPTS}/visitors.py {how} {many} {host} {port} {path}",
        "listens_at": port,
        "takes": "nc.openbsd",
        "timeout": 40,
    }


def servers() -> list["Client"]:
    """Servers that are reached at the proxy's address, each by one peer, by many in a row, and by many at once."""
    hello = "mkdir www; echo hello >www/hello;"
    nginx = f"sh -c 'sed \"s/PORT/%s/\" {SCRIPTS}/daemon.conf >conf; nginx -e stderr -p {CASE} -c {CASE}/conf; sleep 60'"
    kinds = (
        ("ncat -l -k", "ncat -l -k -4 {port} --exec /bin/cat", ""),
        ("python http.server", f"sh -c '{hello} exec {PYTHON} -m http.server -d www {{port}}'", "/hello"),
        ("node http", f"node {SCRIPTS}/http_server.mjs {{port}}", "/"),
        ("python asyncio server", f"{PYTHON} {SCRIPTS}/asyncio_server.py 0.0.0.0 {{port}}", ""),
        ("forked workers", f"{PYTHON} {SCRIPTS}/forking_server.py {{port}}", ""),
        ("nginx, a daemon", nginx % "{port}", "/"),
        ("nginx, by SO_REUSEPORT", nginx % "{port} reuseport", "/"),
    )
    ways = (("one peer", "in-a-row", 1), ("100 in a row", "in-a-row", 100), ("50 at once", "at-once", 50))
    all_ways = ((kind, way) for kind in kinds for way in ways)
    # A port of its own for each: some servers' kernels keep one for a minute.
    return [
        Client(f"listens, {name}, {words}", command.format(port=port), **visited(how, many, port, path))
        for port, ((name, command, path), (words, how, many)) in enumerate(all_ways, 8080)
    ] + [
        Client(
            "listens, python http.server, by IPv6 where it listens on both",
            f"sh -c '{hello} exec {PYTHON} -m http.server -d www -b :: 8079'",
            **visited("in-a-row", 3, 8079, "/hello", PROXY_FAR_SIDE.v6, "bind both-families"),
        )
    ]


def further_servers() -> list["Client"]:
    """Servers of other kinds, and those that get their socket from another program."""
    at = PROXY_FAR_SIDE.v4
    nginx = "$(command -v nginx)"  # it starts the next one by this word
    replaced = (
        f"sed \"s/PORT/8111/; s/hello/old/\" {SCRIPTS}/daemon.conf >conf; {nginx} -e stderr -p {CASE} -c {CASE}/conf;"
        " sed -i s/old/hello/ conf; until [ -s nginx.pid ]; do sleep .05; done; old=$(cat nginx.pid); kill -USR2 $old;"
        " until [ -s nginx.pid.oldbin ] && [ -s nginx.pid ]; do sleep .05; done; kill -QUIT $old;"
        " while kill -0 $old 2>&-; do sleep .05; done; touch ready; sleep 60"
    )
    when_ready = f"until [ -e {CASE}/ready ]; do sleep .05; done; exec"

    def at_once(port: int, path: str = "", **settings) -> dict:
        return {**visited("at-once", 20, port, path), **settings}

    return [
        Client("listens, nginx that replaces itself", f"sh -c '{replaced}'",
               **at_once(8111, visited_by=f"sh -c '{when_ready} {PYTHON} {SCRIPTS}/visitors.py at-once 20 {at} 8111 /'")),
        Client("listens, a supervisor for its servers",
               f"{PYTHON} {SCRIPTS}/supervisor.py 8112 {PYTHON} {SCRIPTS}/asyncio_server.py", **at_once(8112)),
        Client("listens, systemd-socket-activate for a server",
               f"systemd-socket-activate -l 0.0.0.0:8113 {PYTHON} {SCRIPTS}/asyncio_server.py 3", **visited("in-a-row", 5, 8113, "")),  # who comes as it becomes the server may be lost
        Client("listens, socat, a program for each peer", "socat TCP-LISTEN:8115,fork,reuseaddr,backlog=50 EXEC:/bin/cat",
               **at_once(8115)),
        Client("listens, php -S", "sh -c 'echo hello >hello.html; exec php -S 0.0.0.0:8116'",
               **at_once(8116, "/hello.html", takes="php")),
    ]


def said_by(host: str) -> str:
    """That a script of the page at /page.html was fetched and run (destinations.py)."""
    return rf"said by {host}[\s\S]*"


# fmt: off
CLIENTS = [
    # curl: a resolver in a thread, non-blocking connects, poll; races IPv6 against IPv4.
    Client("curl by name", f"{CURL} http://web.far.test/hello", prints(HELLO), "web", core=True),
    Client("curl by IPv4 address", f"{CURL} http://{V4}/hello", prints(HELLO), "web", core=True),
    Client("curl by IPv6 address", f"{CURL} http://[{V6}]/hello", prints(HELLO), "web", core=True),
    Client("curl by a name with IPv4 only", f"{CURL} http://web.v4.far.test/hello", prints(HELLO), "web"),
    Client("curl by a name with IPv6 only", f"{CURL} http://web.v6.far.test/hello", prints(HELLO), "web"),
    Client("curl https", f"{CURL} https://web.far.test/hello", prints(HELLO), "web", core=True),
    Client("curl, 30 connections in a row", f"{CURL} -H 'Connection: close' http://web.far.test/hello?[1-30]",
           prints(HELLO * 30), "web", core=True),
    Client("python, 30 connections in a row", f'{PYTHON} -c "{URLLIB_AGAIN}"', prints(HELLO * 30), "web", core=True),
    Client("curl -Z, 50 URLs of 50 names",
           f"{CURL} -Z --parallel-max 50 http://host[1-50].far.test/hello",
           prints(HELLO * 50), "web", core=True),
    Client("curl -Z, 50 https URLs, no connection shared",
           f"{CURL} -Z --parallel-immediate --http1.1 -H 'Connection: close' https://web.far.test/hello?[1-50]",
           prints(HELLO * 50), "web"),
    Client("curl 10 MB", f"{CURL} -o big http://web.far.test/big", copies(BIG, "big"), "web", core=True),
    Client("curl 10 MB over https", f"{CURL} -o big https://web.far.test/big", copies(BIG, "big"), "web"),
    Client("curl with TCP fast open", f"{CURL} --tcp-fastopen https://web.far.test/hello", prints(HELLO), "web"),
    Client("curl from an address and a port of its own",
           f"{CURL} --interface {PROG.v4} --local-port 40000-40100 http://web.far.test/hello", prints(HELLO), "web"),
    Client("curl ftp", f"{CURL} ftp://ftp.far.test/hello", prints(HELLO), "web ftp"),
    # Active FTP: the server connects back, to the address and the port that the proxy listens on (BIND).
    Client("ftp active, curl with EPRT", f"{CURL} --ftp-port - ftp://{V4}/hello", prints(HELLO), "web ftp", uses="bind"),
    Client("ftp active, curl with EPRT by name", f"{CURL} --ftp-port - ftp://ftp.v4.far.test/hello", prints(HELLO),
           "web ftp", uses="bind"),
    Client("ftp active, curl with EPRT by IPv6 address", f"{CURL} --ftp-port - ftp://[{V6}]/hello", prints(HELLO),
           "web ftp", uses="bind"),
    Client("ftp active, curl with PORT", f"{CURL} --ftp-port - --disable-eprt ftp://{V4}/hello", prints(HELLO),
           "web ftp", uses="bind"),
    Client("ftp active, curl 10 MB", f"{CURL} --ftp-port - -o big ftp://ftp.v4.far.test/big", copies(BIG, "big"),
           "web ftp", uses="bind"),
    Client("ftp active, lftp", f"lftp -c 'set ftp:passive-mode off; open ftp://{V4}; mirror / www'",
           copies(BIG, "www/big"), "web ftp", uses="bind"),
    Client("ftp active, lftp, 3 connections",
           "lftp -c 'set ftp:passive-mode off; open ftp://ftp.v4.far.test; mirror --parallel=3 / www'",
           copies(BIG, "www/big"), "web ftp", uses="bind"),
    Client("ftp active, python ftplib", f"{PYTHON} {SCRIPTS}/active_ftp.py ftp.v4.far.test {V4} {V6}",
           prints(HELLO * 3), "web ftp", uses="bind"),
    # Other programs that fetch: wget blocks; aria2c uses epoll; lftp resolves in a child process, lynx too, and it asks
    # connect() again whether it is connected; apt runs methods under another user, which ask for SRV records.
    Client("wget", "wget -q -O - http://web.far.test/hello", prints(HELLO), "web", core=True),
    Client("wget https", f"wget -q -O - --ca-certificate={CA} https://web.far.test/hello", prints(HELLO), "web"),
    Client("aria2c, 4 connections",
           "aria2c -q --no-conf --async-dns=false -x4 -s4 -k1M http://web.far.test/big",
           copies(BIG, "big"), "web"),
    Client("lftp", "lftp -c 'get http://web.far.test/big'", copies(BIG, "big"), "web"),
    Client("lftp ftp, 3 connections",
           "lftp -c 'open ftp://ftp.far.test; mirror --parallel=3 / www'",
           copies(BIG, "www/big"), "web ftp", core=True),
    Client("lftp ftp by IPv6 address", f"lftp -c 'get ftp://[{V6}]/big'", copies(BIG, "big"), "web ftp"),
    Client("lftp sftp",
           f"lftp -c 'set sftp:connect-program \"ssh -a -x -F {SSH_CONFIG}\"; get sftp://root@ssh.far.test{BIG}'",
           copies(BIG, "big"), "web ssh"),
    Client("lynx", "lynx -dump http://web.far.test/hello", says(HELLO), "web"),
    Client("apt-get update",
           "sh -c 'mkdir lists apt.conf.d; apt-get -q update'",
           copies(PACKAGES, "lists/web.far.test_debian_._Packages"), "web", takes="apt-get", uses="names",
           environment={"APT_CONFIG": f"{SCRIPTS}/apt.conf"}),
    Client("gpg, a key by dirmngr and libc's resolver",
           f"sh -c 'mkdir -m 700 keys; echo standard-resolver >keys/dirmngr.conf; {GET_KEY}'",
           says("imported: 1"), "web", takes="gpg dirmngr"),
    # Chromium: a network process beside the zygote's children, and a DNS client that goes to libc when it fails.
    Client("chromium",
           f"{CHROMIUM} --no-sandbox --user-data-dir={CASE} --dump-dom http://web.far.test/page.html",
           says("".join(map(said_by, ("host1.far.test", "host2.far.test", "host3.v4.far.test", "host4.v6.far.test")))),
           "web", core=True, timeout=30, uses="ipv6"),
    Client("chromium in its sandbox",
           f"{AS_SOMEBODY} {CHROMIUM} --user-data-dir={SOMEBODY.home}/chromium --dump-dom https://[{V6}]/page.html",
           says(said_by("host2.far.test")), "web", takes="chromium", timeout=30, uses="names"),
    # git, ssh and what travels inside ssh
    Client("git over http", "git clone -q http://web.far.test/git/project.git clone", clones, "web", core=True),
    Client("git over git://", "git clone -q git://git.far.test/project.git clone", clones, "git"),
    Client("git over ssh", f"git clone -q ssh://ssh.far.test{REPOSITORIES}/project.git clone", clones, "ssh",
           environment={"GIT_SSH_COMMAND": SSH}),
    Client("ssh", f"{SSH} ssh.far.test 'echo $((6*7))'", prints("42\n"), "ssh", core=True),
    Client("ssh by IPv6 address", f"{SSH} {V6} 'echo $((6*7))'", prints("42\n"), "ssh"),
    Client("ssh through another host", f"{SSH} -J ssh.v4.far.test ssh.far.test 'echo $((6*7))'", prints("42\n"), "ssh"),
    Client("sftp", f"sftp -q -b - -F {SSH_CONFIG} ssh.far.test", copies(BIG, "big"), "web ssh",
           stdin=f"get {BIG} big\n"),
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
    Client("node spawn, no environment",
           f"node {SCRIPTS}/children.mjs /usr/bin/curl -q -sS http://web.far.test/hello", prints(HELLO), "web"),
    Client("java HttpClient",
           f"{JAVA} Fetch {CA} http://web.far.test/hello https://web.far.test/hello",
           prints(HELLO * 2), "web", core=True, timeout=30, made_by=JAVAC),
    Client("java Socket and SocketChannel",
           f"{JAVA} Connect {ECHO_PORT} echo.far.test {V4} {V6}",
           prints("socket\nsocket\nchannel\n" * 3), "echo", timeout=30, made_by=JAVAC),
    Client("java Selector, 40 at once",
           f"{JAVA} Select 40 {ECHO_PORT} echo.far.test {V4} {V6}",
           prints("40 of 40\n" + "async\n" * 3), "echo", core=True, timeout=30, made_by=JAVAC),
    Client("java ProcessBuilder, no environment",
           f"{JAVA} Children /usr/bin/curl -q -sS http://web.far.test/hello", prints(HELLO), "web",
           timeout=30, made_by=JAVAC),
    Client("rust TcpStream", f"{BUILT}/tcp_stream echo.far.test:7 {V4}:7 [{V6}]:7 echo.v6.far.test:7",
           prints("plain limit polling\n" * 4), "echo", core=True, uses="half-close", made_by=RUSTC),
    Client("perl IO::Socket", f"perl -MIO::Socket::INET -e '{PERL}'", prints("perl\n"), "echo", uses="half-close"),
    Client("php streams", f"php {SCRIPTS}/async.php echo.far.test:7 {V4}:7 [{V6}]:7", prints("php\n" * 6), "echo",
           uses="readiness"),
    Client("lua, connect() until it is connected", f"lua5.4 {SCRIPTS}/polling.lua {ECHO_PORT} {' '.join(HOSTS)}",
           prints("lua\n" * 4), "echo"),
    Client("tcl socket -async", f"tclsh8.6 {SCRIPTS}/async.tcl {ECHO_PORT} {' '.join(HOSTS)}",
           prints("".join(f"tcl to {host}\n" for host in HOSTS)), "echo", uses="readiness"),
    Client("erlang gen_tcp", f"escript {SCRIPTS}/gen_tcp.erl {ECHO_PORT} {' '.join(HOSTS)}",
           prints("".join(f"erlang to {host}\n" for host in HOSTS)), "echo"),
    Client("glib GSocketClient", f"{PYTHON} {SCRIPTS}/gio.py {ECHO_PORT} {' '.join(HOSTS)}",
           prints("".join(f"gio to {host}\n" for host in HOSTS)), "echo"),
    # Children that are not given what the library lives on by
    Client("env -i", f"env -i {CURL} http://web.far.test/hello", prints(HELLO), "web", takes="curl"),
    Client("xargs -P, 20 children", f"xargs -P 5 -I @ {CURL} http://host@.far.test/hello", prints(HELLO * 20), "web",
           takes="curl", stdin="".join(f"{number}\n" for number in range(20))),
    Client("python subprocess, no environment",
           f"{PYTHON} {SCRIPTS}/children.py /usr/bin/curl -q -sS http://web.far.test/hello", prints(HELLO * 2), "web"),
    *(Client(f"{way}, environment rebuilt", f"{BUILT}/spawn {way} /usr/bin/curl -q -sS http://web.far.test/hello",
             prints(HELLO), "web", made_by=CC)
      for way in ("posix_spawn", "posix_spawnp", "vfork", "fork")),
    # Databases
    Client("psql", f"{PSQL} -h db.far.test", prints("42\n"), "postgresql", core=True),
    Client("psql by IPv6 address", f"{PSQL} -h {V6}", prints("42\n"), "postgresql"),
    Client("redis-cli", "redis-cli -h redis.far.test ping", prints("PONG\n"), "redis", core=True),
    Client("ldapsearch, the first server refuses", f"{LDAP} -H 'ldap://{V4}:{REFUSED_PORT} ldap://ldap.far.test' o",
           prints("dn: dc=far,dc=test\no: far\n\n"), "ldap", uses="refusal"),
    # Tools of the network
    Client("openssl s_client",
           f"openssl s_client -brief -verify_return_error -CAfile {CA} -connect web.far.test:443",
           says("Verification: OK"), "web", core=True),
    Client("gnutls-cli with TCP fast open", f"gnutls-cli --fastopen --x509cafile {CA} web.far.test",
           says("Handshake was completed"), "web"),
    Client("dig +tcp", f"dig +tcp +short @{V4} web.far.test", prints(f"{V4}\n")),
    Client("nc", f"nc.openbsd -N echo.far.test {ECHO_PORT}", prints("nc\n"), "echo", uses="half-close", stdin="nc\n"),
    Client("nmap -sT", f"nmap --unprivileged -n -Pn -sT -p {ECHO_PORT},{REFUSED_PORT},80 {V4}",
           says(r"7/tcp +open[\s\S]*9/tcp +closed[\s\S]*80/tcp +open"), "web echo", uses="refusal"),
    Client("ncat", f"ncat echo.far.test {ECHO_PORT}", prints("ncat\n"), "echo", uses="half-close", stdin="ncat\n"),
    Client("socat", f"socat -t 5 - TCP:echo.far.test:{ECHO_PORT}", prints("socat\n"), "echo",
           uses="half-close readiness", stdin="socat\n"),
    Client("socat that forks", f"sh -c '{FORKING_SOCAT}'", prints("socat 1\nsocat 2\nsocat 3\n"), "echo",
           takes="socat nc.openbsd", uses="half-close readiness"),
    Client("nginx as a reverse proxy", f"sh -c '{REVERSE_PROXY}'", prints(HELLO * 20), "web", takes="nginx curl",
           uses="names ipv6"),
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
    Client("nc to a refused port", f"nc.openbsd -w 5 -zv {V4} {REFUSED_PORT}", exits(1), as_bare="refused",
           uses="refusal"),
    Client("rust, kinds of errors", f"{BUILT}/tcp_stream {V4}:{REFUSED_PORT} {UNREACHABLE.v4}:80", exits(1),
           as_bare="refused unreachable", made_by=RUSTC),
    # Datagrams
    Client("datagrams", f"{PYTHON} {SCRIPTS}/datagrams.py {ECHO_PORT} {V4}",
           prints("unconnected connected asynchronous\n"), "echo", core=True, uses="datagrams"),
    Client("datagrams by name and by IPv6 address",
           f"{PYTHON} {SCRIPTS}/datagrams.py {ECHO_PORT} echo.far.test echo.v6.far.test {V6}",
           prints("unconnected connected asynchronous\n" * 3), "echo", core=True, uses="datagrams"),
    Client("node dgram", f"node {SCRIPTS}/datagrams.mjs {ECHO_PORT} echo.far.test", prints("10 of 10\n"), "echo",
           core=True, uses="datagrams"),
    Client("socat UDP", f"socat -t 1 - UDP:echo.far.test:{ECHO_PORT}", prints("socat\n"), "echo", core=True,
           uses="datagrams", stdin="socat\n"),
    Client("tftp", f"tftp -m binary {V4} -c get file", copies(TFTP_FILE, "file"), "tftp", core=True, uses="datagrams other-ports"),
    Client("tftp by name", "tftp -m binary web.v4.far.test -c get file", copies(TFTP_FILE, "file"), "tftp", uses="datagrams other-ports"),
    Client("dig of a server of its choice", f"dig +short +tries=2 +time=2 @{V4} web.far.test", prints(f"{V4}\n"),
           core=True, uses="datagrams"),
    Client("drill of a server of its choice", f"drill -Q @{V4} web.far.test", prints(f"{V4}\n"), core=True,
           uses="datagrams"),
    Client("nc -u", f"nc.openbsd -u -w 1 echo.far.test {ECHO_PORT}", prints("nc\n"), "echo", uses="datagrams",
           stdin="nc\n"),
    Client("iperf3 -u", "iperf3 -c iperf.far.test -u -b 10M -n 500K", says("receiver"), "iperf3",
           core=True, uses="datagrams"),
    # What cannot be carried must fail, and must not leave by another way.
    Client("a datagram that no proxy takes", f"{PYTHON} {SCRIPTS}/send_datagram.py {V4} {ECHO_PORT}", fails, core=True,
           without="datagrams"),
    Client("ping", f"ping -c1 -W1 {V4}", fails, uses="capabilities"),
    Client("ping -6", f"ping -6 -c1 -W1 {V6}", fails, uses="capabilities"),
    # Servers, which listen at the proxy
    *servers(),
    *further_servers(),
    # A name is answered without a question to anybody, also where a program puts it to a name server by itself.
    Client("getent", "getent ahosts web.far.test", says(POOL), answered_here=True),
    Client("dig", "dig +short +tries=1 +time=1 web.far.test", says(POOL), answered_here=True),
    Client("dig by TCP", "dig +tcp +short +tries=1 +time=1 web.far.test", says(POOL), answered_here=True),
    Client("drill", "drill -Q web.far.test", says(POOL), answered_here=True),
    Client("drill by TCP", "drill -t -Q web.far.test", says(POOL), answered_here=True),
    Client("node with its own DNS client", f"node {SCRIPTS}/resolve.mjs web.far.test", says(POOL), answered_here=True),
    Client("aria2c with its own DNS client", "aria2c -q --no-conf http://web.far.test/big", copies(BIG, "big"), "web"),
    Client("gpg, a key by dirmngr and its own DNS client",
           f"sh -c 'mkdir -m 700 keys; echo resolver-timeout 1 >keys/dirmngr.conf; {GET_KEY}'",
           says("imported: 1"), "web", takes="gpg dirmngr"),
]
# fmt: on
