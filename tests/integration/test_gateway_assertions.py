"""Reconciling: a statement's balance held against the books, and an assertion that stops holding is seen."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.transactions import TransactionStatus
from gateway.queries.accounts import find_account
from gateway.queries.assertions import (
    UNCLEARED_MAX,
    Assertion,
    AssertionWithRows,
    find_assertion,
    list_assertions,
)
from gateway.queries.paging import CursorError
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from tests.builders.gateway import Person, a_person
from tests.builders.ledger_rows import LedgerRows, Move, Write

pytestmark = pytest.mark.stack

MARCH = date(2026, 3, 31)


class Reading:
    """The assertions of a ledger, as its owner reads them."""

    def __init__(self, ledger: Database, users: Database, rows: LedgerRows) -> None:
        self._databases = ledger, users
        self._rows = rows

    async def one(self, assertion_id: UUID) -> AssertionWithRows:
        found = await find_assertion(*self._databases, self._rows.ledger_id, self._rows.user_id, assertion_id)
        assert found is not None
        return found

    async def all(self, **asked: Any) -> list[Assertion]:
        """Read every page."""
        items: list[Assertion] = []
        cursor = asked.pop("cursor", None)
        while True:
            page = await list_assertions(
                *self._databases,
                self._rows.ledger_id,
                self._rows.user_id,
                cursor=cursor,
                **{"limit": 3} | asked,
            )
            items += page.items
            if (cursor := page.next_cursor) is None:
                return items


@pytest.fixture
def rows() -> LedgerRows:
    return LedgerRows()


@pytest.fixture
def reading(ledger_reading: Database, users_reading: Database, rows: LedgerRows) -> Reading:
    return Reading(ledger_reading, users_reading, rows)


async def test_an_assertion_holds_or_its_difference_is_shown_with_the_uncleared_rows(
    rows: LedgerRows, reading: Reading, write: Write
) -> None:
    cash, food, rent = rows.account("Cash"), rows.category("Food"), rows.category("Rent")
    cleared = rows.transaction(Move(cash, food, 500), on=date(2026, 3, 1), status=TransactionStatus.CLEARED)
    pending = rows.transaction(
        Move(cash, food, 250), Move(cash, rent, 50), on=date(2026, 3, 10), description="Both", payee="Shop"
    )
    gone = rows.transaction(Move(cash, food, 1), on=date(2026, 3, 11))
    rows.delete(gone)
    income = rows.transaction(Move(food, cash, 70), on=date(2026, 3, 31))
    later = rows.transaction(Move(cash, food, 9), on=date(2026, 4, 1))
    right = rows.assertion(cash, MARCH, -730)
    wrong = rows.assertion(cash, MARCH, -800)
    await write(rows)

    held = await reading.one(right)
    assert (held.held, held.holds, held.difference, held.stated, held.balance) == (True, True, "0.00", "-7.30", "-7.30")
    assert (held.account.name, held.currency, held.date, held.lifted_at) == ("Cash", "EUR", MARCH, None)
    # What held has covered them all; only what is booked until that day and pending is left beside the other one.
    assert held.uncleared == (await reading.one(wrong)).uncleared == []

    rows.assertion(cash, MARCH, -730, id=right, lifted_at=rows.recorded_at)
    await write(rows)
    found = await reading.one(wrong)
    assert (found.held, found.holds, found.difference, found.computed) == (False, False, "0.70", "-7.30")
    assert [(each.transaction_id, each.amount, each.payee) for each in found.uncleared] == [
        (income, "0.70", None),
        (pending, "-3.00", "Shop"),
    ]
    assert [each.name for each in found.uncleared[1].accounts] == ["Food", "Rent"]
    assert not found.uncleared_more
    assert not {cleared, gone, later} & {each.transaction_id for each in found.uncleared}
    assert (await reading.one(right)).lifted_at is not None


async def test_an_assertion_that_stops_holding_is_seen(
    rows: LedgerRows, reading: Reading, ledger_reading: Database, write: Write
) -> None:
    cash, food = rows.account("Cash"), rows.category("Food")
    rows.transaction(Move(cash, food, 500), on=date(2026, 3, 1))
    first = rows.assertion(cash, date(2026, 2, 28), 0)
    broken = rows.assertion(cash, MARCH, -500)
    never = rows.assertion(cash, MARCH, -600)
    lifted = rows.assertion(cash, MARCH, -500, lifted_at=rows.recorded_at)
    await write(rows)
    assert await reading.all(broken=True) == []

    late = rows.transaction(Move(cash, food, 25), on=date(2026, 3, 20))
    await write(rows)

    assert [(each.id, each.held, each.holds) for each in await reading.all()] == [
        (never, False, False),
        (broken, True, False),
        (first, True, True),
    ]
    assert [each.id for each in await reading.all(broken=True)] == [broken]
    assert {each.id for each in await reading.all(lifted=True)} == {first, broken, never, lifted}
    found = await reading.one(broken)
    assert (found.balance, found.difference) == ("-5.25", "-0.25")
    assert [each.transaction_id for each in found.uncleared] == [late]
    account = await find_account(ledger_reading, rows.ledger_id, rows.user_id, cash)
    assert account is not None
    (shown,) = account.broken_assertions
    assert (shown.id, shown.date, shown.stated, shown.balance, shown.difference) == (
        broken,
        MARCH,
        "-5.00",
        "-5.25",
        "-0.25",
    )


async def test_every_assertion_is_compared_with_the_sum_of_its_day(
    rows: LedgerRows, reading: Reading, write: Write
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    accounts = [rows.account(name) for name in ("Cash", "Bank")]
    food = rows.category("Food")

    def day() -> date:
        return date(2025, 1, 1) + timedelta(days=chance.randrange(400))

    asserted = {}
    for _ in range(120):
        if chance.random() < 0.3:
            account, on = chance.choice(accounts), day()
            asserted[rows.assertion(account, on, rows.balance(account, on=on))] = account, on
        else:
            source, destination = chance.sample([*accounts, food], 2)
            rows.transaction(Move(source, destination, chance.randrange(1, 10**6)), on=day())
    await write(rows)

    found = await reading.all()
    assert [each.id for each in found] == [
        each.id for each in sorted(found, key=lambda each: (each.date, each.recorded_at), reverse=True)
    ], seed
    assert {each.id for each in found} == set(asserted)
    for each in found:
        account, on = asserted[each.id]
        assert int(each.balance.replace(".", "")) == rows.balance(account, on=on), (seed, on)
        assert each.holds is (each.stated == each.balance), seed
        assert each.held, seed
    assert [each.id for each in await reading.all(broken=True)] == [each.id for each in found if not each.holds], seed
    of_bank = [each.id for each in found if each.account.id == accounts[1]]
    assert [each.id for each in await reading.all(account_id=accounts[1])] == of_bank, seed


async def test_what_no_assertion_covers_is_found_wherever_it_is(
    rows: LedgerRows, reading: Reading, write: Write
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    cash, bank, food = rows.account("Cash"), rows.account("Bank"), rows.category("Food")
    made: list[tuple[UUID, date, int, bool]] = []
    held: list[tuple[date, int]] = []
    asserted = []
    for _ in range(150):
        on = date(2025, 1, 1) + timedelta(days=chance.randrange(200))
        if chance.random() < 0.1:
            holds, lifted = chance.random() < 0.6, chance.random() < 0.2
            stated = rows.balance(cash, on=on) + (0 if holds else 1)
            asserted.append((rows.assertion(cash, on, stated, lifted_at=rows.recorded_at if lifted else None), on))
            if holds and not lifted:
                held.append((on, rows.sequence))
        elif made and chance.random() < 0.1:
            gone, *_ = made.pop(chance.randrange(len(made)))
            rows.delete(gone)
        else:
            source, destination = chance.sample([cash, bank, food], 2)
            pending = chance.random() < 0.8
            status = TransactionStatus.PENDING if pending else TransactionStatus.CLEARED
            transaction = rows.transaction(Move(source, destination, 100), on=on, status=status)
            made.append((transaction, on, rows.sequence, pending and cash in (source, destination)))
    await write(rows)

    for assertion_id, day in asserted:
        expected = {
            transaction
            for transaction, on, sequence, wanted in made
            if wanted and on <= day and not any(until >= on and known > sequence for until, known in held)
        }
        found = await reading.one(assertion_id)
        assert {each.transaction_id for each in found.uncleared} == expected, (seed, day)
        assert not found.uncleared_more


async def test_many_uncleared_rows_are_said_to_be_more(rows: LedgerRows, reading: Reading, write: Write) -> None:
    cash, food = rows.account("Cash"), rows.category("Food")
    for number in range(UNCLEARED_MAX + 1):
        rows.transaction(Move(cash, food, 1), on=date(2026, 3, 1 + number % 28))
    asserted = rows.assertion(cash, MARCH, 0)
    await write(rows)

    found = await reading.one(asserted)

    assert (len(found.uncleared), found.uncleared_more) == (UNCLEARED_MAX, True)
    assert [each.date for each in found.uncleared] == sorted((each.date for each in found.uncleared), reverse=True)


async def test_a_cursor_goes_on_with_its_own_list_only(rows: LedgerRows, reading: Reading, write: Write) -> None:
    cash = rows.account("Cash")
    for number in range(5):
        rows.assertion(cash, MARCH + timedelta(days=number % 2), 0)
    await write(rows)

    assert len(await reading.all(limit=2)) == len({each.id for each in await reading.all(limit=1)}) == 5
    for wrong in ("AAAA", "x" * 60):
        with pytest.raises(CursorError):
            await reading.all(cursor=wrong)


async def test_only_members_see_assertions(rows: LedgerRows, reading: Reading, write: Write) -> None:
    asserted = rows.assertion(rows.account("Cash"), MARCH, 0)
    await write(rows)
    assert (await reading.one(asserted)).username is None

    rows.user_id = uuid4()
    assert await reading.all() == []
    with pytest.raises(AssertionError):
        await reading.one(asserted)


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def asserted_by(person: Person, **fields: Any) -> Any:
    answer = person.post(f"/ledgers/{person.ledger_id}/assertions", fields, prefer="wait=10")
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_statement_is_reconciled_over_http(ann: Person) -> None:
    path = f"/ledgers/{ann.ledger_id}/assertions"
    transaction = ann.record(amount="10.00", date="2026-03-02")
    assertion = asserted_by(ann, account="cash", balance="-10", date="2026-03-31")
    assert (assertion["held"], assertion["holds"], assertion["difference"]) == (True, True, "0.00")
    assert (assertion["username"], assertion["user_id"]) == (ann.username, str(ann.user_id))
    assert ann.get(f"{path}/{assertion['id']}").json() == assertion

    ann.record(amount="2.00", date="2026-03-05", description="Forgotten")

    (listed,) = ann.get(path, account="Cash", broken="true").json()["items"]
    assert (listed["id"], listed["held"], listed["holds"]) == (assertion["id"], True, False)
    found = ann.get(f"{path}/{assertion['id']}").json()
    assert (found["balance"], found["difference"]) == ("-12.00", "-2.00")
    assert [each["description"] for each in found["uncleared"]] == ["Forgotten"]
    account = ann.get(f"/ledgers/{ann.ledger_id}/accounts/{found['account']['id']}").json()
    assert [each["id"] for each in account["broken_assertions"]] == [assertion["id"]]

    lifted = ann.http.delete(f"{path}/{assertion['id']}", headers={"Prefer": "wait=10"})
    assert lifted.status_code == 200, lifted.text
    assert lifted.json()["lifted_at"] is not None
    assert ann.get(path).json() == {"items": [], "next_cursor": None}
    assert [each["id"] for each in ann.get(path, lifted="true").json()["items"]] == [assertion["id"]]
    assert transaction["id"] in {each["transaction_id"] for each in lifted.json()["uncleared"]}
    again = ann.http.delete(f"{path}/{assertion['id']}", headers={"Prefer": "wait=10"})
    assert (again.status_code, again.json()["code"]) == (422, "assertion_not_found")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["account", "balance", "date"]),
        ({"account": "Cash", "balance": 5, "date": "2026-03-31"}, ["balance"]),
        ({"account": "Cash", "balance": "5", "date": "31.3.2026"}, ["date"]),
        ({"account": "Cash", "balance": "5", "date": 20260331}, ["date"]),
        ({"account": "Cash", "balance": "5", "date": "2026-03-31T00:00:00Z"}, ["date"]),
        ({"account": "", "balance": "5", "date": "2026-03-31", "x": 1}, ["account", "x"]),
    ],
)
def test_what_is_wrong_with_an_assertion_is_named(ann: Person, body: Any, fields: list[str]) -> None:
    answer = ann.post(f"/ledgers/{ann.ledger_id}/assertions", body)

    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["errors"]] == fields


def test_what_is_not_there_is_not_found(ann: Person) -> None:
    path = f"/ledgers/{ann.ledger_id}/assertions"
    for answer, status, field in (
        (ann.get(f"{path}/{uuid4()}"), 404, "assertion_id"),
        (ann.get(path, account="Nowhere"), 404, "account"),
        (ann.get(f"/ledgers/{uuid4()}/assertions"), 404, "ledger_id"),
        (ann.get(f"/ledgers/{uuid4()}/assertions", account="Cash"), 404, "ledger_id"),
        (ann.get(path, cursor="AAAA"), 400, "cursor"),
        (ann.get(path, lifted="maybe"), 400, "lifted"),
    ):
        assert answer.status_code == status, answer.text
        assert [each["field"] for each in answer.json()["errors"]] == [field]
    answer = ann.post(path, {"account": "Nowhere", "balance": "5", "date": "2026-03-31"}, prefer="wait=10")
    assert (answer.status_code, answer.json()["code"]) == (422, "account_not_found")
    answer = ann.post(path, {"account": "Cash", "balance": "5", "date": "1066-10-14"}, prefer="wait=10")
    assert (answer.json()["code"], answer.json()["errors"][0]["field"]) == ("date_out_of_range", "date")
