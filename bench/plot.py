"""The picture for README: time until the first octet of an answer against the link's length."""

import re
from pathlib import Path


def draw(kept: dict, path: Path) -> bool:
    """Draws what the table `first_octet` has. False if there is nothing to draw, or nothing to draw it with."""
    table = kept.get("first_octet")
    try:
        import matplotlib
    except ImportError:
        return False
    if not table or len(table["rows"]) < 2:
        return False
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "socksify"  # the same figures give the same file
    from matplotlib import pyplot

    lengths = [int(re.search(r"\d+", row["name"])[0]) for row in table["rows"]]
    names = list(dict.fromkeys(name for row in table["rows"] for name in row["figures"]))
    figure, axes = pyplot.subplots(figsize=(7.2, 4.2))
    drawn: list[tuple[float, str]] = []
    for name in names:
        points = [
            (length, row["figures"][name]["value"])
            for length, row in zip(lengths, table["rows"])
            if row["figures"].get(name, {}).get("value") is not None
        ]
        if not points:
            continue
        ours = name == "socksify"
        style = {"linewidth": 2.4, "color": "#c0392b", "zorder": 3} if ours else {"linewidth": 1.2}
        if name in ("bare", "own client"):
            style |= {"color": "#7f8c8d", "linestyle": "--" if name == "bare" else ":"}
        axes.plot(*zip(*points), marker="o", markersize=3.5, label=name, **style)
        drawn.append((points[-1][1], name))
    order = [name for _, name in sorted(drawn, reverse=True)]
    handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
    axes.legend([handles[name] for name in order], order, frameon=False)
    axes.set_xlabel("round-trip time to the proxy, ms")
    axes.set_ylabel("connect() until the first octet of the answer, ms")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    return True
