"""Transactions over HTTP on the whole system: recorded once, read back, and refused where they are wrong."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.settings import LedgerDatabaseSettings
from tests.builders.gateway import Person, a_person
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


@pytest.fixture(scope="module")
def bob(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def problem(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def named(answer: httpx.Response, status: int) -> list[str]:
    return [each["field"] for each in problem(answer, status)["errors"]]


def settled(person: Person, operation_id: str) -> Any:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        operation = person.get(f"/operations/{operation_id}").json()
        if operation["status"] != "pending":
            return operation
        time.sleep(0.05)
    raise AssertionError("still pending after 10 s")


def operations_of(stack: LocalStack, person: Person) -> int:
    """Count what the ledger has ever decided for somebody."""

    async def count() -> int:
        database = Database(
            settings_from(stack.environment("ledger-consumer"), LedgerDatabaseSettings), application="tests"
        )
        await database.start()
        async with database.connection("count operations") as connection:
            found: int = await connection.fetchval("SELECT count(*) FROM operations WHERE user_id = $1", person.user_id)
        await database.stop()
        return found

    return asyncio.run(count())


def test_a_transaction_is_accepted_then_recorded_then_read(ann: Person) -> None:
    accepted = ann.post("/transactions", {"amount": "24.47", "category": "Groceries", "date": "2024-09-19"})
    assert accepted.status_code == 202
    body = accepted.json()
    assert accepted.headers["location"] == f"/api/v1/operations/{body['operation_id']}"
    assert accepted.headers["idempotency-key"] == body["idempotency_key"]

    operation = settled(ann, body["operation_id"])

    assert operation["status"] == "recorded"
    assert operation["resource_id"] == body["transaction_id"]
    transaction = ann.get(f"/transactions/{body['transaction_id']}").json()
    assert transaction == operation["transaction"]
    assert (transaction["amount"], transaction["currency"], transaction["date"]) == ("24.47", "EUR", "2024-09-19")
    assert (transaction["category"]["name"], transaction["account"]["name"]) == ("Groceries", "Cash")
    assert transaction["postings"] == [
        {
            "source": transaction["account"],
            "destination": transaction["category"],
            "amount": "24.47",
            "currency": "EUR",
        }
    ]


def test_who_waits_gets_the_transaction(ann: Person) -> None:
    answer = ann.post("/transactions", {"amount": "1", "category": "Salary", "kind": "income"}, prefer="wait=10")

    assert answer.status_code == 201, answer.text
    assert answer.headers["preference-applied"] == "wait=10"
    assert answer.json()["amount"] == "1.00"
    assert answer.headers["location"] == f"/api/v1/ledgers/{ann.ledger_id}/transactions/{answer.json()['id']}"


def test_the_same_key_and_content_take_effect_once(ann: Person) -> None:
    key, body = uuid4().hex, {"amount": "3.50", "category": "Coffee"}
    first = ann.post("/transactions", body, idempotency_key=key, prefer="wait=10")

    again = ann.post("/transactions", body, idempotency_key=key, prefer="wait=10")
    unhurried = ann.post("/transactions", body, idempotency_key=key)

    assert (first.status_code, again.status_code, unhurried.status_code) == (201, 200, 202)
    assert first.json() == again.json()
    assert unhurried.json()["transaction_id"] == first.json()["id"]
    assert unhurried.json()["status"] == "recorded"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == unhurried.headers["idempotency-replayed"] == "true"


def test_a_key_used_for_other_content_is_refused_and_the_difference_named(ann: Person) -> None:
    key = uuid4().hex
    ann.post("/transactions", {"amount": "3.50", "category": "Coffee"}, idempotency_key=key, prefer="wait=10")

    answer = ann.post(
        "/transactions", {"amount": "3.51", "category": "Coffee", "date": "2024-01-01"}, idempotency_key=key
    )

    assert named(answer, 422) == ["amount", "date"]
    assert problem(answer, 422)["code"] == "idempotency_key_reused"
    # Absent and null are different content, and the field is named all the same.
    null = ann.post("/transactions", {"amount": "3.50", "category": "Coffee", "description": None}, idempotency_key=key)
    assert named(null, 422) == ["description"]


def test_an_id_the_client_chose_is_its_key(ann: Person) -> None:
    body = {"amount": "3.50", "category": "Coffee", "id": str(uuid4())}
    first = ann.post("/transactions", body, prefer="wait=10")

    assert first.json()["id"] == body["id"]
    assert ann.post("/transactions", body, prefer="wait=10").headers["idempotency-replayed"] == "true"
    assert named(ann.post("/transactions", body | {"amount": "4"}), 422) == ["amount"]


def test_what_only_the_ledger_knows_is_refused_by_it(ann: Person) -> None:
    waited = ann.post("/transactions", {"amount": "1.005", "category": "Coffee"}, prefer="wait=10")
    assert named(waited, 422) == ["amount"]
    assert problem(waited, 422)["code"] == "amount_too_precise"

    accepted = ann.post("/transactions", {"amount": "1", "category": "Coffee", "currency": "USD"})
    operation = settled(ann, accepted.json()["operation_id"])
    assert (operation["status"], operation["code"], operation["field"]) == ("refused", "currency_mismatch", "currency")
    assert named(
        ann.post("/transactions", {"amount": "1", "category": "x", "date": "1024-01-01"}, prefer="wait=9"), 422
    ) == ["date"]


def test_a_ledger_of_somebody_else_is_not_there(ann: Person, bob: Person) -> None:
    transaction = ann.record()
    path = f"/ledgers/{ann.ledger_id}"

    assert named(bob.get(f"{path}/transactions/{transaction['id']}"), 404) == ["transaction_id"]
    assert named(bob.get(f"/transactions/{transaction['id']}"), 404) == ["transaction_id"]
    assert named(bob.get(f"{path}/transactions"), 404) == ["ledger_id"]
    assert named(bob.get(f"{path}/accounts"), 404) == ["ledger_id"]
    assert named(bob.post(f"{path}/bulk-grants", {}), 404) == ["ledger_id"]
    refused = bob.post(f"{path}/transactions", {"amount": "1", "category": "x"}, prefer="wait=10")
    assert problem(refused, 422)["code"] == "ledger_not_found"


def test_an_operation_of_somebody_else_is_pending_for_ever(ann: Person, bob: Person) -> None:
    operation_id = ann.post("/transactions", {"amount": "1", "category": "x"}).json()["operation_id"]
    settled(ann, operation_id)
    foreign, unknown = bob.get(f"/operations/{operation_id}"), bob.get(f"/operations/{uuid4()}")

    assert foreign.json() == {"id": operation_id, "status": "pending"}
    assert foreign.headers["retry-after"] == unknown.headers["retry-after"] == "1"


def test_pages_show_every_transaction_once_the_newest_first(bob: Person) -> None:
    days = ["2024-03-01", "2024-01-15", "2024-03-01", "2024-02-29", "2023-12-31"]
    recorded = [bob.record(date=day, category=f"Category {index}") for index, day in enumerate(days)]

    seen: list[Any] = []
    cursor: str | None = None
    while True:
        page = bob.get("/transactions", limit=2, **({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) <= 2
        seen.extend(page["items"])
        if (cursor := page["next_cursor"]) is None:
            break

    assert [each["date"] for each in seen] == sorted(days, reverse=True)
    assert {each["id"] for each in seen} == {each["id"] for each in recorded}
    assert bob.get(f"/ledgers/{bob.ledger_id}/transactions").json()["items"] == seen


def test_balances_are_what_was_recorded(stack: LocalStack) -> None:
    with a_person(stack) as cat:
        assert cat.get("/accounts").json()["items"] == []
        assert cat.get("/transactions").json() == {"items": [], "next_cursor": None}
        cat.record(amount="100", category="Salary", kind="income")
        cat.record(amount="30.30", category="Groceries")

        balances = {each["name"]: each["balances"] for each in cat.get("/accounts").json()["items"]}

    assert balances == {
        "Cash": [{"amount": "69.70", "currency": "EUR"}],
        "Groceries": [{"amount": "30.30", "currency": "EUR"}],
        "Salary": [{"amount": "-100.00", "currency": "EUR"}],
    }


@pytest.mark.parametrize("limit", ["-1", "0", "201", "1.5", "1e2", "+5", "many", "", "9" * 400])
def test_a_limit_that_is_none_is_named(ann: Person, limit: str) -> None:
    assert named(ann.get("/transactions", limit=limit), 400) == ["limit"]


@pytest.mark.parametrize("cursor", ["x", "", "A" * 38, "A" * 201, "\x00", "é", str(uuid4())])
def test_a_cursor_that_is_none_of_ours_is_named(ann: Person, cursor: str) -> None:
    assert named(ann.get("/transactions", cursor=cursor), 400) == ["cursor"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"amount": 24.47, "category": "x"}', "amount"),
        (b'{"amount": NaN, "category": "x"}', "amount"),
        (b'{"amount": "%s", "category": "x"}' % (b"9" * 400), "amount"),
        (b'{"amount": "1e3", "category": "x"}', "amount"),
        (b'{"amount": "1", "category": ""}', "category"),
        (b'{"amount": "1", "category": "%s"}' % (b"x" * 10_000), "category"),
        (b'{"amount": "1", "category": "a\\u0000"}', "category"),
        (b'{"amount": "1", "category": "\\ud800"}', "category"),
        (b'{"amount": "1", "category": "x", "kind": 7}', "kind"),
        (b'{"amount": "1", "category": "x", "status": "reconciled"}', "status"),
        (b'{"amount": "1", "category": "x", "tags": "one"}', "tags"),
        (b'{"amount": "1", "category": "x", "tags": ["a\\n"]}', "tags"),
        (b'{"amount": "1", "category": "x", "payee": "a\\u0007"}', "payee"),
        (b'{"amount": "1", "category": "x", "external_id": ""}', "external_id"),
        (b'{"splits": [{"amount": "1"}]}', "splits.0.category"),
        (b'{"splits": [{"amount": 1, "category": "x"}]}', "splits.0.amount"),
        (b'{"amount": "1", "to_account": "x", "rate": "-1"}', "rate"),
        (b'{"amount": "1", "category": "x", "unknown": 7}', "unknown"),
        (b'{"amount": "1", "category": "x"', ""),
    ],
)
@pytest.mark.parametrize("prefer", ["", "wait=10"])
def test_a_body_that_is_wrong_is_named_and_writes_nothing(
    stack: LocalStack, bob: Person, body: bytes, field: str, prefer: str
) -> None:
    before = operations_of(stack, bob)

    answer = bob.http.post("/transactions", content=body, headers=JSON | {"Prefer": prefer})

    assert named(answer, 400) == [field]
    assert operations_of(stack, bob) == before


def test_a_grant_is_for_the_ledger_and_no_longer_than_a_day(ann: Person) -> None:
    answer = ann.post(f"/ledgers/{ann.ledger_id}/bulk-grants", {"expires_in": 86400})

    assert answer.status_code == 201
    assert len(answer.json()["grant"].split(".")) == 3
    for seconds in (86401, 0, -1, 1.5, "60", True, 10**30):
        assert named(ann.post(f"/ledgers/{ann.ledger_id}/bulk-grants", {"expires_in": seconds}), 400) == ["expires_in"]


def test_many_at_once_are_each_recorded_once(stack: LocalStack) -> None:
    async def record(http: httpx.AsyncClient, number: int) -> UUID:
        body = {"amount": f"{number + 1}.00", "category": "Coffee"}
        answer = await http.post("/transactions", json=body, headers={"Prefer": "wait=10"})
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"])

    async def record_all(person: Person) -> list[UUID]:
        async with httpx.AsyncClient(base_url=person.http.base_url, headers=person.http.headers, timeout=30) as http:
            return await asyncio.gather(*(record(http, number) for number in range(60)))

    with a_person(stack) as dan:
        ids = asyncio.run(record_all(dan))
        listed = dan.get("/transactions", limit=200).json()["items"]

    assert len(set(ids)) == 60
    assert {UUID(each["id"]) for each in listed} == set(ids)
