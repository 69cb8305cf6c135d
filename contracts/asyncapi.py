"""The AsyncAPI 3.0 document of our topics, from the catalogue: channels, keys, retention, operations, headers."""

import inspect
from collections.abc import Iterator
from typing import Any

from contracts.catalog import MESSAGES
from contracts.dead_letters import CAUSES
from contracts.envelope import REPLAY_OF, RESTORED
from contracts.messages import JournalEntry, Message, Submission
from contracts.text import IDEMPOTENCY_KEY_PATTERN
from contracts.topics import LEDGER_BULK, PARTITIONS, TOPICS, Topic

Json = dict[str, Any]

_BINDING = "0.5.0"
_DEAD_LETTER = "dead-letter"


def _text(description: str, **more: Any) -> Json:
    return {"type": "string", "description": description, **more}


_COMMON: Json = {
    "ce_specversion": _text("CloudEvents 1.0.", const="1.0"),
    "ce_id": _text("Unique per source; the same entry sent again has the same one.", minLength=1),
    "ce_type": _text("Which message the value is, with its version.", minLength=1),
    "ce_source": _text("Who made it: a URI reference.", minLength=1, format="uri-reference"),
    "ce_time": _text("When, with an offset (RFC 3339).", format="date-time"),
    "ce_subject": _text("The ledger, registration or user it is about; the same as the key."),
    "content-type": _text("Of the value.", const="application/json"),
    "traceparent": _text("W3C Trace Context, so that a log line finds its request."),
}
_RESTORED: Json = {
    RESTORED: _text(
        "On an entry of ledger.journal that a restore has put there: the backup's id. What the entry says of its source"
        " is about topics that are gone.",
        format="uuid",
    ),
}
_SUBMISSION: Json = {
    "ce_userid": _text("Who asks; on ledger.bulk the grant says so.", format="uuid"),
    "ce_idempotencykey": _text(
        "The sender's key: the same key is the same operation.", pattern=IDEMPOTENCY_KEY_PATTERN
    ),
    "ce_operationid": _text("uuid5(subject id, `user id:noun:key`); the consumer computes it again.", format="uuid"),
    "ce_requesthash": _text(
        "SHA-256 of the value's canonical JSON, hex; computed again too.", pattern="^[0-9a-f]{64}$"
    ),
    "ce_replyto": _text("The gateway instance that waits; only a wake-up goes there.", format="uuid"),
    "ce_grant": _text("Bulk grant, a signed token; on ledger.bulk, and required there."),
    "ce_homecurrency": _text("Base currency of a ledger that opens, where nothing else is said.", pattern="^[A-Z]{3}$"),
    "ce_homezone": _text("Time zone of a ledger that opens, where nothing else is said."),
    REPLAY_OF: _text(
        "On a dead letter that is sent again: its topic, partition and offset. It may claim an operation that failed."
    ),
}
_DEAD_LETTER_HEADERS: Json = {
    "deadletter_cause": _text("What kind of failure.", enum=[*CAUSES]),
    "deadletter_reason": _text("A sentence for the operator; never the value."),
    "deadletter_topic": _text("Where the record came from."),
    "deadletter_partition": _text("Its partition there.", pattern="^[0-9]+$"),
    "deadletter_offset": _text(
        "Its offset there; topic, partition and offset identify a dead letter.", pattern="^[0-9]+$"
    ),
    "deadletter_attempts": _text("How often it was tried.", pattern="^[0-9]+$"),
    "deadletter_at": _text("When it was given up (RFC 3339).", format="date-time"),
}
_LEFT_OUT: Json = {
    "deadletter_headers": _text("There where headers that are none of ours were left out, being too large."),
}
_REQUIRED = ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"]


#: Where the committed schemas are, as seen from ``docs/``.
COMMITTED_SCHEMAS = "../contracts/schemas/"


