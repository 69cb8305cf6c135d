"""Accounts and categories: listed in order with their balances, opened, changed and merged over HTTP."""

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.accounts import AccountKind
from contracts.members import Role
from gateway.queries.accounts import ACCOUNTS_MAX, find_account, find_named_account, list_accounts
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from tests.builders.gateway import Person, a_person
from tests.builders.ledger_rows import LedgerRows, Move, Write

pytestmark = pytest.mark.stack

EXPENSE, INCOME, LIABILITY, EQUITY = AccountKind.EXPENSE, AccountKind.INCOME, AccountKind.LIABILITY, AccountKind.EQUITY


async def names_of(ledger_reading: Database, rows: LedgerRows, **asked: Any) -> list[str]:
    accounts, more = await list_accounts(ledger_reading, rows.ledger_id, rows.user_id, **asked)
    assert not more
    return [account.name for account in accounts]


async def test_accounts_come_by_kind_position_group_and_name(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    rows.account("Opening balances", EQUITY)
    for name, kind in (("b rent", EXPENSE), ("A food", EXPENSE), ("Salary", INCOME), ("Card", LIABILITY)):
        rows.account(name, kind)
    rows.account("Last without a group")
    rows.account("Third", group_name="B")
    rows.account("Second", group_name="A")
    rows.account("First", position=3, group_name="Z")
    rows.account("Zeroth", position=0)
    rows.account("Gone", closed=True)
    await write(rows)

    listed = ["Zeroth", "First", "Second", "Third", "Last without a group", "Card", "Salary", "A food", "b rent"]
    assert await names_of(ledger_reading, rows) == [*listed, "Opening balances"]
    with_closed = await names_of(ledger_reading, rows, closed=True)
    assert with_closed == [*listed[:4], "Gone", *listed[4:], "Opening balances"]


async def test_an_account_has_the_balances_of_what_was_merged_into_it(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    cash, yen = rows.account("Cash"), rows.account("Wallet", currency="JPY")
    food = rows.category("Food")
    snacks = rows.category("Snacks", merged_into=food, root_id=food, closed=True)
    sweets = rows.category("Sweets", merged_into=snacks, root_id=food, closed=True)
    rows.transaction(Move(cash, food, 500), Move(cash, snacks, 250), on=date(2024, 1, 10))
    rows.transaction(Move(yen, sweets, 90, "JPY"), on=date(2024, 1, 11))
    await write(rows)

    listed, _ = await list_accounts(ledger_reading, rows.ledger_id, rows.user_id, closed=True)
    assert {account.name: [(each.amount, each.currency) for each in account.balances] for account in listed} == {
        "Cash": [("-7.50", "EUR")],
        "Wallet": [("-90", "JPY")],
        "Food": [("7.50", "EUR"), ("90", "JPY")],
    }
    one = await find_account(ledger_reading, rows.ledger_id, rows.user_id, sweets)
    assert one is not None
    assert one.merged_into is not None
    assert (one.name, one.merged_into.name, one.balances) == ("Sweets", "Snacks", [])
    named = await find_named_account(ledger_reading, rows.ledger_id, rows.user_id, "  SWEETS ")
    by_id = await find_named_account(ledger_reading, rows.ledger_id, rows.user_id, str(snacks))
    assert named is not None
    assert named == by_id
    assert (named.id, named.kind, named.currency) == (food, EXPENSE, None)


async def test_an_account_nothing_was_ever_in_has_nothing_in_it(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    wallet = rows.account("Wallet", currency="JPY")
    food = rows.category("Food")
    await write(rows)

    for account_id, balances in ((wallet, [("0", "JPY")]), (food, [])):
        account = await find_account(ledger_reading, rows.ledger_id, rows.user_id, account_id)
        assert account is not None
        assert [(each.amount, each.currency) for each in account.balances] == balances


async def test_more_accounts_than_one_answer_holds_are_said_to_be_there(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    for number in range(ACCOUNTS_MAX + 1):
        rows.category(f"Category {number}")
    await write(rows)

    accounts, more = await list_accounts(ledger_reading, rows.ledger_id, rows.user_id)

    assert (len(accounts), more) == (ACCOUNTS_MAX, True)


async def test_only_members_see_accounts(ledger_reading: Database, write: Write) -> None:
    rows, viewer, stranger = LedgerRows(), uuid4(), uuid4()
    cash = rows.account("Cash")
    rows.member(viewer, Role.VIEWER)
    await write(rows)

    for user_id, seen in ((viewer, True), (stranger, False)):
        assert bool((await list_accounts(ledger_reading, rows.ledger_id, user_id))[0]) is seen
        assert bool(await find_account(ledger_reading, rows.ledger_id, user_id, cash)) is seen
        assert bool(await find_named_account(ledger_reading, rows.ledger_id, user_id, "Cash")) is seen
        assert bool(await find_named_account(ledger_reading, rows.ledger_id, user_id, str(cash))) is seen
    other = LedgerRows()
    await write(other)
    assert await find_account(ledger_reading, other.ledger_id, other.user_id, cash) is None


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


@pytest.fixture(scope="module")
def bob(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def opened(person: Person, **fields: Any) -> Any:
    answer = person.post("/accounts", {"kind": "asset", **fields}, prefer="wait=10")
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/ledgers/{person.ledger_id}/accounts/{answer.json()['id']}"
    return answer.json()


def change(person: Person, account_id: str, body: Any, **headers: str) -> Any:
    path = f"/ledgers/{person.ledger_id}/accounts/{account_id}"
    return person.http.patch(path, json=body, headers={"Prefer": "wait=10"} | headers)


def errors_of(answer: Any, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {each["field"]: each["detail"] for each in answer.json()["errors"]}


def test_an_account_is_opened_with_what_was_in_it(ann: Person) -> None:
    savings = opened(
        ann,
        name=" Rainy  day ",
        opening_balance="-12.5",
        date="2024-05-01",
        group="Savings",
        position=4,
        currency="USD",
    )

    shown = {name: savings[name] for name in ("name", "kind", "currency", "group", "position", "closed", "merged_into")}
    assert shown == {
        "name": "Rainy day",
        "kind": "asset",
        "currency": "USD",
        "group": "Savings",
        "position": 4,
        "closed": False,
        "merged_into": None,
    }
    assert savings["balances"] == [{"amount": "-12.50", "currency": "USD"}]
    assert savings["broken_assertions"] == []
    answer = ann.get(f"/ledgers/{ann.ledger_id}/accounts/{savings['id']}")
    assert answer.json() == savings
    assert answer.headers["etag"] == f'"{savings["version"]}"'
    listed = {each["name"]: each for each in ann.get("/accounts").json()["items"]}
    assert listed["Rainy day"] == {
        name: value for name, value in savings.items() if name not in ("merged_into", "broken_assertions")
    }
    assert "Opening balances" in listed


def test_who_does_not_wait_is_told_which_account_it_will_be(ann: Person) -> None:
    answer = ann.post(f"/ledgers/{ann.ledger_id}/accounts", {"name": "Later", "kind": "expense"})

    assert answer.status_code == 202
    assert UUID(answer.json()["resource_id"])
    assert answer.headers["location"] == f"/api/v1/operations/{answer.json()['operation_id']}"


def test_an_account_is_renamed_closed_and_reopened_by_its_version(ann: Person) -> None:
    account = opened(ann, name="Old name", group="Here", position=1)
    seen = f'"{account["version"]}"'

    renamed = change(ann, account["id"], {"name": "New name", "group": None}, **{"If-Match": seen})
    assert renamed.status_code == 200, renamed.text
    assert (renamed.json()["name"], renamed.json()["group"], renamed.json()["position"]) == ("New name", None, 1)
    assert renamed.headers["etag"] == f'"{renamed.json()["version"]}"'

    stale = change(ann, account["id"], {"name": "Other name"}, **{"If-Match": seen})
    assert "If-Match" in errors_of(stale, 412)
    assert stale.json()["code"] == "version_stale"
    assert "New name" in stale.json()["detail"]

    assert change(ann, account["id"], {"closed": True}, **{"If-Match": "*"}).json()["closed"] is True
    assert account["id"] not in {each["id"] for each in ann.get("/accounts").json()["items"]}
    assert account["id"] in {each["id"] for each in ann.get("/accounts", closed="true").json()["items"]}
    assert ann.get(f"/ledgers/{ann.ledger_id}/accounts/{account['id']}").json()["closed"] is True
    assert change(ann, account["id"], {"closed": False}).json()["closed"] is False


def test_a_category_is_merged_and_is_listed_no_more(ann: Person) -> None:
    ann.record(amount="3.00", category="Cafe")
    ann.record(amount="4.00", category="Coffee shop")
    listed = {each["name"]: each for each in ann.get("/accounts").json()["items"]}

    merged = change(ann, listed["Cafe"]["id"], {"merge_into": "coffee SHOP"})

    assert merged.status_code == 200, merged.text
    assert merged.json()["merged_into"] == {"id": listed["Coffee shop"]["id"], "name": "Coffee shop"}
    listed = {each["name"]: each for each in ann.get("/accounts", closed="true").json()["items"]}
    assert "Cafe" not in listed
    assert listed["Coffee shop"]["balances"] == [{"amount": "7.00", "currency": "EUR"}]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name", "kind"]),
        ({"name": "x", "kind": "cash"}, ["kind"]),
        ({"name": " ", "kind": "asset"}, ["name"]),
        ({"name": "x", "kind": "asset", "currency": "eur"}, ["currency"]),
        ({"name": "x", "kind": "asset", "opening_balance": 5}, ["opening_balance"]),
        ({"name": "x", "kind": "asset", "opening_balance": "+5"}, ["opening_balance"]),
        ({"name": "x", "kind": "asset", "date": "tomorrow"}, ["date"]),
        ({"name": "x", "kind": "asset", "position": -1}, ["position"]),
        ({"name": "x", "kind": "asset", "position": "1"}, ["position"]),
        ({"name": "x", "kind": "asset", "group": ""}, ["group"]),
        ({"name": "x", "kind": "asset", "closed": True}, ["closed"]),
    ],
)
def test_what_is_wrong_with_a_new_account_is_named(ann: Person, body: Any, fields: list[str]) -> None:
    assert list(errors_of(ann.post("/accounts", body), 400)) == fields


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, [""]),
        ({"name": None}, [""]),
        ({"closed": "yes"}, ["closed"]),
        ({"kind": "asset"}, ["kind"]),
        ({"name": "a\nb"}, ["name"]),
        ({"position": 1.5}, ["position"]),
        ({"merge_into": ""}, ["merge_into"]),
    ],
)
def test_what_is_wrong_with_a_change_is_named(ann: Person, body: Any, fields: list[str]) -> None:
    assert list(errors_of(change(ann, str(uuid4()), body), 400)) == fields


@pytest.mark.parametrize("etag", ["57", 'W/"57"', '"57", "58"', '"x"', ""])
def test_what_is_no_version_of_ours_is_refused(ann: Person, etag: str) -> None:
    answer = change(ann, str(uuid4()), {"closed": True}, **{"If-Match": etag})

    assert list(errors_of(answer, 400)) == ["If-Match"]


def test_what_the_ledger_refuses_is_said_with_its_field(ann: Person) -> None:
    account = opened(ann, name="Full", opening_balance="1.00")

    for body, code, field in (
        ({"name": "cash"}, "name_taken", "name"),
        ({"closed": True}, "account_not_empty", "closed"),
        ({"merge_into": "Nowhere"}, "category_not_found", "merge_into"),
    ):
        answer = change(ann, account["id"], body)
        assert list(errors_of(answer, 422)) == [field]
        assert answer.json()["code"] == code
    missing = change(ann, str(uuid4()), {"closed": True})
    assert (missing.status_code, missing.json()["code"]) == (422, "account_not_found")
    answer = ann.post("/accounts", {"name": "X", "kind": "expense", "opening_balance": "1"}, prefer="wait=10")
    assert list(errors_of(answer, 422)) == ["opening_balance"]
    answer = ann.post(
        "/accounts", {"name": "X", "kind": "asset", "opening_balance": "1", "date": "1850-01-01"}, prefer="wait=10"
    )
    assert list(errors_of(answer, 422)) == ["date"]


def test_a_strangers_accounts_are_not_there(ann: Person, bob: Person) -> None:
    account = ann.get("/accounts").json()["items"][0]

    theirs = f"/ledgers/{ann.ledger_id}/accounts"
    assert list(errors_of(bob.get(theirs), 404)) == ["ledger_id"]
    assert list(errors_of(bob.get(f"{theirs}/{account['id']}"), 404)) == ["account_id"]
    assert list(errors_of(bob.get(f"/ledgers/{bob.ledger_id}/accounts/{account['id']}"), 404)) == ["account_id"]
    answer = bob.post(theirs, {"name": "Mine", "kind": "asset"}, prefer="wait=10")
    assert (answer.status_code, answer.json()["code"]) == (422, "ledger_not_found")
    assert list(errors_of(ann.get("/accounts", closed="1", limit="5"), 400)) == ["closed", "limit"]


def test_before_anything_was_asked_of_a_ledger_it_has_no_accounts(stack: LocalStack) -> None:
    with a_person(stack) as carol:
        assert carol.get("/accounts").json() == {"items": [], "more": False}
