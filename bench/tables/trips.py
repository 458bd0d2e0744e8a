"""Round trips and time until the first octet of the answer, over a link of 50 ms (tests/support/delay_link.cpp).

The figure is the time until the first octet of an echo, divided by the link's length as a bare connection measures it
(that takes two round trips: one for TCP, one for the echo), less one: so it is the number of round trips until connect()
has returned, as far as time tells.
"""

import statistics

from rows import Figure, Row
from paired import medians
from scene import DESTINATION, ECHO, Failed

TITLE = "Round trips until connect returns, and on to the first octet, over a link of 50 ms"
ROUND_TRIP = 50


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


def later(lines, key, first=1):
    """Median in milliseconds of all but the first."""
    return statistics.median(line[key] for line in lines[first:]) / 1000


def measure(scene):
    count = 4 if scene.quick else 8
    rows = []
    with scene.link(ROUND_TRIP) as (near, far, _):
        with scene.server(far):
            length = later(first_bytes(scene, near, environment={}, count=count), "first_byte") / 2
            rows += plain(scene, near, count, length, "plain server, no authentication", {}, scene.link_proxy)
    return rows


def plain(scene, near, count, length, name, upstream, proxy):
    connect, first = {}, {}
    for peer in (*scene.peers.all, scene.peers.own_client):
        try:
            lines = first_bytes(scene, near, peer=peer, count=count, pause=200 if peer is scene.peers.ours else 0)
        except Failed as why:
            connect[peer.name] = first[peer.name] = Figure.none(why)
            continue
        connect[peer.name] = Figure.of(line["connect"] / 1000 / length for line in lines[1:])
        first[peer.name] = Figure.of(line["first_byte"] / 1000 for line in lines[1:])
    return [
        Row(name + ": until connect returns", "trips", connect, digits=1),
        Row(name + ": first octet", "ms", first, digits=1),
    ]
