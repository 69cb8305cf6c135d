"""What stands behind the ``?``: read from text, each wrong parameter named with a sentence of ours."""

from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from litestar.testing import RequestFactory
from pydantic import Field

from gateway.errors import Invalid
from gateway.fields import CursorText, Day, Flag, Limit, Moment, Query
from gateway.requests import JsonRequest, query_of


class Asked(Query):
    limit: Limit = 50
    cursor: CursorText | None = None
    closed: Flag = Field(False, description="Whether closed ones are listed too.")
    on: Day | None = None
    known_at: Moment | None = None


def asked(raw: str | bytes) -> Asked:
    request = RequestFactory().get("/")
    request.scope["query_string"] = raw if isinstance(raw, bytes) else raw.encode()
    return query_of(JsonRequest(request.scope), Asked)


def wrong(raw: str | bytes) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        asked(raw)
    return {each.field: each.detail for each in refused.value.problems}


def test_what_is_not_sent_is_as_the_model_says() -> None:
    assert asked("") == Asked()


def test_every_kind_is_read_from_text() -> None:
    found = asked("limit=7&closed=true&on=2024-02-29&known_at=2024-09-19T18:30:00%2B02:00&cursor=A-_9")

    assert found == Asked(
        limit=7,
        closed=True,
        on=date(2024, 2, 29),
        known_at=datetime(2024, 9, 19, 16, 30, tzinfo=UTC),
        cursor="A-_9",
    )


@pytest.mark.parametrize(
    ("field", "texts", "sentence"),
    [
        ("limit", ["", "0", "201", "-1", "5_0", "+5", " 5", "5.0", "1e2", "٣", "ten", "9" * 30], "whole number"),
        ("closed", ["", "1", "yes", "True", "TRUE", "null"], "true or false"),
        ("on", ["", "20240919", "2024-02-30", "2024-9-1", "1726704000", "2024-09-19T00:00:00", "today"], "a day"),
        (
            "known_at",
            [
                "",
                "2024-09-19",
                "2024-09-19T18:30:00",
                "1726704000",
                "2024-09-19T25:00:00Z",
                "0001-01-01T00:00:00+14:00",
            ],
            "moment",
        ),
        ("cursor", ["", "a b", "é", "A" * 201, "\x00"], "not a cursor"),
    ],
)
def test_each_wrong_value_is_refused_with_a_sentence(field: str, texts: list[str], sentence: str) -> None:
    for text in texts:
        found = wrong(urlencode({field: text}))
        assert found.keys() == {field}, text
        assert sentence in found[field]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("limits=5", {"limits": "There is no such parameter."}),
        ("limit=5&limit=6", {"limit": "Send this parameter once."}),
        ("on=%ff", {"": "The query is not percent-encoded UTF-8, or has too many parameters."}),
        (
            "&".join("x=1" for _ in range(60)),
            {"": "The query is not percent-encoded UTF-8, or has too many parameters."},
        ),
    ],
)
def test_unknown_repeated_and_unreadable_parameters_are_refused(raw: str, expected: dict[str, str]) -> None:
    assert wrong(raw) == expected


def test_all_that_are_wrong_are_named_at_once() -> None:
    assert wrong("limit=0&on=x&y=1").keys() == {"limit", "on", "y"}


class Needed(Query):
    by: Day


def test_a_parameter_that_is_needed_is_asked_for() -> None:
    request: Any = RequestFactory().get("/")
    with pytest.raises(Invalid) as refused:
        query_of(JsonRequest(request.scope), Needed)

    assert [(each.field, each.detail) for each in refused.value.problems] == [("by", "This parameter is needed.")]
