"""What it costs to start a program: /bin/true with a library in it, and through what a person would type."""

from rows import Row
from paired import ratios

TITLE = "Starting /bin/true, over bare"


def measure(scene):
    rounds, times = (9, 20) if scene.quick else (25, 40)

    def sample(environment, launcher=()):
        pairs = [f"{key}={value}" for key, value in environment.items()]
        argv = [str(scene.build / "bench/bench-timer"), str(times), *pairs, "--", *launcher, "/bin/true"]
        return lambda: float(scene.run(scene.local, argv, {})[0])

    peers, proxy = scene.peers.all, scene.local_proxy
    under = {"bare": sample({}), **{peer.name: sample(peer.environment(proxy)) for peer in peers}}
    by = {"bare": sample({}), **{peer.name: sample({}, peer.launcher(proxy)) for peer in peers}}
    return [
        Row("with the library", "× bare", ratios(under, "bare", rounds), goal=1.05),
        Row("by the launcher", "× bare", ratios(by, "bare", rounds), goal=2.0),
    ]
