"""What counts as breaking: a table of before and after, each kind of change caught and named."""

import copy
from typing import Any

import pytest

from contracts.catalog import MESSAGES
from contracts.compatibility import breaking_changes
from contracts.export import json_schema
from contracts.messages import Message

Schema = dict[str, Any]


def an_object(required: list[str] | None = None, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required or []}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}

BREAKING: list[tuple[str, Schema, Schema, str]] = [
    ("a field is removed", an_object(a=TEXT, b=TEXT), an_object(a=TEXT), "value.b: the field is gone"),
    ("a field is renamed", an_object(a=TEXT), an_object(b=TEXT), "value.a: the field is gone"),
    (
        "a new field is required",
        an_object(a=TEXT),
        an_object(["b"], a=TEXT, b=TEXT),
        "value.b: a new field is required",
    ),
    ("an optional field is required", an_object(a=TEXT), an_object(["a"], a=TEXT), "an optional field became required"),
    ("a required field is optional", an_object(["a"], a=TEXT), an_object(a=TEXT), "a required field became optional"),
    ("another type", an_object(a=TEXT), an_object(a=NUMBER), "value.a: type 'string' became 'integer'"),
    (
        "null is no longer allowed",
        an_object(a={"anyOf": [TEXT, {"type": "null"}]}),
        an_object(a=TEXT),
        "value.a: anyOf",
    ),
    ("null is allowed", an_object(a=TEXT), an_object(a={"anyOf": [TEXT, {"type": "null"}]}), "value.a: anyOf"),
    (
        "another type inside a union",
        an_object(a={"anyOf": [TEXT, {"type": "null"}]}),
        an_object(a={"anyOf": [NUMBER, {"type": "null"}]}),
        "value.a: type 'string' became 'integer'",
    ),
    ("an enum loses a value", an_object(a={"enum": ["x", "y"]}), an_object(a={"enum": ["x"]}), "the value 'y' is gone"),
    ("an enum gains a value", an_object(a={"enum": ["x"]}), an_object(a={"enum": ["x", "y"]}), "the value 'y' is new"),
    ("an enum appears", an_object(a=TEXT), an_object(a={**TEXT, "enum": ["x"]}), "value.a: enum None became ['x']"),
    ("another const", an_object(a={"const": 1}), an_object(a={"const": 2}), "value.a: const 1 became 2"),
    (
        "another pattern",
        an_object(a={"pattern": "^[a-z]+$"}),
        an_object(a={"pattern": "^[a-y]+$"}),
        "value.a: pattern '^[a-z]+$' became '^[a-y]+$'",
    ),
    ("a pattern appears", an_object(a=TEXT), an_object(a={**TEXT, "pattern": "^x$"}), "value.a: pattern '^x$' is new"),
    ("a pattern goes", an_object(a={**TEXT, "pattern": "^x$"}), an_object(a=TEXT), "value.a: pattern '^x$' is gone"),
    (
        "another format",
        an_object(a={"format": "date"}),
        an_object(a={"format": "date-time"}),
        "value.a: format 'date' became 'date-time'",
    ),
    ("shorter", an_object(a={"maxLength": 100}), an_object(a={"maxLength": 50}), "100 became 50, which is narrower"),
    ("longer", an_object(a={"maxLength": 50}), an_object(a={"maxLength": 100}), "50 became 100, which is wider"),
    ("a length appears", an_object(a=TEXT), an_object(a={**TEXT, "maxLength": 5}), "None became 5, which is narrower"),
    ("a length goes", an_object(a={**TEXT, "maxLength": 5}), an_object(a=TEXT), "5 became None, which is wider"),
    ("a longer minimum", an_object(a={"minLength": 1}), an_object(a={"minLength": 2}), "1 became 2, which is narrower"),
    ("a larger minimum", an_object(a={"minimum": 0}), an_object(a={"minimum": 1}), "0 became 1, which is narrower"),
    ("a smaller maximum", an_object(a={"maximum": 9}), an_object(a={"maximum": 8}), "9 became 8, which is narrower"),
    (
        "another exclusive minimum",
        an_object(a={"exclusiveMinimum": 0}),
        an_object(a={"exclusiveMinimum": 1}),
        "0 became 1, which is narrower",
    ),
    ("fewer items", an_object(a={"maxItems": 9}), an_object(a={"maxItems": 8}), "9 became 8, which is narrower"),
    (
        "other items",
        an_object(a={"type": "array", "items": TEXT}),
        an_object(a={"type": "array", "items": NUMBER}),
        "value.a[]: type 'string' became 'integer'",
    ),
    (
        "a field inside a field is removed",
        an_object(a=an_object(b=TEXT)),
        an_object(a=an_object()),
        "value.a.b: the field is gone",
    ),
    (
        "a new required field inside items",
        an_object(a={"type": "array", "items": an_object()}),
        an_object(a={"type": "array", "items": an_object(["b"], b=TEXT)}),
        "value.a[].b: a new field is required",
    ),
    (
        "unknown fields are forbidden",
        an_object(a=TEXT),
        {**an_object(a=TEXT), "additionalProperties": False},
        "value: additionalProperties False is new",
    ),
    ("another default", an_object(a={"default": ""}), an_object(a={"default": "x"}), "value.a: default '' became 'x'"),
    (
        "a definition behind a reference",
        {"$defs": {"K": {"enum": ["x", "y"]}}, **an_object(a={"$ref": "#/$defs/K"})},
        {"$defs": {"K": {"enum": ["x"]}}, **an_object(a={"$ref": "#/$defs/K"})},
        "value.a: the value 'y' is gone",
    ),
    (
        "a reference to something else",
        {"$defs": {"K": TEXT, "L": NUMBER}, **an_object(a={"$ref": "#/$defs/K"})},
        {"$defs": {"K": TEXT, "L": NUMBER}, **an_object(a={"$ref": "#/$defs/L"})},
        "value.a: type 'string' became 'integer'",
    ),
    ("a keyword we never heard of", an_object(a=TEXT), an_object(a={**TEXT, "if": {}}), "value.a: if {} is new"),
]

