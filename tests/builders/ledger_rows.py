"""Rows of one ledger as a consumer leaves them, written straight into the tables, for tests of the read side."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID, uuid4

from contracts.accounts import MONEY_KINDS, AccountKind
from contracts.filters import search_words
from contracts.members import Role
from contracts.text import name_key
from contracts.transactions import TransactionKind, TransactionStatus
from infra.postgres.engine import Connection

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

_KEYS = {
    "ledgers": ("id",),
    "members": ("ledger_id", "user_id"),
    "accounts": ("ledger_id", "id"),
    "transactions": ("ledger_id", "id"),
    "transaction_versions": ("ledger_id", "id", "version"),
    "transaction_tags": ("ledger_id", "tag_key", "booked_on", "transaction_id"),
    "postings": (),
    "rates": ("ledger_id", "currency", "quote", "valid_on"),
    "assertions": ("ledger_id", "id"),
}


class Move(NamedTuple):
    """A posting to be: so many minor units from a source account to a destination account."""

    source: UUID
    destination: UUID
    minor: int
    currency: str = "EUR"

    def back(self) -> "Move":
        """Return the posting that takes it back."""
        return Move(self.destination, self.source, self.minor, self.currency)


class LedgerRows:
    """A ledger's rows, made in memory and written when a test says so, with the totals that go with its postings.

    Each entry is recorded a second after the one before unless a test says when.
    """

    def __init__(
        self,
        user_id: UUID | None = None,
        ledger_id: UUID | None = None,
        *,
        base_currency: str = "EUR",
        time_zone: str = "Europe/Berlin",
        recorded_at: datetime = LONG_AGO,
    ) -> None:
        """Open the ledger with its owner."""
        self.ledger_id, self.user_id = ledger_id or uuid4(), user_id or uuid4()
        self.sequence = 0
        self.recorded_at = recorded_at - timedelta(seconds=1)
        #: Every posting made so far: its sequence, its day, when it was recorded, and what moved.
        self.moves: list[tuple[int, date, datetime, Move]] = []
        self._rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {table: {} for table in _KEYS}
        self._totals: Counter[tuple[UUID, str]] = Counter()
        self._months: dict[tuple[UUID, str, date], list[int]] = {}
        self._untagged: set[UUID] = set()
        self._transactions: dict[UUID, tuple[dict[str, Any], tuple[Move, ...]]] = {}
        self._enter(recorded_at)
        self._ledger = {
            "id": self.ledger_id,
            "name": "Personal",
            "base_currency": base_currency,
            "time_zone": time_zone,
            "opened_at": recorded_at,
        }
        self.member(self.user_id, Role.OWNER)

    def member(self, user_id: UUID, role: Role) -> None:
        """Let somebody in."""
        self._put("members", user_id=user_id, role=role, joined_at=self.recorded_at)

    def account(self, name: str, kind: AccountKind = AccountKind.ASSET, currency: str = "EUR", **state: Any) -> UUID:
        """Open an account; categories and equity have no currency."""
        account_id = state.pop("id", None) or uuid4()
        self._enter(state.pop("at", None))
        fields: dict[str, Any] = {
            "id": account_id,
            "kind": kind,
            "name": name,
            "name_key": name_key(name),
            "currency": currency if kind in MONEY_KINDS else None,
            "group_name": None,
            "position": None,
            "opened_at": self.recorded_at,
            "closed": False,
            "merged_into": None,
            "root_id": account_id,
            "version": self.sequence,
            "state_of": self.sequence,
        }
        self._put("accounts", **fields | state)
        return account_id

    def category(self, name: str, kind: AccountKind = AccountKind.EXPENSE, **state: Any) -> UUID:
        """Open a category."""
        return self.account(name, kind, **state)

    def transaction(
        self,
        *moves: Move,
        on: date,
        at: datetime | None = None,
        kind: TransactionKind = TransactionKind.EXPENSE,
        status: TransactionStatus = TransactionStatus.PENDING,
        **fields: Any,
    ) -> UUID:
        """Record a transaction."""
        transaction_id = fields.pop("id", None) or uuid4()
        self._enter(at)
        row: dict[str, Any] = {
            "id": transaction_id,
            "revision": 1,
            "state_of": self.sequence,
            "sequence": self.sequence,
            "version": self.sequence,
            "deleted": False,
            "kind": kind,
            "booked_on": on,
            "booked_at": datetime(on.year, on.month, on.day, 12, tzinfo=UTC),
            "amount_minor": sum(move.minor for move in moves if move.currency == moves[0].currency),
            "currency": moves[0].currency,
            "rate": None,
            "description": "",
            "payee": None,
            "tags": [],
            "note": None,
            "status": status,
            "external_id": None,
            "submitted_at": self.recorded_at,
            "recorded_at": self.recorded_at,
            "user_id": self.user_id,
            "operation_id": uuid4(),
        }
        self._stand(row | fields, moves)
        self._post(transaction_id, on, moves)
        return transaction_id

    def change(self, transaction_id: UUID, *moves: Move, on: date, at: datetime | None = None) -> None:
        """Record the next revision of a transaction: its postings are taken back, and new ones stand."""
        row, before = self._transactions[transaction_id]
        self._enter(at)
        self._post(transaction_id, row["booked_on"], [move.back() for move in before])
        self._enter(self.recorded_at)
        self._supersede(transaction_id, moves, revision=row["revision"] + 1, sequence=self.sequence, booked_on=on)
        self._post(transaction_id, on, moves)

    def delete(self, transaction_id: UUID, *, at: datetime | None = None) -> None:
        """Delete a transaction: its postings are taken back."""
        row, before = self._transactions[transaction_id]
        self._enter(at)
        self._supersede(transaction_id, before, deleted=True)
        self._post(transaction_id, row["booked_on"], [move.back() for move in before])

    def annotate(self, transaction_id: UUID, *, at: datetime | None = None, **fields: Any) -> None:
        """Change something beside a transaction's money."""
        _, moves = self._transactions[transaction_id]
        self._enter(at)
        self._supersede(transaction_id, moves, **fields)

    def rate(self, currency: str, quote: str, on: date, rate: str) -> None:
        """Enter an exchange rate."""
        self._enter(None)
        self._put("rates", currency=currency, quote=quote, valid_on=on, rate=rate)

    def assertion(self, account_id: UUID, on: date, stated: int, **fields: Any) -> UUID:
        """Assert a balance; what the books say at this moment is found out."""
        assertion_id = fields.pop("id", None) or uuid4()
        self._enter(fields.pop("at", None))
        row: dict[str, Any] = {
            "id": assertion_id,
            "account_id": account_id,
            "asserted_on": on,
            "currency": "EUR",
            "stated_minor": stated,
            "computed_minor": self.balance(account_id, fields.get("currency", "EUR"), on=on),
            "sequence": self.sequence,
            "user_id": self.user_id,
            "recorded_at": self.recorded_at,
            "lifted_at": None,
        }
        self._put("assertions", **row | fields)
        return assertion_id

    def balance(
        self, account_id: UUID, currency: str = "EUR", *, on: date = date.max, known_at: datetime | None = None
    ) -> int:
        """Sum what came in less what went out until the end of a day, as far as it was known."""
        total = 0
        for _, booked_on, recorded_at, move in self.moves:
            if booked_on <= on and (known_at is None or recorded_at <= known_at) and move.currency == currency:
                total += move.minor * ((move.destination == account_id) - (move.source == account_id))
        return total

    async def write(self, connection: Connection) -> None:
        """Write what was not written yet, as the ledger consumer's role may."""
        async with connection.transaction():
            ledger = self._ledger | {"sequence": self.sequence, "recorded_at": self.recorded_at}
            self._rows["ledgers"][()] = ledger
            await connection.execute(_UNTAG, self.ledger_id, list(self._untagged))
            self._untagged.clear()
            for table, key in _KEYS.items():
                for row in self._rows[table].values():
                    fields = row if table == "ledgers" else {"ledger_id": self.ledger_id, **row}
                    await connection.execute(_upsert(table, list(fields), key), *fields.values())
                self._rows[table].clear()
            for (account_id, currency), total in self._totals.items():
                await connection.execute(_ADD_TO_BALANCE, self.ledger_id, account_id, currency, total)
            for (account_id, currency, month), (incoming, outgoing) in self._months.items():
                await connection.execute(_ADD_TO_MONTH, self.ledger_id, account_id, currency, month, incoming, outgoing)
            self._totals.clear()
            self._months.clear()

    def _enter(self, recorded_at: datetime | None) -> None:
        self.sequence += 1
        self.recorded_at = recorded_at or self.recorded_at + timedelta(seconds=1)

    def _put(self, table: str, **fields: Any) -> None:
        key = tuple(fields[name] for name in _KEYS[table] if name != "ledger_id")
        self._rows[table][key or (len(self._rows[table]),)] = fields

    def _supersede(self, transaction_id: UUID, moves: tuple[Move, ...], **changes: Any) -> None:
        before, _ = self._transactions[transaction_id]
        self._put("transaction_versions", **before)
        made = {"version": self.sequence, "state_of": self.sequence, "recorded_at": self.recorded_at}
        self._stand(before | made | changes, moves)

    def _stand(self, row: dict[str, Any], moves: tuple[Move, ...]) -> None:
        """Let a transaction stand as this row, found by its words, its payee and, unless deleted, its tags."""
        self._transactions[row["id"]] = (row, moves)
        payee_key = name_key(row["payee"]) if row["payee"] else None
        words = " ".join(search_words(row["description"], row["payee"], row["note"]))
        self._put("transactions", **row, payee_key=payee_key, words=words)
        self._untagged.add(row["id"])
        tags = self._rows["transaction_tags"]
        for key in [key for key in tags if key[-1] == row["id"]]:
            del tags[key]
        for tag in () if row["deleted"] else row["tags"]:
            self._put("transaction_tags", tag_key=name_key(tag), booked_on=row["booked_on"], transaction_id=row["id"])

    def _post(self, transaction_id: UUID, on: date, moves: Any) -> None:
        for position, move in enumerate(moves):
            self.moves.append((self.sequence, on, self.recorded_at, move))
            self._put(
                "postings",
                transaction_id=transaction_id,
                sequence=self.sequence,
                position=position,
                source_account_id=move.source,
                destination_account_id=move.destination,
                amount_minor=move.minor,
                currency=move.currency,
                booked_on=on,
                recorded_at=self.recorded_at,
            )
            month = on.replace(day=1)
            for account_id, incoming, outgoing in ((move.destination, move.minor, 0), (move.source, 0, move.minor)):
                self._totals[account_id, move.currency] += incoming - outgoing
                turnover = self._months.setdefault((account_id, move.currency, month), [0, 0])
                turnover[0] += incoming
                turnover[1] += outgoing


