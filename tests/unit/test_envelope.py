"""The envelope: headers read tolerantly and written strictly; ids and hashes that follow from what was asked."""

import contextlib
import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import SUBMISSIONS
from contracts.envelope import OURS, Envelope, Headers, from_headers, operation_id, request_hash, to_headers, to_value
from contracts.errors import MalformedMessage
from contracts.registrations import VerificationSubmitted
from contracts.sessions import SessionEndRequested
from contracts.text import IDEMPOTENCY_KEY_PATTERN
from contracts.transactions import TransactionSubmitted
from contracts.users import UserSubmitted

LEDGER_ID = UUID("c68e12ed-95bd-57ef-abd0-f60e32919a44")
USER_ID = UUID("0192f0c1-7d3a-7c11-8e55-4b1a9d2f6e01")
OTHER_ID = UUID("0192f0c1-7d3a-7c11-8e55-4b1a9d2f6e02")

HEADERS: dict[str, bytes | None] = {
    "ce_specversion": b"1.0",
    "ce_id": b"1",
    "ce_type": b"cashflow.transaction.submitted.v1",
    "ce_source": b"cashflow/gateway",
    "ce_time": b"2024-09-19T16:30:12.123456Z",
    "content-type": b"application/json",
}

# What CloudEvents allows in an attribute: any text without control characters.
attribute_texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)
moments = st.datetimes(
    min_value=datetime(1, 1, 2),
    max_value=datetime(9999, 12, 30),
    timezones=st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
envelopes = st.builds(
    Envelope,
    id=attribute_texts.filter(bool),
    type=attribute_texts.filter(bool),
    source=attribute_texts.filter(bool),
    time=moments,
    subject=st.none() | attribute_texts,
    user_id=st.none() | st.uuids(),
    idempotency_key=st.none() | st.from_regex(IDEMPOTENCY_KEY_PATTERN.replace("$", r"\Z")),
    operation_id=st.none() | st.uuids(),
    request_hash=st.none() | attribute_texts,
    reply_to=st.none() | st.uuids(),
    grant=st.none() | attribute_texts,
    home_currency=st.none() | attribute_texts,
    home_zone=st.none() | attribute_texts,
    traceparent=st.none() | st.from_regex("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True),
)
header_names = st.sampled_from(sorted(OURS)) | st.text(max_size=10)
header_values = st.none() | st.binary(max_size=40) | st.sampled_from([value for value in HEADERS.values() if value])
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
json_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=6)


def headers(**changed: bytes | None) -> list[tuple[str, bytes | None]]:
    """Return good headers with some changed or added; ``ce_`` may be left out of their names."""
    return list(
        {**HEADERS, **{name if name in OURS else f"ce_{name}": value for name, value in changed.items()}}.items()
    )


def a_transaction(**fields: Any) -> TransactionSubmitted:
    return TransactionSubmitted(**{"ledger_id": LEDGER_ID, "amount": "24.47", "category": "Food", **fields})


# Headers


@given(envelope=envelopes)
def test_envelope_survives_the_round_trip(envelope: Envelope) -> None:
    assert from_headers(to_headers(envelope)) == envelope


def test_time_is_written_as_utc_with_microseconds() -> None:
    moment = datetime(2024, 9, 19, 18, 30, tzinfo=timezone(timedelta(hours=2)))
    written = dict(to_headers(Envelope(id="1", type="t", source="s", time=moment)))

    assert written["ce_time"] == b"2024-09-19T16:30:00.000000Z"
    assert from_headers(to_headers(Envelope(id="1", type="t", source="s", time=moment))).time.tzinfo is UTC


def test_what_is_absent_is_not_written() -> None:
    written: Headers = to_headers(Envelope(id="1", type="t", source="s", time=datetime(2024, 9, 19, tzinfo=UTC)))

    assert {name for name, _ in written} == set(HEADERS)


@pytest.mark.parametrize(
    "stranger",
    [
        ("ce_dataschema", b"x"),
        ("ce_partitionkey", None),
        ("x-binary", b"\xff\xfe\x00"),
        ("content-type", b"\xff"),
        ("content-type", None),
        ("deadletter_reason", b"\n"),
        ("", b""),
        ("\ud800", b""),
    ],
)
def test_headers_of_others_are_passed_over_whatever_is_in_them(stranger: tuple[str, bytes | None]) -> None:
    assert from_headers([*headers(), stranger, stranger]) == from_headers(headers())


@pytest.mark.parametrize("name", ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time"])
def test_required_attribute_that_is_missing_or_empty_is_malformed(name: str) -> None:
    with pytest.raises(MalformedMessage, match=name):
        from_headers([header for header in headers() if header[0] != name])
    with pytest.raises(MalformedMessage, match=name):
        from_headers(headers(**{name: b""}))


@pytest.mark.parametrize("name", sorted(OURS))
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "null"),
        (b"\xff", "UTF-8"),
        (b"a\x00b", "control character"),
        (b"a\nb", "control"),
        (b"\xc2\x85", "control"),
    ],
)
def test_header_of_ours_that_is_broken_is_malformed(name: str, value: bytes | None, said: str) -> None:
    with pytest.raises(MalformedMessage, match=f"{name} .*{said}"):
        from_headers(headers(**{name: value}))


