"""Export the contracts for people who do not read Python: ``python -m contracts.export [--check]``.

Writes ``contracts/schemas/<type>.json`` (JSON Schema 2020-12), which are also the released baseline: a breaking change
is refused, not written. And ``docs/asyncapi.json`` (AsyncAPI 3.0), made from the catalogue and not by FastStream, which
loses the payloads of subscribers that take raw records; in JSON, which is YAML too and needs no library. It points to
the schemas instead of repeating them. And ``docs/refusals.md``, the table of refusal codes.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts.asyncapi import asyncapi_document
from contracts.catalog import MESSAGES
from contracts.compatibility import breaking_changes
from contracts.messages import Message
from contracts.refusals import MEANINGS

ROOT = Path(__file__).parent.parent
SCHEMAS = Path("contracts/schemas")
ASYNCAPI = Path("docs/asyncapi.json")
REFUSALS = Path("docs/refusals.md")

_REFUSALS_PAGE = """# Refusals

Every named way to say no. Over HTTP a refusal is a problem (RFC 9457) with status 422, or 412 for `version_stale`: its
`code` is one of these and keeps its meaning, its `detail` says what to do in this case, and `errors` names the field.
`cash` prints the sentence and exits with 5. Made from `contracts/refusals.py` by `python -m contracts.export`.

| Code | When |
| --- | --- |
"""


def json_schema(message_class: type[Message]) -> dict[str, Any]:
    """Return the JSON Schema of a message's value, as readers check it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **message_class.model_json_schema()}


def schema_path(type_name: str) -> Path:
    """Return where a type's schema lives, relative to the repository."""
    return SCHEMAS / f"{type_name}.json"


def documents() -> dict[Path, str]:
    """Return every file to be exported, by its path relative to the repository; the same bytes every time."""
    schemas = {schema_path(message.type): _text(json_schema(message)) for message in MESSAGES}
    return {**schemas, ASYNCAPI: _text(asyncapi_document()), REFUSALS: refusals_page()}


def refusals_page() -> str:
    """Return the table of refusal codes, for people."""
    return _REFUSALS_PAGE + "".join(f"| `{code}` | {MEANINGS[code]} |\n" for code in sorted(MEANINGS))


def broken_promises(root: Path) -> Iterator[str]:
    """Yield, a line each, what the models changed about the released schemas under ``root`` that breaks somebody."""
    classes = {message.type: message for message in MESSAGES}
    for path in sorted((root / SCHEMAS).glob("*.json")):
        message_class = classes.get(path.stem)
        if message_class is None:
            yield f"{path.stem}: the type is gone, but its records may still be read"
            continue
        released = json.loads(path.read_text(encoding="utf-8"))
        for change in breaking_changes(released, json_schema(message_class)):
            yield f"{path.stem}: {change}"


def stale_files(root: Path) -> Iterator[Path]:
    """Yield the exported files under ``root`` that are missing or not what the models say now."""
    for path, text in documents().items():
        file = root / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            yield path


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write what is stale, or with ``--check`` only name it. Status 1: a breaking change, or something stale found."""
    parser = argparse.ArgumentParser(prog="python -m contracts.export", description="Export schemas and AsyncAPI.")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if something is stale")
    check: bool = parser.parse_args(arguments).check

    broken = list(broken_promises(root))
    for line in broken:
        print(line, file=sys.stderr)
    if broken:
        print("Refused: a released type only gains optional fields. Make a new type (….v2) beside it.", file=sys.stderr)
        return 1

    stale = list(stale_files(root))
    for path in stale:
        print(f"stale: {path}" if check else f"wrote {path}")
        if not check:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(documents()[path], encoding="utf-8")
    return 1 if check and stale else 0


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
