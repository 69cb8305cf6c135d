"""What stands on a dead letter beside the untouched record: why it could not be taken, and where it was."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from contracts.envelope import REPLAY_OF, Headers
from contracts.errors import MalformedMessage
from contracts.messages import Source, utc_text

MALFORMED = "malformed"
DEFECT = "defect"
CAUSES = (MALFORMED, DEFECT)
REASON_LENGTH_MAX = 1000

#: Of every header that is written on a dead letter. A record has none of them, but for one that is replayed.
_PREFIX = "deadletter_"
_LEFT_OUT = ("deadletter_headers", b"left out: too large")

AnyHeaders: TypeAlias = Collection[tuple[str, bytes | None]]


class Label(msgspec.Struct, frozen=True):
    """Why a record could not be taken.

    ``source`` is where it stood, and the dead letter's identity. ``cause`` is :data:`MALFORMED` or :data:`DEFECT`,
    ``reason`` a sentence for the operator, ``attempts`` how often it was tried, ``at`` when it was given up (UTC).
    ``replay_of`` is the identity of an earlier dead letter whose replay the record was; ``is_whole`` says
    whether all headers of the record are still there.
    """

    source: Source
    cause: str
    reason: str
    attempts: int
    at: datetime
    replay_of: Source | None = None
    is_whole: bool = True


def label_headers(label: Label) -> Headers:
    """Return the headers to put behind those of the record."""
    texts = {
        "cause": label.cause,
        "reason": label.reason[:REASON_LENGTH_MAX],
        "topic": label.source.topic,
        "partition": str(label.source.partition),
        "offset": str(label.source.offset),
        "attempts": str(label.attempts),
        "at": utc_text(label.at),
    }
    headers = [(_PREFIX + name, text.encode()) for name, text in texts.items()]
    return headers if label.is_whole else [*headers, _LEFT_OUT]


def read_label(headers: AnyHeaders) -> Label:
    """Read what stands on a dead letter; whatever else is in the headers is the record's own.

    Raises:
        MalformedMessage: this is no dead letter of ours.
    """
    # The last of each: they stand behind whatever the record brought along.
    texts = {
        name.removeprefix(_PREFIX): (value or b"").decode(errors="backslashreplace")
        for name, value in headers
        if name.startswith(_PREFIX)
    }
    try:
        return Label(
            source=Source(topic=texts["topic"], partition=int(texts["partition"]), offset=int(texts["offset"])),
            cause=texts["cause"],
            reason=texts["reason"],
            attempts=int(texts["attempts"]),
            at=datetime.fromisoformat(texts["at"]).astimezone(UTC),
            replay_of=read_source(texts.get(REPLAY_OF.removeprefix(_PREFIX), "")),
            is_whole="headers" not in texts,
        )
    except (KeyError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"This is no dead letter of ours ({error}).") from None


def original_headers(headers: AnyHeaders) -> list[tuple[str, bytes | None]]:
    """Return the headers as the record had them when it was first sent."""
    return [(name, value) for name, value in headers if not name.startswith(_PREFIX)]


def replay_headers(headers: AnyHeaders, of: Source) -> list[tuple[str, bytes | None]]:
    """Return the headers with which a dead letter is sent to its topic again: its own, and what it replays."""
    return [*original_headers(headers), (REPLAY_OF, str(of).encode())]


def read_source(text: str) -> Source | None:
    """Read an identity as people type it, ``topic/partition/offset``; ``None`` where it is none."""
    topic, *numbers = text.split("/")
    if not topic or len(numbers) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        return None
    partition, offset = (int(number) for number in numbers)
    return Source(topic=topic, partition=partition, offset=offset)
