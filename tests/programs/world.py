"""A private world for one run: whatever is started, mounted or configured in it is gone when the run is gone.

The lab starts some thirty servers as root, gives a user a password and mounts over /run. Tidying up behind it by hand
would be one `kill -9` away from a machine full of leftovers, so nothing is tidied up by hand. The run lives in
namespaces of its own, which the kernel takes down with their last process:

    run.py (outside)          waits; its death, by whatever signal, kills ↓
    └─ init (PID 1 inside)    reaps orphans; its death kills every process inside
       └─ run.py (inside)     builds the lab, runs the cases

    PID namespace      no process outlives the run
    mount namespace    /run and /dev/shm are private tmpfs, and so is all that the lab writes; /etc/passwd may be
                       covered by another file without the machine's own being touched
    network namespace  nothing here can reach, or be reached from, the machine's own network
    UTS, IPC           the host name is `lab`; shared memory is our own

Two runs at once cannot see each other, and a fixed path (STATE) is as good as a random one.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

STATE = Path("/run/lab")  # everything that the lab writes; a tmpfs that only this run sees

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 2, 4, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class NotPossibleHere(Exception):
    """The machine does not let us build a lab (no root, no namespaces): a reason to skip, not a failure."""


def _call(function: str, *arguments) -> None:
    # Python's own os.unshare and os.setns came with 3.12; Debian 12 has 3.11.
    if getattr(_libc, function)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{function}: {os.strerror(error)}")


def unshare(flags: int) -> None:
    _call("unshare", flags)


def die_with_parent() -> None:
    """The calling process gets SIGKILL when its parent ends."""
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    _call("mount", source.encode(), target.encode(), kind and kind.encode(), flags, data and data.encode())


@contextlib.contextmanager
def network_of(pid: int):
    """Sockets and TUN devices opened in this block belong to the network namespace of process `pid`."""
    with open("/proc/self/ns/net") as ours, open(f"/proc/{pid}/ns/net") as theirs:
        _call("setns", theirs.fileno(), CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", ours.fileno(), CLONE_NEWNET)


def network_id(pid: int) -> str | None:
    """Names the network namespace that `pid` is in; None if there is no such process any more."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def become_root(argv: list[str]) -> None:
    """Returns if this process is root; else starts the command again through sudo, if that asks for no password."""
    if os.geteuid() == 0:
        return
    try:
        allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
    except OSError:  # there is no sudo, or it isn't for us
        allowed = False
    if not allowed:
        raise NotPossibleHere("needs root (namespaces, TUN devices), and `sudo -n` does not give it")
    os.execvp("sudo", ["sudo", "-n", *argv])


def run_in_private_world(body) -> int:
    """Runs `body()` in a world of its own and returns its exit status. Must be called as root, with one thread."""
    sys.stdout.flush()
    try:
        unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)
    except OSError as error:
        raise NotPossibleHere(f"no namespaces here: {error}") from None
    init = os.fork()
    if init == 0:
        _as_init(body)

    def pass_on(number, _frame):
        os.kill(init, signal.SIGKILL)  # and the kernel kills everything else inside, and waits for it
        os.waitpid(init, 0)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # whoever started us must see that it was this signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    _, status = os.waitpid(init, 0)
    return os.waitstatus_to_exitcode(status)


def _as_init(body) -> None:
    """PID 1: furnishes the world, starts `body` as its only child and reaps whatever is left to it. Never returns."""
    die_with_parent()
    os.setsid()  # ^C at a terminal goes to its foreground group; only the outside acts on it
    try:
        _furnish()
    except OSError as error:
        print(f"the private world could not be furnished: {error}", file=sys.stderr)
        os._exit(1)
    suite = os.fork()
    if suite == 0:
        _exit_with(body)
    # A server that daemonizes, or a client's forgotten child, ends up here; unreaped, it would look alive for ever.
    while True:
        pid, status = os.wait()
        if pid == suite:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _exit_with(body) -> None:
    try:
        status = body()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    os._exit(status or 0)


def _furnish() -> None:
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)  # what we mount must not propagate to the machine
    mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV)
    # /run: room for STATE and for what servers insist on (/run/sshd), and no socket of the machine's nscd, resolved or
    # D-Bus, through which a program could have a name resolved behind the counters' back. /dev/shm: two runs of the
    # same user must not share a name pool.
    mount("tmpfs", "/run", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    mount("tmpfs", "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
    _call("sethostname", b"lab", 3)
    STATE.mkdir()
    Path("/run/sshd").mkdir()
