"""SOCKS servers as people run them: our own relay if it has been built, else microsocks; and danted, for datagrams."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import world
from far import Far
from scene import PROXY_V4, PROXY_V6, STATE

PORT = 1080
UNIX_SOCKET = STATE / "proxy.sock"  # the same server


def relay(build: Path) -> list[str] | None:
    program = build / "src/relay/socksify-relay"
    if not program.exists():
        return None
    config = STATE / "relay.json"
    settings = {
        "listen": [f"{PROXY_V4}:{PORT}", f"[{PROXY_V6}]:{PORT}"],
        "insecure_open": True,  # on this scene there is nobody else
        "guard_own_host": False,  # the destinations are on the relay's own machine
        "features": {"bind": True, "listen": True},
        "log": {"level": "warning"},
    }
    config.write_text(json.dumps(settings))
    return [str(program), "--config", str(config)]


def microsocks(build: Path) -> list[str] | None:
    return ["microsocks", "-i", "::", "-p", str(PORT)] if shutil.which("microsocks") else None


def danted(build: Path, port: int = PORT) -> list[str] | None:
    program = shutil.which("danted", path="/usr/sbin:/usr/local/sbin")
    if not program:
        return None
    config = STATE / "danted.conf"
    config.write_text(
        f"""
        logoutput: stderr
        internal: {PROXY_V4} port = {port}
        internal: {PROXY_V6} port = {port}
        external: {PROXY_V4}
        external: {PROXY_V6}
        user.privileged: root
        user.unprivileged: nobody
        clientmethod: none
        socksmethod: none
        client pass {{ from: 0/0 to: 0/0 }}
        socks pass {{ from: 0/0 to: 0/0 protocol: tcp udp }}
        socks pass {{ from: 0/0 to: 0/0 command: bindreply udpreply }}
        """
    )
    return [program, "-f", str(config), "-p", str(STATE / "danted.pid")]


SERVERS = {"relay": relay, "microsocks": microsocks, "danted": danted}
SECOND_PORT = 1081  # danted, beside one of the others
SECOND = f"socks5://{PROXY_V4}:{SECOND_PORT}"


class RealProxy:
    """Runs from construction to `stop`, on `far`."""

    port = PORT

    def __init__(self, far: Far, build: Path, wanted: list[str]):
        for self.name in wanted:
            if argv := SERVERS[self.name](build):
                break
        else:
            raise world.NotPossibleHere("no SOCKS server: neither socksify-relay nor microsocks is there")
        self._log = (STATE / "real_proxy.log").open("wb")
        self._process = far.run(self._start(argv))
        self._await_listening(self._process, PORT)
        self._second = None
        if self.name != "danted" and (argv := danted(build, SECOND_PORT)):
            self._second = far.run(self._start(argv))
            self._await_listening(self._second, SECOND_PORT)
        bridge = ["socat", f"UNIX-LISTEN:{UNIX_SOCKET},fork,backlog=128", f"TCP:{PROXY_V4}:{PORT}"]
        self._bridge = far.run(self._start(bridge))

    async def _start(self, argv: list[str]) -> subprocess.Popen:
        # On the servers' thread: a child is on the machine of the thread that starts it.
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    def _await_listening(self, process: subprocess.Popen, port: int) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((PROXY_V4, port), 1).close()
                return
            except OSError as error:
                if time.monotonic() > deadline or process.poll() is not None:
                    log = (STATE / "real_proxy.log").read_text(errors="replace")
                    raise RuntimeError(f"no server on port {port}: {error}\n{log}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        for process in (self._bridge, self._second, self._process):
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
