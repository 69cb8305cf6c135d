"""People who share a ledger, over HTTP on the whole system: inviting, roles, leaving, and who did what."""

import asyncio
import re
import time
from collections.abc import Iterator
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts import topics
from contracts.envelope import operation_id
from infra.kafka.producer import Producer
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings
from tests.builders.gateway import Person, a_person, an_address
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


@pytest.fixture(scope="module")
def bob(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


@pytest.fixture(scope="module")
def eve(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def refused(answer: httpx.Response, status: int = 422) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json().get("code")


def write(person: Person, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """Ask for a change and wait for it."""
    named = {"Prefer": "wait=10", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return person.http.request(method, path, json=body, headers=named)


def a_ledger(owner: Person, name: str = "Holiday house", **fields: str) -> str:
    """Open another ledger and return its path."""
    return f"/ledgers/{ok(write(owner, 'POST', '/ledgers', {'name': name, **fields}), 201)['id']}"


def invite(owner: Person, ledger: str, email: str, role: str = "editor", **headers: str) -> httpx.Response:
    return write(owner, "POST", f"{ledger}/invitations", {"email": email, "role": role}, **headers)


def join(owner: Person, person: Person, ledger: str, role: str = "editor") -> None:
    """Let somebody into a ledger."""
    invitation = ok(invite(owner, ledger, person.email, role), 201)
    ok(write(person, "POST", f"{ledger}/invitations/{invitation['id']}/accept"))


def record(person: Person, ledger: str, **fields: str) -> httpx.Response:
    return write(person, "POST", f"{ledger}/transactions", {"amount": "24.47", "category": "Groceries", **fields})


def changes(person: Person, ledger: str, **params: Any) -> list[Any]:
    """Return every change of a ledger, page by page."""
    found: list[Any] = []
    while True:
        page = ok(person.get(f"{ledger}/changes", **params))
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


def mails_to(stack: LocalStack, address: str, subject: str) -> list[Any]:
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.ports['mailbox']}", timeout=5) as mailbox:
        mails: list[Any] = mailbox.get("/api/v1/search", params={"query": f"to:{address}"}).json()["messages"]
        return [mail for mail in mails if subject in mail["Subject"]]


def test_two_people_share_a_ledger_from_the_invitation_to_the_removal(ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann, "Flat", base_currency="CHF", time_zone="Europe/Zurich")

    assert refused(bob.get(ledger), 404) is None
    invitation = ok(invite(ann, ledger, bob.email), 201)
    (found,) = [each for each in ok(bob.get("/invitations"))["items"] if each["id"] == invitation["id"]]
    assert (found["ledger_name"], found["invited_by"], found["role"]) == ("Flat", ann.username, "editor")
    assert refused(bob.get(f"{ledger}/transactions"), 404) is None
    assert refused(record(bob, ledger)) == "ledger_not_found"

    joined = ok(write(bob, "POST", f"{ledger}/invitations/{invitation['id']}/accept"))
    assert (joined["name"], joined["role"], joined["base_currency"]) == ("Flat", "editor", "CHF")
    transaction = ok(record(bob, ledger), 201)
    assert [each["id"] for each in ok(ann.get(f"{ledger}/transactions"))["items"]] == [transaction["id"]]

    viewer = ok(write(ann, "PATCH", f"{ledger}/members/{bob.user_id}", {"role": "viewer"}))
    assert (viewer["username"], viewer["role"]) == (bob.username, "viewer")
    assert refused(record(bob, ledger)) == "role_insufficient"
    assert len(ok(bob.get(f"{ledger}/transactions"))["items"]) == 1
    assert refused(write(bob, "POST", f"{ledger}/bulk-grants", {}), 404) is None

    ok(write(ann, "DELETE", f"{ledger}/members/{bob.user_id}"), 204)
    for path in ("", "/members", "/transactions", f"/transactions/{transaction['id']}", "/accounts", "/changes"):
        assert refused(bob.get(ledger + path), 404) is None, path
    assert refused(record(bob, ledger)) == "ledger_not_found"
    assert ledger.split("/")[-1] not in [each["id"] for each in ok(bob.get("/ledgers"))["items"]]

    log = changes(ann, ledger)
    assert [(each["type"], each["username"]) for each in reversed(log)] == [
        ("ledger.opened", ann.username),
        ("member.invited", ann.username),
        ("invitation.ended", bob.username),
        ("member.joined", bob.username),
        ("transaction.recorded", bob.username),
        ("member.changed", ann.username),
        ("member.removed", ann.username),
    ]
    assert [each["sequence"] for each in log] == sorted((each["sequence"] for each in log), reverse=True)


def test_ones_own_ledger_is_listed_before_it_is_open(stack: LocalStack) -> None:
    with a_person(stack) as person:
        (own,) = ok(person.get("/ledgers"))["items"]
        assert own == ok(person.get(f"/ledgers/{person.ledger_id}"))
        assert (own["id"], own["personal"], own["role"]) == (str(person.ledger_id), True, "owner")
        assert (own["opened_at"], own["default_account"], own["base_currency"]) == (None, None, "EUR")
        for path in ("members", "invitations", "changes"):
            assert ok(person.get(f"/ledgers/{person.ledger_id}/{path}"))["items"] == []

        further = a_ledger(person)
        person.record()

        listed = ok(person.get("/ledgers"))["items"]
        assert [(each["name"], each["personal"]) for each in listed] == [("Personal", True), ("Holiday house", False)]
        assert all(each["default_account"]["name"] == "Cash" and each["opened_at"] for each in listed)
        assert ok(person.get(further))["id"] == listed[1]["id"]
        (member,) = ok(person.get(f"/ledgers/{person.ledger_id}/members"))["items"]
        assert (member["username"], member["role"]) == (person.username, "owner")


def test_a_ledger_is_opened_once_under_a_key_and_is_nobody_elses(ann: Person, bob: Person) -> None:
    key = uuid4().hex
    first = write(ann, "POST", "/ledgers", {"name": "Car"}, idempotency_key=key)
    again = write(ann, "POST", "/ledgers", {"name": "Car"}, idempotency_key=key)
    other = write(ann, "POST", "/ledgers", {"name": "Boat"}, idempotency_key=key)

    assert first.headers["location"] == f"/api/v1/ledgers/{ok(first, 201)['id']}"
    assert ok(again)["id"] == first.json()["id"]
    assert refused(other) == "idempotency_key_reused"
    assert ok(write(bob, "POST", "/ledgers", {"name": "Car"}, idempotency_key=key), 201)["id"] != first.json()["id"]


def test_a_ledger_is_renamed_by_its_owner_only(ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann)
    join(ann, bob, ledger)

    assert ok(write(ann, "PATCH", ledger, {"name": "  Summer   house "}))["name"] == "Summer house"
    assert refused(write(bob, "PATCH", ledger, {"name": "Mine"})) == "role_insufficient"
    assert refused(write(ann, "PATCH", ledger, {"default_account": "Nowhere"})) == "account_not_found"
    assert refused(write(ann, "PATCH", ledger, {}), 400) is None
    assert ok(bob.get(ledger))["name"] == "Summer house"


def test_a_ledger_is_handed_over(ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann)
    join(ann, bob, ledger, "viewer")

    assert refused(write(ann, "DELETE", f"{ledger}/members/{ann.user_id}")) == "owner_needed"
    assert ok(write(ann, "PATCH", f"{ledger}/members/{bob.user_id}", {"role": "owner"}))["role"] == "owner"

    roles = {each["username"]: each["role"] for each in ok(ann.get(f"{ledger}/members"))["items"]}
    assert roles == {ann.username: "editor", bob.username: "owner"}
    assert refused(write(ann, "PATCH", f"{ledger}/members/{bob.user_id}", {"role": "viewer"})) == "role_insufficient"
    ok(write(ann, "DELETE", f"{ledger}/members/{ann.user_id}"), 204)
    assert refused(ann.get(ledger), 404) is None


def test_what_the_answer_to_an_invitation_says_does_not_depend_on_the_address(ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann)

    def shape(answer: httpx.Response) -> Any:
        varying = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[0-9:.]+Z")
        headers = {name: varying.sub("…", value) for name, value in answer.headers.items() if name != "date"}
        headers.pop("content-length", None)  # moments end with their last digit that is not 0
        return answer.status_code, headers, varying.sub("…", answer.text)

    body = {"role": "viewer"}
    for prefer in ("wait=10", "wait=0"):
        known, unknown = (
            ann.post(f"{ledger}/invitations", body | {"email": email}, prefer=prefer)
            for email in (bob.email, an_address())
        )
        assert shape(known) == shape(unknown)
        assert known.status_code == (201 if prefer == "wait=10" else 202)
    # Somebody who is a member already is invited like anybody else.
    own = invite(ann, ledger, ann.email, "viewer")
    assert shape(own) == shape(invite(ann, ledger, an_address(), "viewer"))

    listed = ok(ann.get(f"{ledger}/invitations"))["items"]
    assert len(listed) >= 4
    for each in listed:
        assert each.keys() == {"id", "role", "status", "invited_by", "invited_at", "expires_at"}
        assert ok(ann.get(f"{ledger}/invitations/{each['id']}")) == each
    for each in changes(ann, ledger):
        assert str(bob.user_id) not in str(each)
        assert "address_proof" not in each["detail"]


def test_an_invitation_to_a_known_address_takes_no_other_time(ann: Person, bob: Person) -> None:
    took_s: dict[bool, list[float]] = {True: [], False: []}
    for ledger in [a_ledger(ann) for _ in range(5)]:
        for number in range(48):
            known = number % 2 == 0
            body = {"email": bob.email if known else an_address(), "role": "viewer"}
            began_at = time.perf_counter()
            answer = ann.post(f"{ledger}/invitations", body)
            took_s[known].append(time.perf_counter() - began_at)
            ok(answer, 202)

    known_s, unknown_s = (median(took_s[each]) for each in (True, False))
    print(f"known {known_s * 1000:.2f} ms, unknown {unknown_s * 1000:.2f} ms")
    # A few percent on a quiet machine; this one has the servers on it.
    assert abs(known_s - unknown_s) < 0.15 * min(known_s, unknown_s)


def test_a_retry_is_the_same_invitation_also_after_the_address_was_registered(stack: LocalStack, ann: Person) -> None:
    ledger, key, email = a_ledger(ann), uuid4().hex, an_address()
    first = ok(invite(ann, ledger, email, idempotency_key=key), 201)
    with a_person(stack, email=email) as person:
        again = invite(ann, ledger, email, idempotency_key=key)

        assert again.headers["idempotency-replayed"] == "true"
        assert ok(again) == first
        assert refused(invite(ann, ledger, an_address(), idempotency_key=key)) == "idempotency_key_reused"
        # It was somebody's only when it was sent; a new one reaches them.
        assert ok(person.get("/invitations"))["items"] == []
        second = ok(invite(ann, ledger, email), 201)
        assert [each["id"] for each in ok(person.get("/invitations"))["items"]] == [second["id"]]


def test_the_invited_is_told_by_mail_once_and_nobody_else_is(stack: LocalStack, ann: Person) -> None:
    ledger, stranger = a_ledger(ann, "Our house"), an_address()
    with a_person(stack) as person:
        key = uuid4().hex
        for status in (201, 200):
            ok(invite(ann, ledger, person.email.upper(), "viewer", idempotency_key=key), status)
        ok(invite(ann, ledger, stranger), 201)
        subject = f"{ann.username} invites you"
        deadline = time.monotonic() + 15
        while not (mails := mails_to(stack, person.email, subject)) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)

        (mail,) = mails_to(stack, person.email, subject)
        assert mails
        assert "Our house" in str(mail)
        assert mails_to(stack, stranger, "invites") == []


def test_invitations_end_once(ann: Person, bob: Person, eve: Person) -> None:
    ledger = a_ledger(ann)
    declined, withdrawn, accepted = (ok(invite(ann, ledger, bob.email), 201)["id"] for _ in range(3))

    def path(invitation: str, answer: str = "") -> str:
        return f"{ledger}/invitations/{invitation}{answer}"

    assert refused(write(eve, "POST", path(accepted, "/accept"))) == "invitation_not_found"
    assert refused(write(bob, "DELETE", path(accepted))) == "invitation_not_found"
    assert refused(eve.get(path(accepted)), 404) is None
    ok(write(bob, "POST", path(declined, "/decline")), 204)
    ok(write(ann, "DELETE", path(withdrawn)), 204)
    assert refused(write(bob, "POST", path(declined, "/accept"))) == "invitation_over"
    assert refused(write(bob, "POST", path(withdrawn, "/accept"))) == "invitation_over"
    key = uuid4().hex
    first = ok(write(bob, "POST", path(accepted, "/accept"), idempotency_key=key))
    assert ok(write(bob, "POST", path(accepted, "/accept"), idempotency_key=key)) == first
    assert refused(write(ann, "DELETE", path(accepted))) == "invitation_over"

    listed = {each["id"]: each["status"] for each in ok(ann.get(f"{ledger}/invitations"))["items"]}
    assert listed == {declined: "declined", withdrawn: "withdrawn", accepted: "accepted"}
    assert refused(bob.get(f"{ledger}/invitations"), 404) is None
    assert not listed.keys() & {each["id"] for each in ok(bob.get("/invitations"))["items"]}


def test_only_the_owner_invites(ann: Person, bob: Person, eve: Person) -> None:
    ledger = a_ledger(ann)
    join(ann, bob, ledger)

    assert refused(invite(bob, ledger, eve.email)) == "role_insufficient"
    assert refused(invite(eve, ledger, eve.email)) == "ledger_not_found"
    assert refused(invite(ann, ledger, eve.email, "owner"), 400) is None
    assert refused(invite(ann, ledger, "nobody"), 400) is None


def test_what_was_done_is_undone_and_redone_by_any_member_who_writes(ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann)
    join(ann, bob, ledger)
    transaction = ok(record(bob, ledger), 201)
    path = f"{ledger}/transactions/{transaction['id']}"
    (made, *_) = changes(ann, ledger)
    assert (made["type"], made["subject_id"], made["undoable"]) == ("transaction.recorded", transaction["id"], True)
    assert (made["detail"]["amount"], made["detail"]["currency"]) == ("24.47", "EUR")

    undo = ok(write(ann, "POST", f"{ledger}/changes/{made['sequence']}/undo"), 201)

    assert (undo["type"], undo["undoes"], undo["username"]) == ("transaction.reversed", made["sequence"], ann.username)
    assert undo == changes(ann, ledger)[0]
    assert ok(bob.get(f"{ledger}/transactions"))["items"] == []
    (_, made, *_) = changes(ann, ledger)
    assert (made["undoable"], made["undone_by"]) == (False, undo["sequence"])
    assert refused(write(ann, "POST", f"{ledger}/changes/{made['sequence']}/undo")) == "changed_since"

    redo = ok(write(bob, "POST", f"{ledger}/changes/{undo['sequence']}/undo", {}), 201)

    assert (redo["type"], redo["undoes"], redo["undoable"]) == ("transaction.recorded", undo["sequence"], True)
    assert ok(bob.get(path))["amount"] == "24.47"
    (_, _, made, *_) = changes(ann, ledger)
    assert made["undoable"] is True
    assert refused(write(bob, "POST", f"{ledger}/changes/1/undo")) == "change_not_undoable"
    assert refused(write(bob, "POST", f"{ledger}/changes/99999/undo")) == "change_not_found"
    assert refused(write(bob, "POST", f"{ledger}/changes/0/undo"), 400) is None
    assert refused(write(bob, "POST", f"{ledger}/changes/1/undo", {"x": 1}), 400) is None


def test_the_log_is_read_by_page_by_subject_and_by_person(ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann)
    join(ann, bob, ledger)
    ids = [
        ok(record(person, ledger, description=str(number)), 201)["id"] for number in range(3) for person in (ann, bob)
    ]
    for transaction_id in ids[::2]:
        path = f"{ledger}/transactions/{transaction_id}"
        ok(write(bob, "PATCH", path, {"description": "changed"}))
    ok(write(bob, "PATCH", f"{ledger}/transactions/{ids[0]}", {"amount": "3.00"}))

    log = changes(ann, ledger, limit=200)
    for limit in (1, 2, 3, 7):
        assert changes(ann, ledger, limit=limit) == log
        assert changes(bob, ledger, limit=limit, by="me") == [each for each in log if each["username"] == bob.username]
        assert changes(ann, ledger, limit=limit, subject=ids[0]) == [
            each for each in log if each["subject_id"] == ids[0]
        ]
    made = [each for each in log if each["type"] == "transaction.recorded" and each["detail"]["revision"] == 1]
    assert [each["subject_id"] for each in reversed(made)] == ids
    mine = changes(bob, ledger, subject=ids[0], by="me")
    assert [each["type"] for each in mine] == ["transaction.recorded", "transaction.annotated"]
    assert mine[0]["detail"]["amount"] == "3.00"
    for params in ({"cursor": "x"}, {"cursor": "01"}, {"by": "ann"}, {"subject": "1"}, {"limit": 0}):
        assert refused(ann.get(f"{ledger}/changes", **params), 400) is None


def test_two_people_who_write_at_once_are_both_in_the_log(ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann)
    join(ann, bob, ledger)

    async def write_at_once() -> list[Any]:
        async def one(person: Person) -> Any:
            async with httpx.AsyncClient(
                base_url=person.http.base_url, headers=person.http.headers, timeout=30
            ) as client:
                body = {"amount": "1.00", "category": "Groceries"}
                answer = await client.post(f"{ledger}/transactions", json=body, headers={"Prefer": "wait=10"})
                return ok(answer, 201)["id"]

        return list(await asyncio.gather(*(one(person) for _ in range(10) for person in (ann, bob))))

    ids = asyncio.run(write_at_once())

    log = [each for each in changes(ann, ledger, limit=7) if each["type"] == "transaction.recorded"]
    assert sorted(each["subject_id"] for each in log) == sorted(ids)
    assert [each["user_id"] for each in log].count(str(bob.user_id)) == 10


def test_a_stranger_sees_nothing(ann: Person, eve: Person) -> None:
    ledger = a_ledger(ann)
    (opened,) = changes(ann, ledger)
    nobodys = f"/ledgers/{uuid4()}"

    for path in ("", "/members", "/invitations", "/changes", f"/invitations/{uuid4()}"):
        answers = [eve.get(each + path) for each in (ledger, nobodys)]
        assert [refused(answer, 404) for answer in answers] == [None, None]
        assert answers[0].json()["detail"] == answers[1].json()["detail"]
    for method, path, body in (
        ("PATCH", "", {"name": "Mine"}),
        ("PATCH", f"/members/{ann.user_id}", {"role": "viewer"}),
        ("DELETE", f"/members/{eve.user_id}", None),
        ("POST", f"/changes/{opened['sequence']}/undo", None),
    ):
        assert refused(write(eve, method, ledger + path, body)) == "ledger_not_found"
        assert refused(write(eve, method, nobodys + path, body)) == "ledger_not_found"


async def test_a_bulk_grant_outlives_no_right_to_write(stack: LocalStack, ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann)
    join(ann, bob, ledger)
    grant = ok(bob.post(f"{ledger}/bulk-grants", {}), 201)["grant"]
    producer = Producer(settings_from(stack.environment("importer"), KafkaSettings), client_id="tests")

    async def outcome() -> str:
        message = a_submission(bob.user_id, ledger_id=UUID(ledger.split("/")[-1]))
        key = uuid4().hex
        await producer.send(a_record(message, bob.user_id, key=key, topic=topics.LEDGER_BULK, grant=grant))
        path = f"/operations/{operation_id(message, bob.user_id, key)}"
        async with asyncio.timeout(20):
            while (operation := ok(bob.get(path)))["status"] == "pending":
                await asyncio.sleep(0.1)
        return str(operation.get("code") or operation["status"])

    try:
        assert await outcome() == "recorded"
        ok(write(ann, "PATCH", f"{ledger}/members/{bob.user_id}", {"role": "viewer"}))
        assert await outcome() == "role_insufficient"
        ok(write(ann, "DELETE", f"{ledger}/members/{bob.user_id}"), 204)
        assert await outcome() == "ledger_not_found"
    finally:
        await producer.stop()
    assert len(ok(ann.get(f"{ledger}/transactions"))["items"]) == 1


def test_who_was_removed_reads_nothing_by_earlier_operations_or_keys(ann: Person, bob: Person) -> None:
    ledger, key = a_ledger(ann), uuid4().hex
    join(ann, bob, ledger)
    body = {"amount": "24.47", "category": "Groceries"}
    accepted = ok(bob.post(f"{ledger}/transactions", body, idempotency_key=key), 202)
    recorded = write(bob, "POST", f"{ledger}/transactions", body, idempotency_key=key).json()
    assert ok(bob.get(f"/operations/{accepted['operation_id']}"))["transaction"]["id"] == recorded["id"]

    ok(write(ann, "DELETE", f"{ledger}/members/{bob.user_id}"), 204)

    operation = ok(bob.get(f"/operations/{accepted['operation_id']}"))
    assert operation["status"] == "recorded"
    assert "transaction" not in operation
    again = write(bob, "POST", f"{ledger}/transactions", body, idempotency_key=key)
    assert "24.47" not in again.text


def test_ids_of_people_are_told_to_members_only(ann: Person, bob: Person) -> None:
    ledger = a_ledger(ann)
    join(ann, bob, ledger)

    members = ok(bob.get(f"{ledger}/members"))["items"]

    assert {UUID(each["user_id"]) for each in members} == {ann.user_id, bob.user_id}
