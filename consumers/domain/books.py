"""Books: what one batch knows of one ledger, kept up to date by every entry decided in it."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self, TypedDict
from uuid import UUID

from consumers.domain.accounts import Account, id_in
from consumers.domain.decisions import Asked, Decision
from consumers.domain.members import Role
from contracts.accounts import AccountOpened
from contracts.ledgers import LedgerOpened
from contracts.messages import JournalEntry, LedgerEntry, Source, Submission
from contracts.text import name_key
from contracts.transactions import TransactionRecorded


@dataclass(slots=True)
class Turnover:
    """What came into and went out of one account in one currency and month, in minor units."""

    incoming_minor: int = 0
    outgoing_minor: int = 0


class Stamp(TypedDict):
    """The fields that every entry of a ledger's journal has."""

    ledger_id: UUID
    sequence: int
    operation_id: UUID
    request_hash: str
    source: Source
    recorded_at: datetime


@dataclass(slots=True)
class Books:
    """The working set of one ledger in one batch: what the batch's records cite of it, not the whole ledger.

    ``sequence`` and ``recorded_at`` are the last entry's; sequence 0 means that the ledger is not open. ``journal`` has
    the entries applied since loading, in order: they are published, and they are the rows to save. ``turnover`` is what
    they add to the totals, by account, currency and first day of the month. Deciders read; only :meth:`apply` changes.
    """

    ledger_id: UUID
    sequence: int = 0
    recorded_at: datetime | None = None
    base_currency: str | None = None
    time_zone: str | None = None
    default_account_id: UUID | None = None
    opened_at: datetime | None = None
    roles: dict[UUID, Role] = field(default_factory=dict)
    transaction_ids: set[UUID] = field(default_factory=set)
    journal: list[JournalEntry] = field(default_factory=list)
    turnover: dict[tuple[UUID, str, date], Turnover] = field(default_factory=dict)
    _accounts: dict[UUID, Account] = field(default_factory=dict)
    _account_ids: dict[str, UUID] = field(default_factory=dict)

    def add_account(self, account: Account) -> None:
        """Make an account known, by its id and its name."""
        self._accounts[account.id] = account
        self._account_ids[account.name_key] = account.id

    def find_account(self, named: str | UUID | None) -> Account | None:
        """Return the account of this id or name (``None`` has none), or the one it was merged into."""
        account_id = id_in(named) or self._account_ids.get(name_key(named)) if isinstance(named, str) else named
        account = self._accounts.get(account_id) if account_id else None
        for _ in self._accounts:
            if account is None or account.merged_into is None:
                return account
            account = self._accounts.get(account.merged_into)
        return None

    def stamp(self, asked: Asked[Submission], *, ahead: int = 1) -> Stamp:
        """Return what goes on the next entry (``ahead`` 1) or a later one; its time is never before the last one's."""
        recorded_at = asked.recorded_at
        if self.recorded_at is not None and self.recorded_at > recorded_at:
            recorded_at = self.recorded_at
        return Stamp(
            ledger_id=self.ledger_id,
            sequence=self.sequence + ahead,
            operation_id=asked.operation_id,
            request_hash=asked.request_hash,
            source=asked.source,
            recorded_at=recorded_at,
        )

    def apply(self, asked: Asked[Submission], decision: Decision) -> None:
        """Take a decision's entries in, so that the next record is decided with them; a refusal may have some too."""
        self._enter(decision.journal)

    def after(self, entries: Iterable[JournalEntry]) -> Self:
        """Return a copy of these books with entries taken in: for a decider whose second entry builds on its first."""
        books = deepcopy(self)
        books._enter(entries)
        return books

    def _enter(self, entries: Iterable[JournalEntry]) -> None:
        for entry in entries:
            match entry:
                case TransactionRecorded():
                    self._follow(entry)
                    self.transaction_ids.add(entry.transaction_id)
                    self._add_up(entry)
                case AccountOpened():
                    self._follow(entry)
                    key = name_key(entry.name)
                    self.add_account(Account(entry.account_id, entry.kind, key, entry.currency))
                case LedgerOpened():
                    self._follow(entry)
                    self.base_currency, self.time_zone = entry.base_currency, entry.time_zone
                    self.default_account_id, self.opened_at = entry.default_account_id, entry.recorded_at
                    self.roles[entry.owner_id] = Role.OWNER
                case _:
                    raise ValueError(f"Books take in no {entry.type}")
            self.journal.append(entry)

    def _follow(self, entry: LedgerEntry) -> None:
        if entry.sequence != self.sequence + 1:
            raise ValueError(f"{entry.type} is not entry {self.sequence + 1} of the ledger")
        self.sequence, self.recorded_at = entry.sequence, entry.recorded_at

    def _add_up(self, entry: TransactionRecorded) -> None:
        month = entry.booked_on.replace(day=1)
        for posting in entry.postings:
            amount_minor, currency = posting.amount_minor, posting.currency
            self._turnover_of(posting.source_account_id, currency, month).outgoing_minor += amount_minor
            self._turnover_of(posting.destination_account_id, currency, month).incoming_minor += amount_minor

    def _turnover_of(self, account_id: UUID, currency: str, month: date) -> Turnover:
        key = (account_id, currency, month)
        turnover = self.turnover.get(key)
        if turnover is None:
            turnover = self.turnover[key] = Turnover()
        return turnover
