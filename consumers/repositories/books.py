"""Books in the ledger database: locked, loaded and saved for a whole batch at once."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeAlias
from uuid import UUID

from consumers.domain.accounts import Account, exchange_account_id, id_in, opening_account_id
from consumers.domain.books import Assertion, Books, Change, Invitation
from consumers.domain.citations import Citations, citations_of
from consumers.domain.decisions import Asked, Decision
from consumers.domain.states import Annotations, TransactionState
from consumers.records import Received
from consumers.repositories.book_rows import (
    CHANGE_COLUMNS,
    POSTING_COLUMNS,
    TRANSACTION_COLUMNS,
    VERSION_COLUMNS,
    Rows,
    account_row,
    account_version_row,
    balance_rows,
    ledger_row,
    month_rows,
    rows_of,
    tag_rows,
    transaction_row,
    version_row,
)
from contracts.accounts import AccountChanged, AccountKind
from contracts.ledgers import LedgerSubmitted, personal_ledger_id
from contracts.members import InvitationEnded, Role
from contracts.messages import LedgerEntry, Submission
from contracts.text import name_key
from contracts.transactions import (
    Posting,
    TransactionAnnotated,
    TransactionKind,
    TransactionRecorded,
    TransactionReversed,
    TransactionStatus,
)
from infra.postgres.engine import Connection

Row: TypeAlias = tuple[Any, ...]

# What exists is not inserted again: an insert that meets its row costs more than the look.
_INSERT_NEW = """
    INSERT INTO ledgers (id)
    SELECT id FROM unnest($1::uuid[]) AS wanted (id)
    WHERE NOT EXISTS (SELECT FROM ledgers WHERE ledgers.id = wanted.id)
    ORDER BY id
    ON CONFLICT DO NOTHING
"""
_LOCK = "SELECT id FROM ledgers WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"

_LEDGERS = """
    SELECT id, sequence, recorded_at, name, base_currency, time_zone, default_account_id, opened_at
    FROM ledgers WHERE id = ANY ($1::uuid[])
"""
_MEMBERS = """
    SELECT ledger_id, user_id, role
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, user_id) JOIN members USING (ledger_id, user_id)
"""
_ALL_MEMBERS = "SELECT ledger_id, user_id, role FROM members WHERE ledger_id = ANY ($1::uuid[])"
_INVITATION = "ledger_id, id, invited_user_id, role, expires_at, ending IS NULL AS open"
_OPEN_INVITATIONS = f"""
    SELECT {_INVITATION} FROM invitations WHERE ledger_id = ANY ($1::uuid[]) AND ending IS NULL
"""  # noqa: S608  # constants of this module, here and below
_INVITATIONS = f"""
    SELECT {_INVITATION}
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, id) JOIN invitations USING (ledger_id, id)
"""  # noqa: S608
_ACCOUNT = "ledger_id, id, kind, name, currency, closed, merged_into, group_name, position, version, state_of"
_ACCOUNTS = f"""
    SELECT {_ACCOUNT}
    FROM unnest($1::uuid[], $2::text[]) AS named (ledger_id, name_key) JOIN accounts USING (ledger_id, name_key)
    UNION ALL
    SELECT {_ACCOUNT}
    FROM unnest($3::uuid[], $4::uuid[]) AS wanted (ledger_id, id) JOIN accounts USING (ledger_id, id)
"""  # noqa: S608
_ACCOUNT_VERSIONS = """
    SELECT ledger_id, id, version, state_of, name, group_name, position, closed, merged_into
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, id) JOIN account_versions USING (ledger_id, id)
    ORDER BY ledger_id, id, version
"""
_TRANSACTION_IDS = """
    SELECT ledger_id, id
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, id) JOIN transactions USING (ledger_id, id)
"""
_STATE = """
    t.ledger_id, t.id, t.revision, t.version, t.state_of, t.sequence, t.deleted, t.kind, t.booked_on, t.booked_at,
    t.submitted_at, t.rate, t.description, t.payee, t.tags, t.note, t.status, t.external_id, t.recorded_at, t.user_id,
    t.operation_id, p.source_account_id, p.destination_account_id, p.amount_minor, p.currency
"""
_POSTINGS_OF_STATE = """
    JOIN postings p ON p.ledger_id = t.ledger_id AND p.sequence = t.sequence AND p.transaction_id = t.id
    ORDER BY t.ledger_id, t.id, t.version, p.position