def asyncapi_document(schemas: str = COMMITTED_SCHEMAS) -> Json:
    """Return the document; payloads are references to the schema files in the folder ``schemas``, with its slash."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "cash-flow",
            "version": "1.0.0",
            "description": "What travels on cash-flow's Kafka topics: CloudEvents 1.0, Kafka binding, binary mode. "
            "Readers ignore fields and headers they do not know; a type only gains optional fields.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": dict(_operations()),
        "components": {
            "messages": {
                **{message.type: _message(message, schemas) for message in MESSAGES},
                _DEAD_LETTER: _dead_letter(),
            },
            "schemas": {
                "JournalHeaders": _headers({**_COMMON, **_RESTORED}, _REQUIRED),
                "SubmissionHeaders": _headers(
                    {**_COMMON, **_SUBMISSION}, [*_REQUIRED, "ce_idempotencykey", "ce_operationid", "ce_requesthash"]
                ),
                "DeadLetterHeaders": _headers({**_DEAD_LETTER_HEADERS, **_LEFT_OUT}, list(_DEAD_LETTER_HEADERS)),
            },
        },
    }


def processes() -> tuple[str, ...]:
    """Return who writes or reads a topic, in the order of the topics."""
    return tuple(dict.fromkeys(name for topic in TOPICS for name in (*topic.written_by, *topic.read_by)))


def asyncapi_of(process: str, schemas: str) -> Json:
    """Return the part of the document that is about what one process writes and reads."""
    document = asyncapi_document(schemas)
    operations = {name: each for name, each in document["operations"].items() if name.startswith(f"{process}.")}
    used = {each["channel"]["$ref"].removeprefix("#/channels/") for each in operations.values()}
    channels = {name: each for name, each in document["channels"].items() if name in used}
    named = {name for channel in channels.values() for name in channel["messages"]}
    return {
        **document,
        "info": {**document["info"], "title": f"cash-flow {process}"},
        "channels": channels,
        "operations": operations,
        "components": {
            **document["components"],
            "messages": {name: each for name, each in document["components"]["messages"].items() if name in named},
        },
    }


def topics_of(message_class: type[Message]) -> tuple[Topic, ...]:
    """Return the topics a message type travels on."""
    if issubclass(message_class, Submission):
        return message_class.topics
    assert issubclass(message_class, JournalEntry)  # every message is one or the other
    return (message_class.topic,)


def types_on(topic: Topic) -> list[str]:
    """Return the message types of a topic in the catalogue's order; a dead-letter topic has the one kind."""
    types = [message.type for message in MESSAGES if topic in topics_of(message)]
    return types or [_DEAD_LETTER]


def _channel(topic: Topic) -> Json:
    settings: dict[str, Any] = {
        name: int(value) if value.lstrip("-").isdigit() else value for name, value in topic.settings().items()
    }
    kept = "for ever" if topic.retention is None else f"{topic.retention.days} days"
    return {
        "address": topic.name,
        "title": topic.name,
        "description": f"{topic.carries} Keyed by {topic.key}; kept {kept}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in types_on(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": PARTITIONS,
                "topicConfiguration": {**settings, "cleanup.policy": [settings["cleanup.policy"]]},
                "bindingVersion": _BINDING,
            }
        },
    }


def _operations() -> Iterator[tuple[str, Json]]:
    for topic in TOPICS:
        for action, processes in (("send", topic.written_by), ("receive", topic.read_by)):
            for process in processes:
                yield (
                    f"{process}.{action}.{topic.name}",
                    {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{topic.name}"},
                        "summary": f"{process} {'writes' if action == 'send' else 'reads'} {topic.name}.",
                        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{name}"} for name in types_on(topic)],
                    },
                )


def _message(message_class: type[Message], schemas: str) -> Json:
    summary, _, description = inspect.cleandoc(message_class.__doc__ or "").partition("\n\n")
    own: Json = {"type": "object", "properties": {"ce_type": {"const": message_class.type}}}
    base = "JournalHeaders"
    if issubclass(message_class, Submission):
        base = "SubmissionHeaders"
        if message_class.by_user and LEDGER_BULK not in message_class.topics:
            own["required"] = ["ce_userid"]
    return {
        "name": message_class.type,
        "title": message_class.__name__,
        "summary": " ".join(summary.split()),
        **({"description": description} if description else {}),
        "contentType": "application/json",
        "headers": {"allOf": [{"$ref": f"#/components/schemas/{base}"}, own]},
        "payload": {"$ref": f"{schemas}{message_class.type}.json"},
        "bindings": {"kafka": {"key": _text("The id it is ordered by.", format="uuid"), "bindingVersion": _BINDING}},
    }


def _dead_letter() -> Json:
    return {
        "name": _DEAD_LETTER,
        "title": "DeadLetter",
        "summary": "A record that could not be taken: key, value and headers untouched, our own headers behind them.",
        "contentType": "application/octet-stream",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
        "payload": {"description": "Whatever was in the record, also what is no JSON."},
    }


def _headers(properties: Json, required: list[str]) -> Json:
    return {"type": "object", "properties": properties, "required": required}
