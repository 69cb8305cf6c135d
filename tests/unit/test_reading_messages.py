"""Reading a record's value: exactly what the schema says, or ``MalformedMessage``; never anything else."""

import contextlib
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import JOURNAL_ENTRIES, MESSAGES, SUBMISSIONS, read_journal_entry, read_submission
from contracts.errors import MalformedMessage
from contracts.messages import JournalEntry, LedgerEntry
from contracts.topics import DEAD_LETTER_SUFFIX, IDENTITY_SUBMISSIONS, LEDGER_BULK, LEDGER_SUBMISSIONS, TOPICS
from contracts.transactions import TransactionRecorded, TransactionSubmitted
from tests.builders.samples import read_samples

SUBMITTED = TransactionSubmitted.type
VALUE: dict[str, Any] = {"ledger_id": "c68e12ed-95bd-57ef-abd0-f60e32919a44", "amount": "24.47", "category": "Food"}

types = st.sampled_from([message.type for message in MESSAGES])
topics = st.sampled_from([topic.name for topic in TOPICS])
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def value(**fields: Any) -> bytes:
    return json.dumps({**VALUE, **fields}).encode()


def read(written: bytes | None) -> TransactionSubmitted:
    message = read_submission(SUBMITTED, written, LEDGER_SUBMISSIONS.name)
    assert isinstance(message, TransactionSubmitted)
    return message


def test_unknown_field_is_ignored() -> None:
    assert read(value(place="Café", receipt=[{"deep": None}])) == read(value())


def test_no_field_of_a_message_may_change_after_it_was_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(value()).amount = "1"  # type: ignore[misc]  # that is what is tested


@pytest.mark.parametrize(
    ("type_name", "topic"),
    [
        (SUBMITTED, LEDGER_SUBMISSIONS.name),
        (SUBMITTED, LEDGER_BULK.name),
    ],
)
def test_submission_is_read_on_its_topics(type_name: str, topic: str) -> None:
    assert read_submission(type_name, value(), topic).subject_id == UUID(VALUE["ledger_id"])


@pytest.mark.parametrize(
    ("type_name", "topic"),
    [
        (SUBMITTED, IDENTITY_SUBMISSIONS.name),
        (SUBMITTED, LEDGER_SUBMISSIONS.name + DEAD_LETTER_SUFFIX),
        (SUBMITTED, ""),
        ("cashflow.transaction.submitted.v2", LEDGER_SUBMISSIONS.name),
        ("cashflow.transaction.submitted", LEDGER_SUBMISSIONS.name),
        ("CASHFLOW.TRANSACTION.SUBMITTED.V1", LEDGER_SUBMISSIONS.name),
        (TransactionRecorded.type, LEDGER_SUBMISSIONS.name),
        ("", LEDGER_SUBMISSIONS.name),
        ("x" * 100_000, LEDGER_SUBMISSIONS.name),
    ],
)
def test_type_that_is_unknown_or_elsewhere_is_malformed(type_name: str, topic: str) -> None:
    with pytest.raises(MalformedMessage) as malformed:
        read_submission(type_name, value(), topic)

    assert len(str(malformed.value)) < 300


def test_submission_is_no_journal_entry() -> None:
    with pytest.raises(MalformedMessage):
        read_journal_entry(SUBMITTED, value())


@pytest.mark.parametrize(
    "written",
    [
        None,
        b"",
        b" ",
        b"null",
        b"[]",
        b"{}",
        b"not json",
        b"\xff\xfe",
        b"\x00",
        value() + b"x",
        value()[:-1],
        b'{"ledger_id":' * 100_000,
        b"[" * 900_000,
        b"9" * 900_000,
        b'"' + b"x" * 900_000 + b'"',
        b'{"ledger_id": "\\ud800"}',
    ],
    ids=lambda written: ascii(written[:16]) if written else ascii(written),
)
def test_value_that_is_no_message_is_malformed(written: bytes | None) -> None:
    with pytest.raises(MalformedMessage):
        read(written)


