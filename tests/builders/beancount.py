"""A ledger's books as beancount text, and what the beancount package makes of it: an oracle that is not our code.

A merged category is written under the one that stands for it, as people see it. Every entry of the journal that moved
money is one transaction there, with two legs for each posting; an account of one currency is opened for that one only.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from beancount import loader
from beancount.core.amount import Amount
from beancount.core.convert import convert_amount
from beancount.core.data import Directives
from beancount.core.prices import build_price_map
from beancount.ops.summarize import balance_by_account

from cli.books.plain_text_books import FIRST_DAY, beancount_name, beancount_text
from contracts.accounts import AccountChanged, AccountKind, AccountOpened
from contracts.messages import JournalEntry
from contracts.money import format_minor
from contracts.transactions import TransactionRecorded, TransactionReversed
from infra.postgres.engine import Connection

Balances = Mapping[tuple[UUID, str], Decimal]
"""By account and currency, without those that are zero."""

_ACCOUNTS = "SELECT id, root_id, kind, name, currency FROM accounts WHERE ledger_id = $1 ORDER BY id"
_POSTINGS = """
SELECT p.sequence, p.booked_on, t.description, p.source_account_id, p.destination_account_id, p.amount_minor,
       p.currency, p.sequence = t.sequence AND NOT t.deleted AS standing
FROM postings p JOIN transactions t ON t.ledger_id = p.ledger_id AND t.id = p.transaction_id
WHERE p.ledger_id = $1 ORDER BY p.sequence, p.position
"""


@dataclass(frozen=True, slots=True)
class Account:
    """An account; ``root_id`` is the one that stands for it: itself, unless it was merged."""

    id: UUID
    root_id: UUID
    kind: AccountKind
    name: str
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Posting:
    """A posting with what its entry says, and whether it stands or was taken back (or takes one back)."""

    sequence: int
    booked_on: date
    description: str
    source_account_id: UUID
    destination_account_id: UUID
    amount_minor: int
    currency: str
    standing: bool = True


@dataclass(frozen=True, slots=True)
class StatedBalance:
    """What somebody says an account holds at the end of a day, for beancount to check."""

    account_id: UUID
    on: date
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class PostedBooks:
    """A ledger's accounts, and its postings in the order of its journal."""

    accounts: Mapping[UUID, Account]
    postings: Sequence[Posting]

    def to_text(self, stated: Iterable[StatedBalance] = (), *, standing_only: bool = False) -> str:
        """Write the books: all postings with their reversals, or only those that stand."""
        return "\n".join(self._lines(stated, standing_only)) + "\n"

    def _lines(self, stated: Iterable[StatedBalance], standing_only: bool) -> Iterator[str]:
        for account in self.accounts.values():
            if account.id == account.root_id:
                yield f"{FIRST_DAY} open {name_of(account)} {account.currency or ''}".rstrip()
        entries: dict[int, list[Posting]] = defaultdict(list)
        for posting in self.postings:
            if posting.standing or not standing_only:
                entries[posting.sequence].append(posting)
        for sequence, postings in entries.items():
            yield f"{postings[0].booked_on} * {beancount_text(postings[0].description)}"
            yield f"  sequence: {sequence}"
            for each in postings:
                amount = format_minor(each.amount_minor, each.currency)
                yield f"  {self._name(each.source_account_id)}  -{amount} {each.currency}"
                yield f"  {self._name(each.destination_account_id)}  {amount} {each.currency}"
        for claim in stated:
            # Beancount looks at the beginning of a day, and would let half of the last digit pass.
            day = claim.on + timedelta(days=1)
            yield f"{day} balance {self._name(claim.account_id)} {claim.amount} ~ 0 {claim.currency}"

    def balances_in(self, directives: Directives, on: date | None = None) -> Balances:
        """Return the balances beancount finds, now or at the end of a day, by our accounts' ids."""
        ids = {self._name(account_id): account.root_id for account_id, account in self.accounts.items()}
        found, _ = balance_by_account(directives, on and on + timedelta(days=1))
        return {
            (ids[name], position.units.currency): position.units.number
            for name, inventory in found.items()
            for position in inventory
            if position.units.number
        }

    def by_root(self, balances: Mapping[tuple[UUID, str], Decimal]) -> Balances:
        """Return balances with those of merged accounts in the one that stands for them."""
        sums: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
        for (account_id, currency), amount in balances.items():
            sums[self.accounts[account_id].root_id, currency] += amount
        return {key: amount for key, amount in sums.items() if amount}

    def _name(self, account_id: UUID) -> str:
        return name_of(self.accounts[self.accounts[account_id].root_id])


async def read_books(connection: Connection, ledger_id: UUID) -> PostedBooks:
    """Read a ledger's books from its tables."""
    accounts = [Account(**dict(row)) for row in await connection.fetch(_ACCOUNTS, ledger_id)]
    postings = [Posting(**dict(row)) for row in await connection.fetch(_POSTINGS, ledger_id)]
    return PostedBooks({account.id: account for account in accounts}, postings)


def books_of(entries: Iterable[JournalEntry]) -> PostedBooks:
    """Return the books that journal entries make, all of one ledger's, in memory."""
    opened: dict[UUID, AccountOpened] = {}
    merged_into: dict[UUID, UUID | None] = {}
    postings: dict[int, list[Posting]] = {}
    stands: dict[UUID, int | None] = {}
    for entry in entries:
        match entry:
            case AccountOpened():
                opened[entry.account_id] = entry
            case AccountChanged():
                merged_into[entry.account_id] = entry.merged_into
            case TransactionRecorded() | TransactionReversed():
                recorded = isinstance(entry, TransactionRecorded)
                stands[entry.transaction_id] = entry.sequence if recorded else None
                postings[entry.sequence] = [
                    Posting(
                        sequence=entry.sequence,
                        booked_on=entry.booked_on,
                        description=entry.description if isinstance(entry, TransactionRecorded) else "",
                        **each.model_dump(),
                    )
                    for each in entry.postings
                ]
    standing = set(stands.values())

    def root_of(account_id: UUID) -> UUID:
        target = merged_into.get(account_id)
        return root_of(target) if target else account_id

    return PostedBooks(
        {
            account_id: Account(account_id, root_of(account_id), entry.kind, entry.name, entry.currency)
            for account_id, entry in opened.items()
        },
        [replace(each, standing=sequence in standing) for sequence, made in postings.items() for each in made],
    )


def name_of(account: Account) -> str:
    """Return what beancount calls an account: as in an export, and unique by the id."""
    return f"{beancount_name(account.kind, account.name)}-{account.id.hex}"


def load(text: str) -> tuple[Directives, list[str]]:
    """Return what beancount reads, and what it complains about."""
    directives, errors, _ = loader.load_string(text)
    return directives, [error.message for error in errors]


def converted(
    directives: Directives, amounts: Mapping[str, Decimal], target: str, on: date
) -> list[tuple[Decimal, str]]:
    """Return what beancount makes of amounts by the prices of a day; one without a price stays in its currency."""
    prices: Any = build_price_map(directives)  # type: ignore[no-untyped-call]
    found = [
        convert_amount(Amount(amount, currency), target, prices, on)  # type: ignore[no-untyped-call]
        for currency, amount in amounts.items()
    ]
    return [(each.number, each.currency) for each in found]
