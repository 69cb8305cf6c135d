"""Filters as people type them: as arguments, of which the shell took the quotation marks, or as one text."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from cli.connection.client import Refused
from cli.frame import Command
from cli.terminal.output import note

_TERM = re.compile(
    r"(-?)((?:account|category|payee|tag|text|amount|date|status|currency|kind|external):)(.*)",
    re.IGNORECASE | re.DOTALL,
)
#: What makes several terms of one word; whoever types it quotes names as the grammar wants it.
_SEVERAL = re.compile(r'["()]|\b(?:AND|OR|NOT)\b|\s-?[a-z]+:', re.IGNORECASE)

FilterWord = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILTER]...", help="Which ones: category:Groceries amount:'>10' date:2026-03 NOT tag:holiday milk"
    ),
]
FilterOption = Annotated[
    str | None, typer.Option("--filter", metavar="EXPR", help="The same as one text, with AND, OR, NOT and ( ).")
]


class FilterWords(Command):
    """Lets a filter be typed as arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        before = ["", *args]
        words = [word if last == "--filter" else filter_word(word) for last, word in zip(before, args, strict=False)]
        return super().parse_args(ctx, words)


def is_term(word: str) -> bool:
    """Return whether a word says itself that it is a term of a filter: ``category:Groceries``."""
    return _TERM.fullmatch(word) is not None


def filter_word(word: str) -> str:
    """Return an argument as the filter's grammar wants it: ``category:Eating out`` with the name in quotation marks."""
    term = _TERM.fullmatch(word)
    if not term:
        return word
    minus, field, value = term.groups()
    if re.search(r"\s", value) and not _SEVERAL.search(value):
        escaped = value.replace("\\", "\\\\")
        value = f'"{escaped}"'
    return f"{'NOT ' if minus else ''}{field}{value}"


def joined(words: Sequence[str] | None, expression: str | None) -> str | None:
    """Return what was typed as one filter: both together where both are given."""
    typed = " ".join(words or ())
    if typed and expression:
        return f"({expression}) ({typed})"
    return typed or expression


@contextlib.contextmanager
def pointing(expression: str | None) -> Iterator[None]:
    """Point at the place in a filter where the server found something wrong."""
    try:
        yield
    except Refused as refused:
        if expression and refused.position is not None:
            note(f"{expression}\n{' ' * refused.position}^")
        raise