"""
_TRANSACTIONS = f"""
    SELECT {_STATE}
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, id) JOIN transactions t USING (ledger_id, id)
    {_POSTINGS_OF_STATE}
"""  # noqa: S608
_TRANSACTION_VERSIONS = f"""
    SELECT {_STATE}
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, id) JOIN transaction_versions t USING (ledger_id, id)
    {_POSTINGS_OF_STATE}
"""  # noqa: S608
# A new transaction is in no row of changes: its postings have its sequence.
_CHANGES = """
    SELECT ledger_id, sequence, type, subject_id
    FROM unnest($1::uuid[], $2::bigint[]) AS wanted (ledger_id, sequence) JOIN changes USING (ledger_id, sequence)
    UNION ALL
    SELECT wanted.ledger_id, wanted.sequence, 'transaction.recorded', postings.transaction_id
    FROM unnest($1::uuid[], $2::bigint[]) AS wanted (ledger_id, sequence)
    JOIN postings ON postings.ledger_id = wanted.ledger_id AND postings.sequence = wanted.sequence AND position = 0
    JOIN LATERAL (
        SELECT sequence FROM transactions AS t
        WHERE t.ledger_id = wanted.ledger_id AND t.id = postings.transaction_id AND t.revision = 1
        UNION ALL
        SELECT sequence FROM transaction_versions AS t
        WHERE t.ledger_id = wanted.ledger_id AND t.id = postings.transaction_id AND t.revision = 1
        LIMIT 1
    ) AS first ON first.sequence = wanted.sequence
"""
_ASSERTION = "id, account_id, asserted_on, stated_minor = computed_minor AS held, sequence"
_ASSERTIONS = f"""
    SELECT ledger_id, {_ASSERTION}
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, id) JOIN assertions USING (ledger_id, id)
    WHERE lifted_at IS NULL
"""  # noqa: S608
_ASSERTIONS_OF_ACCOUNTS = f"""
    SELECT ledger_id, {_ASSERTION}
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, account_id)
    JOIN assertions USING (ledger_id, account_id)
    WHERE lifted_at IS NULL
"""  # noqa: S608
_BALANCES = """
    SELECT wanted.ledger_id, wanted.account_id, wanted.booked_on, CASE WHEN booked_on IS NULL THEN (
        SELECT coalesce(sum(balance_minor), 0) FROM balances AS b
        WHERE b.ledger_id = wanted.ledger_id AND b.account_id = wanted.account_id
    ) ELSE (
        SELECT coalesce(sum(incoming_minor - outgoing_minor), 0) FROM monthly_balances AS m
        WHERE m.ledger_id = wanted.ledger_id AND m.account_id = wanted.account_id
          AND m.month < date_trunc('month', wanted.booked_on)::date
    ) + (
        SELECT coalesce(sum(amount_minor), 0) FROM postings AS p
        WHERE p.ledger_id = wanted.ledger_id AND p.destination_account_id = wanted.account_id
          AND p.booked_on BETWEEN date_trunc('month', wanted.booked_on)::date AND wanted.booked_on
    ) - (
        SELECT coalesce(sum(amount_minor), 0) FROM postings AS p
        WHERE p.ledger_id = wanted.ledger_id AND p.source_account_id = wanted.account_id
          AND p.booked_on BETWEEN date_trunc('month', wanted.booked_on)::date AND wanted.booked_on
    ) END AS balance_minor
    FROM unnest($1::uuid[], $2::uuid[], $3::date[]) AS wanted (ledger_id, account_id, booked_on)
"""

_UPDATE_LEDGERS = """
    UPDATE ledgers
    SET sequence = books.sequence, recorded_at = books.recorded_at, name = books.name,
        base_currency = books.base_currency, time_zone = books.time_zone,
        default_account_id = books.default_account_id, opened_at = books.opened_at
    FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::uuid[],
                $8::timestamptz[])
      AS books (id, sequence, recorded_at, name, base_currency, time_zone, default_account_id, opened_at)
    WHERE ledgers.id = books.id
