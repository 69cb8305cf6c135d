"""The journal of a ledger in which everything that an entry can say has happened once."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from consumers.domain.books import Books
from contracts.accounts import AccountChangeSubmitted, AccountKind, AccountSubmitted
from contracts.assertions import AssertionLiftSubmitted, AssertionSubmitted
from contracts.changes import UndoSubmitted
from contracts.envelope import operation_id
from contracts.ledgers import LedgerChangeSubmitted, personal_ledger_id
from contracts.members import (
    InvitationAnswerSubmitted,
    InvitationEnding,
    InvitationSubmitted,
    MemberChangeSubmitted,
    Role,
)
from contracts.messages import LedgerEntry, Submission
from contracts.rates import Rate, RatesSubmitted
from contracts.transactions import (
    ReversalSubmitted,
    TransactionChangeSubmitted,
    TransactionKind,
    TransactionStatus,
    TransactionSubmitted,
)
from tests.builders.books import asked_of, take

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class LivedIn:
    """A ledger whose journal has every kind of entry, made by asking for things in order; nothing was refused."""

    def __init__(self, owner_id: UUID | None = None) -> None:
        """Live."""
        self.owner_id = owner_id or uuid4()
        self.other_id = uuid4()
        self.ledger_id = personal_ledger_id(self.owner_id)
        self.asked: list[tuple[Submission, UUID, str]] = []
        self._books = Books(self.ledger_id)
        self._live()

    @property
    def journal(self) -> Sequence[LedgerEntry]:
        """Its entries, in order."""
        return [entry for entry in self._books.journal if isinstance(entry, LedgerEntry)]

    def _ask(self, message_class: type[Submission], *, by: UUID | None = None, **fields: Any) -> Any:
        """Ask for something that is taken; return its last entry."""
        who, number = by or self.owner_id, len(self.asked) + 1
        message = message_class(**{"ledger_id": self.ledger_id, **fields})
        key = f"key-{number}"
        self.asked.append((message, who, key))
        (decision,) = take(
            self._books,
            asked_of(
                message,
                user_id=who,
                number=number,
                operation_id=operation_id(message, who, key),
                recorded_at=NOON + timedelta(seconds=number),
            ),
        )
        assert decision.refusal is None, decision.refusal
        return decision.journal[-1]

    def _live(self) -> None:
        bread = self._ask(
            TransactionSubmitted,
            amount="24.47",
            category="Groceries",
            payee="Market hall",
            tags=("Holiday", "Straße"),
            booked=date(2026, 1, 31),
        ).transaction_id
        self._ask(
            AccountSubmitted, name="Savings", kind=AccountKind.ASSET, opening_balance="100", opened=date(2026, 1, 1)
        )
        dollars = self._ask(AccountSubmitted, name="Dollars", kind=AccountKind.ASSET, currency="USD")
        self._ask(
            TransactionSubmitted, amount="50", account="Savings", to_account=str(dollars.account_id), to_amount="54.21"
        )
        self._ask(TransactionSubmitted, amount="2500", kind=TransactionKind.INCOME, category="Salary")
        milk = self._ask(TransactionSubmitted, amount="3", category="Food", tags=("sea",)).transaction_id
        self._ask(TransactionChangeSubmitted, transaction_id=bread, amount="25.00", booked=date(2026, 2, 1))
        self._ask(TransactionChangeSubmitted, transaction_id=bread, note="bread", status=TransactionStatus.CLEARED)
        deleted = self._ask(ReversalSubmitted, transaction_id=milk)
        undone = self._ask(UndoSubmitted, change=deleted.sequence)
        self._ask(UndoSubmitted, change=undone.sequence)
        food = self._books.account_named("Food")
        assert food is not None
        self._ask(AccountChangeSubmitted, account_id=food.id, name="Eating", position=3)
        merged = self._ask(AccountChangeSubmitted, account_id=food.id, merge_into="Groceries")
        unmerged = self._ask(UndoSubmitted, change=merged.sequence)
        self._ask(UndoSubmitted, change=unmerged.sequence)
        self._ask(LedgerChangeSubmitted, name="Ours", default_account="Savings")
        day = date(2026, 1, 1)
        self._ask(
            RatesSubmitted,
            rates=tuple(Rate(currency=code, quote="EUR", valid_on=day, rate="0.9") for code in ("USD", "CHF")),
        )
        self._ask(RatesSubmitted, rates=(Rate(currency="CHF", quote="EUR", valid_on=day, rate=None),))
        self._ask(AssertionSubmitted, account="Dollars", balance="54.21", on=date(2026, 12, 31))
        wrong = self._ask(AssertionSubmitted, account="Savings", balance="1", on=date(2026, 12, 31))
        self._ask(AssertionLiftSubmitted, assertion_id=wrong.assertion_id)
        for ending, who in (
            (InvitationEnding.ACCEPTED, self.other_id),
            (InvitationEnding.DECLINED, uuid4()),
            (InvitationEnding.WITHDRAWN, uuid4()),
        ):
            invited = self._ask(InvitationSubmitted, invited_user_id=who, address_proof="0" * 64, role=Role.VIEWER)
            by = self.owner_id if ending is InvitationEnding.WITHDRAWN else who
            self._ask(InvitationAnswerSubmitted, by=by, invitation_id=invited.invitation_id, answer=ending)
        self._ask(MemberChangeSubmitted, member_id=self.other_id, role=Role.EDITOR)
        guest = uuid4()
        invited = self._ask(InvitationSubmitted, invited_user_id=guest, address_proof="1" * 64, role=Role.EDITOR)
        self._ask(
            InvitationAnswerSubmitted,
            by=guest,
            invitation_id=invited.invitation_id,
            answer=InvitationEnding.ACCEPTED,
        )
        self._ask(MemberChangeSubmitted, by=guest, member_id=guest, role=None)
