"""The topic cards and the table of headers in ``contracts/README.md`` say what the code does."""

import re
from pathlib import Path

import pytest

from contracts.asyncapi import asyncapi_document, topics_of
from contracts.catalog import MESSAGES
from contracts.export import ROOT
from contracts.topics import PARTITIONS, TOPICS, Topic

README = (ROOT / "contracts" / "README.md").read_text(encoding="utf-8")
CARDS = dict(re.findall(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", README, flags=re.MULTILINE | re.DOTALL))


def test_there_is_a_card_for_each_topic_and_no_other() -> None:
    assert list(CARDS) == [topic.name for topic in TOPICS]
    assert f"{PARTITIONS} partitions" in README


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_card_names_exactly_the_types_of_its_topic(topic: Topic) -> None:
    named = re.findall(r"^- `(cashflow\.[^`]+)`", CARDS[topic.name], flags=re.MULTILINE)

    assert named == [message.type for message in MESSAGES if topic in topics_of(message)]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_card_says_key_writers_readers_and_retention(topic: Topic) -> None:
    kept = "for ever" if topic.retention is None else f"{topic.retention.days} days"
    readers = ", ".join(topic.read_by) or "nobody of ours yet"
    line = f"- Key: {topic.key}. Written by: {', '.join(topic.written_by)}. Read by: {readers}. Kept: {kept}."

    assert line in CARDS[topic.name]


def test_table_of_headers_is_complete() -> None:
    table = README.partition("## Headers")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    named = {name: when.strip() for names, when in rows for name in re.findall(r"`([^`]+)`", names)}

    schemas = asyncapi_document()["components"]["schemas"]
    always, asked = (set(schemas[name]["required"]) for name in ("JournalHeaders", "SubmissionHeaders"))
    kinds = ("SubmissionHeaders", "JournalHeaders", "DeadLetterHeaders")
    assert set(named) == {name for kind in kinds for name in schemas[kind]["properties"]}
    assert {name for name, when in named.items() if when == "always"} == always
    assert {name for name, when in named.items() if when in ("always", "asked")} == asked


def test_map_names_every_module_of_the_folder() -> None:
    modules = {path.name for path in Path(ROOT / "contracts").glob("*.py")} - {"__init__.py"}

    assert modules == set(re.findall(r"`(\w+\.py)`", README.partition("## Topic cards")[0]))
