"""Memory that is the process's own: private dirty pages as the kernel counts them, less those of the program by itself."""

import os

from rows import Figure, Row
from paired import samples

TITLE = "Private dirty memory over bare, in KiB"

ROWS = {"loaded": "before the first connect", "connected": "after a connect"}


def measure(scene):
    os.sync()  # what a library has in memory and not yet on the disk is dirty as well, and not its own doing
    rows = []
    with scene.server():
        for key, name in ROWS.items():
            subjects = {
                peer.name: lambda peer=peer: float(scene.client("memory", peer=peer)[0][key])
                for peer in (scene.peers.bare, *scene.peers.all)
            }
            taken, broken = samples(subjects, 3 if scene.quick else 7)
            figures = {
                peer: broken.get(peer) or Figure.of(one[peer] - one["bare"] for one in taken)
                for peer in subjects
                if peer != "bare"
            }
            rows.append(Row(name, "KiB", figures, goal=40, digits=0))
    return rows
