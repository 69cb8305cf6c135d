"""The committed schemas say what the models say, and the export refuses to break them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from contracts import export
from contracts.catalog import MESSAGES, read_journal_entry, read_submission
from contracts.errors import MalformedMessage
from contracts.messages import Message
from contracts.transactions import TransactionSubmitted
from tests.builders.samples import Sample, read_samples

SUBMITTED = export.schema_path(TransactionSubmitted.type)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A copy of what is committed, to be changed."""
    shutil.copytree(export.ROOT / export.SCHEMAS, tmp_path / export.SCHEMAS)
    (tmp_path / export.ASYNCAPI.parent).mkdir()
    for page in (export.ASYNCAPI, export.REFUSALS):
        shutil.copy(export.ROOT / page, tmp_path / page)
    return tmp_path


def change(root: Path, path: Path, **properties: object) -> str:
    """Give a committed schema other fields, as if they had been released; returns the file's new text."""
    schema = json.loads((root / path).read_text(encoding="utf-8"))
    for name, field in properties.items():
        if field is None:
            del schema["properties"][name]
        else:
            schema["properties"][name] = field
    (root / path).write_text(json.dumps(schema), encoding="utf-8")
    return json.dumps(schema)


def test_no_released_message_was_broken() -> None:
    assert list(export.broken_promises(export.ROOT)) == []


def test_everything_exported_is_current() -> None:
    stale = list(export.stale_files(export.ROOT))

    assert stale == [], "run `python -m contracts.export` and commit what it writes"


def test_each_type_has_one_schema() -> None:
    committed = {path.stem for path in (export.ROOT / export.SCHEMAS).iterdir()}

    assert committed == {message.type for message in MESSAGES}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_schema_is_json_schema_2020_12(message: type[Message]) -> None:
    schema = json.loads((export.ROOT / export.schema_path(message.type)).read_text(encoding="utf-8"))

    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def test_export_is_the_same_every_time() -> None:
    assert export.documents() == export.documents()


def test_export_writes_nothing_when_all_is_current(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([], released) == 0
    assert capsys.readouterr().out == ""


def test_check_names_a_stale_file_and_leaves_it(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = change(released, SUBMITTED, kind=None)

    assert export.main(["--check"], released) == 1
    assert f"stale: {SUBMITTED}" in capsys.readouterr().out
    assert (released / SUBMITTED).read_text(encoding="utf-8") == before


def test_export_adds_a_new_optional_field(released: Path) -> None:
    change(released, SUBMITTED, kind=None)

    assert export.main([], released) == 0
    assert "kind" in json.loads((released / SUBMITTED).read_text(encoding="utf-8"))["properties"]
    assert export.main(["--check"], released) == 0


def test_export_writes_the_schema_of_a_new_type(released: Path) -> None:
    (released / SUBMITTED).unlink()

    assert export.main([], released) == 0
    assert (released / SUBMITTED).is_file()


def test_export_refuses_to_overwrite_a_released_schema_with_a_breaking_one(
    released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = change(released, SUBMITTED, place={"type": "string"})

    assert export.main([], released) == 1
    assert "value.place: the field is gone" in capsys.readouterr().err
    assert (released / SUBMITTED).read_text(encoding="utf-8") == before


def test_export_refuses_to_forget_a_released_type(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(released / SUBMITTED, released / export.SCHEMAS / "cashflow.transaction.wished.v1.json")

    assert export.main([], released) == 1
    assert "cashflow.transaction.wished.v1: the type is gone" in capsys.readouterr().err


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
changed_samples = st.sampled_from(read_samples()).flatmap(
    lambda sample: st.builds(
        lambda name, field: (sample, {**sample.value, name: field}), st.sampled_from(sorted(sample.value)), json_values
    )
)


@given(changed=changed_samples)
def test_reader_takes_nothing_that_the_schema_refuses(changed: tuple[Sample, dict[str, Any]]) -> None:
    sample, value = changed
    written = json.dumps(value).encode()
    try:
        if "submissions" in sample.topic or "bulk" in sample.topic:
            read_submission(sample.type, written, sample.topic)
        else:
            read_journal_entry(sample.type, written)
    except MalformedMessage:
        return
    schema = json.loads((export.ROOT / export.schema_path(sample.type)).read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(value)
