"""A log entry in words: what `cash up` shows of it, and how a process writes it that is told to log as text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

# Told by the beginning of the line or beneath it.
_TOLD = ("event", "level", "timestamp", "logger", "process", "exception", "color_message")
_LEVEL_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Words:
    """One entry; control characters are shown as escapes.

    ``moment`` is the time of day (UTC, ``10:11:12``), ``details`` are ``key=value`` with spaces between, ``exception``
    is a traceback of several lines; each is empty where there is none.
    """

    moment: str
    level: str
    sentence: str
    details: str
    exception: str


def in_words(entry: Mapping[str, object]) -> Words:
    """Take an entry apart, as structlog's processors leave it."""
    return Words(
        moment=str(entry.get("timestamp", ""))[11:19],
        level=str(entry.get("level", "info")),
        sentence=printable(str(entry.get("event", ""))),
        details=printable(" ".join(f"{key}={_short(value)}" for key, value in entry.items() if key not in _TOLD)),
        exception=printable(str(entry.get("exception") or "")),
    )


def as_text(entry: Mapping[str, object]) -> str:
    """Write an entry as one line (time, level, sentence, details), and its traceback beneath."""
    words = in_words(entry)
    line = f"{words.moment} {words.level.upper():{_LEVEL_WIDTH}} {words.sentence} {words.details}".strip()
    return "\n".join(part for part in (line.replace("\n", "\\n"), words.exception) if part)


def printable(text: str) -> str:
    """Show control characters as escapes, so that stored text cannot steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else _escape(character) for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
