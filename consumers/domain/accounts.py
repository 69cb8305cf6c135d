"""Accounts and categories: opened, renamed, closed, arranged, merged; found by id or name, followed through merges."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from consumers.domain.decisions import Asked
from contracts.accounts import (
    CATEGORY_KINDS,
    EXCHANGE_ACCOUNT_NAME,
    MONEY_KINDS,
    OPENING_ACCOUNT_NAME,
    AccountChanged,
    AccountChangeSubmitted,
    AccountKind,
    AccountOpened,
)
from contracts.messages import LedgerEntry
from contracts.money import format_minor
from contracts.refusals import Refusal, RefusalCode
from contracts.text import NAME_LENGTH_MAX, name_key

if TYPE_CHECKING:
    from consumers.domain.books import Books, Stamps

_UUID_TEXT_LENGTH = 36


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands, or stood. ``merged_into`` names the account that stands for this one.

    ``version`` is the sequence of the entry that made it so; ``state_of`` the version whose state this is.
    """

    id: UUID
    kind: AccountKind
    name: str
    currency: str | None = None
    closed: bool = False
    merged_into: UUID | None = None
    group: str | None = None
    position: int | None = None
    version: int = 0
    state_of: int = 0

    @property
    def name_key(self) -> str:
        """The key under which its name is unique in its ledger."""
        return name_key(self.name)


def account_opened(entry: AccountOpened) -> Account:
    """Return the account that an entry opened."""
    return Account(
        entry.account_id,
        entry.kind,
        entry.name,
        entry.currency,
        group=entry.group,
        position=entry.position,
        version=entry.sequence,
        state_of=entry.sequence,
    )


def account_changed(account: Account, entry: AccountChanged) -> Account:
    """Return how an account stands after an entry."""
    return replace(
        account,
        name=entry.name,
        closed=entry.closed,
        merged_into=entry.merged_into,
        group=entry.group,
        position=entry.position,
        version=entry.sequence,
        state_of=entry.state_of or entry.sequence,
    )


def id_in(named: str) -> UUID | None:
    """Return the id that a text is, ``None`` where it is a name. Only the 36-character form counts as an id."""
    if len(named) != _UUID_TEXT_LENGTH:
        return None
    try:
        return UUID(named)
    except ValueError:
        return None


def exchange_account_id(ledger_id: UUID) -> UUID:
    """Return the id of the equity account through which a ledger's exchanges pass."""
    return uuid5(ledger_id, "exchange")


def opening_account_id(ledger_id: UUID) -> UUID:
    """Return the id of the equity account from which a ledger's opening balances come."""
    return uuid5(ledger_id, "opening balances")


#: Names of the ledger's own equity accounts, the second one where somebody has taken the first.
EQUITY_NAMES = tuple(
    name for first in (EXCHANGE_ACCOUNT_NAME, OPENING_ACCOUNT_NAME) for name in (first, f"{first} (equity)")
)


def open_equity(
    books: "Books", stamps: "Stamps", account_id: UUID, wanted: str, *, beside: str = ""
) -> tuple[AccountOpened, ...]:
    """Return the entry that opens one of the ledger's own equity accounts; none where it is open.

    ``beside`` is the name of an account that opens with it.
    """
    if books.find_account(account_id):
        return ()
    free = (
        name
        for name in (wanted, f"{wanted} (equity)")
        if books.account_named(name) is None and name_key(name) != name_key(beside)
    )
    name = next(free, f"{wanted} {account_id}")
    return (AccountOpened(**stamps.next(), account_id=account_id, kind=AccountKind.EQUITY, name=name),)


def refuse_money_account(account: Account | None, field: str = "account") -> Refusal | None:
    """Say why money cannot be paid from or into this account, ``None`` where it can."""
    if account is None:
        return Refusal(
            RefusalCode.ACCOUNT_NOT_FOUND, "This ledger has no such account; list its accounts and name one.", field
        )
    if account.kind not in MONEY_KINDS:
        return Refusal(
            RefusalCode.ACCOUNT_KIND_MISMATCH,
            f"That account is of kind {account.kind}; name an asset or liability account here.",
            field,
        )
    return _refuse_closed(account, field)


def refuse_category(category: Account) -> Refusal | None:
    """Say why this account cannot be a transaction's category, ``None`` where it can."""
    if category.kind not in CATEGORY_KINDS:
        return Refusal(
            RefusalCode.ACCOUNT_KIND_MISMATCH,
            f"That name is an account of kind {category.kind}; choose another name for the category.",
            "category",
        )
    return _refuse_closed(category, "category")


