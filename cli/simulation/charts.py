"""Small charts for a terminal, drawn with letters."""

import math
from collections.abc import Sequence
from itertools import pairwise

_BLOCKS = " ▁▂▃▄▅▆▇█"
#: What can be said in ASCII, where the terminal has nothing better.
_ASCII_BLOCKS = " .:-=+*#@"


def chart(
    values: Sequence[float], *, width: int, height: int, seconds: float, unit: str = "", plain: bool = False
) -> list[str]:
    """Return a chart's lines: values over time, the largest written beside the first line, 0 beside the last.

    Args:
        values: at equal distances in time; none is below 0.
        width: in letters, with what is written beside it.
        height: in lines, without the one below that says the time.
        seconds: from the first value to the last.
        unit: of the values, written behind the largest.
        plain: draw in ASCII.
    """
    blocks = _ASCII_BLOCKS if plain else _BLOCKS
    top = max(values, default=0.0)
    label = f"{_rounded_up(top):,}{unit}"
    margin = max(len(label), 1)
    columns = _columns(values, max(1, width - margin - 1))
    eighths = len(blocks) - 1
    filled = [round(value / _rounded_up(top) * height * eighths) if top else 0 for value in columns]
    # What is not nothing is seen.
    filled = [max(1, each) if value > 0 else 0 for each, value in zip(filled, columns, strict=True)]
    lines = []
    for row in reversed(range(height)):
        beside = label if row == height - 1 else "0" if row == 0 else ""
        body = "".join(blocks[min(eighths, max(0, each - row * eighths))] for each in filled)
        lines.append(f"{beside:>{margin}} {body}".rstrip())
    end = f"{seconds:.0f} s"
    lines.append(" " * (margin + 1) + "0".ljust(max(1, len(columns) - len(end))) + end)
    return lines


def _columns(values: Sequence[float], width: int) -> list[float]:
    """Return the values as at most so many columns, each the largest of what falls on it: a peak is never averaged."""
    if len(values) <= width:
        # Stretched, so that a short run fills the width as well.
        return (
            [values[min(len(values) - 1, column * len(values) // width)] for column in range(width)] if values else []
        )
    edges = [round(column * len(values) / width) for column in range(width + 1)]
    return [max(values[left:right]) for left, right in pairwise(edges)]


def _rounded_up(value: float) -> int:
    """Return the next number with two figures and noughts behind."""
    if value <= 0:
        return 1
    unit: int = 10 ** max(0, math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit
