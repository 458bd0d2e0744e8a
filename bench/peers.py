"""What a program is sent through a proxy with: socksify, its peers, and the program by itself.

The peers are Debian's packages, unpacked beside the build and not installed: Dante's client has a `socksify`, too. A
Peer tells what environment has the library in a program (`environment`), and the words that a person would put before a
command (`launcher`).
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

PACKAGES = ("proxychains4", "libproxychains4", "torsocks", "dante-client", "libdsocksd0", "tsocks")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class Proxy:
    address: str
    port: int = 1080
    user: str = ""
    password: str = ""

    @property
    def url(self) -> str:
        login = f"{self.user}:{self.password}@" if self.user else ""
        return f"socks5://{login}{self.address}:{self.port}"


@dataclass(frozen=True)
class Peer:
    name: str
    environment: Callable[[Proxy], dict[str, str]]
    launcher: Callable[[Proxy], list[str]] | None = None


class Peers:
    """`directory` takes the peers' files and their configuration for one run; `build` has ours."""

    def __init__(self, build: Path, unpacked: Path, directory: Path):
        self._build, self._unpacked, self._directory = build, unpacked, directory
        self._files = 0
        self.library = build / "src/shim/libsocksify.so"
        self.ours = Peer("socksify", self.socksify, self._launch_socksify)
        self.own_client = Peer("own client", lambda proxy: {"SOCKS": f"{proxy.address}:{proxy.port}"})
        self.bare = Peer("bare", lambda proxy: {})
        candidates = {
            "libtorsocks.so": Peer("torsocks", self._torsocks, self._launch_torsocks),
            "libproxychains.so.4": Peer("proxychains", self._proxychains, self._launch_proxychains),
            "libdsocksd.so.0": Peer("Dante", self._dante, self._launch_dante),
            "libtsocks.so": Peer("tsocks", self._tsocks, self._launch_tsocks),
        }
        self._libraries = {name: next(unpacked.rglob(name), None) for name in candidates}
        self.others = [peer for name, peer in candidates.items() if self._libraries[name]]
        self.lacking = [peer.name for name, peer in candidates.items() if not self._libraries[name]]

    @property
    def all(self) -> list[Peer]:
        return [self.ours, *self.others]

    # socksify. -------------------------------------------------------------------------------------------------------

    def rules(self, proxy: Proxy, **upstream) -> Path:
        """A rules file that sends all to `proxy`; `upstream` adds keys to it. A key `_rules` is the list of rules."""
        rules = {"upstreams": {"proxy": {"url": proxy.url}}, "default": "proxy"}
        rules["rules"] = upstream.pop("_rules", [])
        rules["upstreams"]["proxy"].update(upstream)
        return self._file("socksify.json", json.dumps(rules))

    def socksify(self, proxy: Proxy, **upstream) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "SOCKSIFY_CONFIG": str(self.rules(proxy, **upstream))}

    def _launch_socksify(self, proxy: Proxy) -> list[str]:
        return [str(self._build / "socksify"), "-c", str(self.rules(proxy)), "--"]

    # The others. -----------------------------------------------------------------------------------------------------

    def _torsocks_file(self, proxy: Proxy) -> str:
        login = f"SOCKS5Username {proxy.user}\nSOCKS5Password {proxy.password}\n" if proxy.user else ""
        return str(self._file("torsocks.conf", f"TorAddress {proxy.address}\nTorPort {proxy.port}\n{login}"))

    def _torsocks(self, proxy: Proxy) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._libraries["libtorsocks.so"]),
            "TORSOCKS_CONF_FILE": self._torsocks_file(proxy),
            "TORSOCKS_LOG_LEVEL": "1",
        }

    def _launch_torsocks(self, proxy: Proxy) -> list[str]:
        script = (self._unpacked / "usr/bin/torsocks").read_text("latin-1")
        script = script.replace('LIBDIR="${libdir}', f'LIBDIR="{self._unpacked / LIBRARIES}')
        return ["env", f"TORSOCKS_CONF_FILE={self._torsocks_file(proxy)}", str(self._program("torsocks", script)), "-q"]

    def _proxychains_file(self, proxy: Proxy) -> str:
        login = f" {proxy.user} {proxy.password}" if proxy.user else ""
        return str(
            self._file(
                "proxychains.conf",
                "strict_chain\nquiet_mode\nproxy_dns\n[ProxyList]\n" f"socks5 {proxy.address} {proxy.port}{login}\n",
            )
        )

    def _proxychains(self, proxy: Proxy) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._libraries["libproxychains.so.4"]),
            "PROXYCHAINS_CONF_FILE": self._proxychains_file(proxy),
            "PROXYCHAINS_QUIET_MODE": "1",
        }

    def _launch_proxychains(self, proxy: Proxy) -> list[str]:
        # It looks for its library beside itself.
        program = self._directory / "proxychains4"
        if not program.exists():
            shutil.copy(self._unpacked / "usr/bin/proxychains4", program)
            shutil.copy(self._libraries["libproxychains.so.4"], self._directory)
        return [str(program), "-q", "-f", self._proxychains_file(proxy)]

    def _dante_file(self, proxy: Proxy) -> str:
        # The proxy's own address goes directly, which Dante adds by itself.
        route = (
            "from: 0.0.0.0/0 to: 0.0.0.0/0",
            f"via: {proxy.address} port = {proxy.port}",
            "proxyprotocol: socks_v5",
            "command: connect udpassociate",
            f"method: {'username' if proxy.user else 'none'}",
        )
        return str(self._file("dante.conf", "errorlog: stderr\nroute {\n" + "\n".join(route) + "\n}\n"))

    def _dante(self, proxy: Proxy) -> dict[str, str]:
        login = {"SOCKS_USERNAME": proxy.user, "SOCKS_PASSWORD": proxy.password} if proxy.user else {}
        return {
            "LD_PRELOAD": f"{self._libraries['libdsocksd.so.0']} /lib/x86_64-linux-gnu/libdl.so.2",
            "SOCKS_CONF": self._dante_file(proxy),
            **login,
        }

    def _launch_dante(self, proxy: Proxy) -> list[str]:
        script = (self._unpacked / "usr/bin/socksify").read_text("latin-1")
        folder = self._libraries["libdsocksd.so.0"].parent
        program = self._program("dante-socksify", script)
        return ["env", f"SOCKS_LIBDIR={folder}", f"SOCKS_CONF={self._dante_file(proxy)}", str(program)]

    def _tsocks_file(self, proxy: Proxy) -> str:
        login = f"default_user = {proxy.user}\ndefault_pass = {proxy.password}\n" if proxy.user else ""
        text = f"server = {proxy.address}\nserver_port = {proxy.port}\nserver_type = 5\n{login}"
        return str(self._file("tsocks.conf", f"local = {proxy.address}/255.255.255.255\n{text}"))

    def _tsocks(self, proxy: Proxy) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._libraries["libtsocks.so"]),
            "TSOCKS_CONF_FILE": self._tsocks_file(proxy),
        }

    def _launch_tsocks(self, proxy: Proxy) -> list[str]:
        script = (self._unpacked / "usr/bin/tsocks").read_text("latin-1")
        script = script.replace('"libtsocks.so"', f'"{self._libraries["libtsocks.so"]}"')
        script = script.replace('"libtsocks.so ', f'"{self._libraries["libtsocks.so"]} ')
        return ["env", f"TSOCKS_CONF_FILE={self._tsocks_file(proxy)}", str(self._program("tsocks", script))]

    # Files. ----------------------------------------------------------------------------------------------------------

    def _file(self, name: str, text: str) -> Path:
        self._files += 1
        path = self._directory / f"{self._files}-{name}"
        path.write_text(text)
        path.chmod(0o600)
        return path

    def _program(self, name: str, text: str) -> Path:
        path = self._directory / name
        path.write_text(text, "latin-1")
        path.chmod(0o755)
        return path


def unpack(directory: Path) -> None:
    """Debian's packages of the peers, into `directory`; what is there already is not fetched again."""
    directory.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        mark = directory / f".{package}"
        if mark.exists():
            continue
        fetched = subprocess.run(["apt-get", "-q", "download", package], cwd=directory, capture_output=True, text=True)
        for archive in directory.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, directory], check=True)
            archive.unlink()
            mark.touch()
        if not mark.exists():
            print(f"{package} can't be fetched: {(fetched.stderr.strip().splitlines() or ['?'])[-1]}")
