"""The OpenAPI 3.1 document of the API: ``python -m gateway.openapi`` writes ``docs/openapi.json``.

With ``--print`` it goes to standard output instead.
"""

import inspect
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from pydantic.json_schema import models_json_schema

from contracts.text import IDEMPOTENCY_KEY_LENGTH_MAX, IDEMPOTENCY_KEY_PATTERN
from gateway.auth import is_open
from gateway.errors import PROBLEM_JSON
from gateway.fields import Body, Query
from gateway.requests import WAIT_S_MAX
from gateway.routing import build
from gateway.schemas import plain, schemas_of
from gateway.services import Services

T = TypeVar("T")

_REFERENCE = "#/components/schemas/{model}"

PATH = Path(__file__).parent.parent / "docs" / "openapi.json"

_DESCRIPTION = """\
A request becomes an event, a consumer decides, a table remembers, a query answers.

Writes answer **202** with an operation to ask about later, or, with `Prefer: wait=N` (RFC 7240, at most 10 s), with
what came of them. `Idempotency-Key` makes a retry safe: the same key and content take effect once. Every error is a
problem (RFC 9457) that names the fields it is about. Amounts are decimal strings, never JSON numbers.
"""

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and content take effect once, however often they are sent. Absent: one is made.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": IDEMPOTENCY_KEY_LENGTH_MAX,
        "pattern": IDEMPOTENCY_KEY_PATTERN,
    },
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": f"`wait=N`: wait up to N seconds (at most {WAIT_S_MAX}) for what comes of it.",
    "schema": {"type": "string"},
    "example": "wait=5",
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag you saw: refused with 412 if it was changed since. Absent: whichever version stands.",
    "schema": {"type": "string"},
    "example": '"42"',
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last event you had: everything after it comes first. Absent: what comes from now on.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "example": "57",
}
_PROBLEM = {
    "description": "Any other problem.",
    "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document() -> dict[str, Any]:
    """Return the document: Litestar's paths, pydantic's own schemas of the bodies, and the headers writes take."""
    app = build(
        _nothing,
        openapi_config=OpenAPIConfig(
            title="cash-flow",
            version="1",
            description=_DESCRIPTION,
            components=Components(
                security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
            ),
            path="/unused",
        ),
    )
    found: dict[str, Any] = json.loads(json.dumps(app.openapi_schema.to_schema()))
    schemas = found["components"]["schemas"]
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in getattr(handler, "http_methods", ()):
                operation = found["paths"].get(_path_of(route.path_format), {}).get(method.lower())
                if operation is not None:
                    _complete(operation, handler)
                    if query := handler.opt.get("query"):
                        operation.setdefault("parameters", []).extend(_parameters(query, schemas))
    # Litestar knows neither the constraints nor the descriptions of our models; their own libraries do.
    bodies = [(model, "validation") for model in _subclasses(Body)]
    _, definitions = models_json_schema(bodies, ref_template=_REFERENCE)  # type: ignore[arg-type]
    schemas.update(definitions["$defs"])
    structs = [struct for struct in _subclasses(msgspec.Struct) if struct.__name__ in schemas]
    schemas.update(schemas_of(structs, "#/components/schemas/{name}"))
    found["components"]["schemas"] = {name: plain(schema) for name, schema in schemas.items()}
    return found


@cache
def document_as_json() -> bytes:
    """Return the document as it is served, made once."""
    return msgspec.json.encode(document())


def _path_of(path_format: str) -> str:
    return path_format or "/"


def _nothing() -> Services:
    raise NotImplementedError("this application only describes itself")


def _subclasses(base: type[T]) -> Iterator[type[T]]:
    for subclass in base.__subclasses__():
        if subclass.__module__.startswith("gateway."):
            yield subclass
            yield from _subclasses(subclass)


def _complete(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    """Add to an operation what Litestar cannot know of: headers, security and the problems of any request."""
    operation["operationId"] = handler.fn.__name__
    summary, _, more = (inspect.getdoc(handler.fn) or "").partition("\n\n")
    operation["summary"] = summary
    operation["description"] = more or summary
    if handler.resolve_before_request() and not is_open(handler):
        operation["security"] = [{"bearer": []}]
    if "write" in handler.opt:
        operation.setdefault("parameters", []).extend([_IDEMPOTENCY_KEY, _PREFER])
    if "versioned" in handler.opt:
        operation.setdefault("parameters", []).append(_IF_MATCH)
    if "resumable" in handler.opt:
        operation.setdefault("parameters", []).append(_LAST_EVENT_ID)
    # Litestar announces its own kind of 400 wherever there is a parameter.
    of_litestar = operation["responses"].get("400", {}).get("content", {})
    if "application/json" in of_litestar:
        del operation["responses"]["400"]
    operation["responses"]["default"] = _PROBLEM


def _parameters(query: type[Query], schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return what stands behind the ``?``, as parameters of an operation."""
    described = query.model_json_schema(ref_template=_REFERENCE)
    schemas.update(described.get("$defs", {}))
    required = described.get("required", ())
    for name, schema in described["properties"].items():
        # In a URL a parameter is there or not; null is no value of it.
        kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
        schema = {**(kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}), **schema}
        if schema.get("default", ...) is None:
            del schema["default"]
        yield {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": schema.pop("description", ""),
            "schema": plain({key: value for key, value in schema.items() if key != "title"}),
        }


def main() -> int:
    """Write the document."""
    if sys.argv[1:] == ["--print"]:
        sys.stdout.buffer.write(msgspec.json.format(document_as_json(), indent=2) + b"\n")
        return 0
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{PATH.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
