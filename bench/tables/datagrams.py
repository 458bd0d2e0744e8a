"""Datagrams there and back through socksify-relay: how many in a second, and what each costs the program.

The destination can be reached by the proxy alone: what goes past it fails. Bare sockets have a plain forwarder in the
proxy's place.
"""

import json

from paired import samples
from rows import Figure, Row
from scene import LOCAL_PROXY, Failed
from world import STATE

TITLE = "Datagrams there and back, over a client that speaks SOCKS itself"
DESTINATION, PORT, FORWARDER = "203.0.113.90", 7, 7007
RELAY_PORT = 1081
SIZES = (64, 512, 1400)
WAYS = (
    ("single", "{} octets, one by one", SIZES, 6_000),
    ("batch", "{} octets, in batches of 32", SIZES, 40_000),
    ("window", "{} octets, 16 on their way", (1400,), 20_000),
)


def measure(scene):
    program = str(scene.build / "bench/bench-datagrams")
    proxy = type(scene.local_proxy)(LOCAL_PROXY, RELAY_PORT)
    scene.here.shell(f"ip address add {DESTINATION}/32 dev lo; sysctl -qw net.core.rmem_max=8388608 2>/dev/null || true")
    settings = {"listen": f"{LOCAL_PROXY}:{RELAY_PORT}", "insecure_open": True, "guard_own_host": False}
    config = STATE / "bench" / "datagrams.json"
    config.write_text(json.dumps(settings))
    relay = [str(scene.build / "src/relay/socksify-relay"), "--config", str(config)]
    with (
        scene.daemon(scene.here, relay, listens=RELAY_PORT),
        scene.daemon(scene.here, [program, "serve", DESTINATION, str(PORT)]) as server,
        scene.daemon(scene.here, [program, "forward", LOCAL_PROXY, str(FORWARDER), DESTINATION, str(PORT)]) as forwarder,
    ):
        for process in (server, forwarder):
            if process.stdout.readline() != b"ready\n":
                raise Failed("bench-datagrams does not start")
        return [row for way in WAYS for size in way[2] for row in rows_of(scene, program, proxy, way, size)]


def rows_of(scene, program, proxy, way, size):
    mode, name, _, count = way
    count //= 3 if scene.quick else 1
    peers = [scene.peers.own_client, scene.peers.bare, scene.peers.ours]
    peers += [peer for peer in scene.peers.others if peer.name == "Dante"]  # of the others, none has datagrams

    def sample(peer):
        to = (LOCAL_PROXY, FORWARDER) if peer is scene.peers.bare else (DESTINATION, PORT)

        def run():
            argv = [program, mode, to[0], str(to[1]), str(size), str(count)]
            return json.loads(scene.run(scene.local, argv, peer.environment(proxy))[0])

        return run

    taken, broken = samples({peer.name: sample(peer) for peer in peers}, 3 if scene.quick else 9)
    for key, what, unit, better, goal in (
        ("rate", "rate", "× own client", "more", 0.95),
        ("processor", "processor time", "× own client", "less", 1.2),
    ):
        base = peers[0].name
        figures = {
            peer.name: broken.get(peer.name) or Figure.of(one[peer.name][key] / one[base][key] for one in taken)
            for peer in peers[1:]
        }
        figures[base] = Figure.of(one[base][key] for one in taken)
        unit = f"{unit} (that one: per second)" if key == "rate" else f"{unit} (that one: µs)"
        yield Row(f"{name.format(size)}: {what}", unit, figures, better=better, goal=goal)
