"""Litestar route stubs of an OpenAPI document: one handler an operation, which somebody fills in."""

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
Operation = Mapping[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")
#: Words that a handler's parameter may not have as its name: Litestar gives these a meaning of its own.
_TAKEN = frozenset({"body", "cookies", "data", "headers", "query", "request", "scope", "socket", "state"})
_CONSTRAINTS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}
_FORMATS = {"uuid": "UUID", "date": "date", "date-time": "datetime"}
_TYPES = {"integer": "int", "number": "float", "boolean": "bool", "null": "None", "object": "dict[str, Any]"}
_PATH_KINDS = {"UUID": "uuid", "int": "int", "date": "date", "datetime": "datetime"}
_MARKERS = {"path": "Path", "query": "Query", "header": "Header"}
_JSON = "application/json"

_MODULE = '''\
"""Routes of ``{tag}``, to be filled in; each has the path, parameters, body and answers of its operation."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import MediaType, Response, delete, get, patch, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromHeader, FromPath, FromQuery, JSONBody, HeaderParameter, PathParameter, QueryParameter

from .. import answers, models

{handlers}
HANDLERS = [{names}]
'''
_HANDLER = '''
@{method}(
    "{path}",
    status_code={status},{media_type}
    operation_id="{name}",
    summary={summary!r},
    tags={tags!r},{security}
    responses={{{responses}}},
)
async def {name}({parameters}) -> {answer}:
    """{docstring}"""
    raise NotImplementedError
'''
_ANSWERS = '''\
"""Answers that many operations have in common."""

from litestar.openapi.datastructures import ResponseSpec

from . import models

{constants}
'''
_APPLICATION = '''\
"""The routes of every part of the API as one application: ``litestar --app {package}.app:app run``."""

from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from .routes import {modules}


def create_app() -> Litestar:
    """Return the application; it answers an operation that is not filled in with 500."""
    return Litestar(
        route_handlers=[{handlers}],
        openapi_config=OpenAPIConfig(
            title={title!r},
            version={version!r},
            components=Components(security_schemes={{{schemes}}}),
        ),
    )


app = create_app()
'''


def stubs_of(document: Mapping[str, Any], package: str) -> dict[str, str]:
    """Return the modules of a package that serves an OpenAPI document, by path; the models are not among them.

    Each module is right but not pretty: a formatter follows.
    """
    by_tag: dict[str, list[_Stub]] = {}
    shared = _Answers()
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                stub = _Stub(path, method, item[method], item.get("parameters", []), shared)
                by_tag.setdefault((item[method].get("tags") or ["other"])[0], []).append(stub)
    modules = {
        f"routes/{_identifier(tag)}.py": _MODULE.format(
            tag=tag, handlers="".join(stub.text() for stub in stubs), names=", ".join(stub.name for stub in stubs)
        )
        for tag, stubs in sorted(by_tag.items())
    }
    names = sorted(_identifier(tag) for tag in by_tag)
    application = _APPLICATION.format(
        package=package,
        modules=", ".join(names),
        handlers=", ".join(f"*{name}.HANDLERS" for name in names),
        title=document["info"]["title"],
        version=document["info"]["version"],
        schemes=", ".join(_schemes(document)),
    )
    return {
        "__init__.py": f'"""An implementation of {document["info"]["title"]}, to be filled in."""\n',
        "answers.py": shared.text(),
        "app.py": application,
        "routes/__init__.py": '"""A module for each part of the API."""\n',
        **modules,
    }


def _schemes(document: Mapping[str, Any]) -> Iterator[str]:
    for name, scheme in document.get("components", {}).get("securitySchemes", {}).items():
        if scheme["type"] == "http":
            bearer = f", bearer_format={scheme['bearerFormat']!r}" if "bearerFormat" in scheme else ""
            yield f'{name!r}: SecurityScheme(type="http", scheme={scheme["scheme"]!r}{bearer})'


