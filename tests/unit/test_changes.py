"""Transactions changed, deleted, undone and redone: what stands, what was posted, and when it is refused."""

from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from contracts.accounts import AccountChangeSubmitted, AccountKind, AccountSubmitted
from contracts.assertions import AssertionLiftSubmitted, AssertionSubmitted
from contracts.changes import UndoSubmitted
from contracts.refusals import RefusalCode
from contracts.transactions import (
    ReversalSubmitted,
    Split,
    TransactionAnnotated,
    TransactionChangeSubmitted,
    TransactionKind,
    TransactionRecorded,
    TransactionReversed,
    TransactionStatus,
    TransactionSubmitted,
)
from tests.builders.books import OpenLedger


@pytest.fixture
def ledger() -> OpenLedger:
    """Cash and Savings in euros, Dollars; nothing was spent but what opened the ledger."""
    ledger = OpenLedger()
    for name, currency in (("Savings", "EUR"), ("Dollars", "USD")):
        ledger.done(AccountSubmitted, name=name, kind=AccountKind.ASSET, currency=currency, opening_balance="100")
    return ledger


def spend(ledger: OpenLedger, **fields: Any) -> UUID:
    entry = ledger.done(TransactionSubmitted, **{"amount": "24.47", "category": "Groceries", **fields})
    transaction_id: UUID = entry.transaction_id
    return transaction_id


def transfer(ledger: OpenLedger, to: str, **fields: Any) -> UUID:
    return spend(ledger, category=None, to_account=to, **fields)


def change(ledger: OpenLedger, transaction_id: UUID, **fields: Any) -> Any:
    return ledger.done(TransactionChangeSubmitted, transaction_id=transaction_id, **fields)