def _refuse_closed(account: Account, field: str) -> Refusal | None:
    if account.closed:
        return Refusal(RefusalCode.ACCOUNT_CLOSED, f"That {field} is closed; choose another one or reopen it.", field)
    return None


NAME_TAKEN = Refusal(
    RefusalCode.NAME_TAKEN,
    "This ledger has an account or category of this name already, perhaps a closed or merged one; choose another.",
    "name",
)


def cleaned(name: str) -> str:
    """Return a name as it is kept: without needless spaces."""
    return " ".join(name.split())


def change_account(
    asked: Asked[AccountChangeSubmitted], books: "Books", stamps: "Stamps"
) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether an account may be changed, and how it stands then. One that stays as it is makes no entry."""
    message = asked.message
    account = books.account(message.account_id)
    if account is None:
        return Refusal(
            RefusalCode.ACCOUNT_NOT_FOUND, "This ledger has no account with this id; list its accounts.", "account_id"
        )
    if message.version is not None and message.version != account.version:
        return Refusal(
            RefusalCode.VERSION_STALE,
            f"It was changed since you saw it (version {message.version}): it is called {account.name} now, "
            f"{'closed' if account.closed else 'open'} (version {account.version}). Look at it and decide again.",
            "version",
        )
    sent = message.model_fields_set
    wanted = replace(
        account,
        name=account.name if message.name is None else cleaned(message.name),
        group=(message.group and cleaned(message.group)) if "group" in sent else account.group,
        position=message.position if "position" in sent else account.position,
    )
    if message.closed is not None:
        # Who reopens a merged account wants it back as itself.
        wanted = replace(wanted, closed=message.closed, merged_into=account.merged_into if message.closed else None)
    if message.merge_into is not None:
        target = books.find_account(message.merge_into)
        if refusal := _refuse_merge(account, target):
            return refusal
        assert target is not None
        wanted = replace(wanted, closed=True, merged_into=target.id)
    if wanted == account:
        return ()
    if refusal := refuse_account_state(wanted, account, books):
        return refusal
    return (account_entry(wanted, stamps),)


def _refuse_merge(account: Account, target: Account | None) -> Refusal | None:
    field = "merge_into"
    if target is None:
        return Refusal(
            RefusalCode.CATEGORY_NOT_FOUND, "This ledger has no such category; list its accounts and name one.", field
        )
    if target.id == account.id:
        return Refusal(
            RefusalCode.ACCOUNTS_EQUAL, "A category cannot stand for itself; name another one to merge it into.", field
        )
    if account.kind not in CATEGORY_KINDS or target.kind is not account.kind:
        return Refusal(
            RefusalCode.ACCOUNT_KIND_MISMATCH,
            f"Only categories of one kind are merged: this is of kind {account.kind}, that of kind {target.kind}.",
            field,
        )
    return _refuse_closed(target, field)


def refuse_account_state(wanted: Account, account: Account, books: "Books") -> Refusal | None:
    """Say why an account cannot stand so, ``None`` where it can: a change and an undo ask the same."""
    if wanted.name_key != account.name_key:
        named = books.account_named(wanted.name)
        if named is not None and named.id != account.id:
            return NAME_TAKEN
    if wanted.merged_into is not None and wanted.merged_into != account.merged_into:
        root = books.find_account(wanted.merged_into)
        if root is None or root.id == account.id:
            return Refusal(
                RefusalCode.ACCOUNTS_EQUAL, "What it would be merged into is merged into it; undo that first.", None
            )
    if wanted.closed and not account.closed:
        needed = {books.default_account_id, exchange_account_id(books.ledger_id), opening_account_id(books.ledger_id)}
        if account.id in needed:
            return Refusal(
                RefusalCode.ACCOUNT_IS_DEFAULT,
                "The ledger needs this account; make another one its default account first.",
                "closed",
            )
        if account.currency is not None and (balance := books.balance_minor(account.id, account.currency)):
            return Refusal(
                RefusalCode.ACCOUNT_NOT_EMPTY,
                f"It holds {format_minor(balance, account.currency)} {account.currency}; "
                "transfer that to another account first.",
                "closed",
            )
    return None


def account_entry(
    wanted: Account, stamps: "Stamps", *, state_of: int | None = None, undoes: int | None = None
) -> AccountChanged:
    """Return the entry after which an account stands as wanted."""
    return AccountChanged(
        **stamps.next(),
        account_id=wanted.id,
        name=wanted.name,
        closed=wanted.closed,
        merged_into=wanted.merged_into,
        group=wanted.group,
        position=wanted.position,
        state_of=state_of,
        undoes=undoes,
    )


assert all(len(name) + 1 + _UUID_TEXT_LENGTH <= NAME_LENGTH_MAX for name in EQUITY_NAMES)
