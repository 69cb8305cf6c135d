"""Cursors: opaque, exact, and refused where they are not ours or of another list."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.queries.paging import AmountKeys, CursorError, DayKeys, cursor_text, read_cursor

NOBODY = UUID(int=0)
EARLY = DayKeys(date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), NOBODY)
MOMENTS = st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC))


@given(st.builds(DayKeys, st.dates(), MOMENTS, st.uuids()))
def test_a_cursor_of_days_reads_as_it_was_written(keys: DayKeys) -> None:
    text = cursor_text(keys, "a list")

    assert read_cursor(text, DayKeys, "a list") == keys
    assert len(text) <= 200


@given(st.builds(AmountKeys, st.sampled_from(["EUR", "JPY"]), st.integers(0, 2**62), st.uuids()))
def test_a_cursor_of_amounts_reads_as_it_was_written(keys: AmountKeys) -> None:
    assert read_cursor(cursor_text(keys, "a list"), AmountKeys, "a list") == keys


def test_a_cursor_of_another_list_is_refused() -> None:
    text = cursor_text(AmountKeys("EUR", 5, NOBODY), "transactions amount")

    with pytest.raises(CursorError):
        read_cursor(text, AmountKeys, "transactions -amount")
    with pytest.raises(CursorError):
        read_cursor(text, DayKeys, "transactions amount")


@pytest.mark.parametrize(
    "keys",
    [
        ("EUR\x00", 5, NOBODY),
        ("EUR", -1, NOBODY),
        ("EUR", 2**63, NOBODY),
        ("EUR\n", 5, NOBODY),
        ("EUR", 5),
        ("EUR", 5, NOBODY, 1),
    ],
)
def test_keys_that_no_list_has_are_refused(keys: tuple[Any, ...]) -> None:
    with pytest.raises(CursorError):
        read_cursor(cursor_text(keys, "a list"), AmountKeys, "a list")


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é", "A" * 38, "A" * 64, "_" * 38, "=" * 38])
def test_what_is_not_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorError):
        read_cursor(text, DayKeys, "a list")


@given(st.text(max_size=64))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    for each in (text, cursor_text(EARLY, "a list")[:8] + text):
        with pytest.raises(CursorError):
            read_cursor(each, DayKeys, "a list")
