"""Accounts and categories: found by id or name, followed through merges, opened on first use."""

from dataclasses import dataclass
from uuid import UUID

from contracts.accounts import CATEGORY_KINDS, AccountKind
from contracts.refusals import Refusal, RefusalCode

#: Kinds money rests in: they have a currency, and the simple form pays from or into one of them.
MONEY_KINDS = frozenset({AccountKind.ASSET, AccountKind.LIABILITY})

_UUID_TEXT_LENGTH = 36


@dataclass(frozen=True, slots=True)
class Account:
    """An account as deciders see it. ``merged_into`` names the account that stands for this one now."""

    id: UUID
    kind: AccountKind
    name_key: str
    currency: str | None = None
    closed: bool = False
    merged_into: UUID | None = None


def id_in(named: str) -> UUID | None:
    """Return the id that a text is, ``None`` where it is a name. Only the 36-character form counts as an id."""
    if len(named) != _UUID_TEXT_LENGTH:
        return None
    try:
        return UUID(named)
    except ValueError:
        return None


def refuse_money_account(account: Account) -> Refusal | None:
    """Say why money cannot be paid from or into this account, ``None`` where it can."""
    if account.kind not in MONEY_KINDS:
        return Refusal(
            RefusalCode.ACCOUNT_KIND_MISMATCH,
            f"That account is of kind {account.kind}; name an asset or liability account here.",
            "account",
        )
    return _refuse_closed(account, "account")


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
