"""Which changes of a released message break somebody: all but a new optional field (DESIGN §3).

Old records stay on the topics and old readers run beside new writers, so a change has to suit both: a narrower field
cannot read what was written, a wider one cannot be read by what is still running. That leaves the one rule above,
so no general subschema prover is needed (those on PyPI want another Python than ours, or call themselves alpha).
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

#: What a schema says to people only. ``default`` is not among them: it decides what an absent field means.
_ANNOTATIONS = frozenset({"$comment", "$schema", "$defs", "title", "description", "examples", "deprecated"})
#: Lower or upper bounds: the sign says which way is narrower.
_BOUNDS = {
    **dict.fromkeys(("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties"), 1),
    **dict.fromkeys(("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties"), -1),
}


def breaking_changes(before: Schema, after: Schema) -> list[str]:
    """Return what would break between two JSON Schemas of one message type, a sentence each; empty if nothing would.

    Both are as pydantic writes them: references point into their own ``$defs`` and never in circles.
    """
    return list(_compare("value", _inlined(before, before), _inlined(after, after)))


def _compare(path: str, before: Any, after: Any) -> Iterator[str]:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        if before != after:
            yield f"{path}: {before!r} became {after!r}"
        return
    for keyword in sorted((before.keys() | after.keys()) - _ANNOTATIONS):
        if before.get(keyword) == after.get(keyword):
            continue
        if keyword == "properties":
            yield from _compare_fields(path, before, after)
        elif keyword == "required":
            yield from _compare_required(path, before, after)
        elif keyword == "enum":
            yield from _compare_enum(path, before.get(keyword), after.get(keyword))
        elif keyword in _BOUNDS:
            yield from _compare_bounds(path, keyword, before.get(keyword), after.get(keyword))
        elif keyword not in before:
            yield f"{path}: {keyword} {after[keyword]!r} is new"
        elif keyword not in after:
            yield f"{path}: {keyword} {before[keyword]!r} is gone"
        elif keyword in ("anyOf", "oneOf", "allOf") and len(before[keyword]) == len(after[keyword]):
            for one, other in zip(before[keyword], after[keyword], strict=True):
                yield from _compare(path, one, other)
        elif keyword == "items":
            yield from _compare(f"{path}[]", before[keyword], after[keyword])
        else:
            yield f"{path}: {keyword} {before[keyword]!r} became {after[keyword]!r}"


def _compare_fields(path: str, before: Schema, after: Schema) -> Iterator[str]:
    old, new = before.get("properties", {}), after.get("properties", {})
    for name in sorted(old):
        if name not in new:
            yield f"{path}.{name}: the field is gone"
        else:
            yield from _compare(f"{path}.{name}", old[name], new[name])


def _compare_required(path: str, before: Schema, after: Schema) -> Iterator[str]:
    old, new = set(before.get("required", ())), set(after.get("required", ()))
    for name in sorted(new - old):
        kind = (
            "an optional field became required" if name in before.get("properties", {}) else "a new field is required"
        )
        yield f"{path}.{name}: {kind}"
    for name in sorted((old - new) & after.get("properties", {}).keys()):
        yield f"{path}.{name}: a required field became optional"


def _compare_enum(path: str, before: list[Any] | None, after: list[Any] | None) -> Iterator[str]:
    if before is None or after is None:
        yield f"{path}: enum {before!r} became {after!r}"
        return
    for value in before:
        if value not in after:
            yield f"{path}: the value {value!r} is gone"
    for value in after:
        if value not in before:
            yield f"{path}: the value {value!r} is new, and older readers do not know it"


def _compare_bounds(path: str, keyword: str, before: float | None, after: float | None) -> Iterator[str]:
    narrower = before is None or (after is not None and (after - before) * _BOUNDS[keyword] > 0)
    yield f"{path}: {keyword} {before} became {after}, which is {'narrower' if narrower else 'wider'}"


def _inlined(part: Any, root: Schema) -> Any:
    """Return the schema with references replaced by what they point to, and without what only people read."""
    if isinstance(part, list):
        return [_inlined(each, root) for each in part]
    if not isinstance(part, Mapping):
        return part
    if "$ref" in part:
        target = root["$defs"][part["$ref"].removeprefix("#/$defs/")]
        part = {**target, **{key: value for key, value in part.items() if key != "$ref"}}
    return {
        key: {name: _inlined(each, root) for name, each in value.items()}
        if key == "properties"
        else _inlined(value, root)
        for key, value in part.items()
        if key not in _ANNOTATIONS
    }
