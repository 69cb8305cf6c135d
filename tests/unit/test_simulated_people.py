"""The people that a simulation makes up, and what they record."""

import re
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.development.household import SAVINGS
from cli.simulation.people import checked_seed, last_day_of, new_seed, people
from cli.terminal.output import Failure
from contracts.money import to_minor
from contracts.text import IDEMPOTENCY_KEY_PATTERN, is_mailbox
from contracts.transactions import TransactionKind
from contracts.users import USERNAME_PATTERN

seeds = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", fullmatch=True)
#: Making somebody up takes a millisecond or two.
few = settings(max_examples=12)


@few
@given(seed=seeds, fewer=st.integers(1, 6), more=st.integers(0, 6))
def test_the_same_seed_makes_up_the_same_people_however_many(seed: str, fewer: int, more: int) -> None:
    assert people(seed, fewer) == people(seed, fewer + more)[:fewer]


@few
@given(seed=seeds, fewer=st.integers(1, 60), more=st.integers(0, 60))
def test_the_same_person_records_the_same_however_much(seed: str, fewer: int, more: int) -> None:
    (person,) = people(seed, 1)

    assert person.first_entries(fewer) == person.first_entries(fewer + more)[:fewer]


def test_another_seed_makes_up_other_people() -> None:
    names = {person.username for seed in ("a", "b", "20261128-a", "20261128-b") for person in people(seed, 25)}

    assert len(names) == 100


@few
@given(seed=seeds)
def test_everybody_has_a_username_and_an_address_that_nobody_is_written_to_at(seed: str) -> None:
    for person in people(seed, 8):
        assert re.fullmatch(USERNAME_PATTERN, person.username)
        assert person.email == f"{person.username}@example.org"
        assert is_mailbox(person.username)


@few
@given(seed=seeds)
def test_what_they_record_adds_up_and_is_exact(seed: str) -> None:
    for person in people(seed, 3):
        entries = person.first_entries(70)

        assert len({entry.key for entry in entries}) == len(entries)
        for entry in entries:
            assert re.fullmatch(IDEMPOTENCY_KEY_PATTERN, entry.key)
            assert sum(minor for _, minor in entry.parts()) == entry.minor
            assert all(minor > 0 for _, minor in entry.parts())
            assert to_minor(str(entry.body()["amount"]), person.base_currency) == entry.minor
            assert entry.payee is None or len(entry.payee) <= 100


@few
@given(seed=seeds)
def test_months_have_a_salary_a_rent_and_something_put_aside(seed: str) -> None:
    (person,) = people(seed, 1)
    months: dict[tuple[int, int], list[str]] = {}
    for entry in person.first_entries(60):
        months.setdefault((entry.day.year, entry.day.month), []).append(entry.category)

    # The last month is begun only.
    for categories in list(months.values())[:-1]:
        assert categories.count("Salary") == categories.count("Rent") == categories.count(SAVINGS) == 1
        assert categories.count("Groceries") >= 4
    assert [back for back, _ in pairwise(months)] == sorted(months, reverse=True)[:-1]


def test_all_kinds_are_there_with_splits_payees_and_tags() -> None:
    entries = [entry for person in people("20261128-7c1f", 4) for entry in person.first_entries(40)]

    assert {entry.kind for entry in entries} == {
        TransactionKind.EXPENSE,
        TransactionKind.INCOME,
        TransactionKind.REFUND,
        TransactionKind.TRANSFER,
    }
    assert any(entry.part for entry in entries)
    assert any(entry.tags for entry in entries)
    assert all(
        bool(entry.payee) == (entry.kind is not TransactionKind.TRANSFER)
        for entry in entries
        if entry.category != "Refunds"
    )


@pytest.mark.parametrize(
    ("seed", "day"),
    [
        ("20261128-7c1f", date(2026, 11, 28)),
        ("2026-11-28", date(2026, 11, 28)),
        ("20260230-7c1f", date(2025, 12, 31)),
        ("202611281", date(2025, 12, 31)),
        ("00010101-7c1f", date(2025, 12, 31)),
        ("again", date(2025, 12, 31)),
    ],
)
def test_a_seed_says_up_to_which_day(seed: str, day: date) -> None:
    assert last_day_of(seed) == day
    assert all(entry.day < day for entry in people(seed, 1)[0].first_entries(40))


def test_a_new_seed_names_the_day_and_is_one() -> None:
    seed = new_seed(date(2026, 11, 28))

    assert seed == checked_seed(seed)
    assert last_day_of(seed) == date(2026, 11, 28)


@pytest.mark.parametrize("typed", ["", " a", "a b", "a/b", "-a", "ä", "a" * 41, "a\n"])
def test_what_is_no_seed_is_refused(typed: str) -> None:
    with pytest.raises(Failure, match="is not a seed"):
        checked_seed(typed)
