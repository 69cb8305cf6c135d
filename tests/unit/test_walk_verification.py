"""Holding what is stored against the journal, as a table of what can differ."""

from typing import Any

import pytest

from cli.terminal.output import Failure
from cli.walk.verification import Folded, Stored, differences

ANN, BEN = "ann", "ben"
CASH, FOOD, EATING, OPENING = "cash", "food", "eating", "opening"


def recorded(sequence: int, amount: str = "5.00", into: str = FOOD, **fields: Any) -> dict[str, Any]:
    posting = {"source_account_id": CASH, "destination_account_id": into, "amount": amount, "currency": "EUR"}
    entry = {
        "type": "transaction.recorded",
        "sequence": sequence,
        "user_id": ANN,
        "transaction_id": "t",
        "postings": [posting],
        "booked_on": "2026-01-01",
        "description": "milk",
        "payee": None,
        "note": None,
        "status": "pending",
    }
    return {**entry, **fields}


def reversed_(sequence: int, amount: str = "5.00", *, deleted: bool) -> dict[str, Any]:
    posting = {"source_account_id": FOOD, "destination_account_id": CASH, "amount": amount, "currency": "EUR"}
    fields = {"transaction_id": "t", "postings": [posting], "deleted": deleted}
    return {"type": "transaction.reversed", "sequence": sequence, "user_id": ANN, **fields}


def annotated(sequence: int, description: str) -> dict[str, Any]:
    fields = {"transaction_id": "t", "description": description, "payee": None, "note": None, "status": "pending"}
    return {"type": "transaction.annotated", "sequence": sequence, "user_id": ANN, **fields}


def merged(sequence: int, account: str, into: str | None) -> dict[str, Any]:
    return {
        "type": "account.changed",
        "sequence": sequence,
        "user_id": ANN,
        "account_id": account,
        "merged_into": into,
    }


def opened(sequence: int, account: str, kind: str) -> dict[str, Any]:
    return {"type": "account.opened", "sequence": sequence, "user_id": ANN, "account_id": account, "kind": kind}


def stored(sequence: int, *transactions: dict[str, Any], **balances: str) -> Stored:
    lines = [
        {"account": {"id": name, "name": name, "kind": "asset"}, "amount": amount, "currency": "EUR"}
        for name, amount in balances.items()
    ]
    return Stored(sequence, transactions, lines, frozenset({ANN}))


def a_row(version: int, amount: str = "5.00", into: str = FOOD, **fields: Any) -> dict[str, Any]:
    posting = {"source": {"id": CASH}, "destination": {"id": into}, "amount": amount, "currency": "EUR"}
    row = {"id": "t", "version": version, "postings": [posting], "date": "2026-01-01", "description": "milk"}
    return {**row, "payee": None, "note": None, "status": "pending", **fields}


def folded(*entries: dict[str, Any]) -> Folded:
    come_to = Folded()
    for entry in entries:
        come_to.take(entry)
    return come_to


@pytest.mark.parametrize(
    ("journal", "database"),
    [
        ([], stored(0)),
        ([recorded(1)], stored(1, a_row(1), cash="-5.00", food="5.00")),
        ([recorded(1), annotated(2, "bread")], stored(2, a_row(2, description="bread"), cash="-5.00", food="5.00")),
        (
            [recorded(1), reversed_(2, deleted=False), recorded(3, "6.00")],
            stored(3, a_row(3, "6.00"), cash="-6.00", food="6.00"),
        ),
        ([recorded(1), reversed_(2, deleted=True)], stored(2, cash="0.00")),
        ([recorded(1), merged(2, FOOD, EATING)], stored(2, a_row(1), cash="-5.00", eating="5.00")),
        ([recorded(1), merged(2, FOOD, EATING), merged(3, FOOD, None)], stored(3, a_row(1), cash="-5", food="5")),
        # The other side of an opening balance is an account of the ledger itself, which no list shows.
        ([opened(1, OPENING, "equity"), recorded(2, into=OPENING)], stored(2, a_row(2, into=OPENING), cash="-5.00")),
    ],
)
def test_what_is_stored_is_what_the_journal_comes_to(journal: list[dict[str, Any]], database: Stored) -> None:
    assert differences(database, folded(*journal)) == []


@pytest.mark.parametrize(
    ("journal", "database", "said"),
    [
        ([recorded(1)], stored(1, cash="-5.00", food="5.00"), "in the journal and not stored"),
        ([], stored(0, a_row(1)), "is stored, and the journal has none of it"),
        ([recorded(1)], stored(1, a_row(1, "6.00"), cash="-5", food="5"), "another amount or category"),
        ([recorded(1)], stored(1, a_row(1, into=EATING), cash="-5", food="5"), "another amount or category"),
        ([recorded(1)], stored(1, a_row(1, date="2026-01-02"), cash="-5", food="5"), "another date"),
        ([recorded(1)], stored(1, a_row(1, description="x"), cash="-5", food="5"), "another description"),
        (
            [recorded(1)],
            stored(1, a_row(1), cash="-5.01", food="5"),
            "cash holds -5.01 EUR, and the journal comes to -5",
        ),
        ([recorded(1)], stored(1, a_row(1), cash="-5"), "account food holds 5.00 EUR by the journal"),
        ([recorded(1, user_id=BEN)], stored(1, a_row(1), cash="-5", food="5"), "who is no member"),
    ],
)
def test_every_difference_is_named(journal: list[dict[str, Any]], database: Stored, said: str) -> None:
    (difference,) = differences(database, folded(*journal))

    assert said in difference


@pytest.mark.parametrize("sequence", [1, 3])
def test_a_gap_or_a_repeat_in_the_journal_is_refused(sequence: int) -> None:
    with pytest.raises(Failure, match=f"entry {sequence} after entry 1"):
        folded(recorded(1), recorded(sequence))
