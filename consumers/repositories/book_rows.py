"""The rows that journal entries are: in the ledger the entry is the row, and tables are written from nothing else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID

from consumers.domain.accounts import Account
from consumers.domain.books import Books, subject_of
from consumers.domain.states import TransactionState, amount_of
from contracts.accounts import AccountOpened
from contracts.assertions import AssertionLifted, BalanceAsserted
from contracts.filters import search_words
from contracts.ledgers import LedgerOpened
from contracts.members import InvitationEnded, MemberChanged, MemberInvited, MemberJoined, MemberRemoved
from contracts.messages import LedgerEntry
from contracts.rates import RatesRecorded
from contracts.text import name_key
from contracts.transactions import Posting, TransactionRecorded, TransactionReversed

Row: TypeAlias = tuple[Any, ...]

VERSION_COLUMNS = (
    "ledger_id", "id", "revision", "state_of", "sequence", "deleted", "kind", "booked_on", "booked_at", "amount_minor",
    "currency", "rate", "description", "payee", "tags", "note", "status", "external_id", "submitted_at", "recorded_at",
    "user_id", "operation_id", "version",
)  # fmt: skip
TRANSACTION_COLUMNS = (*VERSION_COLUMNS, "payee_key", "words")
POSTING_COLUMNS = (
    "ledger_id", "transaction_id", "sequence", "position", "source_account_id", "destination_account_id",
    "amount_minor", "currency", "booked_on", "recorded_at",
)  # fmt: skip
CHANGE_COLUMNS = (
    "ledger_id", "sequence", "operation_id", "user_id", "recorded_at", "type", "subject_id", "undoes", "detail",
)  # fmt: skip

#: What every entry has, which has columns of its own, and the postings, which have a table of theirs.
_NO_DETAIL = {*LedgerEntry.model_fields, "postings", "undoes"}
_TAGS = VERSION_COLUMNS.index("tags")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that journal entries are, by table, in the order of the entries."""

    members: list[Row] = field(default_factory=list)
    members_gone: list[Row] = field(default_factory=list)
    invitations: list[Row] = field(default_factory=list)
    invitations_ended: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    transactions: list[Row] = field(default_factory=list)
    postings: list[Row] = field(default_factory=list)
    tags: list[Row] = field(default_factory=list)
    rates: list[Row] = field(default_factory=list)
    rates_gone: list[Row] = field(default_factory=list)
    assertions: list[Row] = field(default_factory=list)
    assertions_lifted: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)


def rows_of(changed: Iterable[Books]) -> Rows:
    """Return the rows that the journals of these books are; earlier versions and totals are apart."""
    rows = Rows()
    for books in changed:
        joined: dict[UUID, Any] = {}
        gone: set[UUID] = set()
        rates: dict[tuple[str, str, Any], str | None] = {}
        for entry in books.journal:
            match entry:
                case TransactionRecorded():
                    if entry.revision == 1:
                        rows.transactions.append(_new_transaction_row(entry))
                        rows.tags.extend(
                            (entry.ledger_id, name_key(tag), entry.booked_on, entry.transaction_id)
                            for tag in entry.tags
                        )
                    else:
                        rows.changes.append(_change_row(entry, entry.transaction_id))
                    rows.postings.extend(_posting_rows(entry, entry.postings))
                    continue
                case TransactionReversed():
                    rows.postings.extend(_posting_rows(entry, entry.postings))
                case AccountOpened():
                    rows.accounts.append(_opened_row(entry))
                case LedgerOpened():
                    joined[entry.owner_id] = entry.recorded_at
                case MemberJoined():
                    joined[entry.member_id] = entry.recorded_at
                case MemberChanged():
                    # Who is a member already keeps the moment they joined.
                    joined.setdefault(entry.member_id, entry.recorded_at)
                case MemberRemoved():
                    joined.pop(entry.member_id, None)
                    gone.add(entry.member_id)
                case MemberInvited():
                    rows.invitations.append(_invitation_row(entry))
                case InvitationEnded():
                    rows.invitations_ended.append(
                        (entry.ledger_id, entry.invitation_id, entry.ending, entry.recorded_at)
                    )
                case RatesRecorded():
                    rates.update(((each.currency, each.quote, each.valid_on), each.rate) for each in entry.rates)
                case BalanceAsserted():
                    rows.assertions.append(_assertion_row(entry))
                case AssertionLifted():
                    rows.assertions_lifted.append((entry.ledger_id, entry.assertion_id, entry.recorded_at))
                case _:
                    pass
            if isinstance(entry, LedgerEntry) and (subject_id := subject_of(entry)):
                rows.changes.append(_change_row(entry, subject_id))
        rows.members_gone.extend((books.ledger_id, user_id) for user_id in gone)
        rows.members.extend(
            (books.ledger_id, user_id, books.roles[user_id], moment) for user_id, moment in joined.items()
        )
        for key, rate in rates.items():
            if rate is None:
                rows.rates_gone.append((books.ledger_id, *key))
            else:
                rows.rates.append((books.ledger_id, *key, rate))
    return rows


def ledger_row(books: Books) -> Row:
    """Return how a ledger stands."""
    return (
        books.ledger_id,
        books.sequence,
        books.recorded_at,
        books.name,
        books.base_currency,
        books.time_zone,
        books.default_account_id,
        books.opened_at,
    )


