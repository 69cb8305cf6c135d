"""What docs/database.md has people ask of the databases, asked by ``cash psql`` as they would."""

import csv
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.local.processes import PROJECT
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from tests.builders.gateway import Person, a_person
from tests.builders.terminal import a_terminal

pytestmark = pytest.mark.stack

PAGE = (PROJECT / "docs" / "database.md").read_text(encoding="utf-8")
PRIVILEGES = {"SELECT": "read", "INSERT": "add", "UPDATE": "change", "DELETE": "delete"}
_MARK = "next question"
_WITHIN_S = 20.0
_SENT = "SELECT bool_and(sent_at IS NOT NULL) FROM outbox WHERE position(convert_to($1, 'UTF8') IN messages) > 0"

Answer = list[dict[str, str]]


def questions(heading: str) -> list[str]:
    """The questions below a heading of the page, in order."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sql\n(.*?)```", section, re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Subject:
    """Who and what is asked about: somebody whose transaction was changed once."""

    person: Person
    transaction: Mapping[str, Any]
    operation: UUID


@pytest.fixture(scope="module")
def subject(stack: LocalStack) -> Iterator[Subject]:
    with a_person(stack) as person:
        recorded = person.record(amount="12.30", category="Groceries", description="Bread")
        changed = person.http.patch(
            f"/transactions/{recorded['id']}",
            json={"amount": "25.47"},
            headers={"Prefer": "wait=10", "If-Match": f'"{recorded["version"]}"'},
        )
        assert changed.status_code == 200, changed.text
        newest = person.get("/operations").json()["items"][0]
        yield Subject(person, changed.json(), UUID(newest["id"]))


def ask(stack: LocalStack, folder: Path, which: str, asked: Sequence[str], **variables: object) -> list[Answer]:
    """Ask a database, as somebody who types; return what psql answered to each question, by column."""
    script = "".join(f"\\set {name} '{value}'\n" for name, value in variables.items())
    script += "".join(f"\\echo {_MARK}\n{question}\n" for question in asked)
    command = [sys.executable, "-m", "cli.main", "psql", which, "--", "--csv", "-X", "-v", "ON_ERROR_STOP=1"]
    environment = dict(a_terminal(stack, folder).environment)
    done = subprocess.run(
        command, input=script, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [list(csv.DictReader(part.strip().splitlines())) for part in done.stdout.split(f"{_MARK}\n")[1:]]


def test_questions_about_people_are_answered(stack: LocalStack, subject: Subject, tmp_path: Path) -> None:
    asked = questions("Questions about people")

    newest, registrations, sessions, mails = ask(stack, tmp_path, "users", asked, username=subject.person.username)

    assert (newest[0]["username"], newest[0]["email"]) == (subject.person.username, subject.person.email)
    assert "completed" in {row["state"] for row in registrations}
    assert [row["client"] for row in sessions] == ["tests"]
    assert "verification_code" in {row["kind"] for row in mails}


def test_questions_about_the_books_are_answered(stack: LocalStack, subject: Subject, tmp_path: Path) -> None:
    asked = questions("Questions about the books")
    ledger_id = str(subject.person.ledger_id)

    answers = ask(
        stack,
        tmp_path,
        "ledger",
        asked,
        user=subject.person.user_id,
        ledger=ledger_id,
        transaction=subject.transaction["id"],
    )

    ledgers, newest, postings, balances, unbalanced, _, rate, _, connected, sizes, writers = answers
    assert [row["id"] for row in ledgers] == [ledger_id]
    assert [(row["id"], row["amount_minor"], row["revision"]) for row in newest] == [
        (subject.transaction["id"], "2547", "2")
    ]
    assert [(row["source"], row["amount_minor"], row["stands"]) for row in postings] == [
        ("Cash", "1230", "f"),
        ("Groceries", "1230", "f"),
        ("Cash", "2547", "t"),
    ]
    assert {row["name"]: (row["kept"], row["by_postings"], row["differs"]) for row in balances} == {
        "Cash": ("-2547", "-2547", "f"),
        "Groceries": ("2547", "2547", "f"),
    }
    assert ledger_id not in {row["ledger_id"] for row in unbalanced}
    assert sum(int(row["submissions"]) for row in rate) >= 2
    assert {"cash psql", "ledger-consumer"} <= {row["application_name"] for row in connected}
    assert "postings" in {row["table"] for row in sizes}
    assert {row["role"] for row in writers} == {"ledger_migrator"}


async def test_a_request_is_found_at_every_station(
    stack: LocalStack, subject: Subject, tmp_path: Path, ledger_writing: Database
) -> None:
    deadline = time.monotonic() + _WITHIN_S
    async with ledger_writing.connection("wait for the relay") as connection:
        while not await connection.fetchval(_SENT, str(subject.operation)):
            assert time.monotonic() < deadline
    operation, transaction, outbox = ask(
        stack,
        tmp_path,
        "ledger",
        questions("Is it really there?"),
        operation=subject.operation,
        ledger=subject.person.ledger_id,
        transaction=subject.transaction["id"],
    )

    assert [(row["state"], row["transaction"]) for row in operation] == [("recorded", subject.transaction["id"])]
    assert operation[0]["record"].startswith("ledger.submissions/")
    assert '"25.47"' in operation[0]["request"]
    assert [(row["version"], row["by_this_operation"]) for row in transaction] == [
        (str(subject.transaction["version"]), "t")
    ]
    assert [row["topic"] for row in outbox] == ["ledger.journal"]
    assert outbox[0]["sent_at"]


def test_psql_changes_nothing(stack: LocalStack, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="read-only transaction"):
        ask(stack, tmp_path, "ledger", ["DELETE FROM outbox;"])


@pytest.mark.parametrize("which", ["users", "ledger"])
async def test_roles_may_what_the_page_says(which: str, users_reading: Database, ledger_reading: Database) -> None:
    section = PAGE.partition(f": the database `{which}`\n")[2].partition("\n## ")[0]
    said = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| .* \| (.*?) \| (.*?) \|$", section, re.MULTILINE)}
    database = users_reading if which == "users" else ledger_reading

    async with database.connection("look at grants") as connection:
        for table, words in said.items():
            for role, expected in zip((f"{which}_consumer", f"{which}_gateway"), words, strict=True):
                has = [
                    word
                    for privilege, word in PRIVILEGES.items()
                    if await connection.fetchval("SELECT has_table_privilege($1, $2, $3)", role, table, privilege)
                ]
                partly = await connection.fetchval("SELECT has_any_column_privilege($1, $2, 'SELECT')", role, table)
                assert ", ".join(has) or ("some columns" if partly else "–") == expected, (role, table)
