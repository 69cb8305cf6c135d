"""The page that explains the ledger is true: its commands are typed along, and its figures and postings come out."""

import re
import shlex
from pathlib import Path

import pytest

from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.terminal import Terminal, a_terminal, sign_in

pytestmark = pytest.mark.stack

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^cash .+$", PAGE, re.MULTILINE)
#: From, to and amount: what the page says each posting is.
POSTINGS = re.findall(r"^\|[^|]*\| ([^|]+) \| ([^|]+) \| ([0-9.]+) ([A-Z]{3}) \|$", PAGE, re.MULTILINE)


def test_the_page_can_be_typed_along(stack: LocalStack, tmp_path: Path) -> None:
    ann = sign_in(a_terminal(stack, tmp_path / "config"))
    said: dict[str, str] = {}
    weekly_shop = ""
    for command in COMMANDS:
        words = [weekly_shop if word == "ID" else word for word in shlex.split(command, comments=True)[1:]]
        ended = ann.cash(*words)
        assert ended.code == ExitCode.OK, (command, ended.err)
        said[command.partition("  ")[0]] = ended.out
        if "Weekly shop" in words:
            weekly_shop = ann.cash("tx", "list", "--json").json["items"][0]["id"][:8]

    assert "It holds" in said["cash reconcile Checking 3803.49 --date 2026-03-05"]
    assert "3803.49 EUR" in said["cash balance Checking --on 2026-03-05"]
    assert "Checking" in said["cash balance Checking --on 2026-03-05 --known-at 2026-03-10"]
    assert "3803.49" not in said["cash balance Checking --on 2026-03-05 --known-at 2026-03-10"]
    assert "100.69 EUR" in said["cash net-worth --in EUR --on 2026-03-31"]
    assert sorted(postings_of(ann)) == sorted(standing_postings())


def standing_postings() -> list[tuple[str, str, str, str]]:
    """What the page says, but for the posting that it takes back and the reversal."""
    return [
        posting
        for posting in POSTINGS
        if posting not in [("Checking", "Groceries", "62.40", "EUR"), ("Groceries", "Checking", "62.40", "EUR")]
    ]


def postings_of(person: Terminal) -> list[tuple[str, str, str, str]]:
    return [
        (each["source"]["name"], each["destination"]["name"], each["amount"], each["currency"])
        for item in person.cash("tx", "list", "--all", "--json").json["items"]
        for each in person.cash("tx", "show", item["id"], "--json").json["postings"]
    ]
