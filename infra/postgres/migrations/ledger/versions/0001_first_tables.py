"""The first tables, and who may do what with them.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the revision."""
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")
    op.create_table(
        "account_versions",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state_of", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("group_name", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("merged_into", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("ledger_id", "id", "version", name=op.f("account_versions_pkey")),
    )
    op.create_table(
        "assertions",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("asserted_on", sa.Date(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("stated_minor", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("computed_minor", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("ledger_id", "id", name=op.f("assertions_pkey")),
    )
    op.create_index("assertions_newest", "assertions", ["ledger_id", "asserted_on", "sequence"], unique=False)
    op.create_index(
        "assertions_standing",
        "assertions",
        ["ledger_id", "account_id", "asserted_on"],
        unique=False,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_table(
        "balances",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("balance_minor", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "account_id", "currency", name=op.f("balances_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "changes",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "type", sa.Text(), nullable=False, comment="Of the entry, without prefix and version: account.changed."
        ),
        sa.Column(
            "subject_id", sa.Uuid(), nullable=False, comment="The transaction, account, member, invitation, assertion …"
        ),
        sa.Column("undoes", sa.BigInteger(), nullable=True, comment="The change that this one takes back."),
        sa.Column(
            "detail",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="What else the entry says, but for postings.",
        ),
        sa.PrimaryKeyConstraint("ledger_id", "sequence", name=op.f("changes_pkey")),
    )
    op.create_index("changes_subject", "changes", ["ledger_id", "subject_id", "sequence"], unique=False)
    op.create_index(
        "changes_undoes",
        "changes",
        ["ledger_id", "undoes"],
        unique=False,
        postgresql_where=sa.text("undoes IS NOT NULL"),
    )
    op.create_table(
        "ledgers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("base_currency", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("default_account_id", sa.Uuid(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Of the last entry; the next one is never earlier.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("ledgers_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "monthly_balances",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("incoming_minor", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("outgoing_minor", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "account_id", "currency", "month", name=op.f("monthly_balances_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "operations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("noun", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("refusal_code", sa.Text(), nullable=True),
        sa.Column("refusal_detail", sa.Text(), nullable=True),
        sa.Column("refusal_field", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_topic", sa.Text(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('recorded', 'refused', 'failed')", name=op.f("operations_state_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("operations_pkey")),
    )
    op.create_index("operations_recorded_at", "operations", ["recorded_at"], unique=False, postgresql_using="brin")
    op.create_index("operations_user", "operations", ["user_id", "recorded_at"], unique=False)
    op.create_index(
        "operations_user_not_recorded",
        "operations",
        ["user_id", "recorded_at"],
        unique=False,
        postgresql_where=sa.text("state <> 'recorded'"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("message_count", sa.SmallInteger(), nullable=False),
        sa.Column("messages", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_index("outbox_sent", "outbox", ["sent_at"], unique=False, postgresql_where=sa.text("sent_at IS NOT NULL"))
    op.create_index("outbox_unsent", "outbox", ["id"], unique=False, postgresql_where=sa.text("sent_at IS NULL"))
    op.create_table(
        "postings",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column(
            "sequence",
            sa.BigInteger(),
            nullable=False,
            comment="Of the journal entry; tells revisions and reversals apart.",
        ),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("source_account_id", sa.Uuid(), nullable=False),
        sa.Column("destination_account_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Since when it is known; never before a smaller sequence's.",
        ),
        sa.CheckConstraint(
            "amount_minor > 0 AND amount_minor <= 1000000000000000", name=op.f("postings_amount_minor_check")
        ),
        sa.CheckConstraint("source_account_id <> destination_account_id", name=op.f("postings_accounts_check")),
        sa.PrimaryKeyConstraint("ledger_id", "sequence", "position", name=op.f("postings_pkey")),
    )
    op.create_index(
        "postings_destination", "postings", ["ledger_id", "destination_account_id", "booked_on"], unique=False
    )
    op.create_index("postings_source", "postings", ["ledger_id", "source_account_id", "booked_on"], unique=False)
    op.create_table(
        "rates",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("valid_on", sa.Date(), nullable=False),
        sa.Column("rate", sa.Numeric(precision=24, scale=12), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "currency", "quote", "valid_on", name=op.f("rates_pkey")),
    )
    op.create_index("rates_newest", "rates", ["ledger_id", "valid_on", "currency", "quote"], unique=False)
    op.create_table(
        "transaction_tags",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("tag_key", sa.Text(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint(
            "ledger_id", "tag_key", "booked_on", "transaction_id", name=op.f("transaction_tags_pkey")
        ),
    )
    op.create_table(
        "transaction_versions",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="Counts changes of money and day."),
        sa.Column("state_of", sa.BigInteger(), nullable=False, comment="The version whose state this is; 0: none."),
        sa.Column(
            "sequence", sa.BigInteger(), nullable=False, comment="Of the journal entry whose postings these are."
        ),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False, comment="What left or came to the account."),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("rate", sa.Text(), nullable=True, comment="Of an exchange."),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("payee", sa.Text(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="When this version was made,"),
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="by whom,"),
        sa.Column("operation_id", sa.Uuid(), nullable=False, comment="and by which operation."),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "id", "version", name=op.f("transaction_versions_pkey")),
    )
    op.create_table(
        "transactions",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="Counts changes of money and day."),
        sa.Column("state_of", sa.BigInteger(), nullable=False, comment="The version whose state this is; 0: none."),
        sa.Column(
            "sequence", sa.BigInteger(), nullable=False, comment="Of the journal entry whose postings these are."
        ),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False, comment="What left or came to the account."),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("rate", sa.Text(), nullable=True, comment="Of an exchange."),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("payee", sa.Text(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="When this version was made,"),
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="by whom,"),
        sa.Column("operation_id", sa.Uuid(), nullable=False, comment="and by which operation."),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("payee_key", sa.Text(), nullable=True, comment="contracts.text.name_key."),
        sa.Column(
            "words",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="Description, payee and note, folded for search.",
        ),
        sa.PrimaryKeyConstraint("ledger_id", "id", name=op.f("transactions_pkey")),
    )
    op.create_index(
        "transactions_amount",
        "transactions",
        ["ledger_id", "currency", "amount_minor", "id"],
        unique=False,
        postgresql_where=sa.text("NOT deleted"),
    )
    op.create_index(
        "transactions_external",
        "transactions",
        ["ledger_id", "external_id"],
        unique=False,
        postgresql_where=sa.text("external_id IS NOT NULL"),
    )
    op.create_index(
        "transactions_newest",
        "transactions",
        ["ledger_id", "booked_on", "booked_at", "id"],
        unique=False,
        postgresql_where=sa.text("NOT deleted"),
    )
    op.create_index(
        "transactions_payee",
        "transactions",
        ["ledger_id", "payee_key", "booked_on", "booked_at", "id"],
        unique=False,
        postgresql_where=sa.text("payee_key IS NOT NULL AND NOT deleted"),
    )
    op.create_index(
        "transactions_words",
        "transactions",
        ["ledger_id", sa.literal_column("to_tsvector('simple'::regconfig, words)")],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("words <> '' AND NOT deleted"),
    )
    op.create_table(
        "accounts",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False, comment="contracts.text.name_key; computed in Python."),
        sa.Column("currency", sa.Text(), nullable=True, comment="Of assets and liabilities."),
        sa.Column("group_name", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("merged_into", sa.Uuid(), nullable=True),
        sa.Column("root_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state_of", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(currency IS NOT NULL) = (kind IN ('asset', 'liability'))", name=op.f("accounts_currency_check")
        ),
        sa.CheckConstraint(
            "kind IN ('asset', 'liability', 'income', 'expense', 'equity')", name=op.f("accounts_kind_check")
        ),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name=op.f("accounts_ledger_id_fkey")),
        sa.PrimaryKeyConstraint("ledger_id", "id", name=op.f("accounts_pkey")),
        sa.UniqueConstraint(
            "ledger_id",
            "name_key",
            name=op.f("accounts_ledger_id_name_key_key"),
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    op.create_index("accounts_root", "accounts", ["ledger_id", "root_id"], unique=False)
    op.create_table(
        "invitations",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("invited_user_id", sa.Uuid(), nullable=False, comment="Of nobody, where the address was nobody's."),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="Who invited."),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name=op.f("invitations_ledger_id_fkey")),
        sa.PrimaryKeyConstraint("ledger_id", "id", name=op.f("invitations_pkey")),
    )
    op.create_index("invitations_invited", "invitations", ["invited_user_id"], unique=False)
    op.create_table(
        "members",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('owner', 'editor', 'viewer')", name=op.f("members_role_check")),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name=op.f("members_ledger_id_fkey")),
        sa.PrimaryKeyConstraint("ledger_id", "user_id", name=op.f("members_pkey")),
    )
    op.create_index("members_user", "members", ["user_id"], unique=False)
    op.execute("ALTER TABLE outbox ALTER COLUMN messages SET STORAGE EXTERNAL")
    # The relay listens; a notification is only delivered when the database transaction commits.
    op.execute(
        """
        CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NOTIFY outbox; RETURN NULL; END $$
        """
    )
    op.execute(
        "CREATE TRIGGER outbox_notify AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()"
    )
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO ledger_consumer, ledger_gateway")
    op.execute("GRANT INSERT ON ALL TABLES IN SCHEMA public TO ledger_consumer")
    # Postings, changes and earlier versions are left out: nobody but the migrator may change or remove one.
    op.execute(
        "GRANT UPDATE ON ledgers, members, invitations, accounts, transactions, balances, monthly_balances, rates, "
        "assertions, operations, outbox TO ledger_consumer"
    )
    op.execute("GRANT DELETE ON members, transaction_tags, rates, operations, outbox TO ledger_consumer")
    op.execute("REVOKE INSERT ON alembic_version FROM ledger_consumer")
    op.execute("REVOKE ALL ON outbox FROM ledger_gateway")


def downgrade() -> None:
    """Take the revision back."""
    op.drop_table("members")
    op.drop_table("invitations")
    op.drop_table("accounts")
    op.drop_table("transactions")
    op.drop_table("transaction_versions")
    op.drop_table("transaction_tags")
    op.drop_table("rates")
    op.drop_table("postings")
    op.drop_table("outbox")
    op.drop_table("operations")
    op.drop_table("monthly_balances")
    op.drop_table("ledgers")
    op.drop_table("changes")
    op.drop_table("balances")
    op.drop_table("assertions")
    op.drop_table("account_versions")
    op.execute("DROP FUNCTION notify_outbox")
