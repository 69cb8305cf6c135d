"""The ledger database: double-entry books, one set per household, every row key starting with the ledger."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
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
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from infra.postgres.delivery_tables import MOMENT, define_operations, define_outbox
from infra.postgres.naming import NAMING

metadata = MetaData(naming_convention=NAMING)

#: ``sequence`` is the last journal entry's; 0 means the row was only inserted to be locked, and nothing was opened yet.
ledgers = Table(
    "ledgers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("sequence", BigInteger, nullable=False, server_default="0"),
    Column("name", Text),
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

#: Open while ``ending`` is null and ``expires_at`` has not come.
invitations = Table(
    "invitations",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("invited_user_id", Uuid, nullable=False, comment="Of nobody, where the address was nobody's."),
    Column("role", Text, nullable=False),
    Column("user_id", Uuid, nullable=False, comment="Who invited."),
    Column("recorded_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    Column("ending", Text),
    Column("ended_at", MOMENT),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"]),
    Index("invitations_invited", "invited_user_id"),
)

#: How each account stands. ``version`` is the sequence of the journal entry that made it so; ``state_of`` the version
#: whose state this is, another one after an undo. ``root_id`` is the account that stands for this one now: itself, or
#: what ``merged_into`` leads to.
accounts = Table(
    "accounts",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, comment="contracts.text.name_key; computed in Python."),
    Column("currency", Text, comment="Of assets and liabilities."),
    Column("group_name", Text),
    Column("position", Integer),
    Column("opened_at", MOMENT, nullable=False),
    Column("closed", Boolean, nullable=False, server_default=text("false")),
    Column("merged_into", Uuid),
    Column("root_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("state_of", BigInteger, nullable=False),
    ForeignKeyConstraint(["ledger_id"], ["ledgers.id"]),
    # Looked at when all is written: in one batch a name can go from one account to another.
    UniqueConstraint("ledger_id", "name_key", deferrable=True, initially="DEFERRED"),
    CheckConstraint("kind IN ('asset', 'liability', 'income', 'expense', 'equity')", name="kind"),
    CheckConstraint("(currency IS NOT NULL) = (kind IN ('asset', 'liability'))", name="currency"),
    Index("accounts_root", "ledger_id", "root_id"),
)

#: How accounts stood before: a row for each version that another one followed. Never changed.
account_versions = Table(
    "account_versions",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("state_of", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("group_name", Text),
    Column("position", Integer),
    Column("closed", Boolean, nullable=False),
    Column("merged_into", Uuid),
)

# Transactions, postings and totals have no foreign keys: they are written by the thousand, in one database transaction
# with what they point to, and a key would be checked row by row (it cost two fifths of writing the monthly totals).
# `infra.postgres.ledger_checks` looks for what a key would have kept out, and compares the totals with the postings.


def _state_of_transaction() -> list[Column[object]]:
    """Return the columns that a transaction's head and its earlier versions share."""
    return [
        Column("ledger_id", Uuid, primary_key=True),
        Column("id", Uuid, primary_key=True),
        Column("revision", Integer, nullable=False, comment="Counts changes of money and day."),
        Column("state_of", BigInteger, nullable=False, comment="The version whose state this is; 0: none."),
        Column("sequence", BigInteger, nullable=False, comment="Of the journal entry whose postings these are."),
        Column("deleted", Boolean, nullable=False, server_default=text("false")),
        Column("kind", Text, nullable=False),
        Column("booked_on", Date, nullable=False),
        Column("booked_at", MOMENT, nullable=False),
        Column("amount_minor", BigInteger, nullable=False, comment="What left or came to the account."),
        Column("currency", Text, nullable=False),
        Column("rate", Text, comment="Of an exchange."),
        Column("description", Text, nullable=False, server_default=""),
        Column("payee", Text),
        Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
        Column("note", Text),
        Column("status", Text, nullable=False),
        Column("external_id", Text),
        Column("submitted_at", MOMENT, nullable=False),
        Column("recorded_at", MOMENT, nullable=False, comment="When this version was made,"),
        Column("user_id", Uuid, nullable=False, comment="by whom,"),
        Column("operation_id", Uuid, nullable=False, comment="and by which operation."),
    ]


