"""Server-sent events as the standard says (WHATWG HTML, 9.2), however the network cut them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.books.event_lines import Event, EventReader


def read(text: str, *, last_id: str = "") -> tuple[list[Event], EventReader]:
    reader = EventReader(last_id)
    return list(reader.feed(text.encode())), reader


@pytest.mark.parametrize(
    ("text", "events"),
    [
        # The standard's own examples.
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [Event("message", "YHOO\n+2\n10", "")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [
                Event("message", "first event", "1"),
                Event("message", "second event", ""),
                Event("message", " third event", ""),
            ],
        ),
        ("data\n\ndata\ndata\n\ndata:", [Event("message", "", ""), Event("message", "\n", "")]),
        ("data:test\n\ndata: test\n\n", [Event("message", "test", ""), Event("message", "test", "")]),
        # And what it says elsewhere.
        ("\ufeffdata: x\n\n", [Event("message", "x", "")]),
        ("event: a\ndata: 1\n\ndata: 2\n\n", [Event("a", "1", ""), Event("message", "2", "")]),
        ("event: lost\n\ndata: 1\n\n", [Event("message", "1", "")]),
        ("id: 5\ndata: 1\n\ndata: 2\n\n", [Event("message", "1", "5"), Event("message", "2", "5")]),
        ("id: 5\0\ndata: 1\n\n", [Event("message", "1", "")]),
        ("unknown: field\ndata: 1\n\n", [Event("message", "1", "")]),
        ("data: not ended\n", []),
        ("data: a\u2028b\x0bc\x85d\n\n", [Event("message", "a\u2028b\x0bc\x85d", "")]),
    ],
)
def test_events_are_read_as_the_standard_says(text: str, events: list[Event]) -> None:
    assert read(text)[0] == events


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_ends_in_one_of_three_ways(end: str) -> None:
    text = "id: 1\ndata: a\n\nid: 2\ndata: b\n\n: end\n"

    assert read(text.replace("\n", end))[0] == [Event("message", "a", "1"), Event("message", "b", "2")]


def test_an_id_without_an_event_says_where_the_stream_stands() -> None:
    events, reader = read("retry: 2000\nid: 57\n\n", last_id="50")

    assert events == []
    assert (reader.last_id, reader.retry_ms) == ("57", 2000)


def test_a_block_that_was_cut_does_not_count() -> None:
    _, reader = read("id: 57\ndata: x\n\nid: 58\ndata: y\n")

    assert reader.last_id == "57"


@pytest.mark.parametrize("retry", ["", "2s", "-1", "٣"])
def test_a_retry_that_is_no_number_is_none(retry: str) -> None:
    assert read(f"retry: {retry}\n\n")[1].retry_ms is None


@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["", "transaction.recorded"]),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1),
        ),
        max_size=6,
    ),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    cuts=st.lists(st.integers(0, 400), max_size=20),
)
def test_however_it_is_cut_the_events_are_the_same(events: list[tuple[str, str]], end: str, cuts: list[int]) -> None:
    lines = [
        line
        for number, (kind, data) in enumerate(events)
        for line in (f"id: {number}", *([f"event: {kind}"] if kind else []), f"data: {data}", "")
    ]
    # What follows a carriage return decides whether it is over: a comment makes sure that something does.
    raw = "".join(f"{line}{end}" for line in (*lines, ":")).encode()
    places = sorted({0, *(cut for cut in cuts if cut < len(raw)), len(raw)})
    reader = EventReader()

    found = [event for at, to in pairwise(places) for event in reader.feed(raw[at:to])]

    assert found == [Event(kind or "message", data, str(number)) for number, (kind, data) in enumerate(events)]
