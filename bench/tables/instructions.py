"""Instructions in user space, counted by callgrind: what N more connections cost, so that no start is in it.

The library's other thread is counted, too, if it has to do with these connections.
"""

import re

from rows import Figure, Row
from scene import DESTINATION, ECHO, Failed

TITLE = "User instructions"


def count(scene, environment, mode, connections):
    client = [str(scene.build / "bench/bench-client"), mode, DESTINATION, str(ECHO), str(connections)]
    # Valgrind's tool itself, which is static: its launcher would be under the library, too.
    tool = ["/usr/libexec/valgrind/callgrind-amd64-linux", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    _, log = scene.run(scene.local, [*tool, *client], {**environment, "VALGRIND_LAUNCHER": "/usr/bin/valgrind"})
    found = re.findall(r"Collected : (\d+)", log)
    if not found:
        raise Failed("it crashes")
    return int(found[-1])


def per_connection(scene, peer, mode):
    n = 50 if scene.quick else 200
    try:
        environment = peer.environment(scene.local_proxy)
        count(scene, environment, mode, n)  # what a first process learns of a proxy, the next one need not ask
        each = (count(scene, environment, mode, 2 * n) - count(scene, environment, mode, n)) / n
    except Failed:
        return Figure.none("fails")
    return Figure(each, each, each)


def measure(scene):
    subjects = (*scene.peers.all, scene.peers.own_client)
    with scene.server():
        blocking = {peer.name: per_connection(scene, peer, "connects") for peer in subjects}
        parked = {peer.name: per_connection(scene, peer, "nonblocking") for peer in subjects}
    return [
        Row("connect, echo and close", "each", blocking, goal=2500, digits=0),
        Row(
            "non-blocking connect, poll and close",
            "each",
            parked,
            digits=0,
            note="a peer's connect blocks, or reports too early; own client: the TCP connection alone",
        ),
    ]