"""
_SAVE_MEMBERS = """
    INSERT INTO members (ledger_id, user_id, role, joined_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
    ON CONFLICT (ledger_id, user_id) DO UPDATE SET role = excluded.role
"""
_DELETE_MEMBERS = """
    DELETE FROM members USING unnest($1::uuid[], $2::uuid[]) AS gone (ledger_id, user_id)
    WHERE members.ledger_id = gone.ledger_id AND members.user_id = gone.user_id
"""
_INSERT_INVITATIONS = """
    INSERT INTO invitations (ledger_id, id, invited_user_id, role, user_id, recorded_at, expires_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::timestamptz[],
                         $7::timestamptz[])
"""
_END_INVITATIONS = """
    UPDATE invitations SET ending = ended.ending, ended_at = ended.ended_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[]) AS ended (ledger_id, id, ending, ended_at)
    WHERE invitations.ledger_id = ended.ledger_id AND invitations.id = ended.id
"""
_INSERT_ACCOUNTS = """
    INSERT INTO accounts (ledger_id, id, kind, name, name_key, currency, group_name, position, opened_at, root_id,
                          version, state_of)
    SELECT ledger_id, id, kind, name, name_key, currency, group_name, position, opened_at, id, version, version
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],
                $9::timestamptz[], $10::bigint[])
      AS opened (ledger_id, id, kind, name, name_key, currency, group_name, position, opened_at, version)
"""
_INSERT_ACCOUNT_VERSIONS = """
    INSERT INTO account_versions (ledger_id, id, version, state_of, name, group_name, position, closed, merged_into)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::int[],
                         $8::bool[], $9::uuid[])
"""
_UPDATE_ACCOUNTS = """
    UPDATE accounts
    SET name = now.name, name_key = now.name_key, closed = now.closed, merged_into = now.merged_into,
        group_name = now.group_name, position = now.position, version = now.version, state_of = now.state_of
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bool[], $6::uuid[], $7::text[], $8::int[],
                $9::bigint[], $10::bigint[])
      AS now (ledger_id, id, name, name_key, closed, merged_into, group_name, position, version, state_of)
    WHERE accounts.ledger_id = now.ledger_id AND accounts.id = now.id
"""
_UPDATE_ROOTS = """
    WITH RECURSIVE chain AS (
        SELECT ledger_id, id, id AS root_id FROM accounts WHERE ledger_id = ANY ($1::uuid[]) AND merged_into IS NULL
        UNION ALL
        SELECT merged.ledger_id, merged.id, chain.root_id
        FROM chain JOIN accounts AS merged ON merged.ledger_id = chain.ledger_id AND merged.merged_into = chain.id
    )
    UPDATE accounts SET root_id = chain.root_id
    FROM chain
    WHERE accounts.ledger_id = chain.ledger_id AND accounts.id = chain.id AND accounts.root_id <> chain.root_id
"""
_UPDATE_TRANSACTIONS = """
    UPDATE transactions
    SET revision = now.revision, version = now.version, state_of = now.state_of, sequence = now.sequence,
        deleted = now.deleted, kind = now.kind, booked_on = now.booked_on, booked_at = now.booked_at,
        amount_minor = now.amount_minor, currency = now.currency, rate = now.rate, description = now.description,
        payee = now.payee, payee_key = now.payee_key, tags = string_to_array(now.tags, chr(10)), note = now.note,
        status = now.status, external_id = now.external_id, words = now.words, submitted_at = now.submitted_at,
        recorded_at = now.recorded_at, user_id = now.user_id, operation_id = now.operation_id
    FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::bigint[], $5::bigint[], $6::bool[], $7::text[], $8::date[],
                $9::timestamptz[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
                $16::text[], $17::text[], $18::text[], $19::timestamptz[], $20::timestamptz[], $21::uuid[],
                $22::uuid[], $23::bigint[], $24::text[], $25::text[])
      AS now (ledger_id, id, revision, state_of, sequence, deleted, kind, booked_on, booked_at, amount_minor, currency,
              rate, description, payee, tags, note, status, external_id, submitted_at, recorded_at, user_id,
              operation_id, version, payee_key, words)
    WHERE transactions.ledger_id = now.ledger_id AND transactions.id = now.id
"""
_DELETE_TAGS = """
    DELETE FROM transaction_tags AS t
    USING unnest($1::uuid[], $2::text[], $3::date[], $4::uuid[]) AS gone (ledger_id, tag_key, booked_on, transaction_id)
    WHERE t.ledger_id = gone.ledger_id AND t.tag_key = gone.tag_key AND t.booked_on = gone.booked_on
      AND t.transaction_id = gone.transaction_id
