"""Things as people name them on the command line: by name, by id, or by the beginning of an id that tables show."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn
from uuid import UUID

from rich.text import Text

from cli.terminal.output import ExitCode, fail
from contracts.text import name_key

#: How many letters of an id tables show; so many are needed to find it.
SHORT = 8


def short(identifier: object) -> Text:
    """Return the beginning of an id, as tables show it."""
    return Text(str(identifier)[:SHORT], style="dim")


def find_whole(typed: str) -> str | None:
    """Find the whole id in what was typed."""
    try:
        return str(UUID(typed.strip()))
    except ValueError:
        return None


def is_beginning(typed: str) -> bool:
    """Return whether what was typed may be the beginning of an id."""
    return re.fullmatch(rf"[0-9a-f-]{{{SHORT},36}}", typed.strip().lower()) is not None


def that_begin(items: Iterable[Mapping[str, Any]], typed: str, *, key: str = "id") -> list[Any]:
    """Return the things whose id begins as typed; refuses when there are several."""
    beginning = typed.strip().lower()
    found = [item for item in items if str(item[key]).startswith(beginning)]
    if len(found) > 1:
        fail(f"{len(found)} ids begin with '{beginning}'; type more of it (--json shows whole ids)", ExitCode.USAGE)
    return found


def pick(
    items: Sequence[Mapping[str, Any]], typed: str, *, noun: str, look: str, key: str = "id", name: str = "name"
) -> Any:
    """Return the one thing that somebody named; a name goes before an id.

    Args:
        items: what there is to choose from.
        typed: a name, however it is capitalised, an id, or at least eight letters of its beginning.
        noun: what the thing is called, with its article, in the sentence that there is none.
        look: the command that lists them.
        key: where the id is.
        name: where the name is.
    """
    wanted = name_key(typed)
    named = [item for item in items if item.get(name) is not None and name_key(str(item[name])) == wanted]
    if len(named) > 1:
        fail(f"{len(named)} are called '{typed}'; name one by its id, as `{look}` shows it", ExitCode.USAGE)
    if not named and is_beginning(typed):
        named = that_begin(items, find_whole(typed) or typed, key=key)
    if not named:
        _fail_unknown(items, typed, noun=noun, look=look, name=name)
    return named[0]


def _fail_unknown(items: Sequence[Mapping[str, Any]], typed: str, *, noun: str, look: str, name: str) -> NoReturn:
    names = {name_key(str(item[name])): str(item[name]) for item in items if item.get(name) is not None}
    near = get_close_matches(name_key(typed), names, n=1)
    hint = f"did you mean '{names[near[0]]}'? " if near else ""
    fail(f"there is no {noun} '{typed}'; {hint}`{look}` lists them", ExitCode.NOT_FOUND)
