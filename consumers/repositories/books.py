"""Books in the ledger database: locked, loaded and saved for a whole batch at once."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from consumers.domain.accounts import Account, id_in
from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from consumers.domain.members import Role
from consumers.domain.transactions import accounts_named
from consumers.records import Received
from contracts.accounts import AccountKind, AccountOpened
from contracts.ledgers import LedgerOpened, personal_ledger_id
from contracts.messages import Submission
from contracts.text import name_key
from contracts.transactions import TransactionRecorded
from infra.postgres.engine import Connection

Row: TypeAlias = tuple[Any, ...]

# What exists is not inserted again: an insert that meets its row costs more than the look.
_INSERT_PERSONAL = """
    INSERT INTO ledgers (id)
    SELECT id FROM unnest($1::uuid[]) AS wanted (id)
    WHERE NOT EXISTS (SELECT FROM ledgers WHERE ledgers.id = wanted.id)
    ORDER BY id
    ON CONFLICT DO NOTHING
"""
_LOCK = "SELECT id FROM ledgers WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"

_LEDGERS = """
    SELECT id, sequence, recorded_at, base_currency, time_zone, default_account_id, opened_at
    FROM ledgers WHERE id = ANY ($1::uuid[])
"""
_MEMBERS = """
    SELECT ledger_id, user_id, role
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, user_id) JOIN members USING (ledger_id, user_id)
"""
_ACCOUNTS = """
    SELECT ledger_id, id, kind, name_key, currency, closed_at IS NOT NULL AS closed, merged_into
    FROM unnest($1::uuid[], $2::text[]) AS named (ledger_id, name_key) JOIN accounts USING (ledger_id, name_key)
    UNION ALL
    SELECT ledger_id, id, kind, name_key, currency, closed_at IS NOT NULL, merged_into
    FROM unnest($3::uuid[], $4::uuid[]) AS wanted (ledger_id, id) JOIN accounts USING (ledger_id, id)
"""
_TRANSACTION_IDS = """
    SELECT ledger_id, id
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (ledger_id, id) JOIN transactions USING (ledger_id, id)
"""

_UPDATE_LEDGERS = """
    UPDATE ledgers
    SET sequence = books.sequence, recorded_at = books.recorded_at, base_currency = books.base_currency,
        time_zone = books.time_zone, default_account_id = books.default_account_id, opened_at = books.opened_at
    FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[])
      AS books (id, sequence, recorded_at, base_currency, time_zone, default_account_id, opened_at)
    WHERE ledgers.id = books.id
