"""Books: what one batch knows of one ledger, kept up to date by every entry decided in it."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self, TypedDict
from uuid import UUID

from consumers.domain import states
from consumers.domain.accounts import Account, account_changed, account_opened, id_in
from consumers.domain.decisions import Asked, Decision
from consumers.domain.states import TransactionState
from contracts.accounts import AccountChanged, AccountOpened
from contracts.assertions import AssertionLifted, BalanceAsserted
from contracts.ledgers import LedgerChanged, LedgerOpened
from contracts.members import InvitationEnded, MemberChanged, MemberInvited, MemberJoined, MemberRemoved, Role
from contracts.messages import JournalEntry, LedgerEntry, Source, Submission
from contracts.rates import RatesRecorded
from contracts.text import name_key
from contracts.transactions import Posting, TransactionAnnotated, TransactionRecorded, TransactionReversed


class NotLoaded(LookupError):
    """Books were asked what they were not loaded with."""


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
    user_id: UUID
    request_hash: str
    source: Source
    recorded_at: datetime


class Stamps:
    """The stamps of the entries of one decision, each with the ledger's next sequence.

    Their time is the batch's, and never before that of the ledger's last entry.
    """

    def __init__(self, asked: Asked[Submission], books: "Books", *, after: int = 0) -> None:
        """Begin behind the books' last entry and ``after`` others."""
        if asked.user_id is None:
            raise ValueError("Nobody asked for this")
        self._sequence = books.sequence + after
        recorded_at = asked.recorded_at
        if books.recorded_at is not None and books.recorded_at > recorded_at:
            recorded_at = books.recorded_at
        self._shared = Stamp(
            ledger_id=books.ledger_id,
            sequence=0,
            operation_id=asked.operation_id,
            user_id=asked.user_id,
            request_hash=asked.request_hash,
            source=asked.source,
            recorded_at=recorded_at,
        )

    @property
    def recorded_at(self) -> datetime:
        """Return the moment that the entries count as known."""
        return self._shared["recorded_at"]

    def next(self) -> Stamp:
        """Return the stamp of the next entry."""
        self._sequence += 1
        stamp = self._shared.copy()
        stamp["sequence"] = self._sequence
        return stamp


@dataclass(frozen=True, slots=True)
class Assertion:
    """A balance assertion that stands. One that ``held`` reconciles what the ledger knew before its ``sequence``."""

    id: UUID
    account_id: UUID
    asserted_on: date
    held: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation; ``open`` says that nobody has answered or withdrawn it, not that its time is not over."""

    id: UUID
    invited_user_id: UUID
    role: Role
    expires_at: datetime
    open: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What a change was about: ``type`` is its last entry's, ``subject_id`` the transaction, account … it changed."""

    type: str
    subject_id: UUID