@pytest.mark.parametrize("name", sorted(OURS))
def test_header_of_ours_given_twice_is_malformed(name: str) -> None:
    twice = HEADERS.get(name) or b"0192f0c1-7d3a-7c11-8e55-4b1a9d2f6e01"
    with pytest.raises(MalformedMessage, match="twice"):
        from_headers([*headers(**{name: twice}), (name, twice)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"specversion": b"0.3"}, "ce_specversion"),
        ({"specversion": b"1.0 "}, "ce_specversion"),
        ({"time": b"yesterday"}, "ce_time"),
        ({"time": b"2024-09-19T16:30:12"}, "ce_time has no offset"),
        ({"time": b"2024-13-19T16:30:12Z"}, "ce_time"),
        ({"time": b"1726763412"}, "ce_time"),
        ({"time": b"0001-01-01T00:00:00+14:00"}, "ce_time"),
        ({"time": b"9999-12-31T23:59:59-14:00"}, "ce_time"),
        ({"userid": b"ann"}, "ce_userid is not a UUID"),
        ({"operationid": b""}, "ce_operationid is not a UUID"),
        ({"replyto": b"cash:wake:1"}, "ce_replyto is not a UUID"),
        ({"idempotencykey": b""}, "ce_idempotencykey"),
        ({"idempotencykey": b"x" * 256}, "ce_idempotencykey"),
        ({"idempotencykey": "ä".encode()}, "ce_idempotencykey"),
        ({"idempotencykey": b" a"}, "ce_idempotencykey"),
    ],
)
def test_attribute_of_the_wrong_kind_is_malformed(changed: dict[str, bytes], said: str) -> None:
    with pytest.raises(MalformedMessage, match=said):
        from_headers(headers(**changed))


@given(hostile=st.lists(st.tuples(header_names, header_values), max_size=20))
def test_arbitrary_headers_are_read_or_malformed_and_nothing_else(hostile: list[tuple[str, bytes | None]]) -> None:
    for given_headers in (hostile, [*headers(), *hostile]):
        with contextlib.suppress(MalformedMessage):
            from_headers(given_headers)


@given(
    name=st.sampled_from(sorted(OURS)), value=st.binary(max_size=60) | st.text(max_size=60).map(ascii).map(str.encode)
)
def test_one_hostile_header_is_read_or_malformed_and_nothing_else(name: str, value: bytes) -> None:
    try:
        envelope = from_headers(headers(**{name: value}))
    except MalformedMessage as error:
        # The text is for operators and logs: it never repeats the value.
        assert len(value) < 8 or value.decode(errors="replace") not in str(error)
    else:
        to_headers(envelope)


# Request hash


def test_request_hash_is_the_sha256_of_the_canonical_json() -> None:
    value = b'{ "b": [1, 2.5, null], "a": {"d": true, "c": "\\u00e9"} }'
    canonical = '{"a":{"c":"é","d":true},"b":[1,2.5,null]}'.encode()

    assert request_hash(value) == hashlib.sha256(canonical).hexdigest()


@given(fields=json_objects, seed=st.randoms(use_true_random=False), indent=st.none() | st.integers(0, 3))
def test_request_hash_does_not_depend_on_order_space_or_escapes(fields: dict[str, Any], seed: Any, indent: int) -> None:
    names = list(fields)
    seed.shuffle(names)
    shuffled = {name: fields[name] for name in names}

    one = json.dumps(fields, ensure_ascii=True).encode()
    other = json.dumps(shuffled, ensure_ascii=False, indent=indent).encode()
    assert request_hash(one) == request_hash(other)


