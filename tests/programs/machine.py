"""A machine of the lab, and the processes on it.

A machine is a network namespace and a mount namespace, both held by one sleeping process. Only the network differs from
machine to machine, and the few files in /etc that describe it and its users; the rest of the file system is shared, so
what a client leaves behind can be compared where it lies.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import world
from world import STATE


class LabError(Exception):
    """The lab itself does not work: says nothing about the program under test."""


@dataclass(frozen=True)
class Account:
    """A user, with a home inside the lab."""

    name: str
    uid: int
    gid: int
    home: Path

    @property
    def become(self) -> list[str]:
        """The words before a command that this user is to run."""
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"] if self.uid else []

    @property
    def environment(self) -> dict[str, str]:
        """All that a process gets: nothing of whoever started the run (http_proxy, LD_PRELOAD, SSH_AUTH_SOCK…)."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "LC_ALL": "C.UTF-8",
            "USER": self.name,
            "LOGNAME": self.name,
            "SHELL": "/bin/sh",
            "TERM": "dumb",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def may_read(self, path: Path) -> bool:
        return subprocess.run([*self.become, "test", "-r", path]).returncode == 0

    def make_home(self) -> None:
        self.home.mkdir()
        os.chown(self.home, self.uid, self.gid)


ROOT = Account("root", 0, 0, STATE / "root")
SOMEBODY = Account("somebody", 60001, 65534, STATE / "somebody")  # an ordinary user


