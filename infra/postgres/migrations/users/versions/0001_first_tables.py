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
        "registrations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_key", sa.Text(), nullable=True),
        sa.Column("base_currency", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("known", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("issue", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False, comment="Of the current issue."),
        sa.Column("code_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'verified', 'completed', 'expired')", name=op.f("registrations_state_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("registrations_pkey")),
    )
    op.create_index("registrations_email", "registrations", ["email_key"], unique=False)
    op.create_index(
        "registrations_expiry",
        "registrations",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'verified')"),
    )
    op.create_table(
        "unique_names",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("registration_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind IN ('username', 'email')", name=op.f("unique_names_kind_check")),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("unique_names_pkey")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("registration_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False, comment="As chosen."),
        sa.Column("username_key", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False, comment="Argon2id, PHC string."),
        sa.Column(
            "password_version", sa.Integer(), server_default="1", nullable=False, comment="Raised by each change."
        ),
        sa.Column("base_currency", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["registration_id"], ["registrations.id"], name=op.f("users_registration_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email_key", name=op.f("users_email_key_key")),
        sa.UniqueConstraint("username_key", name=op.f("users_username_key_key")),
    )
    op.create_table(
        "mails",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("registration_id", sa.Uuid(), nullable=True),
        sa.Column("issue", sa.SmallInteger(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("inviter_id", sa.Uuid(), nullable=True),
        sa.Column("ledger_id", sa.Uuid(), nullable=True),
        sa.Column("invitation_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="due", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "CASE kind WHEN 'invitation' THEN num_nulls(user_id, inviter_id, ledger_id, invitation_id) = 0"
            " AND num_nonnulls(registration_id, issue) = 0"
            " WHEN 'password_changed' THEN user_id IS NOT NULL"
            " AND num_nonnulls(registration_id, issue, inviter_id, ledger_id, invitation_id) = 0"
            " ELSE num_nulls(registration_id, issue) = 0"
            " AND num_nonnulls(user_id, inviter_id, ledger_id, invitation_id) = 0 END",
            name=op.f("mails_about_check"),
        ),
        sa.CheckConstraint(
            "kind IN ('verification_code', 'already_registered', 'invitation', 'password_changed')",
            name=op.f("mails_kind_check"),
        ),
        sa.CheckConstraint("state IN ('due', 'sent', 'superseded', 'abandoned')", name=op.f("mails_state_check")),
        sa.ForeignKeyConstraint(["registration_id"], ["registrations.id"], name=op.f("mails_registration_id_fkey")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("mails_user_id_fkey")),
        sa.ForeignKeyConstraint(["inviter_id"], ["users.id"], name=op.f("mails_inviter_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("mails_pkey")),
        sa.UniqueConstraint("invitation_id", name=op.f("mails_invitation_id_key")),
        sa.UniqueConstraint("registration_id", "issue", name=op.f("mails_registration_id_issue_key")),
    )
    op.create_index("mails_due", "mails", ["due_at"], unique=False, postgresql_where=sa.text("state = 'due'"))
    op.create_index("mails_user", "mails", ["user_id"], unique=False, postgresql_where=sa.text("user_id IS NOT NULL"))
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("client", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "refresh_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the token that may be presented next."
        ),
        sa.Column(
            "previous_hash", sa.LargeBinary(), nullable=True, comment="The one before; honoured within the grace."
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("sessions_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("sessions_pkey")),
    )
    op.create_index(
        "sessions_ended", "sessions", ["ended_at"], unique=False, postgresql_where=sa.text("ended_at IS NOT NULL")
    )
    op.create_index(
        "sessions_expiry", "sessions", ["expires_at"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index("sessions_user", "sessions", ["user_id"], unique=False)
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
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO users_consumer, users_gateway")
    op.execute("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO users_consumer")
    op.execute("REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM users_consumer")
    op.execute("REVOKE ALL ON outbox, mails, unique_names FROM users_gateway")
    # Which mails somebody was sent, for whoever asks for a copy of what is held about them.
    op.execute(
        "GRANT SELECT (id, registration_id, user_id, inviter_id, kind, state, created_at, ended_at) ON mails "
        "TO users_gateway"
    )


def downgrade() -> None:
    """Take the revision back."""
    op.drop_index("sessions_user", table_name="sessions")
    op.drop_index("sessions_expiry", table_name="sessions", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index("sessions_ended", table_name="sessions", postgresql_where=sa.text("ended_at IS NOT NULL"))
    op.drop_table("sessions")
    op.drop_index("mails_user", table_name="mails", postgresql_where=sa.text("user_id IS NOT NULL"))
    op.drop_index("mails_due", table_name="mails", postgresql_where=sa.text("state = 'due'"))
    op.drop_table("mails")
    op.drop_table("users")
    op.drop_table("unique_names")
    op.drop_index("registrations_email", table_name="registrations")
    op.drop_index(
        "registrations_expiry", table_name="registrations", postgresql_where=sa.text("state IN ('pending', 'verified')")
    )
    op.drop_table("registrations")
    op.drop_index("outbox_unsent", table_name="outbox", postgresql_where=sa.text("sent_at IS NULL"))
    op.drop_index("outbox_sent", table_name="outbox", postgresql_where=sa.text("sent_at IS NOT NULL"))
    op.drop_table("outbox")
    op.drop_index(
        "operations_user_not_recorded", table_name="operations", postgresql_where=sa.text("state <> 'recorded'")
    )
    op.drop_index("operations_user", table_name="operations")
    op.drop_index("operations_recorded_at", table_name="operations", postgresql_using="brin")
    op.drop_table("operations")
    op.execute("DROP FUNCTION notify_outbox")
