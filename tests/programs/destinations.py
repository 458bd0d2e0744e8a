"""The destination servers on the machine `far`: what the programs under test talk to.

`DESTINATIONS` names them; each function prepares its files under STATE and returns the daemons to start, in order. They
are started when the first case needs them and run until the lab ends.
"""

import glob
import hashlib
import os
import pwd
import shlex
import shutil
import subprocess
from email.utils import formatdate
from pathlib import Path

from lab import FAR, Lab
from machine import ROOT, SOMEBODY, Account, Daemon
from world import STATE

HERE = Path(__file__).resolve().parent

WEB_ROOT = STATE / "www"
BIG = WEB_ROOT / "big"  # 10 MiB of noise
TFTP_FILE = STATE / "tftp" / "file"
HELLO = "hello from far\n"
CA = STATE / "tls" / "ca.pem"
PACKAGES = WEB_ROOT / "debian" / "Packages"  # the index of a repository for apt
REPOSITORIES = STATE / "repositories"
REPOSITORY_NOTE = "what the clone must hold\n"
SSH_CONFIG = STATE / "ssh" / "config"  # for clients: key, known hosts, no questions
ECHO_PORT = 7
REFUSED_PORT = 9  # nothing listens there


def _tool(command: str, directory: Path = STATE) -> None:
    """Runs one of the tools that prepare files; it must succeed."""
    argv = shlex.split(command)
    subprocess.run(argv, cwd=directory, env=ROOT.environment, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _on_far(lab: Lab, command: str, listens: int | Path, user: Account = ROOT) -> Daemon:
    """A daemon on `far`; `listens` is a TCP port of its IPv4 address, or a Unix socket."""
    argv = shlex.split(command)
    if isinstance(listens, Path):
        return Daemon(lab.far, f"far-{listens.stem}", argv, listens, user)
    return Daemon(lab.far, f"far-{listens}", argv, (FAR.v4, listens), user)


def names(lab: Lab) -> list[Daemon]:
    return [_on_far(lab, f"/usr/bin/python3 {HERE}/names.py {FAR.v4} {FAR.v4} {FAR.v6}", 53)]


def echo(lab: Lab) -> list[Daemon]:
    return [_on_far(lab, f"/usr/bin/python3 {HERE}/echo.py {ECHO_PORT}", ECHO_PORT)]


def web(lab: Lab) -> list[Daemon]:
    """HTTP, HTTPS (HTTP/2 too) and, below /git/, git's smart HTTP through its own CGI program."""
    WEB_ROOT.mkdir()
    (WEB_ROOT / "hello").write_text(HELLO)
    BIG.write_bytes(os.urandom(10 << 20))
    _make_page()
    _make_packages()
    shutil.copy(HERE / "scripts" / "key.asc", WEB_ROOT)
    _make_certificate()
    _make_repository()
    fastcgi = STATE / "fcgiwrap.sock"
    config = STATE / "nginx.conf"
    kinds_of_temporary_file = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    config.write_text(
        f"""
        daemon off; user root; worker_processes 1; pid {STATE}/nginx.pid; error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            access_log off;
            {" ".join(f"{kind}_temp_path {STATE}/nginx-{kind};" for kind in kinds_of_temporary_file)}
            server {{
                listen 80 backlog=1024; listen [::]:80 backlog=1024; listen 443 ssl http2; listen [::]:443 ssl http2;
                ssl_certificate {STATE}/tls/server.pem; ssl_certificate_key {STATE}/tls/server.key;
                root {WEB_ROOT};
                location ~ ^/git(/.*)$ {{
                    fastcgi_pass unix:{fastcgi};
                    fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
                    fastcgi_param GIT_PROJECT_ROOT {REPOSITORIES};
                    fastcgi_param GIT_HTTP_EXPORT_ALL 1;
                    fastcgi_param PATH_INFO $1;
                    fastcgi_param QUERY_STRING $query_string;
                    fastcgi_param REQUEST_METHOD $request_method;
                    fastcgi_param CONTENT_TYPE $content_type;
                    fastcgi_param CONTENT_LENGTH $content_length;
                }}
            }}
        }}
        """
    )
    return [
        _on_far(lab, f"fcgiwrap -s unix:{fastcgi} -c 2", fastcgi),
        _on_far(lab, f"nginx -e stderr -c {config}", 443),
    ]


def _make_page() -> None:
    """A page for a browser. Its scripts come from other hosts, over HTTP and HTTPS, and each says who sent it."""
    origins = "http://host1.far.test https://host2.far.test http://host3.v4.far.test http://host4.v6.far.test"
    scripts = "".join(f'<script src="{origin}/say.js"></script>' for origin in origins.split())
    (WEB_ROOT / "page.html").write_text(f"<html><body>{scripts}</body></html>\n")
    (WEB_ROOT / "say.js").write_text("document.write('said by ' + new URL(document.currentScript.src).host);\n")


def _make_packages() -> None:
    """A Debian repository of one package, as far as `apt-get update` looks."""
    PACKAGES.parent.mkdir()
    PACKAGES.write_text(
        "Package: lab\nVersion: 1\nArchitecture: all\nMaintainer: lab <lab@far.test>\nDescription: lab\n"
        f"Filename: lab.deb\nSize: 1\nSHA256: {hashlib.sha256(b'?').hexdigest()}\n\n"
    )
    octets = PACKAGES.read_bytes()
    date = formatdate(usegmt=True)
    digest = hashlib.sha256(octets).hexdigest()
    (PACKAGES.parent / "sources.list").write_text(f"deb [trusted=yes] http://web.far.test/{PACKAGES.parent.name} ./\n")
    (PACKAGES.parent / "Release").write_text(f"Date: {date}\nSHA256:\n {digest} {len(octets)} {PACKAGES.name}\n")


def _make_certificate() -> None:
    """A CA of our own, and a certificate from it for every name and address of `far`."""
    tls = CA.parent
    tls.mkdir()
    (tls / "extensions").write_text(
        f"subjectAltName=DNS:*.far.test,DNS:*.v4.far.test,DNS:*.v6.far.test,IP:{FAR.v4},IP:{FAR.v6}\n"
        "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
    )
    new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    _tool(f"{new} -x509 -days 2 -subj '/CN=lab CA' -addext keyUsage=keyCertSign -keyout ca.key -out ca.pem", tls)
    _tool(f"{new} -subj /CN=far -keyout server.key -out server.csr", tls)
    sign = "openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions"
    _tool(f"{sign} -in server.csr -out server.pem", tls)


def _make_repository() -> None:
    """REPOSITORIES/project.git: a few commits, many small files and a large one."""
    if REPOSITORIES.exists():
        return
    work = REPOSITORIES / "work"
    work.mkdir(parents=True)
    (work / "NOTE").write_text(REPOSITORY_NOTE)
    (work / "noise").write_bytes(os.urandom(1 << 20))
    for number in range(100):
        (work / f"file-{number}").write_text(f"file {number}\n")
    _tool("git init -q", work)
    _tool("git add .", work)
    for message in ("first", "second", "third"):
        _tool(f"git -c user.name=lab -c user.email=lab@far.test commit -q --allow-empty -m {message}", work)
    _tool("git clone -q --bare work project.git", REPOSITORIES)
    shutil.rmtree(work)


def git(lab: Lab) -> list[Daemon]:
    """The git:// protocol."""
    _make_repository()
    return [_on_far(lab, f"git daemon --export-all --base-path={REPOSITORIES} {REPOSITORIES}", 9418)]


def ssh(lab: Lab) -> list[Daemon]:
    """sshd with a key for root; serves ssh, scp, rsync and git over ssh, and is the far end of `ssh -D`."""
    _make_repository()
    home = SSH_CONFIG.parent
    home.mkdir()
    for key in ("host_key", "key_of_root"):
        _tool(f"ssh-keygen -q -t ed25519 -N '' -f {key}", home)
    shutil.copy(home / "key_of_root.pub", home / "authorized_keys")
    # ssh takes no key that others than its user could read, so each user has a copy.
    shutil.copy(home / "key_of_root", home / f"key_of_{SOMEBODY.name}")
    os.chown(home / f"key_of_{SOMEBODY.name}", SOMEBODY.uid, SOMEBODY.gid)
    host_key = " ".join((home / "host_key.pub").read_text().split()[:2])
    (home / "known_hosts").write_text(f"*.far.test,{FAR.v4},{FAR.v6} {host_key}\n")
    SSH_CONFIG.write_text(
        f"User root\nIdentityFile {home}/key_of_%u\nIdentitiesOnly yes\nUserKnownHostsFile {home}/known_hosts\n"
        "GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nBatchMode yes\n"
    )
    config = home / "sshd_config"
    config.write_text(
        # StrictModes: STATE lies below /run, not in root's home. PAM would ask systemd for a session.
        f"Port 22\nHostKey {home}/host_key\nAuthorizedKeysFile {home}/authorized_keys\nStrictModes no\nUsePAM no\n"
        "PidFile none\nPermitRootLogin prohibit-password\nMaxStartups 100\nSubsystem sftp internal-sftp\n"
    )
    return [_on_far(lab, f"/usr/sbin/sshd -D -e -f {config}", 22)]


def ftp(lab: Lab) -> list[Daemon]:
    """FTP without a password, of what the web server has."""
    chroot = STATE / "vsftpd"
    chroot.mkdir()
    config = STATE / "vsftpd.conf"
    config.write_text(
        f"listen_ipv6=YES\nbackground=NO\nsecure_chroot_dir={chroot}\nxferlog_enable=NO\nftpd_banner=lab\n"
        f"anonymous_enable=YES\nno_anon_password=YES\nftp_username={SOMEBODY.name}\nanon_root={WEB_ROOT}\n"
        "connect_from_port_20=NO\n"
    )
    return [_on_far(lab, f"vsftpd {config}", 21)]


def ldap(lab: Lab) -> list[Daemon]:
    """The directory dc=far,dc=test, which holds itself."""
    home = STATE / "ldap"
    (home / "data").mkdir(parents=True)
    config = home / "slapd.conf"
    config.write_text(
        f"include /etc/ldap/schema/core.schema\npidfile {home}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f"database mdb\ndirectory {home}/data\nsuffix dc=far,dc=test\n"
    )
    entry = "dn: dc=far,dc=test\nobjectClass: organization\nobjectClass: dcObject\no: far\ndc: far\n"
    (home / "entries").write_text(entry)
    _tool(f"slapadd -f {config} -l {home}/entries", home)
    return [_on_far(lab, f"slapd -d 0 -f {config} -h ldap:///", 389)]


def rsync(lab: Lab) -> list[Daemon]:
    config = STATE / "rsyncd.conf"
    config.write_text(f"use chroot = no\nuid = root\ngid = root\n[www]\npath = {WEB_ROOT}\nread only = yes\n")
    return [_on_far(lab, f"rsync --daemon --no-detach --config={config}", 873)]


def postgresql(lab: Lab) -> list[Daemon]:
    programs = max(glob.glob("/usr/lib/postgresql/*/bin"), default="/usr/lib/postgresql/bin")
    entry = pwd.getpwnam("postgres")  # it refuses to run as root
    postgres = Account("postgres", entry.pw_uid, entry.pw_gid, STATE / "postgres")
    postgres.make_home()
    data = postgres.home / "data"
    _tool(f"{shlex.join(postgres.become)} {programs}/initdb --no-sync --auth=trust -D {data}", postgres.home)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all all trust\n")
    options = f"-c listen_addresses=* -c unix_socket_directories={data} -c fsync=off"
    return [_on_far(lab, f"{programs}/postgres -D {data} {options}", 5432, postgres)]


def redis(lab: Lab) -> list[Daemon]:
    options = f"--bind 0.0.0.0 :: --protected-mode no --save '' --dir {STATE}"
    return [_on_far(lab, f"redis-server --port 6379 {options}", 6379)]


def iperf3(lab: Lab) -> list[Daemon]:
    return [_on_far(lab, "iperf3 --server", 5201)]


def tftp(lab: Lab) -> list[Daemon]:
    """It answers from another port than the one that was asked (RFC 1350 §4)."""
    TFTP_FILE.parent.mkdir()
    TFTP_FILE.write_bytes(os.urandom(100_000))
    argv = ["in.tftpd", "--foreground", "--address", f"{FAR.v4}:69", "--secure", str(TFTP_FILE.parent)]
    return [Daemon(lab.far, "in.tftpd", argv, (FAR.v4, 69), by_udp=True)]


DESTINATIONS = {
    destination.__name__: destination
    for destination in (names, echo, web, git, ssh, ftp, ldap, rsync, postgresql, redis, iperf3, tftp)
}


class Far:
    """The destination servers that run so far."""

    def __init__(self, lab: Lab):
        self._lab = lab
        self._running: set[str] = set()
        self.require("names")

    def require(self, *wanted: str) -> None:
        """Starts what is not running yet. Raises LabError, OSError or CalledProcessError when one doesn't come up."""
        for name in wanted:
            if name not in self._running:
                for daemon in DESTINATIONS[name](self._lab):
                    daemon.start()
                self._running.add(name)
