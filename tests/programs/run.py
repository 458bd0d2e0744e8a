#!/usr/bin/python3 -B
"""Real programs through real SOCKS servers, in a lab where whatever doesn't go to the proxy is counted as a leak.

    tests/programs/run.py --build build                    the whole suite (as root, or with password-less sudo)
    tests/programs/run.py --server relay --client curl     parts: every server and client whose name begins so
    tests/programs/run.py --server ""                      every server with every client
    tests/programs/run.py --server micro --client "python asyncio" --repeat 300      to catch what fails now and then
    tests/programs/run.py --list                           what there is
    tests/programs/run.py --wrapper proxychains4           somebody else's shim, to try the lab itself
    tests/programs/run.py --server danted --shell          a shell on the program's side, with that server running

Without --server and --client, the relay and danted meet every client, and other servers the representative ones. A case
fails if its program doesn't do what it should, or if a single packet leaves for anywhere but the SOCKS server; it is
skipped if its program is not installed. The run goes on after a failure; exit status 1 if there was one.
"""

import argparse
import os
import pty
import shlex
import sys
from pathlib import Path

import lab
import world
from clients import CLIENTS, Client
from servers import SERVERS, SocksServer
from suite import Suite, Tally
from wrappers import WRAPPERS

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--build", type=Path, default=ROOT / "build", help="meson build directory (default: %(default)s)")
    add("--server", action="append", default=[], metavar="PREFIX", help="only these SOCKS servers")
    add("--client", action="append", default=[], metavar="PREFIX", help="only these clients")
    add("--wrapper", choices=WRAPPERS, default="socksify", help="what is put before a client")
    add("--keep-going", action="store_true", help="go on after a failure (it always does)")
    add("--repeat", type=int, default=1, metavar="N", help="each case N times")
    add("--list", action="store_true", help="say what would be run")
    add("--shell", action="store_true", help="a shell in the lab instead of cases")
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options


def chosen(options: argparse.Namespace) -> list[tuple[SocksServer, list[Client]]]:
    """What to run, by server. A chosen server meets every chosen client; by default, as the tables say."""

    def named(entries: list, prefixes: list[str]) -> list:
        return [entry for entry in entries if not prefixes or entry.name.startswith(tuple(prefixes))]

    def wanted(server: SocksServer, client: Client) -> bool:
        lacks = set(server.lacks.split())
        possible = not client.features & lacks and (not client.without or set(client.without.split()) & lacks)
        by_default = server.everything or client.core or client.features & set(server.meets.split())
        return bool(possible) and bool(options.server or options.client or by_default)

    clients = named(CLIENTS, options.client)
    return [
        (server, [client for client in clients if wanted(server, client) for _ in range(options.repeat)])
        for server in named(SERVERS, options.server)
    ]


def run(options: argparse.Namespace) -> int:
    suite = Suite(options.build, WRAPPERS[options.wrapper])
    if not (options.server or options.client):
        suite.check_gauge()
    for server, clients in chosen(options):
        suite.with_server(server, clients)
    return suite.tally.summary()


def shell(options: argparse.Namespace) -> int:
    """A place to look around in: the program's side of the lab, with one server running."""
    suite = Suite(options.build, WRAPPERS[options.wrapper])
    server, _ = chosen(options)[0]
    suite.far.require("web", "echo", *server.needs.split())
    with server.daemons(suite.lab, suite.build):
        wrapper = shlex.join(suite.wrapper(server, suite.build))
        print(f"The SOCKS server is {server.name}. Try:  {wrapper} curl http://web.far.test/hello", flush=True)
        os.environ.clear()
        os.environ.update(server.client.environment)
        # A terminal of its own: on the real one, ^C would end the lab.
        status = pty.spawn(suite.lab.prog.on([*server.client.become, "bash", "--norc", "-i"]))
    print(suite.lab.leaks.take())
    return os.waitstatus_to_exitcode(status)


def skip_all(options: argparse.Namespace, why: str) -> int:
    tally = Tally()
    for server, clients in chosen(options):
        for client in clients:
            tally.skipped(f"{server.name} / {client.name}", why)
    return tally.summary()


def main() -> int:
    options = arguments()
    if options.list:
        for server, clients in chosen(options):
            print(*(f"{server.name} / {client.name}" for client in clients), sep="\n")
        return 0
    try:
        world.become_root(sys.orig_argv)
        lab.check_tools()
        return world.run_in_private_world(lambda: (shell if options.shell else run)(options))
    except world.NotPossibleHere as reason:
        return skip_all(options, str(reason))


if __name__ == "__main__":
    sys.exit(main())
