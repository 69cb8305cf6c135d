"""Every sample record that was ever committed is read by this version, and written back as it was."""

import json
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from contracts.asyncapi import topics_of
from contracts.catalog import MESSAGES, SUBMISSIONS, read_journal_entry, read_submission
from contracts.envelope import from_headers, operation_id, request_hash, to_headers, to_value
from contracts.export import json_schema
from contracts.messages import JournalEntry, Message, Submission
from tests.builders.samples import Sample, read_samples

SAMPLES = read_samples()
CLASSES: dict[str, type[Message]] = {message.type: message for message in MESSAGES}


def each(samples: list[Sample]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sample", samples, ids=[f"{sample.type}/{sample.name}" for sample in samples])


every_sample = each(SAMPLES)
every_submission = each([sample for sample in SAMPLES if CLASSES[sample.type] in SUBMISSIONS])
every_journal_entry = each([sample for sample in SAMPLES if CLASSES[sample.type] not in SUBMISSIONS])


def read(sample: Sample) -> Submission | JournalEntry:
    if CLASSES[sample.type] in SUBMISSIONS:
        return read_submission(sample.type, sample.value_bytes, sample.topic)
    return read_journal_entry(sample.type, sample.value_bytes)


def test_every_type_has_a_minimal_sample_and_every_sample_a_type() -> None:
    # A SessionEnded is all required fields; its samples are named after the endings.
    unnamed = {"cashflow.session.ended.v1"}
    assert {sample.type for sample in SAMPLES} == set(CLASSES)
    assert {sample.type for sample in SAMPLES if sample.name == "minimal"} == set(CLASSES) - unnamed


def test_every_field_of_every_type_is_in_a_sample() -> None:
    for type_name, message_class in CLASSES.items():
        shown = {field for sample in SAMPLES if sample.type == type_name for field in sample.value}
        assert shown >= set(message_class.model_fields), type_name


@every_sample
def test_sample_is_read_and_written_back_as_it_was(sample: Sample) -> None:
    message = read(sample)
    written = json.loads(message.model_dump_json(exclude_unset=True))

    assert type(message) is CLASSES[sample.type]
    assert read(Sample(**{**vars(sample), "value": written})) == message
    if not sample.from_newer_writer:
        assert written == sample.value


@every_sample
def test_sample_is_valid_against_its_json_schema(sample: Sample) -> None:
    schema = json_schema(CLASSES[sample.type])
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(sample.value)


@every_sample
def test_sample_has_an_envelope_that_survives_the_round_trip(sample: Sample) -> None:
    envelope = from_headers(sample.headers)
    known = [(name, text) for name, text in sample.headers if name in dict(to_headers(envelope))]

    assert sorted(to_headers(envelope)) == sorted(known)
    assert from_headers(to_headers(envelope)) == envelope
    assert envelope.type == sample.type


@every_sample
def test_sample_travels_on_its_topic_under_its_key(sample: Sample) -> None:
    message = read(sample)

    assert sample.topic in {topic.name for topic in topics_of(type(message))}
    assert sample.key == str(message.subject_id).encode()


@every_submission
def test_ids_and_hash_of_a_submission_follow_from_its_content(sample: Sample) -> None:
    message, envelope = read(sample), from_headers(sample.headers)
    assert isinstance(message, Submission)
    # The sample's grant is not a real one; its user is the owner of all samples.
    user_id = envelope.user_id or (UUID("0192f0c1-7d3a-7c11-8e55-4b1a9d2f6e01") if envelope.grant else None)

    assert envelope.operation_id == operation_id(message, user_id, envelope.idempotency_key or "")
    assert envelope.request_hash == request_hash(sample.value_bytes, message.unhashed)
    if not sample.from_newer_writer:
        assert envelope.request_hash == request_hash(to_value(message), message.unhashed)


@every_journal_entry
def test_id_and_subject_of_a_journal_entry_follow_from_its_content(sample: Sample) -> None:
    entry, envelope = read(sample), from_headers(sample.headers)
    assert isinstance(entry, JournalEntry)

    assert envelope.id == str(entry.event_id)
    assert envelope.subject == str(entry.subject_id)


def test_newer_writers_are_among_the_samples() -> None:
    newer = [sample for sample in SAMPLES if sample.from_newer_writer]

    assert len(newer) >= 4
    for sample in newer:
        assert set(sample.value) - set(CLASSES[sample.type].model_fields), sample
