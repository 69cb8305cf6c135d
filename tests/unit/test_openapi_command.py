"""`cash openapi`: which documents it writes, what it refuses, and how the generators come to be there."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.connection.programs import Answer
from cli.generation import generators
from cli.generation.generators import find_generators
from cli.generation.route_stubs import annotation, stubs_of
from cli.terminal.output import ExitCode, Failure
from tests.builders.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal({"CASH_CONFIG_HOME": str(tmp_path / "config"), "CASH_CACHE": str(tmp_path / "cache")})


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_service_has_its_part_and_every_reference_leads_somewhere(terminal: Terminal, tmp_path: Path) -> None:
    out = tmp_path / "api"

    ended = terminal.cash("openapi", "--out", str(out))

    assert ended.code == ExitCode.OK, ended.err
    assert str(out / "gateway.openapi.json") in ended.out
    read = {file.name: json.loads(file.read_text()) for file in out.glob("*api.json")}
    assert read["gateway.openapi.json"]["openapi"].startswith("3.1")
    assert set(read["relay.asyncapi.json"]["channels"]) == {"identity.journal", "ledger.journal"}
    for name in ("gateway.asyncapi.json", "relay.asyncapi.json", "ledger-consumer.asyncapi.json"):
        document = read[name]
        assert document["info"]["title"] == f"cash-flow {name.partition('.')[0]}"
        for reference in references(document):
            if reference.startswith("#/"):
                found: Any = document
                for step in reference.removeprefix("#/").split("/"):
                    found = found[step]
            else:
                assert json.loads((out / reference).read_text())["title"]


def test_one_service_can_be_asked_for_without_the_gateway_being_started(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")

    assert terminal.cash("openapi", "-s", "relay", "--out", str(tmp_path / "api")).code == ExitCode.OK
    assert [file.name for file in (tmp_path / "api").glob("[a-z]*.json")] == ["relay.asyncapi.json"]


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["-s", "dms"], "there is no service 'dms'; there are: gateway", ExitCode.NOT_FOUND),
        (["-s", "relay", "--client"], "only the gateway has an HTTP API", ExitCode.USAGE),
        (["-s", "relay", "--server"], "only the gateway has an HTTP API", ExitCode.USAGE),
        (["-s", "relay", "--out", "/proc/nowhere"], "cannot be written to", ExitCode.FAILED),
    ],
)
def test_what_cannot_be_written_is_said(terminal: Terminal, words: list[str], sentence: str, code: ExitCode) -> None:
    ended = terminal.cash("openapi", *words)

    assert sentence in ended.err
    assert ended.code == code


# --- the generators ---------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What pip was asked, instead of asking it."""
    asked: list[list[str]] = []

    def ask(command: list[str], **_: object) -> Answer:
        asked.append(command)
        return Answer(0, "", "")

    monkeypatch.setenv("CASH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(generators, "ask", ask)
    return asked


def test_generators_are_fetched_once_as_the_lock_file_says(asked: list[list[str]]) -> None:
    assert find_generators() == find_generators()

    (command,) = asked
    assert {"--require-hashes", "--only-binary=:all:", str(generators.LOCK)} <= set(command)


def test_an_installation_that_was_cut_short_is_begun_anew(asked: list[list[str]]) -> None:
    folder = find_generators().folder
    folder.rename(half := folder.with_name(f"{folder.name}-half"))

    assert find_generators().folder == folder

    assert len(asked) == 2
    assert folder.exists()
    assert not half.exists()


@pytest.mark.parametrize(
    ("said", "sentence", "code"),
    [
        ("ERROR: Could not find a version: no matching distribution found for x", "connect this machine", 3),
        ("Failed to establish a new connection: Name or service not known", "connect this machine", 3),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "could not be installed", 1),
    ],
)
def test_generators_that_cannot_be_had_are_said_and_nothing_half_stays(
    asked: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, sentence: str, code: int
) -> None:
    monkeypatch.setattr(generators, "ask", lambda *_, **__: Answer(1, "", said))

    with pytest.raises(Failure, match=sentence) as failed:
        find_generators()

    assert failed.value.code == code
    assert not [left for left in (tmp_path / "cache").iterdir() if left.is_dir()]


def test_the_lock_file_pins_every_package_and_names_no_address() -> None:
    lines = generators.LOCK.read_text("utf-8").splitlines()
    packages = [number for number, line in enumerate(lines) if "==" in line]

    assert {"openapi-python-client", "datamodel-code-generator"} <= {lines[at].partition("==")[0] for at in packages}
    assert all(lines[at].endswith("\\") and "--hash=sha256:" in lines[at + 1] for at in packages)
    assert "://" not in generators.LOCK.read_text("utf-8")


# --- the stubs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#/components/schemas/Account"}, "models.Account"),
        ({"type": "string"}, "str"),
        ({"type": "string", "format": "uuid"}, "UUID"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "date-time"}, "datetime"),
        ({"type": "string", "format": "password"}, "str"),
        ({"type": ["integer", "null"]}, "int | None"),
        ({"type": "number"}, "float"),
        ({"type": "array", "items": {"type": "boolean"}}, "list[bool]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"enum": ["a", 1]}, "Literal['a', 1]"),
        ({"anyOf": [{"$ref": "#/x/A"}, {"type": "null"}]}, "models.A | None"),
        ({}, "Any"),
    ],
)
def test_a_schema_is_said_as_a_type(schema: dict[str, Any], said: str) -> None:
    assert annotation(schema) == said


def test_names_that_python_or_litestar_takes_for_something_else_are_spelled_otherwise() -> None:
    names = ["class", "query", "Last-Event-ID", "last_event_id"]
    parameters = [{"in": "query", "name": name, "schema": {"type": "string"}} for name in names]
    operation = {"parameters": parameters, "responses": {"204": {"description": 'Done """ it.'}}}
    document = {"info": {"title": "An API", "version": "1"}, "paths": {"/a-b/{id}": {"delete": operation}}}

    text = stubs_of(document, "served")["routes/other.py"]

    compile(text, "routes/other.py", "exec")
    for name, spelled in zip(names, ["class_", "query_", "last_event_id", "last_event_id_in_query"], strict=True):
        assert f"{spelled}: " in text
        assert spelled == name or f"name={name!r}" in text
    assert "async def delete_a_b_id(" in text
