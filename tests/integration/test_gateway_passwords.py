"""Another password over HTTP on the whole system: whose is right, which one is made, who is signed out."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.local.stack import LocalStack
from tests.builders.gateway import PASSWORD, Person, a_client, a_person, signed_in

pytestmark = pytest.mark.stack

NEW = "another battery, correct"
WAIT = {"Prefer": "wait=10"}


@pytest.fixture
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def change(person: Person, current: str = PASSWORD, new: str = NEW, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    body = {"current_password": current, "new_password": new}
    return person.http.put("/auth/password", json=body, headers=WAIT | named)


def sign_in(http: httpx.Client, username: str, password: str) -> int:
    return http.post("/sessions", json={"username": username, "password": password}).status_code


@pytest.mark.parametrize(
    ("current", "new", "status", "field"),
    [
        ("not the password", NEW, 403, "current_password"),
        (PASSWORD, PASSWORD, 400, "new_password"),
        # The same, written with a ligature.
        ("oﬃce and home", "office and home", 400, "new_password"),
        (PASSWORD, "Password123", 400, "new_password"),
        (PASSWORD, "short", 400, "new_password"),
        (PASSWORD, "x" * 257, 400, "new_password"),
        ("", NEW, 400, "current_password"),
    ],
)
def test_what_is_no_change_is_refused_by_its_field(
    somebody: Person, current: str, new: str, status: int, field: str
) -> None:
    answer = change(somebody, current, new)

    assert answer.status_code == status, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert current not in answer.text or not current
    assert somebody.get("/auth/authorize").status_code == 200


@pytest.fixture(scope="module")
def somebody(stack: LocalStack) -> Iterator[Person]:
    """Somebody whose password stays."""
    with a_person(stack) as person:
        yield person


def test_a_wrong_password_has_a_name(somebody: Person) -> None:
    assert change(somebody, "not the password").json()["code"] == "password_wrong"
    assert change(somebody, PASSWORD, somebody.username.upper()).status_code == 400


def test_the_new_password_counts_and_others_are_signed_out(stack: LocalStack, ann: Person) -> None:
    with a_client(stack) as http, signed_in(http, ann.username) as phone:
        answer = change(ann)
        assert answer.status_code == 204, answer.text

        assert (sign_in(http, ann.username, PASSWORD), sign_in(http, ann.username, NEW)) == (401, 201)
        token = phone.tokens["refresh_token"]
        refreshed = http.post("/sessions/refresh", json={"refresh_token": token})
        assert (refreshed.status_code, refreshed.json()["code"]) == (401, "session_ended")
        began = time.monotonic()
        while phone.get("/transactions").status_code == 200:
            assert time.monotonic() - began < 5
            time.sleep(0.1)
    assert ann.get("/transactions").status_code == 200
    assert [each["current"] for each in ann.get("/sessions").json()["items"]] == [False, True]
    data = ann.get("/auth/data").json()
    assert data["mails"][0]["subject"] == "Your cash-flow password was changed"
    assert {each["ending"] for each in data["sessions"]} == {None, "password_changed"}


def test_an_honest_retry_hears_that_it_is_done_and_a_key_serves_one_change(ann: Person) -> None:
    key = uuid4().hex
    assert change(ann, idempotency_key=key).status_code == 204

    again = change(ann, idempotency_key=key)
    other = change(ann, NEW, "a third one, quite long", idempotency_key=key)
    wrong = change(ann, "not the password", "a third one, quite long", idempotency_key=key)

    assert (again.status_code, again.headers["idempotency-replayed"]) == (204, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (wrong.status_code, wrong.json()["code"]) == (403, "password_wrong")
    assert change(ann, NEW, "a third one, quite long").status_code == 204


def test_of_two_changes_at_once_one_is_made_and_the_other_is_told(stack: LocalStack, ann: Person) -> None:
    passwords = [f"one of two at once, {number}" for number in range(2)]

    async def change_at_once() -> list[httpx.Response]:
        headers = {"Authorization": ann.http.headers["Authorization"], **WAIT}
        async with httpx.AsyncClient(base_url=ann.http.base_url, timeout=30, headers=headers) as client:
            return await asyncio.gather(
                *(
                    client.put("/auth/password", json={"current_password": PASSWORD, "new_password": password})
                    for password in passwords
                )
            )

    answers = asyncio.run(change_at_once())
    codes: Any = [answer.json()["code"] if answer.content else None for answer in answers]

    assert codes.count(None) == 1
    # Whoever is read after the first was recorded hears that the old password is wrong already.
    assert set(codes) <= {None, "password_changed", "password_wrong"}
    with a_client(stack) as http:
        assert [sign_in(http, ann.username, password) for password in passwords] == [
            401 if each else 201 for each in codes
        ]
