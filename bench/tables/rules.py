"""Finding the rule for a connection, among ever more rules (rules.cpp)."""

import json

from paired import medians
from rows import Row

TITLE = "Finding the rule for a connection"


def measure(scene):
    rows = []
    for count in (10, 1000, 10000):
        program = [str(scene.build / "bench/bench-rules"), str(count)]

        def sample(key, program=program):
            return lambda: json.loads(scene.run(scene.local, program, {})[0])[key]

        figures = medians({"socksify": sample("with"), "one by one": sample("without")}, 3)
        rows.append(Row(f"{count} rules", "ns", figures, goal=1000, digits=0))
    return rows
