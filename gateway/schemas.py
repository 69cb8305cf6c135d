"""JSON schemas as the OpenAPI document has them: said plainly, so that people and generators of code read the same."""

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.inspect import DateTimeType, ListType, StructType, Type, UnionType, type_info

Schema = dict[str, Any]

_NULL = {"type": "null"}
#: What holds values, not schemas.
_VALUES = frozenset({"const", "default", "enum", "example", "examples", "required"})


def schemas_of(structs: Iterable[type[msgspec.Struct]], ref_template: str) -> dict[str, Schema]:
    """Return the schemas of structs and of what they are made of, by name; a moment says that it is one."""
    structs = list(structs)
    _, schemas = msgspec.json.schema_components(structs, ref_template=ref_template)
    for struct in structs:
        told = type_info(struct)
        assert isinstance(told, StructType)
        for field in told.fields:
            _mark_moments(field.type, schemas[struct.__name__]["properties"][field.encode_name])
    return schemas


def _mark_moments(kind: Type, schema: Schema) -> None:
    # msgspec leaves the format out where the time zone is not a part of the type; with us a moment always has one.
    if isinstance(kind, DateTimeType):
        schema["format"] = "date-time"
    elif isinstance(kind, UnionType) and any(isinstance(each, DateTimeType) for each in kind.types):
        next(each for each in schema["anyOf"] if each == {"type": "string"})["format"] = "date-time"
    elif isinstance(kind, ListType):
        _mark_moments(kind.item_type, schema["items"])


def plain(schema: Any) -> Any:
    """Return a schema that says the same in fewer words.

    ``{"type": ["string", "null"]}`` instead of an ``anyOf``, so that constraints stand beside the type; no titles of
    properties, which only repeat their names; no default of null, because absent is not null; the type of an enum.
    """
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found: Schema = {
        key: value if key in _VALUES else _properties(value) if key == "properties" else plain(value)
        for key, value in schema.items()
    }
    if found.get("items") is False and found.get("maxItems") == len(found.get("prefixItems", ())):
        # It says what maxItems says, in a way that not every reader of OpenAPI knows.
        del found["items"]
    if "enum" in found and "type" not in found and all(isinstance(value, str) for value in found["enum"]):
        found["type"] = "string"
    if isinstance(found.get("description"), str):
        found["description"] = inspect.cleandoc(found["description"])
    return _nullable(found)


def _properties(properties: dict[str, Schema]) -> dict[str, Schema]:
    found = {name: plain(schema) for name, schema in properties.items()}
    for schema in found.values():
        schema.pop("title", None)
        if schema.get("default", ...) is None:
            del schema["default"]
    return found


def _nullable(schema: Schema) -> Schema:
    match schema.get("anyOf"):
        case [{"type": str() as kind} as other, null] if null == _NULL and kind != "null":
            rest = {key: value for key, value in schema.items() if key != "anyOf"}
            return {**other, "type": [kind, "null"], **rest}
    return schema
