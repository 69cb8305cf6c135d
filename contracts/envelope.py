"""The envelope: CloudEvents 1.0 in the Kafka protocol binding's binary mode, read tolerantly and written strictly.

Source: CloudEvents 1.0.2 and its Kafka Protocol Binding; ``traceparent`` is W3C Trace Context.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec

from contracts.errors import MalformedMessage
from contracts.messages import Submission, utc_text
from contracts.text import IDEMPOTENCY_KEY_PATTERN

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"

Headers = list[tuple[str, bytes]]


class Envelope(msgspec.Struct, frozen=True):
    """What a record's headers say. The value is the message itself.

    ``operation_id`` and ``request_hash`` (SHA-256, hex) are on submissions only and are recomputed by the consumer.
    ``home_currency`` and ``home_zone`` are used once, when a ledger opens. ``replay_of`` is the identity of the dead
    letter that an operator sent again: it may claim an operation that has failed.
    """

    id: str
    type: str
    source: str
    time: datetime
    subject: str | None = None
    user_id: UUID | None = None
    idempotency_key: str | None = None
    operation_id: UUID | None = None
    request_hash: str | None = None
    reply_to: UUID | None = None
    grant: str | None = None
    home_currency: str | None = None
    home_zone: str | None = None
    traceparent: str | None = None
    replay_of: str | None = None


#: On a record that was a dead letter and is sent again.
REPLAY_OF = "deadletter_replayof"

#: On an entry that a restore has put into the journal: the archive's id. Where its submission stood (``source``) speaks
#: of topics that are gone.
RESTORED = "ce_restored"

_EXTENSIONS = (
    ("ce_subject", "subject"),
    ("ce_userid", "user_id"),
    ("ce_idempotencykey", "idempotency_key"),
    ("ce_operationid", "operation_id"),
    ("ce_requesthash", "request_hash"),
    ("ce_replyto", "reply_to"),
    ("ce_grant", "grant"),
    ("ce_homecurrency", "home_currency"),
    ("ce_homezone", "home_zone"),
    ("traceparent", "traceparent"),
    (REPLAY_OF, "replay_of"),
)
_UUIDS = (("ce_userid", "user_id"), ("ce_operationid", "operation_id"), ("ce_replyto", "reply_to"))
#: By header, the fields that are texts, or made of one.
_FIELDS = {"ce_id": "id", "ce_type": "type", "ce_source": "source", **dict(_EXTENSIONS)}


def to_headers(envelope: Envelope) -> Headers:
    """Write an envelope as Kafka headers; what is ``None`` is left out."""
    headers: Headers = [
        ("ce_specversion", SPEC_VERSION.encode()),
        ("ce_id", envelope.id.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_time", utc_text(envelope.time).encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]
    for header, field in _EXTENSIONS:
        value = getattr(envelope, field)
        if value is not None:
            headers.append((header, str(value).encode()))
    return headers


def from_headers(headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """Read an envelope from Kafka headers. Unknown headers are passed over, whatever is in them.

    Raises:
        MalformedMessage: a required attribute is missing, or one of ours is null, not UTF-8 or not of its type.
    """
    texts = _texts(headers)
    if texts.get("ce_specversion") != SPEC_VERSION:
        raise MalformedMessage("ce_specversion is not 1.0; is this a CloudEvent in binary mode?")
    fields: dict[str, Any] = {_FIELDS[header]: text for header, text in texts.items() if header in _FIELDS}
    for name in ("id", "type", "source"):
        if not fields.get(name):
            raise MalformedMessage(f"ce_{name} is missing.")
    if not (time := texts.get("ce_time")):
        raise MalformedMessage("ce_time is missing.")
    try:
        moment = datetime.fromisoformat(time)
        if moment.tzinfo is None:
            raise MalformedMessage("ce_time has no offset.")
        fields["time"] = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedMessage("ce_time is not an RFC 3339 time.") from None
    for header, field in _UUIDS:
        if (text := fields.get(field)) is not None:
            try:
                fields[field] = UUID(text)
            except ValueError:
                raise MalformedMessage(f"{header} is not a UUID.") from None
    # What is no trace of W3C is none at all: it goes on into the journal, which is kept for ever.
    if not _TRACEPARENT.fullmatch(fields.get("traceparent", "")):
        fields.pop("traceparent", None)
    key = fields.get("idempotency_key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise MalformedMessage("ce_idempotencykey is not 1 to 255 printable ASCII characters.")
    return Envelope(**fields)


OURS = frozenset({"ce_specversion", "ce_time", *_FIELDS})
"""The headers that mean something to us."""

_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)
#: CloudEvents 1.0.2, type system, String. NUL among them is what PostgreSQL would refuse later.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    count = 0
    for name, value in headers:
        if name not in OURS:
            continue
        if value is None:
            raise MalformedMessage(f"{name} is null.")
        try:
            texts[name] = value.decode()
        except UnicodeDecodeError:
            raise MalformedMessage(f"{name} is not UTF-8.") from None
        count += 1
    if len(texts) < count:
        raise MalformedMessage("One of our headers is given twice.")
    # No control character is printable; the other way round it is not so, but asking costs a third of searching.
    if not "".join(texts.values()).isprintable():
        for name, text in texts.items():
            if _CONTROL.search(text):
                raise MalformedMessage(f"{name} has a control character, which CloudEvents does not allow.")
    return texts


def to_value(message: Submission) -> bytes:
    """Write a submission as the JSON of a record's value; fields nobody set are left out."""
    return message.model_dump_json(exclude_unset=True).encode()


def request_hash(value: bytes, unhashed: frozenset[str] = frozenset()) -> str:
    """Return the SHA-256 (hex) of a record value's canonical JSON: keys sorted, no spaces, ``unhashed`` left out.

    Taken over the value as sent, not over the model, so that a reader that does not know a newer optional field still
    arrives at the sender's hash.

    Raises:
        MalformedMessage: the value is not a JSON object.
    """
    try:
        fields = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedMessage("The value is not JSON.") from None
    if not isinstance(fields, dict):
        raise MalformedMessage("The value is not a JSON object.")
    for name in unhashed:
        fields.pop(name, None)
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def operation_id(message: Submission, user_id: UUID | None, key: str) -> UUID:
    """Return the id of the operation that answers a submission.

    The same person asking one ledger for the same noun under the same idempotency key always gets the same id. Where
    nobody is signed in yet, the registration alone stands for the person.
    """
    asked_by = f"{user_id}:" if message.by_user else ""
    return uuid5(message.subject_id, f"{asked_by}{message.noun}:{key}")
