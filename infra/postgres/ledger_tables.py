"""The ledger database: double-entry books, one set per household, every row key starting with the ledger."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from infra.postgres.delivery_tables import MOMENT, define_operations, define_outbox
from infra.postgres.naming import NAMING

metadata = MetaData(naming_convention=NAMING)

#: ``sequence`` is the last journal entry's; 0 means the row was only inserted to be locked, and nothing was opened yet.
ledgers = Table(
    "ledgers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("sequence", BigInteger, nullable=False, server_default="0"),
    Column("base_currency", Text),
    Column("time_zone", Text),
    Column("default_account_id", Uuid),
    Column("opened_at", MOMENT),
    Column("recorded_at", MOMENT, comment="Of the last entry; the next one is never earlier."),
    postgresql_with={"fillfactor": "70"},
)

members = Table(
    "members",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("role", Text, nullable=False),
    Column("joined_at", MOMENT, nullable=False),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"]),
    CheckConstraint("role IN ('owner', 'editor', 'viewer')", name="role"),
    Index("members_user", "user_id"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, comment="contracts.text.name_key; computed in Python."),
    Column("currency", Text, comment="Of assets and liabilities."),
    Column("opened_at", MOMENT, nullable=False),
    Column("closed_at", MOMENT),
    Column("merged_into", Uuid),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"]),
    UniqueConstraint("ledger_id", "name_key"),
    CheckConstraint("kind IN ('asset', 'liability', 'income', 'expense', 'equity')", name="kind"),
    CheckConstraint("(currency IS NOT NULL) = (kind IN ('asset', 'liability'))", name="currency"),
)

# Transactions, postings and totals have no foreign keys: they are written by the thousand, in one database transaction
# with what they point to, and a key would be checked row by row (it cost two fifths of writing the monthly totals).
# `infra.postgres.ledger_checks` looks for what a key would have kept out, and compares the totals with the postings.

#: The head of each transaction: which revision stands, and its annotations. Money is in the postings alone.
transactions = Table(
    "transactions",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False, comment="Of the journal entry that recorded this revision."),
    Column("kind", Text, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("booked_at", MOMENT, nullable=False),
    Column("submitted_at", MOMENT, nullable=False),
    Column("recorded_at", MOMENT, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("operation_id", Uuid, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Index("transactions_newest", "ledger_id", "booked_on", "booked_at", "id"),
)

#: Immutable: no role of the application may update or delete here. A transaction's head says the sequence of the
#: postings that stand. Keyed in the order they are written: with the transaction's (random) id first, copying them in
#: cost a third more.
postings = Table(
    "postings",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("transaction_id", Uuid, nullable=False),
    Column(
        "sequence", BigInteger, primary_key=True, comment="Of the journal entry; tells revisions and reversals apart."
    ),
    Column("position", SmallInteger, primary_key=True),
    Column("source_account_id", Uuid, nullable=False),
    Column("destination_account_id", Uuid, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("booked_on", Date, nullable=False),
    CheckConstraint("amount_minor > 0 AND amount_minor <= 1000000000000000", name="amount_minor"),
    CheckConstraint("source_account_id <> destination_account_id", name="accounts"),
    Index("postings_source", "ledger_id", "source_account_id", "booked_on"),
    Index("postings_destination", "ledger_id", "destination_account_id", "booked_on"),
)

#: Total per account and currency since the beginning: what came in less what went out, in minor units.
balances = Table(
    "balances",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("account_id", Uuid, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("balance_minor", Numeric(38, 0), nullable=False),
    postgresql_with={"fillfactor": "70"},
)

#: The same per calendar month of ``booked_on``; ``month`` is its first day.
monthly_balances = Table(
    "monthly_balances",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("account_id", Uuid, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("incoming_minor", Numeric(38, 0), nullable=False),
    Column("outgoing_minor", Numeric(38, 0), nullable=False),
    postgresql_with={"fillfactor": "70"},
)

operations = define_operations(metadata)
outbox = define_outbox(metadata)
