"""The bench's table: a path, what was measured, its floor in the same run, their ratio, the goal, met or not."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

_HEADINGS = ("path", "measured", "floor in the same run", "ratio", "goal", "met")
_MET = {True: "yes", False: "NO", None: "–"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line. ``ratio`` is measured by floor; ``met`` is ``None`` where there is no goal or none can be judged."""

    path: str
    measured: str
    floor: str = "–"
    ratio: float | None = None
    goal: str = "–"
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        ratio = "–" if self.ratio is None else f"{self.ratio:.0%}"
        return self.path, self.measured, self.floor, ratio, self.goal, _MET[self.met]


class Table:
    """Rows in the order they were measured; each is also told on stderr at once, so that a long run is not silent."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        self._rows.append(row)
        print("  " + " | ".join(row.cells()), file=sys.stderr, flush=True)

    def text(self) -> str:
        """Return all rows as a Markdown table with aligned columns."""
        lines = [_HEADINGS, *(row.cells() for row in self._rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
        shown = [_line(line, widths) for line in lines]
        return "\n".join([shown[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *shown[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
