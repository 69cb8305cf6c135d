"""Every ``cash`` and ``k8s`` command that a page of the documentation shows is one, with these words and options."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.commands import app
from cli.kubernetes.commands import app as k8s

ROOT = Path(__file__).parents[2]
PROGRAMS: dict[str, Any] = {"cash": app, "k8s": get_command(k8s)}
PAGES = sorted([ROOT / "README.md", ROOT / "k8s" / "README.md", *(ROOT / "docs").glob("*.md")])
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_IN_TEXT = re.compile(r"`((?:cash|k8s) [^`]+)`")


def whole_commands(page: Path) -> list[str]:
    """The lines of code blocks that begin with a program of ours, as a shell would run them."""
    return [
        line.removeprefix("$ ")
        for block in _FENCED.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if re.match(r"(\$ )?(cash|k8s) [a-z]", line)
    ]


def mentioned_commands(page: Path) -> list[str]:
    """What is in the running text, which may leave out what is to be filled in."""
    return _IN_TEXT.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))


def command_of(line: str) -> tuple[Any, list[str]]:
    """Return the command a line names, and the words that are left for it."""
    words = re.split(r" [<>|·] ", line)[0]
    program, *left = shlex.split(words, comments=True)
    found = PROGRAMS[program]
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
        # Every word has its page, the program itself too.
        assert command not in PROGRAMS.values() or words in (["--help"], ["--version"]), line
        assert not hasattr(command, "commands") or words in ([], ["--help"], ["--version"]), line


def test_commands_are_looked_for() -> None:
    assert whole_commands(ROOT / "docs" / "ledger.md")
    assert mentioned_commands(ROOT / "README.md")
