"""The AsyncAPI document is one, says what the topics are, and its headers are the headers we read and write."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from consumers.dead_letters import DeadLetter, DeadLetters
from contracts import envelope
from contracts.asyncapi import asyncapi_document
from contracts.export import ASYNCAPI, ROOT
from contracts.topics import PARTITIONS, TOPICS
from infra.kafka.producer import Producer, Record
from tests.builders.samples import Sample, read_samples

SAMPLES = read_samples()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / ASYNCAPI).read_text(encoding="utf-8"))
    return loaded


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        return [part["$ref"]] if "$ref" in part else [found for each in part.values() for found in references(each)]
    return [found for each in part for found in references(each)] if isinstance(part, list) else []


def resolve(document: dict[str, Any], reference: str) -> Any:
    part: Any = document
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return part


def test_document_is_valid_asyncapi_3(document: dict[str, Any]) -> None:
    """As FastStream reads AsyncAPI 3.0, independently of how we write it."""
    read = ApplicationSchema.model_validate(document)

    assert read.asyncapi == "3.0.0"
    assert set(read.channels) == {topic.name for topic in TOPICS}


def test_a_document_that_is_none_would_be_noticed(document: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(document))
    next(iter(broken["operations"].values()))["action"] = "shout"

    with pytest.raises(ValidationError):
        ApplicationSchema.model_validate(broken)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        if reference.startswith("#/"):
            assert resolve(document, reference)
        else:
            assert ((ROOT / ASYNCAPI).parent / reference).is_file(), reference


def test_channels_are_the_topics_with_their_settings(document: dict[str, Any]) -> None:
    assert list(document["channels"]) == [topic.name for topic in TOPICS]
    for topic in TOPICS:
        binding = document["channels"][topic.name]["bindings"]["kafka"]
        shown = {**binding["topicConfiguration"], "cleanup.policy": "delete"}
        assert binding["partitions"] == PARTITIONS
        assert {name: str(value) for name, value in shown.items()} == topic.settings()


def test_operations_use_messages_of_their_channel(document: dict[str, Any]) -> None:
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")


def test_headers_are_exactly_those_the_envelope_knows() -> None:
    schemas = asyncapi_document()["components"]["schemas"]

    assert set(schemas["SubmissionHeaders"]["properties"]) == {*envelope.OURS, "content-type"}


async def test_dead_letters_carry_the_original_headers_and_exactly_those_shown() -> None:
    sent: list[Record] = []

    class Collecting:
        async def send_all(self, records: list[Record]) -> None:
            sent.extend(records)

    broken = SimpleNamespace(
        topic="ledger.bulk", partition=7, offset=41, key=None, value=b"{", headers=[("ce_id", b"\xff"), ("x", None)]
    )
    letters = DeadLetters(cast(Producer, Collecting()))
    await letters.send([DeadLetter(cast(Any, broken), "malformed", "The value is not JSON.")])

    (letter,) = sent
    shown = asyncapi_document()["components"]["schemas"]["DeadLetterHeaders"]
    assert (letter.topic, letter.key, letter.value) == ("ledger.bulk.dead-letter", None, b"{")
    assert letter.headers[:2] == broken.headers
    ours = {name: (text or b"").decode() for name, text in letter.headers[2:]}
    Draft202012Validator({**shown, "additionalProperties": False}).validate(ours)


@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{sample.type}/{sample.name}" for sample in SAMPLES])
def test_headers_of_every_sample_are_valid(document: dict[str, Any], sample: Sample) -> None:
    headers = document["components"]["messages"][sample.type]["headers"]
    registry: Registry[Any] = Registry().with_resource("urn:asyncapi", DRAFT202012.create_resource(document))
    anchored = json.loads(json.dumps(headers).replace('"#/', '"urn:asyncapi#/'))
    validator = Draft202012Validator(anchored, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)

    validator.validate({name: text.decode() for name, text in sample.headers})
    assert not validator.is_valid({})