"""
_INSERT_TAGS = """
    INSERT INTO transaction_tags (ledger_id, tag_key, booked_on, transaction_id)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::date[], $4::uuid[])
"""
_SAVE_RATES = """
    INSERT INTO rates (ledger_id, currency, quote, valid_on, rate)
    SELECT ledger_id, currency, quote, valid_on, rate::numeric
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::date[], $5::text[])
      AS entered (ledger_id, currency, quote, valid_on, rate)
    ON CONFLICT (ledger_id, currency, quote, valid_on) DO UPDATE SET rate = excluded.rate
"""
_DELETE_RATES = """
    DELETE FROM rates
    USING unnest($1::uuid[], $2::text[], $3::text[], $4::date[]) AS gone (ledger_id, currency, quote, valid_on)
    WHERE rates.ledger_id = gone.ledger_id AND rates.currency = gone.currency AND rates.quote = gone.quote
      AND rates.valid_on = gone.valid_on
"""
_INSERT_ASSERTIONS = """
    INSERT INTO assertions (ledger_id, id, account_id, asserted_on, currency, stated_minor, computed_minor, sequence,
                            user_id, recorded_at)
    SELECT ledger_id, id, account_id, asserted_on, currency, stated::numeric, computed::numeric, sequence, user_id,
           recorded_at
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::date[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                $9::uuid[], $10::timestamptz[])
      AS made (ledger_id, id, account_id, asserted_on, currency, stated, computed, sequence, user_id, recorded_at)
"""
_LIFT_ASSERTIONS = """
    UPDATE assertions SET lifted_at = lifted.lifted_at
    FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS lifted (ledger_id, id, lifted_at)
    WHERE assertions.ledger_id = lifted.ledger_id AND assertions.id = lifted.id
"""
# In the order of the index, where neighbours share a page. Sums travel as text: they may be larger than 64 bits, and
# text becomes numeric faster than Python's numbers do.
_ADD_TO_BALANCES = """
    INSERT INTO balances AS kept (ledger_id, account_id, currency, balance_minor)
    SELECT ledger_id, account_id, currency, balance_minor::numeric
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
      AS added (ledger_id, account_id, currency, balance_minor)
    ORDER BY ledger_id, account_id
    ON CONFLICT (ledger_id, account_id, currency)
    DO UPDATE SET balance_minor = kept.balance_minor + excluded.balance_minor
"""
_ADD_TO_MONTHS = """
    INSERT INTO monthly_balances AS kept (ledger_id, account_id, currency, month, incoming_minor, outgoing_minor)
    SELECT ledger_id, account_id, currency, month, incoming_minor::numeric, outgoing_minor::numeric
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::date[], $5::text[], $6::text[])
      AS added (ledger_id, account_id, currency, month, incoming_minor, outgoing_minor)
    ORDER BY ledger_id, account_id, month
    ON CONFLICT (ledger_id, account_id, currency, month)
    DO UPDATE SET incoming_minor = kept.incoming_minor + excluded.incoming_minor,
                  outgoing_minor = kept.outgoing_minor + excluded.outgoing_minor