HARMLESS: list[tuple[str, Schema, Schema]] = [
    ("nothing", an_object(["a"], a=TEXT), an_object(["a"], a=TEXT)),
    ("a new optional field", an_object(["a"], a=TEXT), an_object(["a"], a=TEXT, b=NUMBER)),
    (
        "a new optional field inside items",
        an_object(a={"items": an_object()}),
        an_object(a={"items": an_object(b=TEXT)}),
    ),
    ("words", an_object(a={**TEXT, "description": "x"}), an_object(a={**TEXT, "description": "y", "title": "A"})),
    ("the order of required fields", an_object(["a", "b"], a=TEXT, b=TEXT), an_object(["b", "a"], b=TEXT, a=TEXT)),
    ("the order of an enum", an_object(a={"enum": ["x", "y"]}), an_object(a={"enum": ["y", "x"]})),
    (
        "a definition by another name",
        {"$defs": {"K": TEXT}, **an_object(a={"$ref": "#/$defs/K"})},
        {"$defs": {"L": TEXT}, **an_object(a={"$ref": "#/$defs/L"})},
    ),
    ("a field that is called like an annotation", an_object(title=TEXT), an_object(title=TEXT, description=TEXT)),
]


@pytest.mark.parametrize(("before", "after", "said"), [row[1:] for row in BREAKING], ids=[row[0] for row in BREAKING])
def test_breaking_change_is_caught_and_named(before: Schema, after: Schema, said: str) -> None:
    changes = breaking_changes(before, after)

    assert any(said in change for change in changes), changes


@pytest.mark.parametrize(("before", "after"), [row[1:] for row in HARMLESS], ids=[row[0] for row in HARMLESS])
def test_harmless_change_passes(before: Schema, after: Schema) -> None:
    assert breaking_changes(before, after) == []


def test_a_field_called_like_an_annotation_is_still_a_field() -> None:
    before, after = an_object(description=TEXT), an_object(description=NUMBER)

    assert breaking_changes(before, after) == ["value.description: type 'string' became 'integer'"]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_every_field_of_every_message_is_guarded(message: type[Message]) -> None:
    released = json_schema(message)
    for name in message.model_fields:
        without = copy.deepcopy(released)
        del without["properties"][name]
        assert f"value.{name}: the field is gone" in breaking_changes(released, without)

        retyped = copy.deepcopy(released)
        retyped["properties"][name] = {"type": "null"}
        assert breaking_changes(released, retyped)