#: The head of each transaction: how it stands. ``version`` is the sequence of the journal entry that made it so. Money
#: is in the postings alone; ``amount_minor`` and ``currency`` repeat it for sorting.
transactions = Table(
    "transactions",
    metadata,
    *_state_of_transaction(),
    Column("version", BigInteger, nullable=False),
    Column("payee_key", Text, comment="contracts.text.name_key."),
    Column("words", Text, nullable=False, server_default="", comment="Description, payee and note, folded for search."),
    Index("transactions_newest", "ledger_id", "booked_on", "booked_at", "id", postgresql_where=text("NOT deleted")),
    Index("transactions_amount", "ledger_id", "currency", "amount_minor", "id", postgresql_where=text("NOT deleted")),
    Index(
        "transactions_payee",
        "ledger_id",
        "payee_key",
        "booked_on",
        "booked_at",
        "id",
        postgresql_where=text("payee_key IS NOT NULL AND NOT deleted"),
    ),
    Index("transactions_external", "ledger_id", "external_id", postgresql_where=text("external_id IS NOT NULL")),
)
#: GIN over words (``simple``: no stemming, all languages alike), with the ledger in front by the btree_gin extension.
Index(
    "transactions_words",
    transactions.c.ledger_id,
    func.to_tsvector(text("'simple'::regconfig"), transactions.c.words),
    postgresql_using="gin",
    postgresql_where=text("words <> '' AND NOT deleted"),
)

#: How transactions stood before: a row for each version that another one followed. Never changed.
transaction_versions = Table(
    "transaction_versions", metadata, *_state_of_transaction(), Column("version", BigInteger, primary_key=True)
)

#: The tags of transactions that are not deleted, to be found by.
transaction_tags = Table(
    "transaction_tags",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("tag_key", Text, primary_key=True),
    Column("booked_on", Date, primary_key=True),
    Column("transaction_id", Uuid, primary_key=True),
)

#: What happened to a ledger besides new transactions, which stand for themselves: who, when, to what. ``sequence`` is
#: that of the last journal entry and names the change, for undo.
changes = Table(
    "changes",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("operation_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("recorded_at", MOMENT, nullable=False),
    Column("type", Text, nullable=False, comment="Of the entry, without prefix and version: account.changed."),
    Column("subject_id", Uuid, nullable=False, comment="The transaction, account, member, invitation, assertion …"),
    Column("undoes", BigInteger, comment="The change that this one takes back."),
    Column("detail", JSONB, nullable=False, comment="What else the entry says, but for postings."),
    Index("changes_subject", "ledger_id", "subject_id", "sequence"),
    Index("changes_undoes", "ledger_id", "undoes", postgresql_where=text("undoes IS NOT NULL")),
)

#: One unit of ``currency`` is ``rate`` units of ``quote`` from ``valid_on`` on.
rates = Table(
    "rates",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("quote", Text, primary_key=True),
    Column("valid_on", Date, primary_key=True),
    Column("rate", Numeric(24, 12), nullable=False),
    Index("rates_newest", "ledger_id", "valid_on", "currency", "quote"),
)

#: Statements' balances held against the books. Where ``stated_minor`` equalled ``computed_minor`` the account's
#: transactions until that day with a smaller ``sequence`` are reconciled, until it is lifted.
assertions = Table(
    "assertions",
    metadata,
    Column("ledger_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("asserted_on", Date, nullable=False),
    Column("currency", Text, nullable=False),
    Column("stated_minor", Numeric(38, 0), nullable=False),
    Column("computed_minor", Numeric(38, 0), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("recorded_at", MOMENT, nullable=False),
    Column("lifted_at", MOMENT),
    Index("assertions_newest", "ledger_id", "asserted_on", "sequence"),
    Index("assertions_standing", "ledger_id", "account_id", "asserted_on", postgresql_where=text("lifted_at IS NULL")),
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
    Column("recorded_at", MOMENT, nullable=False, comment="Since when it is known; never before a smaller sequence's."),
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
