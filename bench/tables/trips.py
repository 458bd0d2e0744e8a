"""Round trips and time until the first octet of the answer, over a link of 50 ms (tests/support/delay_link.cpp).

`until connect returns` is the time that connect() takes, divided by the link's length as a bare connection measures it.
Of each process the first connection is left out, and what it makes socksify learn is over before the next; in the rows
of a first connection each is a process of its own, which finds nothing learnt by others (`nothing known`) or all of it. In the
row of held connections the process has connected often enough for one to be ready.
"""

import json
import shutil
import statistics
import subprocess

from peers import Proxy
from rows import Figure, Row
from scene import DESTINATION, ECHO, LINK_PROXY, Failed
from world import STATE

TITLE = "Over a link of 50 ms"
ROUND_TRIP = 50
RELAYS = (  # a name, what its list announces, and after how many connections more of a process it is measured
    ("relay, its list known", {"hold": False}, 0),
    ("relay, TCP Fast Open on both sides", {"hold": False, "fast_open": True}, 0),
    ("relay, a held connection ready", {"hold": True}, 2),
)
RELAYS_WITH_PASSWORD = (
    ("relay, password, TCP Fast Open on both sides", {"hold": False, "fast_open": True}, 0),
    ("relay, a session token over Fast Open", {"hold": False, "fast_open": True, "sessions": True}, 2),
)


def first_bytes(scene, near, peer=None, environment=None, count=4, pause=0, proxy=None, port=ECHO):
    return scene.client(
        "first-byte",
        count,
        pause,
        peer=peer,
        environment=environment,
        machine=near,
        proxy=proxy or scene.link_proxy,
        to=(DESTINATION, port),
    )


def measure(scene):
    count = 4 if scene.quick else 7
    with scene.link(ROUND_TRIP) as (near, far, _):
        with scene.server(far):
            bare = first_bytes(scene, near, environment={}, count=count)
            length = statistics.median(line["first_byte"] for line in bare[1:]) / 2

            def rows(name, proxy, **options):
                return rows_of(scene, near, count, length, name, proxy, **options)

            out = rows("plain server, nothing known", scene.link_proxy, fresh=True)
            out += rows("plain server that takes messages ahead, known", scene.link_proxy)
        with scene.server(far, password=True):
            login = Proxy(LINK_PROXY, user="me", password="secret")
            out += rows("plain server, password, nothing known", login, fresh=True)
        for name, features, later in RELAYS:
            with scene.server(far, DESTINATION), relay(scene, far, features):
                out += rows(name, scene.link_proxy, later=later)
                if not later:
                    out += rows(f"{name}, optimistic", scene.link_proxy, optimistic=True)
        for name, features, later in RELAYS_WITH_PASSWORD:
            with scene.server(far, DESTINATION), relay(scene, far, features, login):
                out += rows(name, login, later=later)
    return out


def relay(scene, far, features, login=None):
    """socksify-relay on `far`, for whoever comes or for the user of `login`."""
    program = str(scene.build / "src/relay/socksify-relay")
    path = STATE / "bench" / "relay.json"
    settings = {"listen": f"{LINK_PROXY}:1080", "insecure_open": True, "guard_own_host": False}
    settings["features"] = features
    if login:
        hashed = subprocess.run([program, "--hash-password"], input=login.password + "\n", stdout=subprocess.PIPE, text=True)
        settings["auth"] = {"methods": "password", "users": {login.user: hashed.stdout.strip()}}
    path.write_text(json.dumps({**settings, "log": {"level": "warning"}}))
    return scene.daemon(far, [program, "--config", str(path)], listens=1080)


def forget():
    """What processes have learnt for each other; it lies in the private world's own /dev/shm."""
    shutil.rmtree("/dev/shm/socksify-0", ignore_errors=True)


def rows_of(scene, near, count, length, name, proxy, fresh=False, later=0, optimistic=False):
    """`fresh`: each connection is the first of a process that finds nothing learnt by others. `later`: so many more of
    socksify's are left out. `optimistic`: by the rule, which nobody else has."""
    lines = {}
    for peer in [scene.peers.ours] if optimistic else (*scene.peers.all, scene.peers.own_client):
        if peer is scene.peers.own_client and proxy.user:
            continue
        try:
            rules = {"_rules": [{"route": "proxy", "optimistic": True}]} if optimistic else {}
            environment = peer.environment(proxy, **rules)
            if peer is not scene.peers.ours:
                lines[peer.name] = first_bytes(scene, near, environment=environment, count=count)[1:]
            elif fresh:
                lines[peer.name] = []
                for _ in range(count - 1):
                    forget()
                    lines[peer.name] += first_bytes(scene, near, environment=environment, count=1)
            else:
                forget()
                pause = 5 * ROUND_TRIP
                learnt = first_bytes(scene, near, environment=environment, count=count + 1 + later, pause=pause)
                lines[peer.name] = learnt[2 + later :]
        except Failed as why:
            lines[peer.name] = why
    connect, first = {}, {}
    for subject, found in lines.items():
        if isinstance(found, Failed):
            connect[subject] = first[subject] = Figure.none(found)
            continue
        connect[subject] = Figure.of(line["connect"] / length for line in found)
        first[subject] = Figure.of(line["first_byte"] / 1000 for line in found)
    return [
        Row(f"{name}: until connect returns", "round trips", connect, digits=1),
        Row(f"{name}: first octet", "ms", first, digits=0),
    ]