#: The fixture that writes what was not written yet.
Write: TypeAlias = Callable[[LedgerRows], Awaitable[None]]


def _upsert(table: str, columns: list[str], key: tuple[str, ...]) -> str:
    values = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"
    others = [f"{name} = excluded.{name}" for name in columns if name not in key]
    if not key:
        return statement
    return f"{statement} ON CONFLICT ({', '.join(key)}) DO " + (
        f"UPDATE SET {', '.join(others)}" if others and table != "transaction_versions" else "NOTHING"
    )


_UNTAG = "DELETE FROM transaction_tags WHERE ledger_id = $1 AND transaction_id = ANY ($2::uuid[])"
_ADD_TO_BALANCE = """
    INSERT INTO balances AS kept (ledger_id, account_id, currency, balance_minor) VALUES ($1, $2, $3, $4)
    ON CONFLICT (ledger_id, account_id, currency)
    DO UPDATE SET balance_minor = kept.balance_minor + excluded.balance_minor
"""
_ADD_TO_MONTH = """
    INSERT INTO monthly_balances AS kept (ledger_id, account_id, currency, month, incoming_minor, outgoing_minor)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (ledger_id, account_id, currency, month)
    DO UPDATE SET incoming_minor = kept.incoming_minor + excluded.incoming_minor,
                  outgoing_minor = kept.outgoing_minor + excluded.outgoing_minor
"""
