"""The audit log read in pages that look back so far and no further."""

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.members import Role
from gateway.queries import changes
from gateway.queries.changes import Change, list_changes
from infra.postgres.engine import Database
from tests.builders.ledger_rows import LedgerRows, Move, Write

pytestmark = pytest.mark.stack

DAY = date(2026, 3, 1)


class Log:
    """A ledger of two people, with the new transactions of each."""

    def __init__(self, ledger: Database, users: Database) -> None:
        self.rows, self.ann, self.bob = LedgerRows(), uuid4(), uuid4()
        self.made: list[tuple[int, UUID, UUID]] = []
        self._ledger, self._users = ledger, users
        for user_id in (self.ann, self.bob):
            self.rows.member(user_id, Role.EDITOR)
        self._cash, self._food = self.rows.account("Cash"), self.rows.category("Food")

    def make(self, user_id: UUID) -> UUID:
        moves = [Move(self._cash, self._food, minor) for minor in (100, 200)]
        transaction_id = self.rows.transaction(*moves, on=DAY, user_id=user_id)
        self.made.insert(0, (self.rows.sequence, transaction_id, user_id))
        return transaction_id

    def change(self, transaction_id: UUID) -> None:
        self.rows.change(transaction_id, Move(self._cash, self._food, 5), on=DAY)

    async def pages(self, *, limit: int, reader: UUID | None = None, **asked: Any) -> list[list[Change]]:
        found: list[list[Change]] = []
        before = None
        while True:
            page = await list_changes(
                self._ledger, self._users, self.rows.ledger_id, reader or self.ann, limit=limit, before=before, **asked
            )
            found.append(page.items)
            if page.next_cursor is None:
                return found
            before = changes.read_cursor(page.next_cursor)


def told(pages: list[list[Change]]) -> list[tuple[int, UUID, UUID]]:
    return [(each.sequence, each.subject_id, each.user_id) for page in pages for each in page]


@pytest.fixture
def log(ledger_reading: Database, users_reading: Database) -> Log:
    return Log(ledger_reading, users_reading)


@pytest.mark.parametrize("reach", [1, 2, 5, 1000])
@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_every_new_transaction_is_told_once_however_it_is_cut(
    log: Log, write: Write, monkeypatch: pytest.MonkeyPatch, reach: int, limit: int
) -> None:
    monkeypatch.setattr(changes, "REACH", reach)
    monkeypatch.setattr(changes, "PERSONS_REACH", reach)
    for number in range(9):
        log.make(log.bob if number == 4 else log.ann)
    for _, transaction_id, _ in log.made[::2]:
        log.change(transaction_id)
    log.rows.annotate(log.made[1][1], description="later")
    log.rows.delete(log.made[3][1])
    log.make(log.bob)
    await write(log.rows)

    assert told(await log.pages(limit=limit)) == log.made
    bobs = [each for each in log.made if each[2] == log.bob]
    assert told(await log.pages(limit=limit, by=log.bob)) == bobs
    pages = await log.pages(limit=limit, by=log.bob)
    assert all(len(page) <= limit for page in pages)
    for each in log.made:
        assert told(await log.pages(limit=limit, subject_id=each[1])) == [each]
        assert told(await log.pages(limit=limit, subject_id=each[1], by=log.ann)) == [each] * (each[2] == log.ann)


async def test_how_a_transaction_stood_is_told_and_only_what_stands_can_be_taken_back(log: Log, write: Write) -> None:
    first, second, third = (log.make(log.ann) for _ in range(3))
    log.change(first)
    log.rows.annotate(second, description="later")
    await write(log.rows)

    ((newest, middle, oldest),) = await log.pages(limit=50)

    assert [each.subject_id for each in (newest, middle, oldest)] == [third, second, first]
    assert [each.undoable for each in (newest, middle, oldest)] == [True, False, False]
    assert {each.detail["amount"] for each in (newest, middle, oldest)} == {"3.00"}
    assert middle.detail["description"] == ""
    assert newest.detail.keys() >= {"kind", "booked_on", "payee", "tags", "currency", "deleted"}
    assert not any(name.endswith("_minor") for name in newest.detail)


async def test_nobody_else_reads_the_log(log: Log, write: Write) -> None:
    made = log.make(log.ann)
    await write(log.rows)

    for asked in ({}, {"by": log.ann}, {"subject_id": made}):
        assert await log.pages(limit=50, reader=uuid4(), **asked) == [[]]


@pytest.mark.parametrize("text", ["", "0", "01", "-1", "+1", "1.0", "x", "١", str(2**63), "9" * 30])
def test_what_is_no_cursor_of_ours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        changes.read_cursor(text)
