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


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A question and its figures, for each size of a ledger: measured, the same SQL, ratio."""

    words: str
    figures: Sequence[str]


class Table:
    """Rows in the order they were measured; each is also told on stderr at once, so that a long run is not silent."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._reads: list[ReadLine] = []
        #: Of the ledgers that are read, in transactions.
        self.read_sizes: Sequence[int] = ()

    def add(self, row: Row) -> None:
        self._rows.append(row)
        print("  " + " | ".join(row.cells()), file=sys.stderr, flush=True)

    def add_read(self, line: ReadLine) -> None:
        self._reads.append(line)

    def text(self) -> str:
        """Return all rows as a Markdown table with aligned columns."""
        return _table(_HEADINGS, [row.cells() for row in self._rows])

    def reads_text(self) -> str:
        """Return the reads once more, a line a question, as docs/performance.md has them; empty without any."""
        if not self._reads:
            return ""
        of_sizes = [each for size in self.read_sizes for each in (f"of {size:,}", "the same SQL", "ratio")]
        return _table(["question", *of_sizes], [(line.words, *line.figures) for line in self._reads])


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    shown = [_line(line, widths) for line in lines]
    return "\n".join([shown[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *shown[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