"""


class BooksRepository:
    """Reads and writes books inside a database transaction that somebody else opened and will commit."""

    async def lock(self, connection: Connection, received: Sequence[Received]) -> None:
        """Insert the ledgers that may begin with this batch, then lock all of its ledgers, both by id.

        A row that was only inserted to be locked has sequence 0. Locking in one order, in one statement, is what keeps
        two batches that share ledgers from waiting for each other.
        """
        asked_by = {(each.message.subject_id, each.envelope.user_id) for each in received}
        ledger_ids = {ledger_id for ledger_id, _ in asked_by}
        new = {ledger_id for ledger_id, user_id in asked_by if user_id and ledger_id == personal_ledger_id(user_id)}
        new |= {each.message.ledger_id for each in received if isinstance(each.message, LedgerSubmitted)}
        if new:
            await connection.execute(_INSERT_NEW, list(new))
        await connection.execute(_LOCK, list(ledger_ids))

    async def load(self, connection: Connection, asked: Sequence[Asked[Submission]]) -> dict[UUID, Books]:
        """Load what the records cite, by ledger id; the books of a ledger that does not exist are empty."""
        return await _Loading(connection, _Wanted.by_submissions(asked)).load()

    async def load_for_entries(self, connection: Connection, entries: Sequence[LedgerEntry]) -> dict[UUID, Books]:
        """Load what journal entries change, by ledger id, for books to be rebuilt from them; the rows are inserted."""
        wanted = _Wanted.by_entries(entries)
        await connection.execute(_INSERT_NEW, list(wanted.ledger_ids))
        return await _Loading(connection, wanted).load()

    async def save(
        self, connection: Connection, states: Collection[Books], decided: Sequence[tuple[Asked[Submission], Decision]]
    ) -> None:
        """Write what the books' journals say, once per table. Operations and outbox are delivery's."""
        changed = sorted((books for books in states if books.journal), key=lambda books: books.ledger_id.int)
        if not changed:
            return
        await connection.execute(_UPDATE_LEDGERS, *_columns((ledger_row(books) for books in changed), 8))
        rows = rows_of(changed)
        await _run(
            connection,
            (_INSERT_ACCOUNTS, rows.accounts),
            (_INSERT_ACCOUNT_VERSIONS, [account_version_row(books, each) for books, each in _old_accounts(changed)]),
            (_UPDATE_ACCOUNTS, [account_row(books, each) for books, each in _changed_accounts(changed)]),
        )
        if merged := [books.ledger_id for books in changed if _merges(books)]:
            await connection.execute(_UPDATE_ROOTS, merged)
        if any(books.turnover for books in changed):
            await self._save_money(connection, changed, rows)
        elif any(books.superseded_transactions for books in changed):
            await self._save_versions(connection, changed)
        await _run(
            connection,
            (_DELETE_MEMBERS, rows.members_gone),
            (_SAVE_MEMBERS, rows.members),
            (_INSERT_INVITATIONS, rows.invitations),
            (_END_INVITATIONS, rows.invitations_ended),
            (_SAVE_RATES, rows.rates),
            (_DELETE_RATES, rows.rates_gone),
            (_INSERT_ASSERTIONS, rows.assertions),
            (_LIFT_ASSERTIONS, rows.assertions_lifted),
        )
        if rows.changes:
            await connection.copy_records_to_table("changes", records=rows.changes, columns=CHANGE_COLUMNS)

    async def _save_money(self, connection: Connection, changed: Sequence[Books], rows: Rows) -> None:
        if rows.transactions:
            await connection.copy_records_to_table(
                "transactions", records=rows.transactions, columns=TRANSACTION_COLUMNS
            )
        await connection.copy_records_to_table("postings", records=rows.postings, columns=POSTING_COLUMNS)
        await connection.execute(_ADD_TO_MONTHS, *_columns(month_rows(changed), 6))
        await connection.execute(_ADD_TO_BALANCES, *_columns(balance_rows(changed), 4))
        await _run(connection, (_INSERT_TAGS, rows.tags))
        if any(books.superseded_transactions for books in changed):
            await self._save_versions(connection, changed)

    async def _save_versions(self, connection: Connection, changed: Sequence[Books]) -> None:
        """Keep how transactions stood, and write how they stand."""
        old = [(books, state) for books in changed for state in books.superseded_transactions]
        await connection.copy_records_to_table(
            "transaction_versions",
            records=[version_row(books.ledger_id, state) for books, state in old],
            columns=VERSION_COLUMNS,
        )
        first: dict[tuple[UUID, UUID], TransactionState] = {}
        for books, state in old:
            first.setdefault((books.ledger_id, state.id), state)
        now = [
            (ledger_id, books.transactions[id])
            for books in changed
            for ledger_id, id in first
            if ledger_id == books.ledger_id
        ]
        await _run(
            connection,
            (_UPDATE_TRANSACTIONS, [transaction_row(ledger_id, state) for ledger_id, state in now]),
            (_DELETE_TAGS, [row for (ledger_id, _), state in first.items() for row in tag_rows(ledger_id, state)]),
            (_INSERT_TAGS, [row for ledger_id, state in now for row in tag_rows(ledger_id, state)]),
        )


async def _run(connection: Connection, *statements: tuple[str, Sequence[Row]]) -> None:
    """Run each statement that has rows."""
    for statement, rows in statements:
        if rows:
            await connection.execute(statement, *_columns(rows, 0))


def _old_accounts(changed: Iterable[Books]) -> Iterator[tuple[Books, Account]]:
    return ((books, account) for books in changed for account in books.superseded_accounts)


def _changed_accounts(changed: Iterable[Books]) -> Iterator[tuple[Books, Account]]:
    """Yield each account that changed as it stands now, once."""
    for books in changed:
        for account_id in dict.fromkeys(each.id for each in books.superseded_accounts):
            account = books.account(account_id)
            assert account is not None
            yield books, account


def _merges(books: Books) -> bool:
    """Return whether what stands for what has changed in these books."""
    return any(
        (now := books.account(before.id)) is not None and now.merged_into != before.merged_into
        for before in books.superseded_accounts
    )


class _Wanted:
    """What a batch cites: pairs of a ledger and what is cited in it."""

    def __init__(self) -> None:
        self.ledger_ids: set[UUID] = set()
        self.members: set[tuple[UUID, UUID | None]] = set()
        self.all_members: set[UUID] = set()
        self.invitations: set[tuple[UUID, UUID]] = set()
        self.new_transactions: list[tuple[UUID, UUID]] = []
        self.transactions: set[tuple[UUID, UUID]] = set()
        self.changes: set[tuple[UUID, int]] = set()
        self.assertions: set[tuple[UUID, UUID]] = set()
        self.balances: set[tuple[UUID, str, Any]] = set()
        self.account_ids: set[tuple[UUID, UUID]] = set()
        self.account_names: set[tuple[UUID, str]] = set()
        self.for_entries = False

    @classmethod
    def by_submissions(cls, asked: Sequence[Asked[Submission]]) -> "_Wanted":
        wanted = cls()
        named: set[tuple[UUID, str]] = set()
        for each in asked:
            message = each.message
            ledger_id = message.subject_id
            wanted.members.add((ledger_id, each.user_id))
            citations = citations_of(message, each.operation_id)
            named.update((ledger_id, name) for name in citations.accounts if name is not None)
            if citations.new_transaction_id:
                wanted.new_transactions.append((ledger_id, citations.new_transaction_id))
            if citations.equity:
                wanted.account_ids.add((ledger_id, exchange_account_id(ledger_id)))
                wanted.account_ids.add((ledger_id, opening_account_id(ledger_id)))
            if type(message).noun != "transaction":
                wanted._cite(ledger_id, citations)
        wanted.ledger_ids = {ledger_id for ledger_id, _ in wanted.members}
        for ledger_id, name in named:
            if account_id := id_in(name):
                wanted.account_ids.add((ledger_id, account_id))
            else:
                wanted.account_names.add((ledger_id, name_key(name)))
        return wanted

    def _cite(self, ledger_id: UUID, citations: Citations) -> None:
        if citations.account_id:
            self.account_ids.add((ledger_id, citations.account_id))
        if citations.transaction_id:
            self.transactions.add((ledger_id, citations.transaction_id))
        if citations.change:
            self.changes.add((ledger_id, citations.change))
        if citations.assertion_id:
            self.assertions.add((ledger_id, citations.assertion_id))
        if citations.invitation_id:
            self.invitations.add((ledger_id, citations.invitation_id))
        if citations.member_id:
            self.members.add((ledger_id, citations.member_id))
        if citations.membership:
            self.all_members.add(ledger_id)
        self.balances.update((ledger_id, named, on) for named, on in citations.balances)

    @classmethod
    def by_entries(cls, entries: Sequence[LedgerEntry]) -> "_Wanted":
        wanted = cls()
        wanted.for_entries = True
        wanted.ledger_ids = {entry.ledger_id for entry in entries}
        for entry in entries:
            match entry:
                case TransactionRecorded():
                    if entry.revision > 1:
                        wanted.transactions.add((entry.ledger_id, entry.transaction_id))
                case TransactionAnnotated() | TransactionReversed():
                    wanted.transactions.add((entry.ledger_id, entry.transaction_id))
                case AccountChanged():
                    wanted.account_ids.add((entry.ledger_id, entry.account_id))
                case InvitationEnded():
                    wanted.invitations.add((entry.ledger_id, entry.invitation_id))
                case _:
                    pass
        return wanted


class _Loading:
    """Loads books, one query per table and kind of citation, and none for what nothing cites."""

    def __init__(self, connection: Connection, wanted: _Wanted) -> None:
        self._connection = connection
        self._wanted = wanted
        self._books = {ledger_id: Books(ledger_id) for ledger_id in wanted.ledger_ids}

    async def load(self) -> dict[UUID, Books]:
        """Load them."""
        wanted, books = self._wanted, self._books
        await self._load_ledgers()
        if wanted.members:
            for ledger_id, user_id, role in await self._fetch(_MEMBERS, wanted.members):
                books[ledger_id].roles[user_id] = Role(role)
        if wanted.all_members or wanted.invitations:
            await self._load_membership()
        if wanted.changes:
            await self._load_changes()
        if wanted.transactions:
            await self._load_transactions(_TRANSACTIONS, wanted.transactions)
        await self._load_accounts(wanted.account_names, wanted.account_ids)
        if wanted.balances:
            await self._load_balances()
        if wanted.new_transactions:
            for ledger_id, transaction_id in await self._fetch(_TRANSACTION_IDS, wanted.new_transactions):
                books[ledger_id].transaction_ids.add(transaction_id)
        if wanted.assertions or (wanted.transactions and not wanted.for_entries):
            await self._load_assertions()
        return books

    async def _fetch(self, statement: str, rows: Iterable[Row], width: int = 2) -> list[Any]:
        return await self._connection.fetch(statement, *_columns(rows, width))

    async def _load_ledgers(self) -> None:
        for row in await self._connection.fetch(_LEDGERS, list(self._books)):
            ledger = self._books[row["id"]]
            ledger.sequence, ledger.recorded_at, ledger.name = row["sequence"], row["recorded_at"], row["name"]
            ledger.base_currency, ledger.time_zone = row["base_currency"], row["time_zone"]
            ledger.default_account_id, ledger.opened_at = row["default_account_id"], row["opened_at"]
            if ledger.default_account_id and not self._wanted.for_entries:
                self._wanted.account_ids.add((ledger.ledger_id, ledger.default_account_id))

    async def _load_membership(self) -> None:
        wanted = self._wanted
        found = await self._fetch(_INVITATIONS, wanted.invitations) if wanted.invitations else []
        if wanted.all_members:
            for ledger_id, user_id, role in await self._connection.fetch(_ALL_MEMBERS, list(wanted.all_members)):
                self._books[ledger_id].roles[user_id] = Role(role)
            found += await self._connection.fetch(_OPEN_INVITATIONS, list(wanted.all_members))
        for ledger_id, id, invited_user_id, role, expires_at, is_open in found:
            self._books[ledger_id].invitations[id] = Invitation(id, invited_user_id, Role(role), expires_at, is_open)

    async def _load_changes(self) -> None:
        """Load what is to be undone: the change, and all versions of what it changed."""
        transactions: set[tuple[UUID, UUID]] = set()
        accounts: set[tuple[UUID, UUID]] = set()
        for ledger_id, sequence, kind, subject_id in await self._fetch(_CHANGES, self._wanted.changes):
            change = Change(f"cashflow.{kind}.v1", subject_id)
            self._books[ledger_id].changes[sequence] = change
            if kind.startswith("transaction."):
                transactions.add((ledger_id, subject_id))
            elif kind.startswith("account."):
                accounts.add((ledger_id, subject_id))
        if transactions:
            self._wanted.transactions |= transactions
            await self._load_transactions(_TRANSACTION_VERSIONS, transactions)
        if accounts:
            self._wanted.account_ids |= accounts
            self._wanted.balances |= {(ledger_id, str(account_id), None) for ledger_id, account_id in accounts}
            await self._load_account_versions(accounts)

    async def _load_transactions(self, statement: str, wanted: Iterable[tuple[UUID, UUID]]) -> None:
        """Load how transactions stand, or stood, with the accounts of their postings."""
        rows = await self._fetch(statement, wanted)
        for (ledger_id, transaction_id, _), group in groupby(
            rows, lambda row: (row["ledger_id"], row["id"], row["version"])
        ):
            state = _state(list(group))
            books = self._books[ledger_id]
            if statement is _TRANSACTIONS:
                books.transactions[transaction_id] = state
            else:
                books.earlier_transactions.setdefault(transaction_id, []).append(state)
            if not self._wanted.for_entries:
                self._wanted.account_ids |= {(ledger_id, account_id) for account_id in state.account_ids}

    async def _load_accounts(self, names: Collection[tuple[UUID, str]], ids: Collection[tuple[UUID, UUID]]) -> None:
        """Load accounts by name and by id, then whatever they were merged into."""
        asked_for = set(ids)
        while names or ids:
            targets: set[tuple[UUID, UUID]] = set()
            for row in await self._connection.fetch(_ACCOUNTS, *_columns(names, 2), *_columns(ids, 2)):
                ledger_id, account_id, kind, name, currency, closed, merged_into, group, position, version, of = row
                self._books[ledger_id].add_account(
                    Account(
                        account_id, AccountKind(kind), name, currency, closed, merged_into, group, position, version, of
                    )
                )
                if merged_into:
                    targets.add((ledger_id, merged_into))
            names, ids = (), targets - asked_for
            asked_for |= targets

    async def _load_account_versions(self, accounts: Collection[tuple[UUID, UUID]]) -> None:
        """Load how accounts stood, and who has their names and stood for them now."""
        heads = {
            (row["ledger_id"], row["id"]): row
            for row in await self._connection.fetch(_ACCOUNTS, [], [], *_columns(accounts, 2))
        }
        for row in await self._fetch(_ACCOUNT_VERSIONS, accounts):
            ledger_id, account_id, version, state_of, name, group, position, closed, merged_into = row
            head = heads[ledger_id, account_id]
            self._books[ledger_id].earlier_accounts.setdefault(account_id, []).append(
                Account(
                    account_id,
                    AccountKind(head["kind"]),
                    name,
                    head["currency"],
                    closed,
                    merged_into,
                    group,
                    position,
                    version,
                    state_of,
                )
            )
            self._wanted.account_names.add((ledger_id, name_key(name)))
            if merged_into:
                self._wanted.account_ids.add((ledger_id, merged_into))

    async def _load_balances(self) -> None:
        wanted: set[tuple[UUID, UUID, Any]] = set()
        for ledger_id, named, on in self._wanted.balances:
            if account := self._books[ledger_id].find_account(named):
                wanted.add((ledger_id, account.id, on))
        for ledger_id, account_id, on, balance_minor in await self._fetch(_BALANCES, wanted, 3):
            self._books[ledger_id].balances[account_id, on] = int(balance_minor)

    async def _load_assertions(self) -> None:
        """Load the assertions cited, and those that stand for the accounts of cited transactions."""
        of_accounts = {
            (ledger_id, account_id)
            for ledger_id, books in self._books.items()
            for state in books.transactions.values()
            for account_id in state.account_ids
        }
        found = await self._fetch(_ASSERTIONS_OF_ACCOUNTS, of_accounts) if of_accounts else []
        if self._wanted.assertions:
            found += await self._fetch(_ASSERTIONS, self._wanted.assertions)
        for ledger_id, *fields in found:
            assertion = Assertion(*fields)
            self._books[ledger_id].assertions[assertion.id] = assertion


def _state(rows: Sequence[Any]) -> TransactionState:
    """Make a transaction's state of its rows, one per posting."""
    row = rows[0]
    return TransactionState(
        id=row["id"],
        revision=row["revision"],
        version=row["version"],
        state_of=row["state_of"],
        sequence=row["sequence"],
        deleted=row["deleted"],
        kind=TransactionKind(row["kind"]),
        postings=tuple(
            Posting(
                source_account_id=each["source_account_id"],
                destination_account_id=each["destination_account_id"],
                amount_minor=each["amount_minor"],
                currency=each["currency"],
            )
            for each in rows
        ),
        booked_on=row["booked_on"],
        booked_at=row["booked_at"],
        submitted_at=row["submitted_at"],
        rate=row["rate"],
        annotations=Annotations(
            row["description"],
            row["payee"],
            tuple(row["tags"]),
            row["note"],
            TransactionStatus(row["status"]),
            row["external_id"],
        ),
        recorded_at=row["recorded_at"],
        user_id=row["user_id"],
        operation_id=row["operation_id"],
    )


def _columns(rows: Iterable[Row], width: int) -> list[list[Any]]:
    """Turn rows into the columns that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
