"""What a table is made of, and how it is shown.

A Row is one case, with a Figure for each subject: socksify, its peers, and what they are measured against. Of a row the
frame says by itself where socksify is not the best, and whether it is where it should be.
"""

import statistics
from dataclasses import dataclass, field
from typing import Callable, Iterable

OURS = "socksify"
BESIDE = ("bare", "own client", "one by one")  # columns that show what is divided by: nobody's rivals


@dataclass(frozen=True)
class Figure:
    """A median with its quartiles; or, in place of a figure, why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @staticmethod
    def of(samples: Iterable[float]) -> "Figure":
        samples = sorted(samples)
        if len(samples) == 1:
            return Figure(samples[0], samples[0], samples[0])
        low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
        return Figure(middle, low, high)

    @staticmethod
    def none(why: object) -> "Figure":
        return Figure(why=str(why).strip().splitlines()[-1][:60] if str(why).strip() else "no answer")


@dataclass
class Row:
    name: str
    unit: str  # "× own client", "instructions", "ms", …
    figures: dict[str, Figure]
    better: str = "less"  # or "more"
    goal: float | None = None  # socksify's figure should be at least this good
    digits: int = 2  # behind the point
    note: str = ""

    def contestants(self) -> dict[str, Figure]:
        return {
            name: figure for name, figure in self.figures.items() if name not in BESIDE and figure.value is not None
        }

    def rivals(self) -> dict[str, Figure]:
        return {name: figure for name, figure in self.contestants().items() if name != OURS}

    def better_one(self, than: str = OURS) -> str | None:
        """The best that is better than `than`: by what is shown, by 1 %, and by more than either one's spread."""
        figures = self.contestants()
        if than not in figures:
            return None
        base = figures[than]
        sign = 1 if self.better == "less" else -1
        ahead = {
            name: sign * figure.value
            for name, figure in figures.items()
            if sign * round(figure.value, self.digits) < sign * round(base.value, self.digits)
            and abs(figure.value - base.value) > abs(base.value) / 100
            and not figure.low <= base.value <= figure.high
            and not base.low <= figure.value <= base.high
        }
        return min(ahead, key=ahead.__getitem__, default=None)

    def best_ones(self) -> set[str]:
        """Those that nobody is better than; none if that is all of them."""
        figures = self.contestants()
        best = {name for name in figures if self.better_one(name) is None}
        return best if len(best) < len(figures) else set()

    def reaches_goal(self) -> bool | None:
        ours = self.figures.get(OURS, Figure()).value
        if self.goal is None or ours is None:
            return None
        ours = round(ours, self.digits)
        return ours <= self.goal if self.better == "less" else ours >= self.goal

    def remarks(self) -> list[str]:
        out = []
        if (best := self.better_one()) is not None:
            out.append(f"{best} is better")
        if self.reaches_goal() is False:
            out.append(f"goal: {'at most' if self.better == 'less' else 'at least'} {self.goal:g}")
        return out + ([self.note] if self.note else [])


@dataclass
class Table:
    name: str
    title: str
    rows: list[Row] = field(default_factory=list)

    def columns(self) -> list[str]:
        found = {name: None for row in self.rows for name in row.figures}
        return [OURS] * (OURS in found) + [name for name in found if name != OURS]


def text_of(figure: Figure | None, digits: int, spread: bool = True) -> str:
    if figure is None:
        return "–"
    if figure.value is None:
        return figure.why
    value = f"{figure.value:,.{digits}f}".replace(",", " ")
    if not spread or figure.low is None or f"{figure.low:.{digits}f}" == f"{figure.high:.{digits}f}":
        return value
    return f"{value} ({figure.low:.{digits}f}–{figure.high:.{digits}f})"


def as_markdown(table: Table, spread: bool = False) -> str:
    """As README has it: one figure a cell, in bold where nobody's is better and somebody's is worse."""
    columns = table.columns()
    lines = [f"| {table.title} | {' | '.join(columns)} | |", "|" + " --- |" * (len(columns) + 2)]
    for row in table.rows:
        best = row.best_ones()
        cells = [text_of(row.figures.get(column), row.digits, spread) for column in columns]
        cells = [f"**{cell}**" if column in best else cell for column, cell in zip(columns, cells)]
        remarks = "; ".join(row.remarks())
        lines.append(f"| {row.name}, {row.unit} | {' | '.join(cells)} | {remarks} |")
    return "\n".join(lines)


def as_text(table: Table) -> str:
    """For a terminal, with the spread."""
    columns = table.columns()
    grid = [["", *columns]]
    for row in table.rows:
        grid.append([f"{row.name}, {row.unit}", *(text_of(row.figures.get(c), row.digits) for c in columns)])
    widths = [max(len(line[i]) for line in grid) for i in range(len(columns) + 1)]
    out = [table.title, ""]
    for line, row in zip(grid, [None, *table.rows]):
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        remarks = f"  ← {'; '.join(row.remarks())}" if row and row.remarks() else ""
        out.append(("  ".join(cells) + remarks).rstrip())
    return "\n".join(out) + "\n"
