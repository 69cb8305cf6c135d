"""Which records are taken for submissions, and why the others are not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from consumers.records import receive
from contracts import topics
from contracts.envelope import request_hash
from contracts.errors import MalformedMessage
from contracts.ledgers import personal_ledger_id
from infra.grants import Grant
from infra.kafka.producer import Record
from tests.builders.submissions import WRITTEN_AT, a_record, a_submission, as_consumed

USER = UUID(int=7)


def a_grant(**changes: Any) -> Grant:
    grant = Grant(
        user_id=USER,
        ledger_id=personal_ledger_id(USER),
        currency="EUR",
        zone="Europe/Berlin",
        expires_at=WRITTEN_AT + timedelta(hours=1),
    )
    return replace(grant, **changes)


def test_a_gateways_record_is_received_with_its_user() -> None:
    record = a_record(a_submission(USER), USER, key="k-1")

    received = receive(as_consumed(record))

    assert received.envelope.user_id == USER
    assert received.idempotency_key == "k-1"
    assert (received.source.partition, received.source.offset) == (3, 41)


def with_header(record: Record, name: str, value: bytes | None) -> Record:
    return replace(record, headers=[(n, v) for n, v in record.headers if n != name] + [(name, value)])


GOOD = a_record(a_submission(USER), USER)

BROKEN = {
    "not JSON": (replace(GOOD, value=b"{"), "JSON"),
    "JSON, no object": (replace(GOOD, value=b"[1]"), "value"),
    "a tombstone": (replace(GOOD, value=None), "tombstone"),
    "an empty value": (replace(GOOD, value=b""), "tombstone"),
    "a null key": (replace(GOOD, key=None), "key"),
    "another ledger's key": (replace(GOOD, key=str(uuid4()).encode()), "key"),
    "no headers": (replace(GOOD, headers=[]), "CloudEvent"),
    "a null header of ours": (with_header(GOOD, "ce_userid", None), "null"),
    "a header of ours not UTF-8": (with_header(GOOD, "ce_id", b"\xff"), "UTF-8"),
    "an unknown type": (with_header(GOOD, "ce_type", b"cashflow.money.printed.v1"), "not a submission"),
    "an unknown version": (with_header(GOOD, "ce_type", b"cashflow.transaction.submitted.v9"), "not a submission"),
    "a journal entry": (with_header(GOOD, "ce_type", b"cashflow.transaction.recorded.v1"), "not a submission"),
    "a type of another topic": (replace(GOOD, topic=topics.IDENTITY_SUBMISSIONS.name), "does not belong"),
    "a user who is none": (with_header(GOOD, "ce_userid", b"root"), "UUID"),
    "somebody else's user": (with_header(GOOD, "ce_userid", str(uuid4()).encode()), "ce_operationid"),
    "another idempotency key": (with_header(GOOD, "ce_idempotencykey", b"other"), "ce_operationid"),
    "another content": (
        replace(GOOD, value=(GOOD.value or b"").replace(b"24.47", b"99.47")),
        "ce_requesthash",
    ),
    "a float": (replace(GOOD, value=(GOOD.value or b"").replace(b'"24.47"', b"24.47")), "amount"),
}


@pytest.mark.parametrize(("record", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_record_is_malformed_and_says_why(record: Record, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        receive(as_consumed(record))


def test_headers_of_others_do_no_harm() -> None:
    record = replace(GOOD, headers=[*GOOD.headers, ("x-null", None), ("x-bytes", b"\xff")])

    assert receive(as_consumed(record)).operation_id


def test_a_record_of_a_newer_writer_is_received() -> None:
    value = (GOOD.value or b"")[:-1] + b',"mood":"good"}'

    record = with_header(replace(GOOD, value=value), "ce_requesthash", request_hash(value).encode())

    assert receive(as_consumed(record)).message.amount == "24.47"  # type: ignore[attr-defined]  # it is a transaction


def a_bulk_record(**changes: Any) -> Record:
    return a_record(a_submission(USER), USER, topic=topics.LEDGER_BULK, **{"grant": "a-grant"} | changes)


def test_a_bulk_record_acts_for_the_grants_user_and_home() -> None:
    record = a_bulk_record(home_currency=None, home_zone="Mars/Olympus")

    received = receive(as_consumed(record), lambda _: a_grant())

    assert received.envelope.user_id == USER
    assert (received.envelope.home_currency, received.envelope.home_zone) == ("EUR", "Europe/Berlin")


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (a_grant(ledger_id=uuid4()), "another ledger"),
        (a_grant(expires_at=WRITTEN_AT), "expired"),
        (a_grant(user_id=uuid4()), "not the grant's user"),
    ],
)
def test_a_grant_covers_one_ledger_one_user_and_its_time(grant: Grant, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        receive(as_consumed(a_bulk_record()), lambda _: grant)


def test_a_bulk_record_without_a_grant_is_malformed() -> None:
    with pytest.raises(MalformedMessage, match="ce_grant is missing"):
        receive(as_consumed(a_bulk_record(grant=None)), lambda _: a_grant())
