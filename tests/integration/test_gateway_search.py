"""Filters, registers and totals over HTTP on the whole system: what was recorded is found, and mistakes are named."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.local.stack import LocalStack
from tests.builders.gateway import Person, a_person

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        person.record(amount="1000", category="Salary", kind="income", date="2026-01-31", payee="Works")
        person.record(
            amount="12.50", category="Groceries", date="2026-02-01", tags=["Market"], description="Milk/bread"
        )
        person.record(amount="30", category="Eating out", date="2026-02-14", payee="Rossi", note="with bob@example.org")
        person.record(amount="8", category="Eating out", date="2026-04-02", payee="ROSSI", status="cleared")
        person.record(amount="2", category="Eating out", kind="refund", date="2026-04-03", payee="rossi")
        yield person


@pytest.fixture(scope="module")
def bob(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def named(answer: httpx.Response, status: int) -> list[str]:
    assert answer.status_code == status, answer.text
    return [each["field"] for each in answer.json()["errors"]]


def amounts(person: Person, text: str | None = None, sort: str | None = None) -> list[str]:
    asked = {name: value for name, value in (("filter", text), ("sort", sort)) if value is not None}
    answer = person.get("/transactions", **asked)
    assert answer.status_code == 200, answer.text
    return [each["amount"] for each in answer.json()["items"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["2.00", "8.00", "30.00", "12.50", "1000.00"]),
        ("   ", ["2.00", "8.00", "30.00", "12.50", "1000.00"]),
        ('category:"eating OUT"', ["2.00", "8.00", "30.00"]),
        ("account:cash", ["2.00", "8.00", "30.00", "12.50", "1000.00"]),
        ("payee:Rossi -kind:refund", ["8.00", "30.00"]),
        ("tag:market", ["12.50"]),
        ("bread", ["12.50"]),
        ("example", ["30.00"]),
        ("amount:8..12.50", ["8.00", "12.50"]),
        ("date:2026-02", ["30.00", "12.50"]),
        ("status:cleared OR category:Salary", ["8.00", "1000.00"]),
        ("NOT (payee:rossi OR tag:market)", ["1000.00"]),
        ("currency:JPY", []),
    ],
)
def test_what_was_recorded_is_found(ann: Person, text: str, expected: list[str]) -> None:
    assert amounts(ann, text) == expected


def test_lists_are_sorted_as_asked(ann: Person) -> None:
    assert amounts(ann, sort="date") == amounts(ann)[::-1]
    assert amounts(ann, sort="-date") == amounts(ann)
    assert amounts(ann, sort="amount") == ["2.00", "8.00", "12.50", "30.00", "1000.00"]
    assert amounts(ann, "payee:rossi", sort="-amount") == ["30.00", "8.00", "2.00"]
    assert named(ann.get("/transactions", sort="size"), 400) == ["sort"]


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("colour:red", 0, "no field colour"),
        ("payee:rossi OR", 14, "missing"),
        ("payee:rossi category:Nowhere", 21, "no category called so"),
        ("milk\x00", 4, "control characters"),
        ("x" * 1001, 1000, "at most 1000 characters"),
    ],
)
def test_a_filter_that_is_wrong_is_named_with_its_place(ann: Person, text: str, position: int, part: str) -> None:
    for path in ("/transactions", f"/ledgers/{ann.ledger_id}/totals"):
        answer = ann.get(path, filter=text)

        assert named(answer, 400) == ["filter"]
        (error,) = answer.json()["errors"]
        assert error["position"] == position
        assert part in error["detail"]
        assert answer.json()["detail"].startswith(f"At character {position + 1} of the filter: ")


def test_to_a_stranger_no_name_is_known(ann: Person, bob: Person) -> None:
    for text in ("category:Groceries", "category:Nowhere", "milk"):
        for path in ("transactions", "totals"):
            assert named(bob.get(f"/ledgers/{ann.ledger_id}/{path}", filter=text), 404) == ["ledger_id"]
    assert named(bob.get("/transactions", filter="category:Groceries"), 400) == ["filter"]
    assert amounts(bob, "milk") == []


def test_pages_go_on_with_their_own_list_only(ann: Person) -> None:
    first = ann.get("/transactions", limit=2, sort="amount", filter="account:Cash").json()
    asked = {"limit": 2, "cursor": first["next_cursor"]}
    second = ann.get("/transactions", sort="amount", filter="account:Cash", **asked).json()

    assert [each["amount"] for each in first["items"] + second["items"]] == ["2.00", "8.00", "12.50", "30.00"]
    for other in ({}, {"sort": "amount"}, {"sort": "-amount", "filter": "account:Cash"}, {"filter": "account:Cash"}):
        assert named(ann.get("/transactions", **asked, **other), 400) == ["cursor"]


def test_parameters_that_are_none_are_named(ann: Person) -> None:
    assert named(ann.get("/transactions", filtre="x"), 400) == ["filtre"]
    assert named(ann.http.get("/transactions?limit=1&limit=2"), 400) == ["limit"]
    assert named(ann.get(f"/ledgers/{ann.ledger_id}/totals", by="colour", period="week"), 400) == ["by", "period"]


def account_id(person: Person, name: str) -> str:
    (found,) = [each["id"] for each in person.get("/accounts").json()["items"] if each["name"] == name]
    return str(found)


def test_an_account_has_a_register(ann: Person, bob: Person) -> None:
    path = f"/ledgers/{ann.ledger_id}/accounts/{account_id(ann, 'Cash')}/register"

    page = ann.get(path, limit=3).json()

    assert page["account"]["name"] == "Cash"
    lines = [(each["date"], each["amount"], each["balance"], each["currency"]) for each in page["items"]]
    assert lines == [
        ("2026-04-03", "2.00", "951.50", "EUR"),
        ("2026-04-02", "-8.00", "949.50", "EUR"),
        ("2026-02-14", "-30.00", "957.50", "EUR"),
    ]
    assert page["items"][1]["status"] == "cleared"
    assert [each["name"] for each in page["items"][0]["accounts"]] == ["Eating out"]
    rest = ann.get(path, limit=3, cursor=page["next_cursor"]).json()
    assert [each["balance"] for each in rest["items"]] == ["987.50", "1000.00"]
    assert rest["next_cursor"] is None
    assert named(ann.get(path, cursor="x"), 400) == ["cursor"]
    assert named(bob.get(path), 404) == ["account_id"]
    assert named(ann.get(f"/ledgers/{ann.ledger_id}/accounts/{uuid4()}/register"), 404) == ["account_id"]


def totals(person: Person, **asked: Any) -> list[tuple[Any, ...]]:
    answer = person.get(f"/ledgers/{person.ledger_id}/totals", **asked)
    assert answer.status_code == 200, answer.text
    return [(each["period"], each["name"], each["amount"]) for each in answer.json()["items"]]


def test_totals_are_what_was_spent_and_earned(ann: Person) -> None:
    assert totals(ann) == [
        (None, "Salary", "-1000.00"),
        (None, "Eating out", "36.00"),
        (None, "Groceries", "12.50"),
    ]
    assert totals(ann, by="account", period="quarter") == [
        ("2026-Q1", "Cash", "957.50"),
        ("2026-Q2", "Cash", "-6.00"),
    ]
    assert totals(ann, period="month", **{"from": "2026-02-01", "to": "2026-02-28"}) == [
        ("2026-02", "Eating out", "30.00"),
        ("2026-02", "Groceries", "12.50"),
    ]
    assert totals(ann, by="payee", filter="-kind:income") == [(None, "rossi", "36.00"), (None, None, "12.50")]
    assert totals(ann, by="tag", **{"from": "2026-02-01"}) == [(None, None, "36.00"), (None, "Market", "12.50")]


def test_totals_say_what_they_are_of(ann: Person, bob: Person) -> None:
    path = f"/ledgers/{ann.ledger_id}/totals"
    answer = ann.get(path, by="category", period="year", **{"from": "2026-01-01"}).json()

    assert {name: answer[name] for name in ("by", "period", "from", "to", "more")} == {
        "by": "category",
        "period": "year",
        "from": "2026-01-01",
        "to": None,
        "more": False,
    }
    assert answer["items"][0]["kind"] == "income"
    assert named(ann.get(path, **{"from": "2026-02-30"}), 400) == ["from"]
    assert named(ann.get(path, **{"from": "2026-02-02", "to": "2026-02-01"}), 400) == ["to"]
    assert named(bob.get(path), 404) == ["ledger_id"]