@given(fields=json_objects, name=st.text(max_size=8), one=json_values, other=json_values)
def test_request_hash_does_not_depend_on_unhashed_fields(fields: Any, name: str, one: Any, other: Any) -> None:
    unhashed = frozenset({name})
    without = {key: value for key, value in fields.items() if key != name}

    hashes = {
        request_hash(json.dumps(value).encode(), unhashed)
        for value in (without, {**without, name: one}, {name: other, **without})
    }
    assert len(hashes) == 1


@given(fields=json_objects, name=st.text(max_size=8), one=json_values, other=json_values)
def test_request_hash_changes_with_any_other_field(fields: Any, name: str, one: Any, other: Any) -> None:
    first, second = ({**fields, name: value} for value in (one, other))
    # 1 and 1.0 are one number in JSON, but not one request; 0.0 and -0.0 neither.
    differ = json.dumps(first, sort_keys=True) != json.dumps(second, sort_keys=True)

    hashes_differ = request_hash(json.dumps(first).encode()) != request_hash(json.dumps(second).encode())
    assert hashes_differ == differ


def test_absent_and_null_are_two_requests() -> None:
    assert request_hash(to_value(a_transaction())) != request_hash(to_value(a_transaction(account=None)))


def test_hash_of_a_newer_writer_is_the_same_for_an_older_reader() -> None:
    class NewerTransactionSubmitted(TransactionSubmitted):
        place: str | None = None

    newer = NewerTransactionSubmitted(ledger_id=LEDGER_ID, amount="24.47", place="Café Müller")
    value = to_value(newer)
    older = TransactionSubmitted.model_validate_json(value)

    assert older.amount == "24.47"
    assert request_hash(value, older.unhashed) == request_hash(value, newer.unhashed)
    assert request_hash(value) != request_hash(to_value(older))


def test_hash_of_an_older_writer_is_the_same_for_a_newer_reader() -> None:
    class NewerTransactionSubmitted(TransactionSubmitted):
        place: str | None = None

    value = to_value(a_transaction())

    assert request_hash(value) == request_hash(to_value(NewerTransactionSubmitted.model_validate_json(value)))


def test_sealing_a_password_again_keeps_the_request_hash() -> None:
    first, second, other = (
        UserSubmitted(registration_id=OTHER_ID, proof="a" * 64, username=name, sealed_password_hash=sealed)
        for name, sealed in (("ann", "k:AAAA"), ("ann", "k:BBBB"), ("bob", "k:AAAA"))
    )

    hashed = [request_hash(to_value(message), message.unhashed) for message in (first, second, other)]
    assert hashed[0] == hashed[1] != hashed[2]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e400}',
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": "\xff"}',
        b"\xff\xfe",
        b"{}{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ],
    ids=lambda value: ascii(value[:12]),
)
def test_value_that_is_no_json_object_has_no_hash(value: bytes) -> None:
    with pytest.raises(MalformedMessage):
        request_hash(value)


@given(value=st.binary(max_size=200) | json_values.map(json.dumps).map(str.encode))
def test_hash_of_arbitrary_bytes_is_a_hash_or_malformed(value: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        assert len(request_hash(value)) == 64


# Operation ids


def test_operation_id_is_derived_from_ledger_user_noun_and_key() -> None:
    assert operation_id(a_transaction(), USER_ID, "k-1") == uuid5(LEDGER_ID, f"{USER_ID}:transaction:k-1")


def test_operation_id_does_not_depend_on_content() -> None:
    assert operation_id(a_transaction(), USER_ID, "k") == operation_id(a_transaction(amount="1"), USER_ID, "k")


def test_operation_id_changes_with_ledger_user_noun_and_key() -> None:
    ids = {
        operation_id(a_transaction(), USER_ID, "k"),
        operation_id(a_transaction(), USER_ID, "l"),
        operation_id(a_transaction(), OTHER_ID, "k"),
        operation_id(a_transaction(ledger_id=OTHER_ID), USER_ID, "k"),
        operation_id(SessionEndRequested(user_id=LEDGER_ID, session_id=OTHER_ID), USER_ID, "k"),
    }

    assert len(ids) == 5


def test_before_sign_in_the_registration_alone_stands_for_the_person() -> None:
    typed = VerificationSubmitted(registration_id=OTHER_ID, proof="0" * 64)

    assert operation_id(typed, None, "k") == uuid5(OTHER_ID, "verification:k")
    assert operation_id(typed, USER_ID, "k") == operation_id(typed, None, "k")


def test_no_two_submissions_share_a_noun() -> None:
    assert len({message.noun for message in SUBMISSIONS}) == len(SUBMISSIONS)
    # A colon in a noun could make two operations one.
    assert not any(":" in message.noun for message in SUBMISSIONS)
