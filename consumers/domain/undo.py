"""Undo: the state before a change, restored by a change of its own. To undo an undo is to redo."""

from dataclasses import replace
from uuid import UUID

from consumers.domain.accounts import account_entry, refuse_account_state
from consumers.domain.books import Books, Stamps
from consumers.domain.decisions import Asked
from consumers.domain.transactions import entries_between, refuse_between
from contracts.accounts import AccountChanged, AccountOpened
from contracts.changes import UndoSubmitted
from contracts.messages import LedgerEntry
from contracts.refusals import Refusal, RefusalCode
from contracts.transactions import TransactionAnnotated, TransactionRecorded, TransactionReversed

_OF_TRANSACTIONS = frozenset({TransactionRecorded.type, TransactionAnnotated.type, TransactionReversed.type})
_OF_ACCOUNTS = frozenset({AccountOpened.type, AccountChanged.type})


def undo(asked: Asked[UndoSubmitted], books: Books, stamps: Stamps) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether a change may be taken back.

    It may where the thing still stands as that change left it, or does again after later changes were taken back: what
    somebody changed since is not lost by taking back what was before it.
    """
    number = asked.message.change
    change = books.find_change(number)
    if change is None:
        return Refusal(
            RefusalCode.CHANGE_NOT_FOUND, "This ledger has no change with this number; list its changes.", "change"
        )
    if change.type in _OF_TRANSACTIONS:
        return _undo_of_transaction(number, change.subject_id, books, stamps)
    if change.type in _OF_ACCOUNTS:
        return _undo_of_account(number, change.subject_id, books, stamps)
    return Refusal(
        RefusalCode.CHANGE_NOT_UNDOABLE,
        "Changes of members, rates, statements and the ledger itself have commands of their own; use those.",
        "change",
    )


def _undo_of_transaction(
    number: int, transaction_id: UUID, books: Books, stamps: Stamps
) -> tuple[LedgerEntry, ...] | Refusal:
    state = books.find_transaction(transaction_id)
    assert state is not None
    history = [*books.earlier_transactions.get(state.id, ()), state]
    at = next(at for at, version in enumerate(history) if version.version == number)
    if state.state_of != history[at].state_of:
        return _changed_since(state.version)
    if at == 0:
        wanted, state_of = replace(state, deleted=True), 0
    else:
        wanted, state_of = history[at - 1], history[at - 1].state_of
    return refuse_between(state, wanted, books) or entries_between(
        state, wanted, stamps, state_of=state_of, undoes=number
    )


def _undo_of_account(number: int, account_id: UUID, books: Books, stamps: Stamps) -> tuple[LedgerEntry, ...] | Refusal:
    account = books.account(account_id)
    assert account is not None
    history = [*books.earlier_accounts.get(account.id, ()), account]
    at = next(at for at, version in enumerate(history) if version.version == number)
    if account.state_of != history[at].state_of:
        return _changed_since(account.version)
    # An account that was opened is never taken away: it is closed.
    before = replace(account, closed=True) if at == 0 else history[at - 1]
    state_of = None if at == 0 else before.state_of
    return refuse_account_state(before, account, books) or (
        account_entry(before, stamps, state_of=state_of, undoes=number),
    )


def _changed_since(version: int) -> Refusal:
    return Refusal(
        RefusalCode.CHANGED_SINCE, f"It was changed again since (change {version}); undo that first.", "change"
    )
