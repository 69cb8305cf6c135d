"""Lists that come in pages: how many of them, where to go on, and reading them one page after another."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from cli.connection.client import Client

_PAGE = 100

Limit = Annotated[int, typer.Option("--limit", min=1, help="How many.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Go on where an earlier list ended.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them, whatever --limit says.")]


def list_pages(
    client: Client,
    path: str,
    limit: int | None,
    cursor: str | None = None,
    parameters: Mapping[str, str | int | None] | None = None,
) -> Iterator[Any]:
    """Yield the pages of a list until ``limit`` things are reached, or all where it is ``None``."""
    asked: dict[str, str | int] = {name: value for name, value in (parameters or {}).items() if value is not None}
    left = limit
    while left is None or left > 0:
        asked["limit"] = min(_PAGE, left or _PAGE)
        if cursor:
            asked["cursor"] = cursor
        page = client.call("GET", path, parameters=asked).body
        yield page
        cursor = page["next_cursor"]
        left = None if left is None else left - len(page["items"])
        # A page can be empty and yet have a next one: the server looks only so far back at once.
        if not cursor:
            return


def read_pages(pages: Iterator[Any], cursor: str | None = None) -> tuple[list[Any], str | None]:
    """Return all that stands on some pages, and where the next one begins."""
    items: list[Any] = []
    for page in pages:
        items += page["items"]
        cursor = page["next_cursor"]
    return items, cursor
