"""The first tables, and who may do what with them.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "ledgers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), server_default="0", nullable=False),
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
        "transactions",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "sequence", sa.BigInteger(), nullable=False, comment="Of the journal entry that recorded this revision."
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "id", name=op.f("transactions_pkey")),
    )
    op.create_index("transactions_newest", "transactions", ["ledger_id", "booked_on", "booked_at", "id"], unique=False)
    op.create_table(
        "accounts",
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False, comment="contracts.text.name_key; computed in Python."),
        sa.Column("currency", sa.Text(), nullable=True, comment="Of assets and liabilities."),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("merged_into", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(currency IS NOT NULL) = (kind IN ('asset', 'liability'))", name=op.f("accounts_currency_check")
        ),
        sa.CheckConstraint(
            "kind IN ('asset', 'liability', 'income', 'expense', 'equity')", name=op.f("accounts_kind_check")
        ),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name=op.f("accounts_ledger_id_fkey")),
        sa.PrimaryKeyConstraint("ledger_id", "id", name=op.f("accounts_pkey")),
        sa.UniqueConstraint("ledger_id", "name_key", name=op.f("accounts_ledger_id_name_key_key")),
    )
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
    # Postings are left out: nobody but the migrator may change or remove one.
    op.execute(
        "GRANT UPDATE ON ledgers, members, accounts, transactions, balances, monthly_balances, operations, outbox "
        "TO ledger_consumer"
    )
    op.execute("GRANT DELETE ON members, operations, outbox TO ledger_consumer")
    op.execute("REVOKE INSERT ON alembic_version FROM ledger_consumer")
    op.execute("REVOKE ALL ON outbox FROM ledger_gateway")


def downgrade() -> None:
    """Take the revision back."""
    op.drop_table("monthly_balances")
    op.drop_table("balances")
    op.drop_index("members_user", table_name="members")
    op.drop_table("members")
    op.drop_table("accounts")
    op.drop_index("transactions_newest", table_name="transactions")
    op.drop_table("transactions")
    op.drop_index("postings_source", table_name="postings")
    op.drop_index("postings_destination", table_name="postings")
    op.drop_table("postings")
    op.drop_index("outbox_unsent", table_name="outbox", postgresql_where=sa.text("sent_at IS NULL"))
    op.drop_index("outbox_sent", table_name="outbox", postgresql_where=sa.text("sent_at IS NOT NULL"))
    op.drop_table("outbox")
    op.drop_index("operations_recorded_at", table_name="operations", postgresql_using="brin")
    op.drop_table("operations")
    op.drop_table("ledgers")
    op.execute("DROP FUNCTION notify_outbox")
