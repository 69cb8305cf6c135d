"""What a submission cites of its ledger, for the books to be loaded with it."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from consumers.domain.accounts import EQUITY_NAMES
from contracts.accounts import AccountChangeSubmitted, AccountSubmitted
from contracts.assertions import AssertionLiftSubmitted, AssertionSubmitted
from contracts.changes import UndoSubmitted
from contracts.ledgers import LedgerChangeSubmitted
from contracts.members import InvitationAnswerSubmitted, InvitationSubmitted, MemberChangeSubmitted
from contracts.messages import Submission
from contracts.transactions import ReversalSubmitted, TransactionChangeSubmitted, TransactionSubmitted


@dataclass(frozen=True, slots=True)
class Citations:
    """What a submission cites: accounts by name or id as typed, other things by id, a change by its sequence.

    ``new_transaction_id`` may be taken. ``balances`` are of accounts at the end of a day, or in all (``None``).
    """

    accounts: tuple[str | None, ...] = ()
    account_id: UUID | None = None
    new_transaction_id: UUID | None = None
    transaction_id: UUID | None = None
    change: int | None = None
    assertion_id: UUID | None = None
    invitation_id: UUID | None = None
    member_id: UUID | None = None
    membership: bool = False
    equity: bool = False
    balances: tuple[tuple[str, date | None], ...] = ()


_NOTHING = Citations()


def citations_of(message: Submission, operation_id: UUID) -> Citations:
    """Return what a submission cites."""
    match message:
        case TransactionSubmitted():
            # Most by far, and most of them simple.
            splits = tuple(each.category for each in message.splits or ())
            moving = message.to_account is not None
            return Citations(
                accounts=(message.account, message.category, message.to_account, *splits, *_equity(moving)),
                new_transaction_id=message.resource_id(operation_id),
                equity=moving,
            )
        case TransactionChangeSubmitted():
            splits = tuple(each.category for each in message.splits or ())
            return Citations(
                accounts=(message.account, message.category, message.to_account, *splits, *EQUITY_NAMES),
                transaction_id=message.transaction_id,
                equity=True,
            )
        case ReversalSubmitted():
            return Citations(transaction_id=message.transaction_id)
        case UndoSubmitted():
            return Citations(change=message.change)
        case AccountSubmitted():
            return Citations(accounts=(message.name, *EQUITY_NAMES), equity=True)
        case AccountChangeSubmitted():
            return Citations(
                accounts=(message.name, message.merge_into),
                account_id=message.account_id,
                balances=((str(message.account_id), None),) if message.closed else (),
            )
        case _:
            return _other_citations(message)


def _other_citations(message: Submission) -> Citations:
    match message:
        case AssertionSubmitted():
            return Citations(accounts=(message.account,), balances=((message.account, message.on),))
        case AssertionLiftSubmitted():
            return Citations(assertion_id=message.assertion_id)
        case LedgerChangeSubmitted():
            return Citations(accounts=(message.default_account,))
        case InvitationSubmitted():
            return Citations(membership=True)
        case InvitationAnswerSubmitted():
            return Citations(invitation_id=message.invitation_id)
        case MemberChangeSubmitted():
            return Citations(member_id=message.member_id)
        case _:
            return _NOTHING


def _equity(moving: bool) -> tuple[str, ...]:
    return EQUITY_NAMES if moving else ()
