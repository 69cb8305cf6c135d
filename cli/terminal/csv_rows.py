"""What commands show, as rows of CSV (RFC 4180): a header, then the values as JSON has them."""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

# A spreadsheet runs what begins so as a formula, and in a shared ledger another member may have typed it. A number is
# none. One apostrophe in front keeps a cell a text, and taking one away again is exact: cells that have some get one.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def rows_of(shown: Any) -> tuple[list[dict[str, str]], str | None]:
    """Return what a command shows as rows by column, and where the next page begins.

    The rows are the ``items`` of a page, the elements of a list, or the one thing that is shown. What is nested is
    named by its path: ``account.name``, ``tags.0``.
    """
    next_cursor = None
    if isinstance(shown, Mapping) and isinstance(shown.get("items"), Sequence):
        shown, next_cursor = shown["items"], shown.get("next_cursor")
    things = shown if isinstance(shown, list) else [shown]
    return [_flat(thing) for thing in things], next_cursor


def write_rows(rows: Iterable[Mapping[str, str]], stream: TextIO) -> None:
    """Write rows under a header of all their columns, in the order in which they first occur."""
    rows = list(rows)
    found = dict.fromkeys(column for row in rows for column in row)
    # What is an object in one row and absent in another has the columns of the object only.
    empty = {column for column in found if not any(row.get(column) for row in rows)}
    columns = [each for each in found if each not in empty or not any(other.startswith(f"{each}.") for other in found)]
    if not columns:
        return
    writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)


def _flat(thing: Any, path: str = "") -> dict[str, str]:
    if isinstance(thing, list):
        thing = dict(enumerate(thing))
    if not isinstance(thing, Mapping):
        return {path or "value": _cell(thing)}
    flat: dict[str, str] = {}
    for name, value in thing.items():
        flat |= _flat(value, f"{path}.{name}" if path else str(name))
    return flat


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return json.dumps(value)
    text = str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