class _Answers:
    """Answers that stand in a module of their own, by how they are said."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name_of(self, status: str, said: str) -> str:
        """Return what an answer is called there."""
        if said not in self._names:
            same_status = sum(name.split("_")[1] == status for name in self._names.values())
            self._names[said] = f"ANSWER_{status}" + (f"_{same_status + 1}" if same_status else "")
        return f"answers.{self._names[said]}"

    def text(self) -> str:
        """Return the module."""
        constants = "\n".join(
            f"{name} = {said}" for said, name in sorted(self._names.items(), key=lambda each: each[1])
        )
        return _ANSWERS.format(constants=constants)


@dataclass(frozen=True, slots=True)
class _Stub:
    """One operation as a handler."""

    path: str
    method: str
    operation: Operation
    of_path: list[Schema]
    answers: _Answers

    @property
    def name(self) -> str:
        """The handler's name."""
        return _identifier(self.operation.get("operationId") or f"{self.method}_{self.path}")

    def text(self) -> str:
        """Return the handler."""
        successes = {status: each for status, each in self.operation["responses"].items() if status.startswith("2")}
        first = next(iter(successes))
        kinds = list(dict.fromkeys(_answer(each) for each in successes.values()))
        answer = " | ".join(kinds)
        # Whoever may answer in several ways says which by a Response.
        answer = f"Response[{answer}]" if len(successes) > 1 else answer
        media_type = next(iter(successes[first].get("content", {_JSON: None})))
        others = {
            # Litestar knows no answer "default".
            status: each
            for status, each in self.operation["responses"].items()
            if status.isdecimal() and status != first
        }
        summary = self.operation.get("summary", self.name)
        more = self.operation.get("description", "")
        return _HANDLER.format(
            method=self.method,
            path=self._litestar_path(),
            status=first,
            media_type=f"\n    media_type={media_type!r}," if media_type != _JSON else "",
            name=self.name,
            summary=summary,
            tags=list(self.operation.get("tags", [])),
            security=f"\n    security={self.operation['security']!r}," if "security" in self.operation else "",
            responses=", ".join(f"{status}: {self._answer(status, each)}" for status, each in others.items()),
            parameters=", ".join(self._parameters()),
            answer=answer,
            docstring=_docstring(summary, more),
        )

    def _answer(self, status: str, response: Schema) -> str:
        said = _spec(response)
        return said if status.startswith("2") else self.answers.name_of(status, said)

    def _litestar_path(self) -> str:
        kinds = {each["name"]: _PATH_KINDS.get(annotation(each["schema"]), "str") for each in self._all_parameters()}
        return re.sub(r"\{(\w+)\}", lambda found: f"{{{found[1]}:{kinds.get(found[1], 'str')}}}", self.path)

    def _all_parameters(self) -> list[Schema]:
        return [*self.of_path, *self.operation.get("parameters", [])]

    def _parameters(self) -> Iterator[str]:
        told: list[tuple[str, str, str | None]] = []
        for each in self._all_parameters():
            if each["in"] in _MARKERS:
                told.append(_parameter(each, taken={name for name, _, _ in told}))
        if body := self.operation.get("requestBody"):
            schema = body["content"].get(_JSON, {}).get("schema", {})
            told.append(("data", f"JSONBody[{annotation(schema)}]", None))
        # What has a default comes last, as Python has it.
        for name, kind, default in sorted(told, key=lambda each: each[2] is not None):
            yield f"{name}: {kind}" + (f" = {default}" if default is not None else "")


def annotation(schema: Schema) -> str:
    """Return how Python says a schema, in as far as its types can."""
    if "$ref" in schema:
        return f"models.{str(schema['$ref']).rsplit('/', 1)[-1]}"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(annotation(each) for each in schema[key]))
    if "enum" in schema:
        return f"Literal[{', '.join(repr(value) for value in schema['enum'])}]"
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " | ".join(annotation({**schema, "type": each}) for each in kind)
    if kind == "array":
        return f"list[{annotation(schema.get('items', {}))}]"
    if kind == "string":
        return _FORMATS.get(str(schema.get("format")), "str")
    return _TYPES.get(str(kind), "Any")


def _parameter(parameter: Schema, taken: set[str]) -> tuple[str, str, str | None]:
    """Return name, annotation and default of a handler's parameter."""
    place = str(parameter["in"])
    schema = parameter["schema"]
    name = _identifier(parameter["name"])
    if name in taken:
        # A header and something behind the ? may well have one name.
        name = f"{name}_in_{place}"
    kind = annotation(schema)
    required = place == "path" or parameter.get("required", False)
    default = None if required else _default(schema)
    if default == "None":
        kind = f"{kind} | None"
    told = {python: schema[key] for key, python in _CONSTRAINTS.items() if key in schema}
    if parameter.get("description"):
        told["description"] = parameter["description"]
    if name != parameter["name"]:
        told["name"] = parameter["name"]
    words = ", ".join(f"{key}={value!r}" for key, value in told.items())
    marker = _MARKERS[place]
    return name, f"Annotated[{kind}, {marker}Parameter({words})]" if words else f"From{marker}[{kind}]", default


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return "None"
    if "$ref" in schema:
        return f"{annotation(schema)}({schema['default']!r})"
    return repr(schema["default"])


def _answer(response: Schema) -> str:
    content = response.get("content")
    if not content:
        return "None"
    media_type, told = next(iter(content.items()))
    return annotation(told.get("schema", {})) if media_type.endswith("json") else "str"


def _spec(response: Schema) -> str:
    told = [_answer(response), f"description={response.get('description', '')!r}"]
    media_type = next(iter(response.get("content", {_JSON: None})))
    if media_type != _JSON:
        told.append(f"media_type={media_type!r}")
    return f"ResponseSpec({', '.join(told)}, generate_examples=False)"


def _identifier(text: str) -> str:
    name = re.sub(r"[\W_]+", "_", text).strip("_").lower()
    return f"{name}_" if keyword.iskeyword(name) or name in _TAKEN else name


def _docstring(summary: str, description: str) -> str:
    text = summary if description in ("", summary) else f"{summary}\n\n{description}"
    indented = "\n".join(f"    {line}".rstrip() for line in text.splitlines()).strip()
    escaped = indented.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f"{escaped}\n    " if "\n" in escaped else escaped
