"""An open stream: octets there and back one by one, and in bulk. The library should not be noticed."""

from rows import Row
from paired import ratios
from scene import CHARGEN, DESTINATION, DISCARD, ECHO

TITLE = "On an open stream, over bare"


def compare(scene, mode, amount, port, inverse):
    def sample(peer):
        return lambda: scene.client(mode, amount, peer=peer, to=(DESTINATION, port))[0]["each"]

    rounds = 5 if scene.quick else 9
    return ratios({p.name: sample(p) for p in (scene.peers.bare, *scene.peers.all)}, "bare", rounds, inverse)


def measure(scene):
    few = 5 if scene.quick else 1
    with scene.server():
        return [
            Row("one octet there and back, time", "× bare", compare(scene, "pingpong", 10000 // few, ECHO, False), goal=1.02),
            Row("sent in bulk, rate", "× bare", compare(scene, "send", 500 // few, DISCARD, True), better="more"),
            Row("received in bulk, rate", "× bare", compare(scene, "receive", 500 // few, CHARGEN, True), better="more"),
        ]
