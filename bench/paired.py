"""Ratios from paired runs.

The machine's speed drifts, by more than what is looked for. So all subjects run once in each round, one after the other,
and are divided by the base of the same round; the order turns from round to round. The median of the rounds counts, with
their quartiles.
"""

from typing import Callable

from rows import Figure
from scene import Failed

Sample = Callable[[], float]


def samples(subjects: dict[str, Sample], rounds: int) -> tuple[list[dict[str, float]], dict[str, Figure]]:
    """What each round measured, and for whom there is no figure, and why."""
    wanted, broken, out = list(subjects), {}, []
    for turn in range(rounds):
        order = wanted[turn % len(wanted) :] + wanted[: turn % len(wanted)]
        found = {}
        for name in order:
            try:
                found[name] = subjects[name]()
            except Failed as why:
                broken[name] = Figure.none(why)
                wanted.remove(name)
        out.append(found)
    return out, broken


def ratios(subjects: dict[str, Sample], base: str, rounds: int, inverse: bool = False) -> dict[str, Figure]:
    """Each over `base`, which is left out; `inverse` where the samples are times and the ratio is one of rates."""
    taken, broken = samples(subjects, rounds)
    out = {}
    for name in subjects:
        if name == base:
            continue
        if name in broken:
            out[name] = broken[name]
            continue
        both = [(one[name], one[base]) for one in taken]
        out[name] = Figure.of(b / a if inverse else a / b for a, b in both)
    return out


def medians(subjects: dict[str, Sample], rounds: int) -> dict[str, Figure]:
    """The samples themselves."""
    taken, broken = samples(subjects, rounds)
    return {name: broken.get(name) or Figure.of(one[name] for one in taken) for name in subjects}
