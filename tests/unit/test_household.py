"""The demo household's books."""

from collections import Counter
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cli.development.household import entries_until
from contracts.money import to_minor
from contracts.text import IDEMPOTENCY_KEY_LENGTH_MAX

days = st.dates(min_value=date(2024, 1, 1), max_value=date(2035, 12, 31))


@given(day=days)
def test_books_are_a_few_dozen_transactions_of_the_past(day: date) -> None:
    entries = entries_until(day)

    assert 36 <= len(entries) <= 72
    assert all(entry.day <= day for entry in entries)
    assert [entry.day for entry in entries] == sorted(entry.day for entry in entries)


@given(day=days)
def test_every_entry_has_a_key_of_its_own_and_an_exact_amount(day: date) -> None:
    entries = entries_until(day)

    assert max(Counter(entry.key for entry in entries).values()) == 1
    assert all(
        len(entry.key) <= IDEMPOTENCY_KEY_LENGTH_MAX and to_minor(entry.body()["amount"], "EUR") > 0
        for entry in entries
    )


@given(day=days, later=st.integers(min_value=0, max_value=100))
def test_a_later_run_sends_the_same_content_under_the_same_key(day: date, later: int) -> None:
    first = {entry.key: entry for entry in entries_until(day)}
    second = {entry.key: entry for entry in entries_until(day + timedelta(days=later))}

    assert all(first[key] == second[key] for key in first.keys() & second.keys())
    assert all(entry.day > day for key, entry in second.items() if key not in first)


@given(day=days)
def test_the_household_never_spends_what_it_does_not_have(day: date) -> None:
    held = 0
    for each in sorted(entries_until(day), key=lambda entry: (entry.day, entry.kind != "income")):
        held += each.minor * (1 if each.kind == "income" else -1)
        assert held >= 0


@given(day=days)
def test_parts_add_up_and_savings_are_put_aside(day: date) -> None:
    bodies = [entry.body() for entry in entries_until(day)]

    for body in bodies:
        assert ("category" in body) + ("splits" in body) + ("to_account" in body) == 1
        parts = [to_minor(split["amount"], "EUR") for split in body.get("splits", ())]
        assert not parts or sum(parts) == to_minor(body["amount"], "EUR")
    assert any("splits" in body for body in bodies)
    assert any("to_account" in body for body in bodies)