def version_row(ledger_id: UUID, state: TransactionState) -> Row:
    """Return a transaction's version, as :data:`VERSION_COLUMNS`."""
    annotations = state.annotations
    return (
        ledger_id, state.id, state.revision, state.state_of, state.sequence, state.deleted, state.kind,
        state.booked_on, state.booked_at, state.amount_minor, state.postings[0].currency, state.rate,
        annotations.description, annotations.payee, annotations.tags, annotations.note, annotations.status,
        annotations.external_id, state.submitted_at, state.recorded_at, state.user_id, state.operation_id,
        state.version,
    )  # fmt: skip


def transaction_row(ledger_id: UUID, state: TransactionState) -> Row:
    """Return how a transaction stands, as :data:`TRANSACTION_COLUMNS`, its tags one a line for ``unnest``."""
    annotations = state.annotations
    row = version_row(ledger_id, state)
    return (
        *row[:_TAGS],
        "\n".join(annotations.tags),
        *row[_TAGS + 1 :],
        _key(annotations.payee),
        _words(annotations.description, annotations.payee, annotations.note),
    )


def tag_rows(ledger_id: UUID, state: TransactionState) -> Iterator[Row]:
    """Return the tags a transaction is found by; none where it is deleted."""
    if not state.deleted:
        for tag in state.annotations.tags:
            yield ledger_id, name_key(tag), state.booked_on, state.id


def account_version_row(books: Books, account: Account) -> Row:
    """Return how an account stood."""
    return (
        books.ledger_id, account.id, account.version, account.state_of, account.name, account.group, account.position,
        account.closed, account.merged_into,
    )  # fmt: skip


def account_row(books: Books, account: Account) -> Row:
    """Return how an account stands."""
    return (
        books.ledger_id, account.id, account.name, account.name_key, account.closed, account.merged_into, account.group,
        account.position, account.version, account.state_of,
    )  # fmt: skip


def month_rows(changed: Iterable[Books]) -> Iterator[Row]:
    """Return what the entries add to the months."""
    for books in changed:
        for key, turnover in books.turnover.items():
            yield (books.ledger_id, *key, str(turnover.incoming_minor), str(turnover.outgoing_minor))


def balance_rows(changed: Iterable[Books]) -> Iterator[Row]:
    """Return what the entries add to the balances: what came in less what went out."""
    for books in changed:
        balances: dict[tuple[UUID, str], int] = {}
        for (account_id, currency, _), turnover in books.turnover.items():
            key = (account_id, currency)
            balances[key] = balances.get(key, 0) + turnover.incoming_minor - turnover.outgoing_minor
        for key, balance_minor in balances.items():
            yield (books.ledger_id, *key, str(balance_minor))


def _new_transaction_row(entry: TransactionRecorded) -> Row:
    """Return a new transaction, as :data:`TRANSACTION_COLUMNS`: most rows by far."""
    return (
        entry.ledger_id, entry.transaction_id, 1, entry.sequence, entry.sequence, False, entry.kind, entry.booked_on,
        entry.booked_at, amount_of(entry.kind, entry.postings), entry.postings[0].currency, entry.rate,
        entry.description, entry.payee, entry.tags, entry.note, entry.status, entry.external_id, entry.submitted_at,
        entry.recorded_at, entry.user_id, entry.operation_id, entry.sequence, _key(entry.payee),
        _words(entry.description, entry.payee, entry.note),
    )  # fmt: skip


def _posting_rows(entry: TransactionRecorded | TransactionReversed, postings: Iterable[Posting]) -> Iterator[Row]:
    for position, posting in enumerate(postings):
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
            entry.recorded_at,
        )


def _opened_row(entry: AccountOpened) -> Row:
    return (
        entry.ledger_id,
        entry.account_id,
        entry.kind,
        entry.name,
        name_key(entry.name),
        entry.currency,
        entry.group,
        entry.position,
        entry.recorded_at,
        entry.sequence,
    )


def _invitation_row(entry: MemberInvited) -> Row:
    return (
        entry.ledger_id,
        entry.invitation_id,
        entry.invited_user_id,
        entry.role,
        entry.user_id,
        entry.recorded_at,
        entry.expires_at,
    )


def _assertion_row(entry: BalanceAsserted) -> Row:
    return (
        entry.ledger_id,
        entry.assertion_id,
        entry.account_id,
        entry.asserted_on,
        entry.currency,
        str(entry.stated_minor),
        str(entry.computed_minor),
        entry.sequence,
        entry.user_id,
        entry.recorded_at,
    )


def _change_row(entry: LedgerEntry, subject_id: UUID) -> Row:
    return (
        entry.ledger_id,
        entry.sequence,
        entry.operation_id,
        entry.user_id,
        entry.recorded_at,
        entry.type.removeprefix("cashflow.").removesuffix(".v1"),
        subject_id,
        getattr(entry, "undoes", None),
        entry.model_dump_json(exclude=_NO_DETAIL, exclude_defaults=True),
    )


@lru_cache(maxsize=4096)  # imports and households repeat themselves
def _key(payee: str | None) -> str | None:
    return None if payee is None else name_key(payee)


@lru_cache(maxsize=4096)
def _words(description: str, payee: str | None, note: str | None) -> str:
    """Return the words a transaction is found by."""
    if not (description or payee or note):
        return ""
    return " ".join(search_words(description, payee, note))
