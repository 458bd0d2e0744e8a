"""Time until the first octet of an answer against the link's length: the picture in README."""

from rows import Figure, Row
from scene import Failed
from tables.trips import first_bytes, forget

TITLE = "Time to the first octet through a plain server, in ms"
LENGTHS = (10, 25, 50, 100, 150)


def measure(scene):
    rows = []
    for length in LENGTHS[:2] if scene.quick else LENGTHS:
        figures = {}
        forget()  # that a relay was at this address, which took Fast Open
        with scene.link(length) as (near, far, _), scene.server(far):
            for peer in (*scene.peers.all, scene.peers.own_client, scene.peers.bare):
                try:
                    # What socksify does in the background must be over before what is measured.
                    pause = 4 * length if peer is scene.peers.ours else 0
                    lines = first_bytes(scene, near, peer=peer, count=4, pause=pause)
                except Failed as why:
                    figures[peer.name] = Figure.none(why)
                    continue
                figures[peer.name] = Figure.of(line["first_byte"] / 1000 for line in lines[1:])
        rows.append(Row(f"link of {length} ms", "ms", figures, digits=0))
    return rows