@pytest.mark.parametrize(
    "fields",
    [
        {"ledger_id": "mine"},
        {"ledger_id": 5},
        {"ledger_id": None},
        {"ledger_id": [VALUE["ledger_id"]]},
        {"amount": 24.47},
        {"amount": 24},
        {"amount": "NaN"},
        {"amount": "9" * 400},
        {"amount": "1e3"},
        {"amount": "--1"},
        {"to_amount": "+1"},
        {"rate": "-1"},
        {"rate": 1.0842},
        {"amount": {"value": "1"}},
        {"kind": "gift"},
        {"kind": "EXPENSE"},
        {"kind": 1},
        {"currency": "eur"},
        {"currency": ""},
        {"category": ""},
        {"category": "x" * 10_000},
        {"category": "a\x00b"},
        {"category": "a\nb"},
        {"category": "\ud800"},
        {"category": True},
        {"description": "x" * 501},
        {"description": "\x00"},
        {"booked": 1700000000},
        {"booked": "1700000000"},
        {"booked": "20240919"},
        {"booked": "2024-09-19T10:00:00"},
        {"booked": "0001-01-01T00:00:00+14:00"},
        {"booked": 1e308},
        {"booked": 10**400},
        {"transaction_id": "1"},
        {"splits": {"amount": "1", "category": "Food"}},
        {"splits": [{"amount": "1"}]},
        {"splits": [{"amount": 1, "category": "Food"}]},
        {"splits": [None]},
        {"payee": "a\nb"},
        {"payee": "x" * 1001},
        {"tags": "trip"},
        {"tags": [None]},
        {"tags": ["a\x00b"]},
        {"note": "x" * 2001},
        {"note": "a\rb"},
        {"status": "reconciled"},
        {"external_id": ""},
    ],
    ids=lambda fields: ascii(fields)[:60],
)
def test_field_of_another_kind_is_malformed_and_named(fields: dict[str, Any]) -> None:
    (name,) = fields

    with pytest.raises(MalformedMessage, match=rf"^{name}|Invalid JSON"):
        read(value(**fields))


@pytest.mark.parametrize("sequence", [0, -1, "1", 1.5, True, None])
def test_journal_entry_counts_from_one_in_whole_numbers(sequence: object) -> None:
    (sample,) = [each for each in read_samples() if (each.type, each.name) == (TransactionRecorded.type, "minimal")]
    with pytest.raises(MalformedMessage, match=r"^sequence"):
        read_journal_entry(sample.type, json.dumps({**sample.value, "sequence": sequence}).encode())


def test_reason_does_not_repeat_the_value() -> None:
    for fields in ({"amount": "secret-12"}, {"category": "secret\n"}, {"ledger_id": "secret"}, {"booked": "secret"}):
        with pytest.raises(MalformedMessage) as malformed:
            read(value(**fields))
        assert "secret" not in str(malformed.value)


@given(type_name=types | st.text(), written=st.none() | st.binary(max_size=300), topic=topics | st.text())
def test_arbitrary_bytes_are_read_or_malformed(type_name: str, written: bytes | None, topic: str) -> None:
    with contextlib.suppress(MalformedMessage):
        read_submission(type_name, written, topic)
    with contextlib.suppress(MalformedMessage):
        read_journal_entry(type_name, written)


@given(
    message=st.sampled_from([*SUBMISSIONS, *JOURNAL_ENTRIES]),
    junk=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    data=st.data(),
)
def test_hostile_fields_are_read_or_malformed(message: Any, junk: dict[str, Any], data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from([each for each in read_samples() if each.type == message.type]))
    name = data.draw(st.sampled_from(sorted(message.model_fields)))
    written = json.dumps({**junk, **sample.value, name: data.draw(json_values)}).encode()

    with contextlib.suppress(MalformedMessage):
        if message in SUBMISSIONS:
            read_submission(message.type, written, sample.topic)
        else:
            read_journal_entry(message.type, written)


def test_every_type_is_named_by_the_rule() -> None:
    for message in MESSAGES:
        parts = message.type.split(".")
        assert parts[0] == "cashflow"
        assert parts[-1].removeprefix("v").isdigit()
        assert f"``{message.type}``" in (message.__doc__ or ""), "the docstring names the type"
    assert len({message.type for message in MESSAGES}) == len(MESSAGES)


@pytest.mark.parametrize("sample", read_samples(), ids=lambda sample: f"{sample.type}/{sample.name}")
def test_every_message_says_what_it_is_about(sample: Any) -> None:
    if sample.type in {message.type for message in SUBMISSIONS}:
        asked = read_submission(sample.type, sample.value_bytes, sample.topic)
        asked.resource_id(UUID(int=1))
        assert isinstance(asked.subject_id, UUID)
    else:
        entry = read_journal_entry(sample.type, sample.value_bytes)
        assert isinstance(entry, JournalEntry)
        assert isinstance(entry.subject_id, UUID)
        assert isinstance(entry.event_id, UUID)


def test_no_two_entries_of_a_ledger_have_the_same_event_id() -> None:
    entries = [read_journal_entry(each.type, each.value_bytes) for each in read_samples() if "sequence" in each.value]
    ids = {(entry.ledger_id, entry.sequence): entry.event_id for entry in entries if isinstance(entry, LedgerEntry)}

    assert len(set(ids.values())) == len(ids) > 3
