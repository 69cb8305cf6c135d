"""Every ``cash`` command that a page of the documentation shows is one, with these words and options."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.commands import app

ROOT = Path(__file__).parents[2]
CASH: Any = get_command(app)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_IN_TEXT = re.compile(r"`(cash [^`]+)`")


def whole_commands(page: Path) -> list[str]:
    """The lines of code blocks that begin with ``cash``, as a shell would run them."""
    return [
        line.removeprefix("$ ")
        for block in _FENCED.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if re.match(r"(\$ )?cash [a-z]", line)
    ]


def mentioned_commands(page: Path) -> list[str]:
    """What is in the running text, which may leave out what is to be filled in."""
    return _IN_TEXT.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))


def command_of(line: str) -> tuple[Any, list[str]]:
    """Return the command a line names, and the words that are left for it."""
    words = re.split(r" [<>|·] ", line)[0]
    _, *left = shlex.split(words, comments=True)
    found = CASH
    while left and (inner := getattr(found, "commands", {}).get(left[0])):
        found, left = inner, left[1:]
    return found, left


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_whole_command_of_a_page_can_be_typed(page: Path) -> None:
    for line in whole_commands(page):
        command, words = command_of(line)
        assert not hasattr(command, "commands"), line
        try:
            command.make_context(command.name, list(words))
        except Exception as error:
            raise AssertionError(f"{line}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_a_page_mentions_is_one(page: Path) -> None:
    for line in mentioned_commands(page):
        command, words = command_of(line)
        assert command is not CASH, line
        assert not (hasattr(command, "commands") and words), line


def test_commands_are_looked_for() -> None:
    assert whole_commands(ROOT / "docs" / "ledger.md")
    assert mentioned_commands(ROOT / "README.md")
