"""A non-blocking connect() must return at once, whatever the proxy does. Measured where there is no delay, and where there is."""

from rows import Row
from paired import medians
from scene import ECHO, LINK_PROXY

TITLE = "A non-blocking connect"


def subjects(scene, key, count, scale=1.0, **where):
    def sample(peer):
        # The program by itself connects to the proxy's machine: that is what the kernel needs.
        to = {"to": (where["proxy"].address, ECHO)} if peer is scene.peers.bare and "proxy" in where else {}
        return lambda: scale * scene.client("nonblocking", count, peer=peer, **where, **to)[0][key]

    return {peer.name: sample(peer) for peer in (*scene.peers.all, scene.peers.bare)}


def measure(scene):
    rounds = 3 if scene.quick else 7
    rows = []
    with scene.server():
        rows.append(Row("returns, no delay", "µs", medians(subjects(scene, "returns", 300), rounds), digits=1))
        rows.append(Row("connected, no delay", "µs", medians(subjects(scene, "connected", 300), rounds), digits=1))
    with scene.link(20) as (near, far, _), scene.server(far):
        late = subjects(scene, "returns", 3, machine=near, proxy=scene.link_proxy)
        note = f"bare: to {LINK_PROXY} itself"
        rows.append(Row("returns, over 20 ms", "µs", medians(late, 3), digits=1, note=note))
    return rows
