"""What is put before a client's command to send it through a SOCKS server: ours, and others to try the lab with."""

import json
from pathlib import Path

from lab import SOCKS_PORT
from servers import LIBRARY_LOG, PASSWORD, USER, SocksServer
from world import STATE


def socksify(server: SocksServer, build: Path) -> list[str]:
    if not server.upstream and not server.rule and not server.fast:
        return [str(build / "socksify"), "-p", server.url, "--"]
    rules = STATE / "socksify.json"
    upstreams = {"lab": {"url": server.url, **server.upstream}}
    everywhere = [{"destination": "*", "route": "lab", **server.rule}] if server.rule else []
    log = {"level": "info", "file": str(LIBRARY_LOG)} if server.fast else {}
    rules.write_text(json.dumps({"upstreams": upstreams, "rules": everywhere, "default": "lab", "log": log}))
    return [str(build / "socksify"), "-c", str(rules), "--"]


def proxychains4(server: SocksServer, build: Path) -> list[str]:
    """A peer. Shows that the cases can pass, and that the gauge sees what a shim lets out."""
    config = STATE / "proxychains.conf"
    login = f" {USER} {PASSWORD}" if server.password else ""
    config.write_text(f"strict_chain\nproxy_dns\n[ProxyList]\nsocks5 {server.address} {SOCKS_PORT}{login}\n")
    return ["proxychains4", "-q", "-f", str(config)]


def bare(server: SocksServer, build: Path) -> list[str]:
    """Nothing at all: no case may pass."""
    return []


WRAPPERS = {wrapper.__name__: wrapper for wrapper in (socksify, proxychains4, bare)}
