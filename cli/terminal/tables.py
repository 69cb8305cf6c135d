"""Tables at a terminal: how wide each column is, and the lines of each row.

Rich's own tables take 20 seconds for 10,000 rows, because they measure each cell several times.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

#: Columns (of letters) between two columns of a table.
GAP = 2
#: A longer word may be broken: it must not cost the other columns their place.
_WORD_MAX = 20
#: A column that breaks its words keeps so much, while there is room.
_NARROWEST = 4


@dataclass(frozen=True, slots=True)
class Column:
    """One column with its cells; ``whole`` ones never break over two lines."""

    heading: str
    cells: Sequence[Text]
    right: bool = False
    whole: bool = False

    def natural(self) -> int:
        """Return how wide it is where nothing breaks."""
        return max(_widest(text) for text in (self.heading, *(cell.plain for cell in self.cells)))

    def least(self) -> int:
        """Return how wide it must be to be read: its heading and no word is broken, and nothing where it is whole."""
        if self.whole:
            return self.natural()
        words = (word for cell in self.cells for word in cell.plain.split())
        return max(cell_len(self.heading), min(max(map(cell_len, words), default=0), _WORD_MAX))


def fitting(columns: Sequence[Column], spare: Iterable[str], room: int) -> list[Column]:
    """Return the columns without those of ``spare``, in this order, which have to go for the others to be readable."""
    left = {column.heading: (column, column.least()) for column in columns}
    for heading in spare:
        if sum(least for _, least in left.values()) + GAP * (len(left) - 1) <= room:
            break
        left.pop(heading, None)
    return [column for column, _ in left.values()]


def lines_of(columns: Sequence[Column], console: Console) -> Iterator[Text]:
    """Yield a table's lines, its headings first."""
    widths = _widths(columns, console.width)
    yield from _row([Text(column.heading, style="bold") for column in columns], columns, widths, console)
    for row in zip(*(column.cells for column in columns), strict=True):
        yield from _row(row, columns, widths, console)


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """Share the room out: what is whole gets its own, the widest of the others give way first."""
    room -= GAP * (len(columns) - 1)
    natural = [column.natural() for column in columns]
    floors = (
        [column.least() for column in columns],
        [each.natural() if each.whole else cell_len(each.heading) for each in columns],
        [each.natural() if each.whole else min(_NARROWEST, each.natural()) for each in columns],
        [1] * len(columns),
    )
    for least in floors:
        if sum(least) <= room:
            return _shared(natural, least, room)
    return floors[-1]


def _shared(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return the widths under the highest level for all that fits; what is left over goes to the first that need it."""
    low, high = 0, max(natural, default=0)
    while low < high:
        level = (low + high + 1) // 2
        if sum(_at(level, natural, least)) <= room:
            low = level
        else:
            high = level - 1
    widths = _at(low, natural, least)
    left = room - sum(widths)
    for number, wide in enumerate(natural):
        if left > 0 and widths[number] < wide:
            widths[number] += 1
            left -= 1
    return widths


def _at(level: int, natural: Sequence[int], least: Sequence[int]) -> list[int]:
    return [max(floor, min(wide, level)) for wide, floor in zip(natural, least, strict=True)]


def _row(row: Sequence[Text], columns: Sequence[Column], widths: Sequence[int], console: Console) -> Iterator[Text]:
    parts = [_broken(cell, width, console) for cell, width in zip(row, widths, strict=True)]
    for pieces in zip_longest(*parts):
        line = Text()
        missing = 0
        for column, width, piece in zip(columns, widths, pieces, strict=True):
            blank = width - (cell_len(piece.plain) if piece is not None else 0)
            if piece is not None and piece.plain:
                line.append(" " * (missing + (blank if column.right else 0)))
                line.append_text(piece)
                missing = 0 if column.right else blank
            else:
                missing += width
            missing += GAP
        yield line


def _broken(cell: Text, width: int, console: Console) -> Sequence[Text]:
    if "\n" not in cell.plain and cell_len(cell.plain) <= width:
        return (cell,)
    lines = cell.wrap(console, width, overflow="fold")
    for line in lines:
        line.rstrip()
    return list(lines)


def _widest(text: str) -> int:
    return max((cell_len(line) for line in text.split("\n")), default=0)
