"""Cursors: opaque, exact, and refused where they are not ours."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.queries.transactions import Cursor


@given(st.dates(), st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)), st.uuids())
def test_a_cursor_reads_as_it_was_written(booked_on, booked_at, transaction_id) -> None:  # type: ignore[no-untyped-def]
    cursor = Cursor(booked_on, booked_at, transaction_id)

    assert Cursor.parse(cursor.text()) == cursor
    assert len(cursor.text()) <= 64


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é", "A" * 38, "A" * 64, "_" * 38, "=" * 38])
def test_what_is_not_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.parse(text)


@given(st.text(max_size=64))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert cursor.text() == text
