"""How dead letters look: tables and sentences for people, JSON for programs. Nothing secret is in either."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from cli.operating.dead_letter_search import Letter
from cli.operating.dead_letter_views import Counted, Listed, Opened, Standing
from cli.terminal.output import in_pages, note, say, show_record, show_table
from contracts.dead_letters import DEFECT, original_headers

_COLOURS: Mapping[str, str] = {
    Standing.OPEN: "yellow",
    Standing.FAILED_AGAIN: "red",
    Standing.RECORDED: "green",
    Standing.REFUSED: "green",
}
_HEADINGS: Mapping[str, tuple[str, ...]] = {
    "reason": ("Topic", "Cause", "Reason"),
    "cause": ("Cause",),
    "topic": ("Topic",),
    "type": ("Topic", "Type"),
}
#: Of names whose value opens something, or once was a password.
_SECRET = re.compile(r"password|secret|token|grant|seal|hash|proof|authorization|cookie|api.?key", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(rf'("[^"]*(?:{_SECRET.pattern})[^"]*"\s*:\s*)"([^"]*)"?', re.IGNORECASE)
#: Not secret, though they are hashes: they name the request.
_OPEN_HEADERS = frozenset({"ce_requesthash"})
_KEPT_OF_SECRET = 6
_SHORT_SECRET = 40
_HEADER_LENGTH_MAX = 200
_TEXT_LENGTH_MAX = 4000
_BYTES_SHOWN = 256


def show_letters(listed: Listed) -> None:
    """Show letters in a table, and what was not looked at."""
    if listed.letters:
        show_table(
            ["ID", "Given up (UTC)", "Cause", "Now", "Type", "Reason"],
            [
                (
                    letter.id,
                    f"{letter.label.at:%Y-%m-%d %H:%M}",
                    letter.label.cause,
                    Text(standing, style=_COLOURS.get(standing, "")),
                    short_type(letter.type),
                    _cut(letter.label.reason),
                )
                for letter, standing in listed.letters
            ],
            whole=["ID", "Given up (UTC)", "Cause", "Now", "Type"],
            spare=["Type", "Cause", "Given up (UTC)"],
        )
    else:
        say("No dead letter was found.")
    if listed.is_full:
        note("There are older ones: --limit shows more, --by reason counts them.")
    else:
        _note_what_was_not_looked_at(listed.looked_at, listed.not_looked_at)
    if listed.strangers:
        note(f"{listed.strangers:,} records on these topics are no dead letters of ours; they were passed over.")
    for name in listed.silent:
        note(f"The {name} database does not answer: what became of some is not known; see `cash status`.")


def letters_as_json(listed: Listed) -> dict[str, Any]:
    """Return letters for programs."""
    return {
        "items": [_summary(letter) | {"now": standing} for letter, standing in listed.letters],
        "looked_at": listed.looked_at,
        "not_looked_at": listed.not_looked_at,
        "strangers": listed.strangers,
    }


def show_kinds(counted: Counted, by: str) -> None:
    """Show how many letters there are of each kind."""
    if not counted.kinds:
        say("No dead letter was found.")
    else:
        rows: list[tuple[object, ...]] = [
            (f"{kind.count:,}", f"{kind.newest_at:%Y-%m-%d %H:%M}", *names) for names, kind in counted.kinds.items()
        ]
        if counted.others:
            rows.append((f"{counted.others:,}", None, *["others"] * len(_HEADINGS[by])))
        show_table(
            ["Letters", "Newest (UTC)", *_HEADINGS[by]],
            rows,
            right=["Letters"],
            whole=["Newest (UTC)", "Topic", "Cause"],
            spare=["Newest (UTC)"],
        )
    _note_what_was_not_looked_at(counted.looked_at, counted.not_looked_at)


def kinds_as_json(counted: Counted, by: str) -> dict[str, Any]:
    """Return how many letters there are of each kind, for programs."""
    headings = [heading.lower() for heading in _HEADINGS[by]]
    return {
        "items": [
            {"letters": kind.count, "newest_at": kind.newest_at, **dict(zip(headings, names, strict=True))}
            for names, kind in counted.kinds.items()
        ],
        "others": counted.others,
        "looked_at": counted.looked_at,
        "not_looked_at": counted.not_looked_at,
    }


def show_letter(opened: Opened) -> None:
    """Show one letter: what is known of it, its headers, its value, and what to do."""
    letter, label = opened.letter, opened.letter.label
    tries = "once" if label.attempts == 1 else f"{label.attempts} times"
    with in_pages():
        show_record(
            {
                "Given up": f"{label.at:%Y-%m-%d %H:%M:%S} UTC, tried {tries}",
                "Cause": label.cause,
                "Reason": label.reason,
                "Now": Text(opened.standing, style=_COLOURS.get(opened.standing, "")),
                "Type": letter.type,
                "Operation": _operation(opened),
                "Replay of": label.replay_of,
                "Came back as": opened.came_back_as and opened.came_back_as.id,
                "Kept on": f"{letter.place.topic}, partition {letter.place.partition}, offset {letter.offset}",
                "Key": "none" if opened.record.key is None else _bytes_as_text(opened.record.key),
            },
            title=f"Dead letter {letter.id}",
        )
        say("")
        show_table(["Header", "Value"], _headers(opened), whole=["Header"])
        say("")
        say(f"Value ({_size(opened.record.value)})")
        say(_value_as_text(opened.record.value))
        say("")
        say(advice(opened))


def letter_as_json(opened: Opened) -> dict[str, Any]:
    """Return one letter for programs; what is secret is shortened there too."""
    record = opened.record
    value, encoding = _value_as_json(record.value)
    return {
        **_summary(opened.letter),
        "now": opened.standing,
        "operation_state": opened.outcome and opened.outcome.state,
        "refusal_code": opened.outcome and opened.outcome.refusal_code,
        "came_back_as": opened.came_back_as and str(opened.came_back_as.id),
        "key": None if record.key is None else _bytes_as_text(record.key),
        "headers": [{"name": name, "value": shown} for name, shown in _headers(opened)],
        "value": value,
        "value_encoding": encoding,
        "advice": advice(opened),
    }


def advice(opened: Opened) -> str:
    """Return what an operator can do about a letter."""
    letter = opened.letter
    match opened.standing:
        case Standing.RECORDED | Standing.REFUSED:
            return f"Nothing is left to do: its operation was {opened.standing} since."
        case Standing.FAILED_AGAIN if opened.came_back_as:
            newer = opened.came_back_as.id
            return f"It was replayed and came back: go on with `cash dead-letters show {newer}`."
        case _ if letter.grant_ended_at:
            return (
                f"Its bulk grant ended on {letter.grant_ended_at:%Y-%m-%d at %H:%M} UTC, so a replay is refused again: "
                "have the import sent once more, with a new grant and the same idempotency keys."
            )
        case _ if letter.label.cause == DEFECT:
            return f"Mend the defect, start the consumer with it, then: cash dead-letters replay {letter.id}"
        case _:
            return (
                "Who sent it has to send it right. A replay helps only where our side has changed since, "
                f"such as a newer version that knows its type: cash dead-letters replay {letter.id}"
            )


def short_type(name: str | None) -> str:
    """Return a message type without what all of them begin with."""
    return (name or "").removeprefix("cashflow.")


def _summary(letter: Letter) -> dict[str, Any]:
    label = letter.label
    return {
        "id": str(letter.id),
        "topic": label.source.topic,
        "partition": label.source.partition,
        "offset": label.source.offset,
        "cause": label.cause,
        "reason": label.reason,
        "attempts": label.attempts,
        "given_up_at": label.at,
        "type": letter.type,
        "operation_id": letter.operation_id,
        "replay_of": label.replay_of and str(label.replay_of),
        "grant_ended_at": letter.grant_ended_at,
        "bytes": letter.size,
    }


def _note_what_was_not_looked_at(looked_at: int, left: int) -> None:
    if left:
        note(f"Looked at the newest {looked_at:,} records; {left:,} older ones are left (--look-at 0 looks at all).")


def _operation(opened: Opened) -> str | None:
    operation_id, outcome = opened.letter.operation_id, opened.outcome
    if operation_id is None or outcome is None:
        return str(operation_id) if operation_id else None
    code = f" ({outcome.refusal_code})" if outcome.refusal_code else ""
    return f"{operation_id}, {outcome.state}{code}"


def _headers(opened: Opened) -> list[tuple[str, str]]:
    return [(name, _header(name, value)) for name, value in original_headers(opened.letter.headers)]


def _header(name: str, value: bytes | None) -> str:
    if value is None:
        return "(null)"
    text = _bytes_as_text(value)
    if name not in _OPEN_HEADERS and _SECRET.search(name):
        return _shortened(text)
    return text if len(text) <= _HEADER_LENGTH_MAX else f"{text[:_HEADER_LENGTH_MAX]}… ({len(value):,} bytes)"


def _cut(text: str) -> str:
    return text if len(text) <= _HEADER_LENGTH_MAX else f"{text[:_HEADER_LENGTH_MAX]}…"


def _shortened(text: str) -> str:
    kept = text[:_KEPT_OF_SECRET] if len(text) > _SHORT_SECRET else ""
    return f"{kept}… ({len(text)} letters)"


def _size(value: bytes | None) -> str:
    if value is None:
        return "none: a tombstone"
    return f"{len(value):,} bytes"


def _value_as_text(value: bytes | None) -> str:
    if not value:
        return "(empty)"
    decoded, encoding = _value_as_json(value)
    if encoding == "base64":
        shown = " ".join(f"{byte:02x}" for byte in value[:_BYTES_SHOWN])
        return shown if len(value) <= _BYTES_SHOWN else f"{shown} …"
    text = json.dumps(decoded, ensure_ascii=False, indent=2) if encoding == "json" else str(decoded)
    return text if len(text) <= _TEXT_LENGTH_MAX else f"{text[:_TEXT_LENGTH_MAX]}…"


def _value_as_json(value: bytes | None) -> tuple[Any, str | None]:
    """Return a value and what it is given as: ``json``, ``text`` or ``base64``; secrets in the first two shortened."""
    if value is None:
        return None, None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode(), "base64"
    try:
        return _without_secrets(json.loads(text)), "json"
    except (ValueError, RecursionError):
        return _SECRET_IN_TEXT.sub(lambda found: f'{found[1]}"{_shortened(found[2])}"', text), "text"


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _shortened(inner) if isinstance(inner, str) and _SECRET.search(name) else _without_secrets(inner)
            for name, inner in value.items()
        }
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value


def _bytes_as_text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
