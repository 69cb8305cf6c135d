"""The users database: registrations, users, sessions, and the mails that are to be sent."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from infra.postgres.delivery_tables import MOMENT, define_operations, define_outbox
from infra.postgres.naming import NAMING

metadata = MetaData(naming_convention=NAMING)

#: ``state`` null: the row was only inserted to be locked. ``known``: the address already had a user when it was
#: registered, so every code is wrong. The code itself is derived from id and ``issue``, never stored.
registrations = Table(
    "registrations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("state", Text),
    Column("email", Text),
    Column("email_key", Text),
    Column("base_currency", Text),
    Column("time_zone", Text),
    Column("known", Boolean, nullable=False, server_default="false"),
    Column("issue", SmallInteger, nullable=False, server_default="0"),
    Column("attempts", SmallInteger, nullable=False, server_default="0", comment="Of the current issue."),
    Column("code_expires_at", MOMENT),
    Column("created_at", MOMENT),
    Column("expires_at", MOMENT),
    Column("user_id", Uuid),
    CheckConstraint("state IN ('pending', 'verified', 'completed', 'expired')", name="state"),
    Index("registrations_email", "email_key"),
    Index("registrations_expiry", "expires_at", postgresql_where=text("state IN ('pending', 'verified')")),
)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("registration_id", Uuid, nullable=False),
    Column("username", Text, nullable=False, comment="As chosen."),
    Column("username_key", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("password_hash", Text, nullable=False, comment="Argon2id, PHC string."),
    Column("password_version", Integer, nullable=False, server_default="1", comment="Raised by each change."),
    Column("base_currency", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("registered_at", MOMENT, nullable=False),
    ForeignKeyConstraint(["registration_id"], ["registrations.id"]),
    UniqueConstraint("username_key"),
    UniqueConstraint("email_key"),
)

#: Who may become the owner of a unique name; claimed before it is decided, so two people in one instant see one winner.
unique_names = Table(
    "unique_names",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("registration_id", Uuid, nullable=False),
    CheckConstraint("kind IN ('username', 'email')", name="kind"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("client", Text, nullable=False, server_default=""),
    Column("refresh_hash", LargeBinary, nullable=False, comment="SHA-256 of the token that may be presented next."),
    Column("previous_hash", LargeBinary, comment="The one before; honoured within the grace."),
    Column("started_at", MOMENT, nullable=False),
    Column("refreshed_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    Column("ended_at", MOMENT),
    Column("ending", Text),
    ForeignKeyConstraint(["user_id"], ["users.id"]),
    Index("sessions_user", "user_id"),
    Index("sessions_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
    Index("sessions_expiry", "expires_at", postgresql_where=text("ended_at IS NULL")),
)

#: Intents to send mail, written in the consumer's database transaction. ``message_id`` is stable over every try. A mail
#: is about an issue of a registration, tells a user that another one (``inviter_id``) invited them to a ledger, or that
#: their password was changed.
mails = Table(
    "mails",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("registration_id", Uuid),
    Column("issue", SmallInteger),
    Column("user_id", Uuid),
    Column("inviter_id", Uuid),
    Column("ledger_id", Uuid),
    Column("invitation_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="due"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("due_at", MOMENT, nullable=False),
    Column("leased_until", MOMENT),
    Column("created_at", MOMENT, nullable=False),
    Column("ended_at", MOMENT),
    Column("last_error", Text),
    Column("traceparent", Text),
    ForeignKeyConstraint(["registration_id"], ["registrations.id"]),
    ForeignKeyConstraint(["user_id"], ["users.id"]),
    ForeignKeyConstraint(["inviter_id"], ["users.id"]),
    UniqueConstraint("registration_id", "issue"),
    UniqueConstraint("invitation_id"),
    CheckConstraint(
        "kind IN ('verification_code', 'already_registered', 'invitation', 'password_changed')", name="kind"
    ),
    CheckConstraint(
        "CASE kind WHEN 'invitation' THEN num_nulls(user_id, inviter_id, ledger_id, invitation_id) = 0"
        " AND num_nonnulls(registration_id, issue) = 0"
        " WHEN 'password_changed' THEN user_id IS NOT NULL"
        " AND num_nonnulls(registration_id, issue, inviter_id, ledger_id, invitation_id) = 0"
        " ELSE num_nulls(registration_id, issue) = 0"
        " AND num_nonnulls(user_id, inviter_id, ledger_id, invitation_id) = 0 END",
        name="about",
    ),
    CheckConstraint("state IN ('due', 'sent', 'superseded', 'abandoned')", name="state"),
    Index("mails_due", "due_at", postgresql_where=text("state = 'due'")),
    Index("mails_user", "user_id", postgresql_where=text("user_id IS NOT NULL")),
)

operations = define_operations(metadata)
outbox = define_outbox(metadata)