@dataclass(slots=True)
class Books:
    """The working set of one ledger in one batch: what the batch's records cite of it, not the whole ledger.

    ``sequence`` and ``recorded_at`` are the last entry's; sequence 0 means that the ledger is not open. ``journal`` has
    the entries applied since loading, in order: they are published, and they are the rows to save. ``turnover`` is what
    they add to the totals, by account, currency and first day of the month. Deciders read; only :meth:`apply` changes.

    ``earlier_*`` are the versions before the one that stands, oldest first: loaded where something is to be undone, and
    added to by the batch; ``superseded_*`` are those of the batch alone, to be saved. ``balances`` are what accounts
    held at the end of a day (``None``: in all) when loaded.
    """

    ledger_id: UUID
    sequence: int = 0
    recorded_at: datetime | None = None
    name: str | None = None
    base_currency: str | None = None
    time_zone: str | None = None
    default_account_id: UUID | None = None
    opened_at: datetime | None = None
    roles: dict[UUID, Role] = field(default_factory=dict)
    invitations: dict[UUID, Invitation] = field(default_factory=dict)
    assertions: dict[UUID, Assertion] = field(default_factory=dict)
    transaction_ids: set[UUID] = field(default_factory=set)
    transactions: dict[UUID, TransactionState] = field(default_factory=dict)
    earlier_transactions: dict[UUID, list[TransactionState]] = field(default_factory=dict)
    earlier_accounts: dict[UUID, list[Account]] = field(default_factory=dict)
    superseded_transactions: list[TransactionState] = field(default_factory=list)
    superseded_accounts: list[Account] = field(default_factory=list)
    changes: dict[int, Change] = field(default_factory=dict)
    balances: dict[tuple[UUID, date | None], int] = field(default_factory=dict)
    journal: list[JournalEntry] = field(default_factory=list)
    turnover: dict[tuple[UUID, str, date], Turnover] = field(default_factory=dict)
    _accounts: dict[UUID, Account] = field(default_factory=dict)
    _account_ids: dict[str, UUID] = field(default_factory=dict)
    _recorded: dict[UUID, TransactionRecorded] = field(default_factory=dict)

    def add_account(self, account: Account) -> None:
        """Make an account known, by its id and its name."""
        before = self._accounts.get(account.id)
        if before is not None and before.name != account.name:
            self._account_ids.pop(before.name_key, None)
        self._accounts[account.id] = account
        self._account_ids[account.name_key] = account.id

    def account(self, account_id: UUID) -> Account | None:
        """Return the account of this id itself, merged or not."""
        return self._accounts.get(account_id)

    def account_named(self, name: str) -> Account | None:
        """Return the account of this name itself, merged or not."""
        account_id = self._account_ids.get(name_key(name))
        return self._accounts.get(account_id) if account_id else None

    def find_account(self, named: str | UUID | None) -> Account | None:
        """Return the account of this id or name (``None`` has none), or the one it was merged into."""
        account_id = id_in(named) or self._account_ids.get(name_key(named)) if isinstance(named, str) else named
        account = self._accounts.get(account_id) if account_id else None
        for _ in self._accounts:
            if account is None or account.merged_into is None:
                return account
            account = self._accounts.get(account.merged_into)
        return None

    def find_transaction(self, transaction_id: UUID) -> TransactionState | None:
        """Return how a transaction stands."""
        state = self.transactions.get(transaction_id)
        if state is None and (entry := self._recorded.get(transaction_id)):
            state = self.transactions[transaction_id] = states.recorded(entry)
        return state

    def find_change(self, sequence: int) -> Change | None:
        """Return what the change of this name was about: one that was loaded, or one of this batch."""
        at = sequence - 1 - (self.sequence - len(self.journal))
        if 0 <= at < len(self.journal):
            entry = self.journal[at]
            subject_id = subject_of(entry) if isinstance(entry, LedgerEntry) else None
            return Change(entry.type, subject_id) if subject_id else None
        return self.changes.get(sequence)

    def balance_minor(self, account_id: UUID, currency: str, on: date | None = None) -> int:
        """Return what an account holds at the end of a day, or in all: as loaded, and what the batch has added.

        Raises:
            NotLoaded: an earlier record of this batch gave a name, or a change, another meaning than it had when the
                batch was loaded; the batch is taken in parts, and the part with this record knows.
        """
        balance = self.balances.get((account_id, on))
        if balance is None:
            if not any(isinstance(each, AccountOpened) and each.account_id == account_id for each in self.journal):
                raise NotLoaded(f"the balance of account {account_id} until {on}")
            balance = 0
        for entry in self.journal:
            if isinstance(entry, TransactionRecorded | TransactionReversed) and (on is None or entry.booked_on <= on):
                for each in entry.postings:
                    if each.currency == currency:
                        balance += each.amount_minor * (
                            (each.destination_account_id == account_id) - (each.source_account_id == account_id)
                        )
        return balance

    def is_reconciled(self, state: TransactionState) -> bool:
        """Return whether an assertion that held has covered a transaction's money."""
        account_ids = state.account_ids
        return any(
            each.held
            and each.account_id in account_ids
            and each.asserted_on >= state.booked_on
            and each.sequence > state.sequence
            for each in self.assertions.values()
        )

    def apply(self, asked: Asked[Submission], decision: Decision) -> None:
        """Take a decision's entries in, so that the next record is decided with them; a refusal may have some too."""
        self.enter(decision.journal)

    def after(self, entries: Iterable[JournalEntry]) -> Self:
        """Return a copy of these books with entries taken in: for a decider whose second entry builds on its first."""
        books = deepcopy(self)
        books.enter(entries)
        return books

    def enter(self, entries: Iterable[JournalEntry]) -> None:
        """Take entries in, in their order: those of a decision, or those of the journal when books are rebuilt."""
        for entry in entries:
            if not isinstance(entry, LedgerEntry):
                raise ValueError(f"Books take in no {entry.type}")
            if entry.sequence != self.sequence + 1:
                raise ValueError(f"{entry.type} is not entry {self.sequence + 1} of the ledger")
            self._take_in(entry)
            self.sequence, self.recorded_at = entry.sequence, entry.recorded_at
            self.journal.append(entry)

    def _take_in(self, entry: LedgerEntry) -> None:
        match entry:
            case TransactionRecorded():
                if entry.revision == 1:
                    self._recorded[entry.transaction_id] = entry
                else:
                    self._replace(states.recorded(entry))
                self.transaction_ids.add(entry.transaction_id)
                self._add_up(entry.postings, entry.booked_on)
            case TransactionReversed():
                self._add_up(entry.postings, entry.booked_on)
                if entry.deleted:
                    self._replace(states.deleted(self._standing(entry.transaction_id), entry))
            case TransactionAnnotated():
                self._replace(states.annotated(self._standing(entry.transaction_id), entry))
            case AccountOpened():
                self.add_account(account_opened(entry))
            case AccountChanged():
                account = self._accounts[entry.account_id]
                self.earlier_accounts.setdefault(account.id, []).append(account)
                self.superseded_accounts.append(account)
                self.add_account(account_changed(account, entry))
            case _:
                self._take_in_other(entry)

    def _take_in_other(self, entry: LedgerEntry) -> None:
        match entry:
            case LedgerOpened():
                self.name, self.base_currency, self.time_zone = entry.name, entry.base_currency, entry.time_zone
                self.default_account_id, self.opened_at = entry.default_account_id, entry.recorded_at
                self.roles[entry.owner_id] = Role.OWNER
            case LedgerChanged():
                self.name, self.default_account_id = entry.name, entry.default_account_id
            case BalanceAsserted():
                held = entry.stated_minor == entry.computed_minor
                assertion = Assertion(entry.assertion_id, entry.account_id, entry.asserted_on, held, entry.sequence)
                self.assertions[assertion.id] = assertion
            case AssertionLifted():
                self.assertions.pop(entry.assertion_id, None)
            case MemberInvited():
                self.invitations[entry.invitation_id] = Invitation(
                    entry.invitation_id, entry.invited_user_id, entry.role, entry.expires_at
                )
            case InvitationEnded():
                invitation = self.invitations[entry.invitation_id]
                self.invitations[entry.invitation_id] = Invitation(
                    invitation.id, invitation.invited_user_id, invitation.role, invitation.expires_at, open=False
                )
            case MemberJoined() | MemberChanged():
                self.roles[entry.member_id] = entry.role
            case MemberRemoved():
                self.roles.pop(entry.member_id, None)
            case RatesRecorded():
                pass  # no decision depends on a rate
            case _:
                raise ValueError(f"Books take in no {entry.type}")

    def _standing(self, transaction_id: UUID) -> TransactionState:
        state = self.find_transaction(transaction_id)
        if state is None:
            raise ValueError(f"Transaction {transaction_id} is not in these books")
        return state

    def _replace(self, state: TransactionState) -> None:
        before = self._standing(state.id)
        self.earlier_transactions.setdefault(state.id, []).append(before)
        self.superseded_transactions.append(before)
        self.transactions[state.id] = state

    def _add_up(self, postings: tuple[Posting, ...], booked_on: date) -> None:
        month = booked_on.replace(day=1)
        for posting in postings:
            amount_minor, currency = posting.amount_minor, posting.currency
            self._turnover_of(posting.source_account_id, currency, month).outgoing_minor += amount_minor
            self._turnover_of(posting.destination_account_id, currency, month).incoming_minor += amount_minor

    def _turnover_of(self, account_id: UUID, currency: str, month: date) -> Turnover:
        key = (account_id, currency, month)
        turnover = self.turnover.get(key)
        if turnover is None:
            turnover = self.turnover[key] = Turnover()
        return turnover


def subject_of(entry: LedgerEntry) -> UUID | None:
    """Return what an entry changed; ``None`` where it is no change of its own.

    The first half of a change of money is none, and an account opened in passing belongs to its transaction.
    """
    match entry:
        case TransactionRecorded() | TransactionAnnotated():
            return entry.transaction_id
        case TransactionReversed():
            return entry.transaction_id if entry.deleted else None
        case AccountOpened():
            return entry.account_id if entry.asked else None
        case AccountChanged():
            return entry.account_id
        case BalanceAsserted() | AssertionLifted():
            return entry.assertion_id
        case MemberInvited() | InvitationEnded():
            return entry.invitation_id
        case MemberJoined() | MemberChanged() | MemberRemoved():
            return entry.member_id
        case _:
            return entry.ledger_id
