"""Schemas of the OpenAPI document: the same said in fewer words, and moments that say that they are some."""

from datetime import date, datetime
from typing import Any

import msgspec
import pytest

from gateway.schemas import plain, schemas_of


class Seen(msgspec.Struct):
    """What was seen.

    And when.
    """

    at: datetime
    until: datetime | None
    days: list[date]
    moments: list[datetime]
    name: str | None = None


def test_a_moment_says_that_it_is_one_wherever_it_stands() -> None:
    properties = schemas_of([Seen], "#/{name}")["Seen"]["properties"]

    assert properties["at"] == {"type": "string", "format": "date-time"}
    assert {"type": "string", "format": "date-time"} in properties["until"]["anyOf"]
    assert properties["moments"]["items"] == {"type": "string", "format": "date-time"}
    assert properties["days"]["items"] == {"type": "string", "format": "date"}
    assert {"type": "string"} in properties["name"]["anyOf"]


@pytest.mark.parametrize(
    ("schema", "plainly"),
    [
        (
            {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}], "description": "Of it."},
            {"type": ["string", "null"], "maxLength": 9, "description": "Of it."},
        ),
        (
            {"anyOf": [{"type": "string", "description": "Of all."}, {"type": "null"}], "description": "Of it."},
            {"type": ["string", "null"], "description": "Of it."},
        ),
        ({"anyOf": [{"$ref": "#/A"}, {"type": "null"}]}, {"anyOf": [{"$ref": "#/A"}, {"type": "null"}]}),
        ({"enum": ["a", "b"]}, {"enum": ["a", "b"], "type": "string"}),
        ({"enum": ["a", None]}, {"enum": ["a", None]}),
        (
            {"prefixItems": [{}, {}], "items": False, "minItems": 2, "maxItems": 2},
            {"prefixItems": [{}, {}], "minItems": 2, "maxItems": 2},
        ),
        ({"prefixItems": [{}], "items": False}, {"prefixItems": [{}], "items": False}),
        (
            {"properties": {"title": {"type": "string", "title": "Title", "default": None}}, "title": "Problem"},
            {"properties": {"title": {"type": "string"}}, "title": "Problem"},
        ),
        (
            {"properties": {"n": {"type": "integer", "default": 0}}},
            {"properties": {"n": {"type": "integer", "default": 0}}},
        ),
        ({"description": "One.\n\n    Two."}, {"description": "One.\n\nTwo."}),
        ({"examples": [{"anyOf": [{"type": "string"}, {"type": "null"}]}]},) * 2,
    ],
)
def test_a_schema_says_the_same_in_fewer_words(schema: dict[str, Any], plainly: dict[str, Any]) -> None:
    assert plain(schema) == plainly