def test_another_amount_takes_the_postings_back_on_their_day_and_makes_the_next_revision(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger, booked=date(2026, 2, 27))
    before = len(ledger.journal)

    change(ledger, transaction_id, amount="30", booked=date(2026, 3, 1))

    reversed_entry, recorded = ledger.journal[before:]
    assert isinstance(reversed_entry, TransactionReversed)
    assert isinstance(recorded, TransactionRecorded)
    assert (reversed_entry.booked_on, reversed_entry.revision, reversed_entry.deleted) == (date(2026, 2, 27), 1, False)
    assert (recorded.booked_on, recorded.revision, recorded.postings[0].amount_minor) == (date(2026, 3, 1), 2, 3000)
    (posting,), (taken_back,) = ledger.journal[before - 1].postings, reversed_entry.postings
    assert taken_back == posting.model_copy(
        update={
            "source_account_id": posting.destination_account_id,
            "destination_account_id": posting.source_account_id,
        }
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "Milk"},
        {"payee": "Market hall"},
        {"tags": ("holiday",)},
        {"note": "first\nsecond"},
        {"status": TransactionStatus.CLEARED},
        {"external_id": "bank-1"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_stands_beside_the_money_changes_without_a_posting(ledger: OpenLedger, fields: dict[str, Any]) -> None:
    transaction_id = spend(ledger)

    entry = change(ledger, transaction_id, **fields)

    assert isinstance(entry, TransactionAnnotated)
    assert {name: getattr(entry, name) for name in fields} == fields


def test_null_takes_an_annotation_away_and_what_is_absent_stays(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger, payee="Market hall", note="old", description="Milk")

    entry = change(ledger, transaction_id, note=None)

    assert (entry.payee, entry.note, entry.description) == ("Market hall", None, "Milk")


def test_a_change_to_what_is_so_already_makes_no_entry(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger, booked=date(2026, 3, 1))

    assert change(ledger, transaction_id, amount="24.470", category=" groceries", booked=date(2026, 3, 1)) is None


def test_a_day_typed_again_keeps_its_place_within_the_day_and_a_moment_takes_another(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger, booked=date(2026, 3, 1))
    moment = datetime(2026, 3, 1, 8, tzinfo=timezone(timedelta(hours=1)))

    assert change(ledger, transaction_id, booked=date(2026, 3, 1)) is None
    assert change(ledger, transaction_id, booked=moment).booked_at == moment


@pytest.mark.parametrize(
    ("fields", "kind", "cash", "other"),
    [
        ({"kind": TransactionKind.INCOME}, "income", 2447, ("Groceries", -2447)),
        ({"kind": TransactionKind.REFUND}, "refund", 2447, ("Groceries", -2447)),
        ({"category": "Rent"}, "expense", -2447, ("Rent", 2447)),
        ({"account": "Savings"}, "expense", 0, ("Savings", 10000 - 2447)),
        ({"to_account": "Savings"}, "transfer", -2447, ("Savings", 10000 + 2447)),
        ({"to_account": "Dollars", "rate": "1.25"}, "exchange", -2447, ("Dollars", 10000 + 3059)),
        (
            {"amount": None, "splits": (Split(amount="1", category="Rent"), Split(amount="2", category="Fuel"))},
            "expense",
            -300,
            ("Fuel", 200),
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_any_part_of_the_form_can_change(
    ledger: OpenLedger, fields: dict[str, Any], kind: str, cash: int, other: tuple[str, int]
) -> None:
    before = ledger.balance("Cash")
    transaction_id = spend(ledger)

    entry = change(ledger, transaction_id, **fields)

    assert entry.kind == kind
    assert ledger.balance("Cash") - before == cash
    name, expected = other
    groceries_before = 2447 if name == "Groceries" else 0  # what opened the ledger in the first place
    assert ledger.balance(name) == expected + groceries_before


def test_a_transfer_becomes_an_expense_where_a_category_is_named(ledger: OpenLedger) -> None:
    transaction_id = transfer(ledger, "Savings")

    assert change(ledger, transaction_id, category="Rent").kind == TransactionKind.EXPENSE


def test_an_exchange_of_another_amount_keeps_its_rate(ledger: OpenLedger) -> None:
    transaction_id = transfer(ledger, "Dollars", amount="100", to_amount="125")

    entry = change(ledger, transaction_id, amount="200")

    assert entry.rate == "1.25"
    assert [each.amount_minor for each in entry.postings] == [20000, 25000]


def test_another_account_in_another_currency_asks_for_the_amount(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger)

    code = ledger.refused(TransactionChangeSubmitted, transaction_id=transaction_id, account="Dollars")
    entry = change(ledger, transaction_id, account="Dollars", amount="26")

    assert code == RefusalCode.CURRENCY_MISMATCH
    assert entry.postings[0].currency == "USD"


def test_of_an_opening_balance_amount_and_day_can_change(ledger: OpenLedger) -> None:
    opening = next(each for each in ledger.journal if getattr(each, "kind", None) == TransactionKind.OPENING)

    entry = change(ledger, opening.transaction_id, amount="120", booked=date(2025, 12, 31))
    code = ledger.refused(
        TransactionChangeSubmitted, transaction_id=opening.transaction_id, amount="1", category="Rent"
    )

    assert (entry.kind, ledger.balance("Savings")) == (TransactionKind.OPENING, 12000)
    assert code == RefusalCode.FIELDS_CONFLICT


def test_who_saw_an_earlier_version_is_told_both(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger)
    seen = ledger.books.sequence
    change(ledger, transaction_id, amount="30")

    decision = ledger.do(
        TransactionChangeSubmitted, transaction_id=transaction_id, version=seen, amount="25", payee="Market hall"
    )

    assert decision.refusal is not None
    assert decision.refusal.code == RefusalCode.VERSION_STALE
    assert "amount is 30.00, you asked for 25" in decision.refusal.detail
    assert "payee is empty, you asked for Market hall" in decision.refusal.detail
    assert change(ledger, transaction_id, version=ledger.books.sequence, amount="25").revision == 3


def test_a_deleted_transaction_moves_nothing_and_comes_back_by_undo(ledger: OpenLedger) -> None:
    before = ledger.balance("Cash")
    transaction_id = spend(ledger, tags=("holiday",))
    ledger.done(ReversalSubmitted, transaction_id=transaction_id)
    gone = ledger.balance("Cash")

    entry = ledger.done(UndoSubmitted, change=ledger.books.sequence)

    assert gone == before
    assert ledger.balance("Cash") == before - 2447
    assert (entry.revision, entry.tags) == (2, ("holiday",))
    assert not ledger.books.transactions[transaction_id].deleted


def test_changes_are_undone_one_after_the_other_and_redone_in_turn(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger)
    created = ledger.books.sequence
    change(ledger, transaction_id, amount="30")
    dearer = ledger.books.sequence
    change(ledger, transaction_id, payee="Market hall")
    paid = ledger.books.sequence

    def stands() -> tuple[bool, int, str | None]:
        state = ledger.books.transactions[transaction_id]
        return state.deleted, state.amount_minor, state.annotations.payee

    seen, undos = [], []
    for number in (paid, dearer, created):
        ledger.done(UndoSubmitted, change=number)
        undos.append(ledger.books.sequence)
        seen.append(stands())
    for number in reversed(undos):
        ledger.done(UndoSubmitted, change=number)
        seen.append(stands())

    assert seen == [
        (False, 3000, None),
        (False, 2447, None),
        (True, 2447, None),
        (False, 2447, None),
        (False, 3000, None),
        (False, 3000, "Market hall"),
    ]


def test_what_somebody_changed_since_is_not_undone_with_what_was_before(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger)
    created = ledger.books.sequence
    change(ledger, transaction_id, payee="Market hall")

    assert ledger.refused(UndoSubmitted, change=created) == RefusalCode.CHANGED_SINCE


def test_an_undo_cannot_be_undone_twice(ledger: OpenLedger) -> None:
    spend(ledger)
    created = ledger.books.sequence
    ledger.done(UndoSubmitted, change=created)

    assert ledger.refused(UndoSubmitted, change=created) == RefusalCode.CHANGED_SINCE


def test_accounts_are_renamed_merged_and_closed_and_it_is_undone(ledger: OpenLedger) -> None:
    spend(ledger, category="Food")
    food, groceries = ledger.account_id("Food"), ledger.account_id("Groceries")
    ledger.done(AccountChangeSubmitted, account_id=food, name="Meals")
    renamed = ledger.books.sequence
    ledger.done(AccountChangeSubmitted, account_id=food, merge_into="groceries")
    merged = ledger.books.sequence
    assert ledger.books.find_account("Meals") == ledger.books.account(groceries)

    ledger.done(UndoSubmitted, change=merged)
    ledger.done(UndoSubmitted, change=renamed)

    account = ledger.books.account(food)
    assert account is not None
    assert (account.name, account.closed, account.merged_into) == ("Food", False, None)


def test_a_name_taken_meanwhile_stays_with_who_has_it(ledger: OpenLedger) -> None:
    food = ledger.account_id("Groceries")
    ledger.done(AccountChangeSubmitted, account_id=food, name="Food")
    renamed = ledger.books.sequence
    spend(ledger, category="Groceries")

    assert ledger.refused(UndoSubmitted, change=renamed) == RefusalCode.NAME_TAKEN


def test_categories_merged_into_each_other_are_refused_by_redo_too(ledger: OpenLedger) -> None:
    spend(ledger, category="Food")
    food, groceries = ledger.account_id("Food"), ledger.account_id("Groceries")
    ledger.done(AccountChangeSubmitted, account_id=food, merge_into="Groceries")
    ledger.done(UndoSubmitted, change=ledger.books.sequence)
    undone = ledger.books.sequence
    ledger.done(AccountChangeSubmitted, account_id=groceries, merge_into="Food")

    assert ledger.refused(UndoSubmitted, change=undone) == RefusalCode.ACCOUNTS_EQUAL


def test_undoing_an_opening_closes_the_account_if_nothing_is_in_it(ledger: OpenLedger) -> None:
    ledger.done(AccountSubmitted, name="Purse", kind=AccountKind.ASSET)
    opened = ledger.books.sequence

    entry = ledger.done(UndoSubmitted, change=opened)

    assert (entry.closed, entry.undoes) == (True, opened)


def test_money_a_statement_has_confirmed_stays_until_the_assertion_is_lifted(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger, account="Savings", booked=date(2026, 3, 1))
    assertion = ledger.done(AssertionSubmitted, account="Savings", balance="75.53", on=date(2026, 3, 31))
    assert assertion.stated_minor == assertion.computed_minor

    assert change(ledger, transaction_id, payee="Market hall").payee == "Market hall"
    assert (
        ledger.refused(TransactionChangeSubmitted, transaction_id=transaction_id, amount="1")
        == RefusalCode.TRANSACTION_RECONCILED
    )
    later = spend(ledger, account="Savings", booked=date(2026, 3, 1))
    assert change(ledger, later, amount="1").revision == 2
    ledger.done(AssertionLiftSubmitted, assertion_id=assertion.assertion_id)
    assert change(ledger, transaction_id, amount="1").revision == 2


def test_an_assertion_that_differs_is_kept_and_reconciles_nothing(ledger: OpenLedger) -> None:
    transaction_id = spend(ledger, account="Savings")

    entry = ledger.done(AssertionSubmitted, account="Savings", balance="1", on=date(2026, 3, 31))

    assert entry.stated_minor != entry.computed_minor
    assert change(ledger, transaction_id, amount="1").revision == 2


def test_a_closed_account_keeps_its_money_where_it_is(ledger: OpenLedger) -> None:
    transaction_id = transfer(ledger, "Cash", account="Savings", amount="100")
    ledger.done(AccountChangeSubmitted, account_id=ledger.account_id("Savings"), closed=True)

    assert ledger.refused(ReversalSubmitted, transaction_id=transaction_id) == RefusalCode.ACCOUNT_CLOSED
