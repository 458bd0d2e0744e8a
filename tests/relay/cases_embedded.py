"""socksify-relay --embedded: the relay of one command."""

import contextlib
import os
import pathlib
import re
import subprocess
import time

import harness
from harness import Client, Server, Skip, echo, request, wait_until


def children_of_nobody(listening_port):
    """The process that listens there."""
    inode = None
    for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1] == f"0100007F:{listening_port:04X}" and fields[3] == "0A":
            inode = fields[9]
    if inode is None:
        return None
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for fd in (process / "fd").iterdir():
                if os.readlink(fd) == f"socket:[{inode}]":
                    return int(process.name)
    return None


class Embedded:
    """An embedded relay that watches a process of ours."""

    def __init__(self, *options):
        self.watched = subprocess.Popen(["sleep", "1000"])
        # As a shell does it for $(…): read to the end of file, then wait.
        begun = time.monotonic()
        result = harness.run("--embedded", "--watch-pid", str(self.watched.pid), *options)
        self.elapsed = time.monotonic() - begun
        self.line = result.stdout
        assert result.returncode == 0, result
        match = re.fullmatch(r"socks5://([^:@/]+):([^:@/]+)@127\.0\.0\.1:(\d+)\n", self.line)
        assert match, result
        self.user, self.password, self.port = match[1], match[2], int(match[3])
        self.pid = children_of_nobody(self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.watched.kill()
        self.watched.wait()
        wait_until(lambda: not self.runs(), "the relay has ended")

    def runs(self):
        """A zombie does not run: its parent may be somebody who waits for nobody."""
        try:
            return self.pid is not None and pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2][1] != "Z"
        except OSError:
            return False

    def client(self):
        client = Client(self.port)
        assert client.log_in(self.user, self.password)
        return client


def test_one_line_and_a_relay_behind_it():
    with Server(echo) as server, Embedded("--allow-loopback") as embedded, embedded.client() as client:
        client.connect("127.0.0.1", server.port)
        client.send(b"hello")
        client.expect(b"hello")


def test_it_is_quick():
    with Embedded() as embedded:
        assert embedded.elapsed < 5
        print(f"        {embedded.elapsed * 1000:.0f} ms")


def test_credentials_are_new_each_time_and_needed():
    with Embedded("--allow-loopback") as first, Embedded("--allow-loopback") as second:
        assert first.user != second.user and first.password != second.password
        assert len(first.password) >= 32
        with Client(first.port) as client:
            assert not client.log_in(second.user, second.password)
        with Client(first.port) as client:
            client.send(b"\x05\x01\x00")
            client.expect("05 ff")


def test_it_ends_when_the_command_ends():
    with Server(echo) as server, Embedded("--allow-loopback") as embedded, embedded.client() as client:
        client.connect("127.0.0.1", server.port)
        assert embedded.runs()
        begun = time.monotonic()
        embedded.watched.kill()
        embedded.watched.wait()
        time.sleep(0.3)
        client.send(b"what the command left behind")
        client.expect(b"what the command left behind")
        client.expect_end()  # not for long
        wait_until(lambda: not embedded.runs(), "the relay has ended")
        assert time.monotonic() - begun < 6


def test_without_tunnels_it_ends_at_once():
    with Embedded() as embedded:
        begun = time.monotonic()
        embedded.watched.kill()
        embedded.watched.wait()
        wait_until(lambda: not embedded.runs(), "the relay has ended")
        assert time.monotonic() - begun < 1.5


def test_it_ends_when_it_is_told_to():
    with Embedded() as embedded:
        os.kill(embedded.pid, harness.SIGTERM)
        wait_until(lambda: not embedded.runs(), "the relay has ended")


def test_it_ends_though_nobody_has_waited_for_the_command():
    """A zombie has ended as well."""
    with Embedded() as embedded:
        embedded.watched.kill()
        wait_until(lambda: not embedded.runs(), "the relay has ended")


def test_it_detaches():
    with Embedded() as embedded:
        pid = embedded.pid
        for fd in range(3):
            assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_a_command_substitution_ends_though_more_is_inherited():
    """Descriptors that the shell left open on purpose don't stay open in the relay."""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    watched = subprocess.Popen(["sleep", "1000"])
    try:
        begun = time.monotonic()
        script = 'url=$("$0" --embedded --watch-pid "$1" 7>&2) && echo "$url"'
        result = subprocess.run(
            ["/bin/sh", "-c", script, str(harness.PROGRAM), str(watched.pid)],
            capture_output=True, text=True, timeout=20, pass_fds=[write_end], check=True,
        )  # fmt: skip
        assert result.stdout.startswith("socks5://") and result.stderr == ""
        os.close(write_end)
        write_end = -1
        assert os.read(read_end, 1) == b""  # nobody holds the other end
        assert time.monotonic() - begun < 10
    finally:
        watched.kill()
        watched.wait()
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)


def test_the_own_host_is_guarded_unless_allowed():
    with Server(echo) as server, Embedded() as embedded, embedded.client() as client:
        client.send(request("127.0.0.1", server.port))
        client.expect_refusal(2)


def test_hosts_of_the_command_line():
    options = ("--allow-loopback", "--host", "web.test=127.0.0.1", "--host=other.test=::1", "--host=web.test=::1")
    with Server(echo) as server, Embedded(*options) as embedded:
        for name in ("web.test", "WEB.TEST."):
            with embedded.client() as client:
                assert client.connect(name, server.port)[0] == "127.0.0.1"
        with embedded.client() as client:
            client.send(request("other.test", server.port))
            assert client.read_reply()[0] != 0


def test_everything_is_on():
    with Embedded() as embedded, embedded.client() as client:
        client.send(bytes.fromhex("05 10 01 01 00000000 0000"))
        client.expect("05 00 01 01 00000000 0000")
        assert client.read_list() == [
            (1, 5, b"\0"), (2, 1, b""), (2, 3, b""), (2, 4, b""), (3, 2, b""), (4, 1, b""), (4, 2, b"\1\2"),
            (4, 3, b""), (4, 0xA1, b"\1"), (4, 0xA2, b"\1"), (4, 0x10, b"\x01"),
            (0x80, 0, b"socksify"), (0x80, 1, b"\2"),
        ]  # fmt: skip


def test_a_process_that_is_not_there():
    ended = subprocess.Popen(["true"])
    ended.wait()
    result = harness.run("--embedded", "--watch-pid", str(ended.pid))
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr == f"socksify-relay: --watch-pid {ended.pid}: No such process\n", result.stderr


def test_a_standard_output_that_takes_nothing():
    if not os.path.exists("/dev/full"):
        raise Skip("no /dev/full")
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run(
            [str(harness.PROGRAM), "--embedded", "--watch-pid", str(os.getpid())],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False,
        )  # fmt: skip
    assert result.returncode == 1 and "standard output" in result.stderr, result


def test_standard_descriptors_that_are_closed():
    watched = subprocess.Popen(["sleep", "1000"])
    try:
        for closed in ("<&-", "2>&-", "<&- 2>&-"):
            script = f'"$0" --embedded --watch-pid "$1" {closed}'
            result = subprocess.run(
                ["/bin/sh", "-c", script, str(harness.PROGRAM), str(watched.pid)],
                stdout=subprocess.PIPE, text=True, timeout=20, check=False,
            )  # fmt: skip
            assert result.returncode == 0 and result.stdout.startswith("socks5://"), (closed, result)
            with Client(int(result.stdout.strip().rpartition(":")[2])) as client:
                client.send(b"\x05\x01\x02")
                client.expect("05 02")
    finally:
        watched.kill()
        watched.wait()
