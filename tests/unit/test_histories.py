"""What holds after any history of submissions, however it is cut into batches."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from contracts.ledgers import personal_ledger_id
from contracts.members import Role
from contracts.messages import JournalEntry, LedgerEntry, Submission
from contracts.transactions import TransactionKind, TransactionRecorded
from tests.builders.books import ANN, BOB, asked_of, cut, reloaded, take, totals_by_account
from tests.builders.submissions import a_submission

Records = Sequence[Asked[Submission]]

# Few values each, so that names, days and ids meet; some of them are refused.
CATEGORIES = st.sampled_from(
    ["Groceries", "groceries ", "Rent", "Salary", "ＲＥＮＴ", "Cash", "Straße", "STRASSE", None]
)
AMOUNTS = st.one_of(
    st.integers(1, 10**7).map(lambda cents: f"{cents // 100}.{cents % 100:02d}"),
    st.sampled_from(["0", "0.001", "10000000000000", "9999999999999999.99999999"]),
)


@st.composite
def histories(draw: st.DrawFn) -> Records:
    """Draw records for one ledger: its owner's, an outsider's, with and without a home to open it with."""
    length = draw(st.integers(1, 25))
    return [
        asked_of(
            a_submission(
                ANN,
                amount=draw(AMOUNTS),
                category=draw(CATEGORIES),
                kind=draw(st.sampled_from([None, *TransactionKind])),
                account=draw(st.sampled_from([None, None, "cash", "Bank"])),
                currency=draw(st.sampled_from([None, "EUR", "USD"])),
                booked=draw(st.one_of(st.none(), st.dates(date(1899, 12, 1), date(2201, 1, 31)))),
                transaction_id=draw(st.one_of(st.none(), st.integers(1, 3).map(lambda number: UUID(int=number)))),
            ),
            user_id=draw(st.sampled_from([ANN, ANN, ANN, BOB])),
            number=number,
            home_zone=draw(st.sampled_from(["Europe/Berlin", "Europe/Berlin", None])),
        )
        for number in range(1, length + 1)
    ]


def record(batches: Iterable[Records]) -> tuple[Books, list[JournalEntry], list[Decision], list[Books]]:
    """Record batches one after the other; return the last books, all entries and decisions, and each batch's books."""
    books, journal, decisions, each_batch = Books(personal_ledger_id(ANN)), [], [], []
    for batch in batches:
        books = reloaded(books)
        decisions += take(books, *batch)
        journal += books.journal
        each_batch.append(books)
    return books, journal, decisions, each_batch


@given(records=histories())
def test_money_is_neither_made_nor_lost(records: Records) -> None:
    books, journal, _, _ = record([records])

    by_currency: dict[str, int] = {}
    for (_, _, currency), total in totals_by_account([books]).items():
        by_currency[currency] = by_currency.get(currency, 0) + total
    assert all(total == 0 for total in by_currency.values())
    moved = sum(posting.amount_minor for entry in journal for posting in getattr(entry, "postings", ()))
    assert moved == sum(turnover.incoming_minor for turnover in books.turnover.values())
    assert moved == sum(turnover.outgoing_minor for turnover in books.turnover.values())


@given(records=histories(), sizes=st.lists(st.integers(1, 6), max_size=8))
def test_a_history_gives_the_same_entries_and_state_in_any_batch_cut(records: Records, sizes: list[int]) -> None:
    whole, whole_journal, whole_decisions, whole_batches = record([records])
    last, journal, decisions, batches = record(cut(records, sizes))

    assert journal == whole_journal
    assert [decision.refusal for decision in decisions] == [decision.refusal for decision in whole_decisions]
    assert totals_by_account(batches) == totals_by_account(whole_batches)
    assert reloaded(last) == reloaded(whole)


@given(records=histories())
def test_the_journal_has_no_gap_and_time_never_goes_back(records: Records) -> None:
    books, journal, _, _ = record([records])

    entries = [entry for entry in journal if isinstance(entry, LedgerEntry)]
    assert [entry.sequence for entry in entries] == list(range(1, len(journal) + 1))
    assert [entry.recorded_at for entry in entries] == sorted(entry.recorded_at for entry in entries)
    assert books.sequence == len(journal)


@given(records=histories())
def test_books_built_from_the_journal_equal_those_that_wrote_it(records: Records) -> None:
    books, journal, _, _ = record([records])

    assert Books(books.ledger_id).after(journal) == books


@given(records=histories())
def test_each_accepted_record_becomes_one_transaction_and_a_refused_one_none(records: Records) -> None:
    _, journal, decisions, _ = record([records])

    accepted = [
        asked.message.resource_id(asked.operation_id)
        for asked, decision in zip(records, decisions, strict=True)
        if decision.refusal is None
    ]
    assert [entry.transaction_id for entry in journal if isinstance(entry, TransactionRecorded)] == accepted
    assert len(set(accepted)) == len(accepted)


@given(records=histories())
def test_names_that_differ_in_spelling_only_are_one_category(records: Records) -> None:
    _, journal, _, _ = record([records])

    keys = [name for entry in journal if (name := getattr(entry, "name", None))]
    folded = [" ".join(name.casefold().replace("ｒｅｎｔ", "rent").split()) for name in keys]
    assert len(folded) == len(set(folded))


@given(records=histories(), role=st.sampled_from([None, Role.VIEWER]))
def test_who_may_not_write_changes_nothing(records: Records, role: Role | None) -> None:
    books = Books(personal_ledger_id(ANN))
    take(books, asked_of())
    before = reloaded(books)
    if role:
        before.roles[BOB] = role
    books = reloaded(before)

    take(books, *(replace(asked, user_id=BOB) for asked in records))

    assert books == before