@dataclass
class Finished:
    """What became of a command."""

    status: int | None  # exit status; negative: ended by that signal; None: ran out of time
    stdout: str
    stderr: str
    directory: Path

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class Machine:
    def __init__(self, name: str):
        self.name = name
        self._etc = STATE / name
        self._etc.mkdir()
        self._holder = subprocess.Popen(
            ["sleep", "infinity"], preexec_fn=lambda: world.unshare(world.CLONE_NEWNET | world.CLONE_NEWNS)
        )  # when Popen returns, sleep has been executed, so the namespaces are there
        self.shell(
            # Duplicate address detection and router solicitations would only delay the start and show up as noise.
            """
            for which in default all lo; do for key in accept_dad router_solicitations accept_ra; do
                echo 0 > /proc/sys/net/ipv6/conf/$which/$key
            done; done
            ip link set lo up
            """
        )
        self.provide("/etc/hosts", "127.0.0.1 localhost lab\n::1 localhost\n")
        self.provide("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
        self._provide_users()

    def _provide_users(self) -> None:
        # Root's home is the lab's: a login shell of sshd's would run what is in the real one's .bashrc. And sshd
        # without PAM lets nobody in whose password is locked ("!"), not even by key.
        passwd, shadow = Path("/etc/passwd").read_text(), Path("/etc/shadow").read_text()
        self.provide("/etc/passwd", re.sub("(?m)^(root(:[^:]*){4}):.*$", rf"\1:{ROOT.home}:/bin/sh", passwd))
        self.provide("/etc/shadow", re.sub("(?m)^root:[^:]*", "root:*", shadow))
        self.add_user(SOMEBODY)

    @property
    def pid(self) -> int:
        """Of a process that is there as long as the machine is."""
        return self._holder.pid

    def end(self) -> None:
        """Ends it, with all that runs on it. Otherwise it lasts as long as the private world."""
        self.kill_all()
        self._holder.kill()
        self._holder.wait()

    # Files. ----------------------------------------------------------------------------------------------------------

    def provide(self, path: str, content: str) -> None:
        """Covers the file `path` by one with `content`, on this machine alone."""
        cover = self._etc / path.replace("/", "_")
        covered = cover.exists()
        cover.write_text(content)
        if not covered:
            # A symbolic link (resolv.conf into /run, with systemd-resolved) may point to what our /run doesn't have.
            self.shell(
                f"""
                target=$(realpath -m {path})
                [ -e "$target" ] || {{ mkdir -p "${{target%/*}}"; touch "$target"; }}
                mount --bind {cover} "$target"
                """
            )

    def add_user(self, user: Account, password_hash: str = "*") -> None:
        for path, line in (
            ("/etc/passwd", f"{user.name}:x:{user.uid}:{user.gid}::{user.home}:/bin/sh\n"),
            ("/etc/shadow", f"{user.name}:{password_hash}:20000:0:99999:7:::\n"),
        ):
            self.provide(path, (self._etc / path.replace("/", "_")).read_text() + line)

    # Processes. ------------------------------------------------------------------------------------------------------

    def on(self, argv: list[str], directory: Path = STATE) -> list[str]:
        """The command line that executes `argv` here. It execs all the way: the process becomes `argv`."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "env", "-C", str(directory), *argv]

    def start(self, argv, directory=STATE, environment=None, user=ROOT, stdin=subprocess.DEVNULL, **popen):
        return subprocess.Popen(
            self.on([*user.become, *argv], directory),
            env={**user.environment, **(environment or {})},
            start_new_session=True,
            stdin=stdin,
            **popen,
        )

    def run(
        self,
        argv: list[str],
        directory: Path = STATE,
        environment: dict[str, str] | None = None,
        user: Account = ROOT,
        stdin: str = "",
        timeout: float = 20,
    ) -> Finished:
        """Runs a program under test to its end, or for `timeout` seconds. Never raises for what the program does."""
        pipe = subprocess.PIPE
        process = self.start(argv, directory, environment, user, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            out, err = process.communicate(stdin.encode(), timeout)
            status = process.returncode
        except subprocess.TimeoutExpired:
            last_seen = self._autopsy()
            self.kill_all()
            out, err = process.communicate()
            err += last_seen.encode()
            status = None
        return Finished(status, out.decode(errors="replace"), err.decode(errors="replace"), directory)

    def shell(self, script: str) -> str:
        """Runs one of the lab's own shell scripts here; it must succeed. Returns what it printed."""
        argv = self.on(["sh", "-ec", script])
        done = subprocess.run(argv, env=ROOT.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"{self.name}: {script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def kill_all(self) -> None:
        """Kills every process on this machine, whoever started it, except the holder."""
        here = world.network_id(self.pid)
        for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
            if pid != self.pid and world.network_id(pid) == here:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _autopsy(self) -> str:
        """The threads that run here, where each sleeps, and their TCP connections: for a case that hangs."""
        here = (world.network_id(self.pid) or "")[len("net:[") : -1]
        ps = subprocess.run(["ps", "-eLo", "netns,pid,lwp,stat,wchan:24,args"], capture_output=True, text=True)
        threads = [line for line in ps.stdout.splitlines() if line.split()[0] == here and "infinity" not in line]
        return "\n".join(["", *threads, self.shell("ss -tanpOH exclude time-wait")])


@dataclass
class Daemon:
    """A server process on a machine: started, waited for, stopped. Its log is STATE/<name>.log."""

    machine: Machine
    name: str
    argv: list[str]
    listens: tuple[str, int] | Path  # an address and a port, or a Unix socket
    user: Account = ROOT
    patience: float = 20  # seconds until it must listen
    by_udp: bool = False  # its port is one of UDP

    def __post_init__(self) -> None:
        self.log = STATE / f"{self.name}.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = self.machine.start(self.argv, user=self.user, stdout=log, stderr=log)
        deadline = time.monotonic() + self.patience
        while not self._listens():
            if self.process.poll() is not None:
                raise LabError(f"{self.name} ended with status {self.process.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} does not listen\n{self.tail()}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        if isinstance(self.listens, Path):
            return self.listens.is_socket()
        # Asked of the kernel: a trial connection would stand in the log, and in the way of a server that serves one.
        address, port = self.listens
        own = f"[{address}]" if ":" in address else address
        wanted = {f"{host}:{port}" for host in (own, "*", "0.0.0.0", "[::]")}
        kind = "u" if self.by_udp else "t"
        return any(line.split()[3] in wanted for line in self.machine.shell(f"ss -Hln{kind}").splitlines())

    def stop(self) -> None:
        """Asks it to end, then makes it end, with all that it started in its session."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Daemons:
    """Daemons that run for as long as a `with` block takes: started in order, stopped in reverse."""

    def __init__(self, daemons: list[Daemon]):
        self._daemons = daemons
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Daemons":
        with contextlib.ExitStack() as stack:  # if one does not come up, it and those before it are stopped
            for daemon in self._daemons:
                daemon.start()
                stack.callback(daemon.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def tail(self) -> str:
        """The end of the last one's log."""
        return self._daemons[-1].tail()
