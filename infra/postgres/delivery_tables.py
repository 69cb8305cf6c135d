"""Tables every consumer database has: operations (the answers, the guard against doing a thing twice), the outbox."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

MOMENT = DateTime(timezone=True)


def define_operations(metadata: MetaData) -> Table:
    """Define ``operations``: one row per accepted submission; its primary key makes every effect happen once.

    ``subject_id`` is the ledger, registration or user; ``user_id`` is null where nobody is signed in yet. ``request``
    is the submission's JSON as sent, less what its class leaves out of the hash. ``resource_id`` is what came of it.
    Key and request are in no journal, so they are null in an operation that was rebuilt.

    By user they are found without their id in the index: a batch has one ``recorded_at``, so an import's rows share
    entries there (8 bytes a row, and 104 with the id [measured]). What was not recorded is rare and has one of its own,
    which costs those that were nothing.
    """
    return Table(
        "operations",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("subject_id", Uuid, nullable=False),
        Column("user_id", Uuid),
        Column("noun", Text, nullable=False),
        Column("idempotency_key", Text),
        Column("state", Text, nullable=False),
        Column("resource_id", Uuid),
        Column("refusal_code", Text),
        Column("refusal_detail", Text),
        Column("refusal_field", Text),
        Column("request_hash", LargeBinary, nullable=False),
        Column("request", LargeBinary),
        Column("recorded_at", MOMENT, nullable=False),
        Column("source_topic", Text, nullable=False),
        Column("source_partition", Integer, nullable=False),
        Column("source_offset", BigInteger, nullable=False),
        CheckConstraint("state IN ('recorded', 'refused', 'failed')", name="state"),
        Index("operations_recorded_at", "recorded_at", postgresql_using="brin"),
        Index("operations_user", "user_id", "recorded_at"),
        Index("operations_user_not_recorded", "user_id", "recorded_at", postgresql_where=text("state <> 'recorded'")),
    )


def define_outbox(metadata: MetaData) -> Table:
    """Define ``outbox``: messages decided in a database transaction and not yet known to be in Kafka.

    ``messages`` is a msgpack list of up to 1,000 ``[key, headers, value]``; EXTERNAL storage skips a compression that
    costs more than it saves.
    """
    outbox = Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("topic", Text, nullable=False),
        Column("message_count", SmallInteger, nullable=False),
        Column("messages", LargeBinary, nullable=False),
        Column("created_at", MOMENT, nullable=False, server_default=text("clock_timestamp()")),
        Column("sent_at", MOMENT),
    )
    Index("outbox_unsent", outbox.c.id, postgresql_where=outbox.c.sent_at.is_(None))
    Index("outbox_sent", outbox.c.sent_at, postgresql_where=outbox.c.sent_at.is_not(None))
    return outbox
