"""Registering, signing in and leaving over HTTP on the whole system."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from infra.local.stack import LocalStack
from tests.builders.gateway import PASSWORD, Person, a_client, a_person, a_registration, an_address, code_of, signed_in

pytestmark = pytest.mark.stack

WAIT = {"Prefer": "wait=10"}


@pytest.fixture(scope="module")
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    with a_client(stack) as client:
        yield client


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def code(answer: httpx.Response, status: int = 422) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["code"]


def start(http: httpx.Client, email: str, **headers: str) -> httpx.Response:
    body = {"email": email, "base_currency": "EUR", "time_zone": "Europe/Berlin"}
    return http.post(
        "/registrations", json=body, headers={name.replace("_", "-"): each for name, each in headers.items()}
    )


def verify(http: httpx.Client, registration: UUID, typed: str) -> httpx.Response:
    return http.post(f"/registrations/{registration}/verify", json={"code": typed}, headers=WAIT)


def choose(http: httpx.Client, registration: UUID, username: str, typed: str) -> httpx.Response:
    body = {"code": typed, "username": username, "password": PASSWORD}
    return http.post(f"/registrations/{registration}/user", json=body, headers=WAIT)


def wrong(typed: str) -> str:
    return typed.translate(str.maketrans("ABCDEFGHJKLMNPQRSTUVWXZ", "BCDEFGHJKLMNPQRSTUVWXZA"))


def test_a_known_address_is_answered_like_an_unknown_one(http: httpx.Client, ann: Person) -> None:
    def shape(answer: httpx.Response) -> Any:
        ids = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
        headers = {name: ids.sub("id", value) for name, value in answer.headers.items() if name != "date"}
        return answer.status_code, headers, ids.sub("id", answer.text)

    assert shape(start(http, ann.email)) == shape(start(http, an_address()))
    assert shape(start(http, ann.email, prefer="wait=10")) == shape(start(http, an_address(), prefer="wait=10"))


def test_an_honest_retry_finds_the_same_registration_and_nobody_can_choose_it(http: httpx.Client) -> None:
    email, key = an_address(), uuid4().hex
    first = start(http, email, idempotency_key=key).json()

    assert start(http, email, idempotency_key=key).json()["registration_id"] == first["registration_id"]
    assert start(http, an_address(), idempotency_key=key).json()["registration_id"] != first["registration_id"]
    assert start(http, email).json()["registration_id"] != first["registration_id"]


def test_a_wrong_code_is_refused_five_times_and_then_the_right_one_too(http: httpx.Client, stack: LocalStack) -> None:
    registration = a_registration(http)
    right = code_of(stack, registration)

    assert [code(verify(http, registration, wrong(right))) for _ in range(5)] == ["code_wrong"] * 5
    assert code(verify(http, registration, right)) == "code_spent"

    resent = http.post(f"/registrations/{registration}/resend", headers=WAIT)
    assert resent.status_code == 202, resent.text
    assert code(verify(http, registration, right)) == "code_wrong"
    assert verify(http, registration, code_of(stack, registration, 2).lower()).json()["status"] == "verified"


def test_a_code_cannot_be_used_for_another_registration(http: httpx.Client, stack: LocalStack) -> None:
    first, second = a_registration(http), a_registration(http)

    assert code(verify(http, second, code_of(stack, first))) == "code_wrong"


def test_a_username_is_one_persons_however_it_is_spelled(http: httpx.Client, stack: LocalStack) -> None:
    name = f"p{uuid4().hex[:12]}"
    registrations = [a_registration(http) for _ in range(2)]
    codes = [code_of(stack, each) for each in registrations]
    assert code(choose(http, registrations[0], name, codes[0])) == "registration_not_verified"
    for each, typed in zip(registrations, codes, strict=True):
        verify(http, each, typed)

    async def choose_at_once() -> list[int]:
        async with httpx.AsyncClient(base_url=http.base_url, timeout=30) as client:
            answers = await asyncio.gather(
                *(
                    client.post(
                        f"/registrations/{each}/user",
                        json={"code": typed, "username": spelled, "password": PASSWORD},
                        headers=WAIT,
                    )
                    for each, typed, spelled in zip(registrations, codes, (name, name.upper()), strict=True)
                )
            )
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(choose_at_once()) == [201, 422]


def test_who_only_knows_a_verified_registrations_id_cannot_take_it_over(http: httpx.Client, stack: LocalStack) -> None:
    registration, name = a_registration(http), f"p{uuid4().hex[:12]}"
    right = code_of(stack, registration)
    verify(http, registration, right)

    assert code(choose(http, registration, f"thief-{name[:8]}", wrong(right))) == "code_wrong"
    assert choose(http, registration, name, right).status_code == 201


def test_a_password_everybody_tries_first_is_refused_before_anything_is_sent(http: httpx.Client) -> None:
    registration = a_registration(http)
    body = {"code": "KTRWXZ", "username": "ann.example", "password": "Password123"}

    answer = http.post(f"/registrations/{registration}/user", json=body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "password"


def test_the_registrations_id_is_the_key_to_its_operations(http: httpx.Client) -> None:
    accepted = start(http, an_address())
    path = accepted.headers["location"].removeprefix("/api/v1")
    deadline = time.monotonic() + 10
    while http.get(path).json()["status"] == "pending" and time.monotonic() < deadline:
        time.sleep(0.05)

    assert http.get(path).json()["status"] == "recorded"
    operation = path.rsplit("/", 1)[1]
    assert http.get(f"/registrations/{uuid4()}/operations/{operation}").json()["status"] == "pending"


def test_a_stranger_and_a_wrong_password_look_the_same(http: httpx.Client, ann: Person) -> None:
    def refused(username: str) -> Any:
        answer = http.post("/sessions", json={"username": username, "password": "not the password"})
        body = answer.json()
        return answer.status_code, {name: body[name] for name in ("type", "title", "detail", "code", "errors")}

    assert refused(ann.username) == refused(f"p{uuid4().hex[:12]}")
    assert refused(ann.username)[0] == 401


def test_who_signed_in_is_known_to_other_services(ann: Person) -> None:
    bearer = ann.get("/auth/authorize").json()

    assert (UUID(bearer["user_id"]), bearer["username"]) == (ann.user_id, ann.username)
    assert UUID(bearer["ledger_id"]) == ann.ledger_id
    assert (bearer["base_currency"], bearer["time_zone"]) == ("EUR", "Europe/Berlin")
    keys = ann.http.get(str(ann.http.base_url.copy_with(path="/.well-known/jwks.json"))).json()["keys"]
    assert [(key["kty"], key["crv"], key["alg"]) for key in keys] == [("OKP", "Ed25519", "EdDSA")]


def refresh(http: httpx.Client, token: str) -> httpx.Response:
    return http.post("/sessions/refresh", json={"refresh_token": token})


def test_a_refresh_token_brings_its_successor_and_a_lost_answer_can_be_had_again(
    http: httpx.Client, ann: Person
) -> None:
    with signed_in(http, ann.username) as device:
        first = refresh(http, device.tokens["refresh_token"])
        again = refresh(http, device.tokens["refresh_token"])

        assert first.status_code == again.status_code == 200, again.text
        assert first.json()["refresh_token"] == again.json()["refresh_token"]
        assert first.json()["session_id"] == device.tokens["session_id"]


def test_a_spent_refresh_token_ends_the_session_for_thief_and_owner(http: httpx.Client, ann: Person) -> None:
    with signed_in(http, ann.username) as device:
        second = refresh(http, device.tokens["refresh_token"]).json()["refresh_token"]
        third = refresh(http, second).json()["refresh_token"]

        assert code(refresh(http, device.tokens["refresh_token"]), 401) == "refresh_reused"
        assert code(refresh(http, third), 401) == "session_ended"


@pytest.mark.parametrize("token", ["x", "a.b.c", f"{uuid4().hex}.AAAA.BBBB", "." * 200])
def test_a_refresh_token_that_is_none_of_ours_is_refused(http: httpx.Client, token: str) -> None:
    assert code(refresh(http, token), 401) == "session_ended"


def test_an_ended_session_is_refused_within_five_seconds(http: httpx.Client, ann: Person) -> None:
    with signed_in(http, ann.username) as device:
        session_id = device.tokens["session_id"]
        own = {each["id"]: each for each in ann.get("/sessions").json()["items"]}
        assert own[session_id]["client"] == "tests"
        assert not own[session_id]["current"]

        ended = ann.http.delete(f"/sessions/{session_id}", headers=WAIT)
        assert ended.status_code == 204, ended.text
        began = time.monotonic()
        while device.get("/transactions").status_code == 200:
            assert time.monotonic() - began < 5
            time.sleep(0.1)

        assert device.get("/transactions").status_code == 401
        assert code(refresh(http, device.tokens["refresh_token"]), 401) == "session_ended"
    assert session_id not in {each["id"] for each in ann.get("/sessions").json()["items"]}


def test_nobody_ends_a_session_of_somebody_else(stack: LocalStack, ann: Person) -> None:
    with a_person(stack) as bob:
        answer = bob.http.delete(f"/sessions/{ann.tokens['session_id']}", headers=WAIT)

    assert code(answer) == "session_not_found"
    assert ann.get("/transactions").status_code == 200
