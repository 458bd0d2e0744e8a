"""Connections one after the other, and sixteen at a time, to a server that costs next to nothing (server.cpp)."""

from rows import Row
from paired import ratios

TITLE = "Connects per second, over a client that speaks SOCKS itself"


def measure(scene):
    rows = []
    for threads, count, rounds in ((1, 4000, 11), (16, 6000, 7)):
        if scene.quick:
            count, rounds = count // 5, 5
        cpu = 0 if threads == 1 else None
        subjects = {
            peer.name: lambda peer=peer: scene.client("connects", count, threads, peer=peer, cpu=cpu)[0]["each"]
            for peer in (scene.peers.own_client, *scene.peers.all)
        }
        with scene.server():
            figures = ratios(subjects, "own client", rounds, inverse=True)
        name = "one after the other" if threads == 1 else f"{threads} threads"
        rows.append(Row(name, "× own client", figures, better="more", goal=0.95 if threads == 1 else None))
    return rows
