"""What holds after any history of a household: thousands of them, from a seed that is printed where one fails."""

import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from uuid import UUID

import pytest

from consumers.domain.books import Books
from contracts.messages import LedgerEntry
from contracts.refusals import RefusalCode
from contracts.transactions import TransactionRecorded, TransactionReversed
from tests.builders.books import ANN, BOB, cut, reloaded
from tests.builders.histories import Household, record

SEED = int(os.environ.get("CASH_HISTORIES_SEED", Random().randrange(10**6)))
HISTORIES = int(os.environ.get("CASH_HISTORIES", "500"))
LENGTH = 40


def households() -> Iterator[Household]:
    for number in range(HISTORIES):
        yield Household(Random(f"{SEED} {number}"), ANN, BOB, UUID(int=3))


@pytest.fixture(autouse=True)
def seed_is_printed() -> None:
    print(f"CASH_HISTORIES_SEED={SEED}")


@pytest.mark.timeout(300)
def test_whatever_a_household_does_its_books_stay_right() -> None:
    refused: Counter[RefusalCode] = Counter()
    for household in households():
        acts = household.live(household.chance.randrange(5, LENGTH))
        refused.update(each.refusal.code for each in household.decisions if each.refusal)

        one_by_one = reloaded(household.books)
        whole, journal, decisions = record(acts, [acts])
        sizes = [household.chance.randrange(1, 9) for _ in range(12)]
        in_parts, journal_in_parts, _ = record(acts, cut(acts, sizes))

        assert_no_money_is_made_or_lost(journal)
        assert_the_journal_has_no_gap(journal)
        assert_what_stands_is_what_was_posted(whole, journal)
        # However it is cut, and rebuilt from the journal, the same comes of it.
        assert journal == household.journal
        assert journal_in_parts == journal
        assert [each.refusal for each in decisions] == [each.refusal for each in household.decisions]
        assert without_balances(in_parts) == without_balances(whole) == without_balances(one_by_one)
        assert without_balances(reloaded(Books(whole.ledger_id).after(journal))) == without_balances(whole)
    # The histories are worth something only if much of what can be refused is.
    assert len(refused) >= 30, refused


def without_balances(books: Books) -> Books:
    """Leave out what is loaded for one batch's assertions alone."""
    books.balances = {}
    return books


def assert_no_money_is_made_or_lost(journal: list[LedgerEntry]) -> None:
    totals: Counter[tuple[str, UUID]] = Counter()
    for entry in journal:
        for posting in getattr(entry, "postings", ()):
            assert posting.amount_minor > 0
            totals[posting.currency, posting.source_account_id] -= posting.amount_minor
            totals[posting.currency, posting.destination_account_id] += posting.amount_minor
    by_currency: Counter[str] = Counter()
    for (currency, _), total in totals.items():
        by_currency[currency] += total
    assert not any(by_currency.values())


def assert_the_journal_has_no_gap(journal: list[LedgerEntry]) -> None:
    assert [entry.sequence for entry in journal] == list(range(1, len(journal) + 1))
    assert [entry.recorded_at for entry in journal] == sorted(entry.recorded_at for entry in journal)


def assert_what_stands_is_what_was_posted(books: Books, journal: list[LedgerEntry]) -> None:
    """The postings of everything ever recorded or taken back add up to those that stand."""
    posted: Counter[tuple[UUID, UUID, str, object]] = Counter()
    for entry in journal:
        if isinstance(entry, TransactionRecorded | TransactionReversed):
            for each in entry.postings:
                posted[entry.transaction_id, each.source_account_id, each.currency, entry.booked_on] -= (
                    each.amount_minor
                )
                posted[entry.transaction_id, each.destination_account_id, each.currency, entry.booked_on] += (
                    each.amount_minor
                )
    standing: Counter[tuple[UUID, UUID, str, object]] = Counter()
    for state in books.transactions.values():
        if not state.deleted:
            for each in state.postings:
                standing[state.id, each.source_account_id, each.currency, state.booked_on] -= each.amount_minor
                standing[state.id, each.destination_account_id, each.currency, state.booked_on] += each.amount_minor
    assert {key: total for key, total in posted.items() if total} == {
        key: total for key, total in standing.items() if total
    }
