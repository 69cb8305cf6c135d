"""Transactions over HTTP on the whole system: every kind of them, changed, deleted, and their history read."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.local.stack import LocalStack
from tests.builders.gateway import Person, a_person

pytestmark = pytest.mark.stack

WAIT = {"Prefer": "wait=10"}


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        person.record(amount="500", category="Salary", kind="income")
        for name, currency in (("Savings", "EUR"), ("Dollars", "USD")):
            body = {"name": name, "kind": "asset", "currency": currency}
            assert person.post("/accounts", body, prefer="wait=10").status_code == 201
        yield person


@pytest.fixture(scope="module")
def bob(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def recorded(person: Person, **fields: Any) -> Any:
    answer = person.post("/transactions", fields, prefer="wait=10")
    assert answer.status_code == 201, answer.text
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
    return answer.json()


def change(person: Person, transaction: Any, body: Any, **headers: str) -> httpx.Response:
    return person.http.patch(f"/transactions/{transaction['id']}", json=body, headers=WAIT | headers)


def delete(person: Person, transaction: Any, **headers: str) -> httpx.Response:
    return person.http.delete(f"/transactions/{transaction['id']}", headers=WAIT | headers)


def read(person: Person, transaction: Any) -> Any:
    answer = person.get(f"/transactions/{transaction['id']}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
    return answer.json()


def named(answer: httpx.Response, status: int) -> list[str]:
    assert answer.status_code == status, answer.text
    return [each["field"] for each in answer.json()["errors"]]


def test_the_simple_form_has_nothing_that_it_does_not_need(ann: Person) -> None:
    transaction = recorded(ann, amount="24.47", category="Groceries")

    assert transaction.keys() == {
        "id", "version", "revision", "kind", "amount", "currency", "category", "account", "description", "payee",
        "tags", "note", "status", "external_id", "date", "booked_at", "recorded_at", "deleted", "postings",
    }  # fmt: skip
    assert (transaction["revision"], transaction["status"], transaction["deleted"]) == (1, "pending", False)
    assert (transaction["payee"], transaction["tags"], transaction["note"]) == (None, [], None)
    assert read(ann, transaction) == transaction


def test_annotations_are_kept_and_read_back(ann: Person) -> None:
    annotations = {
        "payee": "Market hall",
        "tags": ["Holiday", "ann's"],
        "note": "One line\nand another",
        "status": "cleared",
        "external_id": "bank:2026/1",
        "description": "Fruit",
    }

    transaction = recorded(ann, amount="3", category="Groceries", **annotations)

    assert {name: transaction[name] for name in annotations} == annotations


def test_several_categories_are_splits(ann: Person) -> None:
    splits = [{"amount": "10.00", "category": "Groceries"}, {"amount": "4.50", "category": "Household"}]

    transaction = recorded(ann, splits=splits)

    assert (transaction["amount"], transaction["category"]) == ("14.50", None)
    assert [(each["amount"], each["category"]["name"]) for each in transaction["splits"]] == [
        ("10.00", "Groceries"),
        ("4.50", "Household"),
    ]
    assert len(transaction["postings"]) == 2
    refused = ann.post("/transactions", {"amount": "15", "splits": splits}, prefer="wait=10")
    assert named(refused, 422) == ["splits"]


def test_a_transfer_goes_to_an_account(ann: Person) -> None:
    transaction = recorded(ann, amount="20", to_account="savings")

    assert (transaction["kind"], transaction["category"]) == ("transfer", None)
    assert (transaction["account"]["name"], transaction["to_account"]["name"]) == ("Cash", "Savings")
    assert "to_amount" not in transaction


def test_an_exchange_says_what_arrives_and_its_rate(ann: Person) -> None:
    transaction = recorded(ann, amount="10", to_account="Dollars", to_amount="10.84")

    assert (transaction["kind"], transaction["amount"], transaction["currency"]) == ("exchange", "10.00", "EUR")
    assert (transaction["to_amount"], transaction["to_currency"]) == ("10.84", "USD")
    assert (transaction["to_account"]["name"], transaction["rate"]) == ("Dollars", "1.084")
    assert [each["currency"] for each in transaction["postings"]] == ["EUR", "USD"]


def test_a_refund_comes_back_from_its_category(ann: Person) -> None:
    transaction = recorded(ann, amount="2", category="Groceries", kind="refund")

    assert (transaction["category"]["name"], transaction["account"]["name"]) == ("Groceries", "Cash")
    assert transaction["postings"][0]["source"] == transaction["category"]


def test_an_opening_balance_is_a_transaction_of_its_account(ann: Person) -> None:
    for name, typed, kind in (("Purse", "12.50", "asset"), ("Card", "-99", "liability")):
        body = {"name": name, "kind": kind, "opening_balance": typed, "date": "2020-01-01"}
        assert ann.post("/accounts", body, prefer="wait=10").status_code == 201
        (opening,) = ann.get("/transactions", filter=f"account:{name}").json()["items"]

        assert (opening["kind"], opening["account"]["name"], opening["category"]) == ("opening", name, None)
        assert opening["amount"] == f"{abs(float(typed)):.2f}"


def test_a_change_of_money_is_the_next_revision(ann: Person) -> None:
    before = recorded(ann, amount="10", category="Groceries", description="Milk", date="2026-03-01")

    answer = change(ann, before, {"amount": "12.00", "date": "2026-03-02"})

    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["amount"], after["date"], after["description"]) == ("12.00", "2026-03-02", "Milk")
    assert (after["revision"], after["version"] > before["version"]) == (2, True)
    assert answer.headers["etag"] == f'"{after["version"]}"'
    assert read(ann, before) == after


def test_what_is_left_out_stays_and_null_takes_an_annotation_away(ann: Person) -> None:
    before = recorded(ann, amount="10", category="Groceries", payee="Rossi", note="Hm", tags=["a"], description="x")

    after = change(ann, before, {"payee": None, "tags": None, "status": "cleared"}).json()

    assert (after["payee"], after["tags"], after["note"], after["description"]) == (None, [], "Hm", "x")
    assert (after["status"], after["revision"], after["amount"]) == ("cleared", 1, "10.00")
    emptied = change(ann, before, {"description": None, "note": None, "external_id": None}).json()
    assert (emptied["description"], emptied["note"], emptied["external_id"]) == ("", None, None)


@pytest.mark.parametrize("field", ["amount", "category", "splits", "kind", "currency", "account", "date", "status"])
def test_what_is_no_annotation_cannot_be_null(ann: Person, field: str) -> None:
    assert named(ann.http.patch(f"/transactions/{uuid4()}", json={field: None}), 400) == [field]


def test_a_change_of_nothing_is_refused(ann: Person) -> None:
    assert named(ann.http.patch(f"/transactions/{uuid4()}", json={}), 400) == [""]
    assert named(ann.http.patch(f"/transactions/{uuid4()}", json={"id": str(uuid4())}), 400) == ["id"]


def test_a_change_of_what_is_not_there_is_refused(ann: Person, bob: Person) -> None:
    mine = recorded(ann, amount="1", category="Groceries")

    assert change(ann, {"id": uuid4()}, {"amount": "2"}).json()["code"] == "transaction_not_found"
    assert change(bob, mine, {"amount": "2"}).status_code == 422
    path = f"/ledgers/{ann.ledger_id}/transactions/{mine['id']}"
    assert bob.http.patch(path, json={"amount": "2"}, headers=WAIT).json()["code"] == "ledger_not_found"
    assert bob.http.delete(path, headers=WAIT).json()["code"] == "ledger_not_found"
    assert named(bob.get(f"{path}/history"), 404) == ["transaction_id"]
    assert read(ann, mine) == mine


def test_a_change_of_a_version_that_is_not_there_any_more_is_refused(ann: Person) -> None:
    first = recorded(ann, amount="1", category="Groceries")
    second = change(ann, first, {"amount": "2"}, **{"If-Match": f'"{first["version"]}"'}).json()

    stale = change(ann, first, {"amount": "3"}, **{"If-Match": f'"{first["version"]}"'})

    assert named(stale, 412) == ["If-Match"]
    assert stale.json()["code"] == "version_stale"
    assert named(delete(ann, first, **{"If-Match": f'"{first["version"]}"'}), 412) == ["If-Match"]
    assert named(change(ann, first, {"amount": "3"}, **{"If-Match": "x"}), 400) == ["If-Match"]
    assert read(ann, first) == second
    assert change(ann, first, {"amount": "3"}, **{"If-Match": "*"}).status_code == 200


def test_a_change_can_be_repeated_under_its_key(ann: Person) -> None:
    transaction, key = recorded(ann, amount="1", category="Groceries"), {"Idempotency-Key": uuid4().hex}
    first = change(ann, transaction, {"note": "once"}, **key)
    change(ann, transaction, {"note": "twice"})

    again = change(ann, transaction, {"note": "once"}, **key)

    assert again.headers["idempotency-replayed"] == "true"
    assert (first.json()["note"], again.json()["note"]) == ("once", "twice")
    assert len(ann.get(f"/ledgers/{ann.ledger_id}/transactions/{transaction['id']}/history").json()["items"]) == 3


def test_who_does_not_wait_asks_for_the_operation(ann: Person) -> None:
    transaction = recorded(ann, amount="1", category="Groceries")

    accepted = ann.http.patch(f"/transactions/{transaction['id']}", json={"note": "later"})

    assert accepted.status_code == 202
    assert accepted.json()["resource_id"] == transaction["id"]
    assert accepted.headers["location"].endswith(accepted.json()["operation_id"])


def test_what_is_deleted_is_listed_no_more_and_still_read(ann: Person) -> None:
    transaction = recorded(ann, amount="1.23", category="Groceries", tags=["gone"], payee="Gone", description="gone")
    filters = ["tag:gone", "payee:gone", "gone", "category:Groceries amount:1.23", "account:Cash gone"]
    assert all(found(ann, each) == [transaction["id"]] for each in filters)

    answer = delete(ann, transaction)

    assert answer.status_code == 200, answer.text
    assert answer.json()["deleted"]
    assert all(found(ann, each) == [] for each in filters)
    gone = read(ann, transaction)
    assert gone == answer.json()
    assert gone["postings"] == transaction["postings"]
    assert delete(ann, transaction).json()["code"] == "transaction_deleted"


def found(person: Person, text: str) -> list[str]:
    answer = person.get("/transactions", filter=text)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


def test_history_says_who_changed_what(ann: Person) -> None:
    transaction = recorded(ann, amount="10", category="Groceries", date="2026-03-01", payee="Rossi")
    change(ann, transaction, {"amount": "12", "date": "2026-03-02"})
    change(ann, transaction, {"payee": None, "tags": ["late"]})
    change(ann, transaction, {"splits": [{"amount": "5", "category": "Fun"}, {"amount": "7", "category": "Groceries"}]})
    deleted = delete(ann, transaction).json()
    path = f"/ledgers/{ann.ledger_id}/transactions/{transaction['id']}/history"

    items = ann.get(path).json()["items"]

    assert [each["type"] for each in items] == [
        "transaction.recorded",
        "transaction.recorded",
        "transaction.annotated",
        "transaction.recorded",
        "transaction.reversed",
    ]
    assert [each["version"] for each in items] == sorted(each["version"] for each in items)
    assert {(each["user_id"], each["username"]) for each in items} == {(str(ann.user_id), ann.username)}
    created, dearer, annotated, split, gone = (each["changed"] for each in items)
    assert created == {}
    assert dearer == {"amount": ["10.00", "12.00"], "date": ["2026-03-01", "2026-03-02"]}
    assert annotated == {"payee": ["Rossi", None], "tags": [[], ["late"]]}
    assert split.keys() == {"category", "splits"}
    assert split["category"][1] is None
    assert gone == {"deleted": [False, True]}
    assert items[0]["state"] == transaction
    assert items[-1]["state"] == deleted
    assert named(ann.get(f"/ledgers/{ann.ledger_id}/transactions/{uuid4()}/history"), 404) == ["transaction_id"]


def test_history_shows_what_was_undone(ann: Person) -> None:
    transaction = recorded(ann, amount="10", category="Groceries")
    changed = change(ann, transaction, {"amount": "12"}).json()
    path = f"/ledgers/{ann.ledger_id}"
    undone = ann.http.post(f"{path}/changes/{changed['version']}/undo", headers=WAIT)
    assert undone.status_code == 201, undone.text

    items = ann.get(f"{path}/transactions/{transaction['id']}/history").json()["items"]

    assert [(each["undoes"], each["undone_by"]) for each in items] == [
        (None, None),
        (None, items[2]["version"]),
        (changed["version"], None),
    ]
    assert items[2]["changed"] == {"amount": ["12.00", "10.00"]}
    assert read(ann, transaction)["amount"] == "10.00"