"""
_INSERT_MEMBERS = """
    INSERT INTO members (ledger_id, user_id, role, joined_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
"""
_INSERT_ACCOUNTS = """
    INSERT INTO accounts (ledger_id, id, kind, name, name_key, currency, opened_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
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

TRANSACTION_COLUMNS = (
    "ledger_id", "id", "revision", "sequence", "kind", "booked_on", "booked_at", "submitted_at", "recorded_at",
    "user_id", "operation_id", "description",
)  # fmt: skip
POSTING_COLUMNS = (
    "ledger_id", "transaction_id", "sequence", "position", "source_account_id", "destination_account_id",
    "amount_minor", "currency", "booked_on",
)  # fmt: skip


class BooksRepository:
    """Reads and writes books inside a database transaction that somebody else opened and will commit."""

    async def lock(self, connection: Connection, received: Sequence[Received]) -> None:
        """Insert the personal ledgers of this batch that are missing, then lock all of its ledgers, both by id.

        A row that was only inserted to be locked has sequence 0. Locking in one order, in one statement, is what keeps
        two batches that share ledgers from waiting for each other.
        """
        asked_by = {(each.message.subject_id, each.envelope.user_id) for each in received}
        ledger_ids = {ledger_id for ledger_id, _ in asked_by}
        personal = {
            ledger_id for ledger_id, user_id in asked_by if user_id and ledger_id == personal_ledger_id(user_id)
        }
        if personal:
            await connection.execute(_INSERT_PERSONAL, list(personal))
        await connection.execute(_LOCK, list(ledger_ids))

    async def load(self, connection: Connection, asked: Sequence[Asked[Submission]]) -> dict[UUID, Books]:
        """Load what the records cite, by ledger id; the books of a ledger that does not exist are empty."""
        wanted = _Wanted(asked)
        books = {ledger_id: Books(ledger_id) for ledger_id in wanted.ledger_ids}
        for row in await connection.fetch(_LEDGERS, list(books)):
            ledger = books[row["id"]]
            ledger.sequence, ledger.recorded_at = row["sequence"], row["recorded_at"]
            ledger.base_currency, ledger.time_zone = row["base_currency"], row["time_zone"]
            ledger.default_account_id, ledger.opened_at = row["default_account_id"], row["opened_at"]
            if ledger.default_account_id:
                wanted.account_ids.add((ledger.ledger_id, ledger.default_account_id))
        for ledger_id, user_id, role in await connection.fetch(_MEMBERS, *_columns(wanted.members, 2)):
            books[ledger_id].roles[user_id] = Role(role)
        await self._load_accounts(connection, books, wanted.account_names, wanted.account_ids)
        if wanted.transaction_ids:
            for ledger_id, transaction_id in await connection.fetch(
                _TRANSACTION_IDS, *_columns(wanted.transaction_ids, 2)
            ):
                books[ledger_id].transaction_ids.add(transaction_id)
        return books

    async def _load_accounts(
        self,
        connection: Connection,
        books: dict[UUID, Books],
        names: Collection[tuple[UUID, str]],
        ids: Collection[tuple[UUID, UUID]],
    ) -> None:
        """Load accounts by name and by id, then whatever they were merged into."""
        asked_for = set(ids)
        while names or ids:
            targets: set[tuple[UUID, UUID]] = set()
            for ledger_id, account_id, kind, key, currency, closed, merged_into in await connection.fetch(
                _ACCOUNTS, *_columns(names, 2), *_columns(ids, 2)
            ):
                account = Account(account_id, AccountKind(kind), key, currency, closed, merged_into)
                books[ledger_id].add_account(account)
                if merged_into:
                    targets.add((ledger_id, merged_into))
            names, ids = (), targets - asked_for
            asked_for |= targets

    async def save(
        self, connection: Connection, states: Collection[Books], decided: Sequence[tuple[Asked[Submission], Decision]]
    ) -> None:
        """Write what the books' journals say, once per table. Operations and outbox are delivery's."""
        changed = sorted((books for books in states if books.journal), key=lambda books: books.ledger_id.int)
        if not changed:
            return
        await connection.execute(_UPDATE_LEDGERS, *_columns((_ledger_row(books) for books in changed), 7))
        rows = rows_of(changed)
        if rows.members:
            await connection.execute(_INSERT_MEMBERS, *_columns(rows.members, 4))
        if rows.accounts:
            await connection.execute(_INSERT_ACCOUNTS, *_columns(rows.accounts, 7))
        if rows.transactions:
            await connection.copy_records_to_table(
                "transactions", records=rows.transactions, columns=TRANSACTION_COLUMNS
            )
            await connection.copy_records_to_table("postings", records=rows.postings, columns=POSTING_COLUMNS)
            await connection.execute(_ADD_TO_MONTHS, *_columns(_month_rows(changed), 6))
            await connection.execute(_ADD_TO_BALANCES, *_columns(_balance_rows(changed), 4))


class _Wanted:
    """What a batch's records cite: pairs of a ledger and what is cited in it."""

    def __init__(self, asked: Sequence[Asked[Submission]]) -> None:
        self.members: set[tuple[UUID, UUID | None]] = set()
        self.transaction_ids: list[tuple[UUID, UUID]] = []
        named: set[tuple[UUID, str]] = set()
        for each in asked:
            message = each.message
            ledger_id = message.subject_id
            self.members.add((ledger_id, each.user_id))
            self.transaction_ids.append((ledger_id, message.resource_id(each.operation_id)))
            named.update((ledger_id, name) for name in accounts_named(message))
        self.ledger_ids = {ledger_id for ledger_id, _ in self.members}
        self.account_ids: set[tuple[UUID, UUID]] = set()
        self.account_names: set[tuple[UUID, str]] = set()
        for ledger_id, name in named:
            if account_id := id_in(name):
                self.account_ids.add((ledger_id, account_id))
            else:
                self.account_names.add((ledger_id, name_key(name)))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that journal entries are, by table, in the order of the entries."""

    members: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    transactions: list[Row] = field(default_factory=list)
    postings: list[Row] = field(default_factory=list)


def rows_of(changed: Iterable[Books]) -> Rows:
    """Return the rows that the journals of these books are."""
    rows = Rows()
    for books in changed:
        for entry in books.journal:
            match entry:
                case TransactionRecorded():
                    rows.transactions.append(_transaction_row(entry))
                    rows.postings.extend(_posting_rows(entry))
                case AccountOpened():
                    rows.accounts.append(_account_row(entry))
                case LedgerOpened():
                    rows.members.append((entry.ledger_id, entry.owner_id, Role.OWNER, entry.recorded_at))
    return rows


def _ledger_row(books: Books) -> Row:
    return (
        books.ledger_id,
        books.sequence,
        books.recorded_at,
        books.base_currency,
        books.time_zone,
        books.default_account_id,
        books.opened_at,
    )


def _account_row(entry: AccountOpened) -> Row:
    return (
        entry.ledger_id,
        entry.account_id,
        entry.kind,
        entry.name,
        name_key(entry.name),
        entry.currency,
        entry.recorded_at,
    )


def _transaction_row(entry: TransactionRecorded) -> Row:
    return (
        entry.ledger_id,
        entry.transaction_id,
        entry.revision,
        entry.sequence,
        entry.kind,
        entry.booked_on,
        entry.booked_at,
        entry.submitted_at,
        entry.recorded_at,
        entry.user_id,
        entry.operation_id,
        entry.description,
    )


def _posting_rows(entry: TransactionRecorded) -> Iterator[Row]:
    for position, posting in enumerate(entry.postings):
        yield (
            entry.ledger_id,
            entry.transaction_id,
            entry.sequence,
            position,
            posting.source_account_id,
            posting.destination_account_id,
            posting.amount_minor,
            posting.currency,
            entry.booked_on,
        )


def _month_rows(changed: Iterable[Books]) -> Iterator[Row]:
    """Return what the entries add to the months."""
    for books in changed:
        for key, turnover in books.turnover.items():
            yield (books.ledger_id, *key, str(turnover.incoming_minor), str(turnover.outgoing_minor))


def _balance_rows(changed: Iterable[Books]) -> Iterator[Row]:
    """Return what the entries add to the balances: what came in less what went out."""
    for books in changed:
        balances: dict[tuple[UUID, str], int] = {}
        for (account_id, currency, _), turnover in books.turnover.items():
            key = (account_id, currency)
            balances[key] = balances.get(key, 0) + turnover.incoming_minor - turnover.outgoing_minor
        for key, balance_minor in balances.items():
            yield (books.ledger_id, *key, str(balance_minor))


def _columns(rows: Iterable[Row], width: int) -> list[list[Any]]:
    """Turn rows into the columns that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
