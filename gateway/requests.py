"""A request as the routes see it: its JSON body read once and strictly, and how its sender wants to be answered."""

import json
import os
import re
import time
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from litestar import Request
from litestar.datastructures import URL, State
from litestar.exceptions import ClientException
from litestar.plugins.pydantic import PydanticInitPlugin
from pydantic import ValidationError

from contracts.text import IDEMPOTENCY_KEY_LENGTH_MAX, IDEMPOTENCY_KEY_PATTERN
from gateway.errors import FieldProblem, Invalid, TooLarge, UnsupportedContent
from gateway.fields import Body, Query
from gateway.tokens import Principal

#: Longest wait a request may ask for with ``Prefer: wait=N`` (RFC 7240), in seconds.
WAIT_S_MAX = 10
#: So many are named in one answer: a small body of unknown fields must not make a large one.
PROBLEMS_MAX = 20
_ETAG = re.compile(r'"([1-9][0-9]{0,17})"')
_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,20})"?\s*(?=$|[,;])', re.IGNORECASE)
_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)


class JsonRequest(Request[Principal, Any, State]):
    """A request whose body is left as bytes for pydantic, which reads JSON and checks it in one go.

    Its ``user`` is the :class:`Principal` its token names; on a route open to all there is none.
    """

    _whole: bytes | None = None

    @property
    def url(self) -> URL:
        """The address asked for, without the host: Litestar reads it, and what stands in ``Host`` may be no host."""
        return URL.from_components(path=self.scope["path"])

    def sent(self, name: bytes) -> str | None:
        """Return a header by its lower-case name; :class:`gateway.observing.Observed` has put them into the scope."""
        value: bytes | None = self.scope["sent"].get(name)  # type: ignore[typeddict-item]  # ours; ASGI allows it
        return None if value is None else value.decode("latin-1")

    async def body(self) -> bytes:
        """Return the body, read once.

        Litestar's own way makes an object of all headers first, for the length they announce.

        Raises:
            TooLarge: it is longer than we take.
            ClientException: the sender went away.
        """
        if self._whole is None:
            limit = self.route_handler.resolve_request_max_body_size() or 0
            announced = self.sent(b"content-length") or "0"
            if announced.isdecimal() and int(announced) > limit:
                raise TooLarge
            whole, more = b"", True
            while more:
                event = await self.receive()
                if event["type"] != "http.request":
                    raise ClientException("The sender went away.")
                whole += event["body"]
                more = event["more_body"]
                if len(whole) > limit:
                    raise TooLarge
            self._whole = whole
        return self._whole

    async def json(self) -> bytes:
        """Return the body as it came, if it says it is JSON.

        Raises:
            UnsupportedContent: the content type is another one.
        """
        media_type, _, _ = (self.sent(b"content-type") or "").partition(";")
        if media_type.strip().lower() != "application/json":
            raise UnsupportedContent
        return await self.body()


def client_of(request: JsonRequest) -> str | None:
    """Return the client's IP address, as the server or a trusted proxy saw it."""
    return request.client.host if request.client else None


class BodyReading(PydanticInitPlugin):
    """Litestar's pydantic plugin, with our way of reading a body in place of its own."""

    @classmethod
    def decoders(cls, validate_strict: bool = False) -> list[Any]:
        """Return the one decoder: request bodies are the only pydantic models in our signatures."""
        return [(lambda target: isinstance(target, type) and issubclass(target, Body), read_body)]


def read_body(model: type[Body], raw: bytes) -> Body:
    """Read a request body.

    Raises:
        Invalid: it is not JSON, or not what ``model`` says; every field that is wrong is named.
    """
    try:
        read = model.model_validate_json(raw)
    except ValidationError as error:
        problems = [
            _field_problem(each) for each in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        if error.errors()[0]["type"] == "json_invalid":
            problems = _unreadable_fields(raw) or [FieldProblem("", "The body is not valid JSON.")]
        raise Invalid(problems[:PROBLEMS_MAX]) from None
    # Pydantic takes the last of two. There are none where there is a colon for each field, which most bodies have.
    if raw.count(b":") != len(read.model_fields_set) or raw.count(b"{") != 1:
        _refuse_repeated(raw)
    return read


def _refuse_repeated(raw: bytes) -> None:
    """Raise ``Invalid`` where an object has a field twice: what its sender meant is anybody's guess (RFC 8259, 4)."""
    repeated: dict[str, None] = {}

    def check(pairs: list[tuple[str, Any]]) -> None:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                repeated[name] = None
            names.add(name)

    json.loads(raw, object_pairs_hook=check)
    if repeated:
        raise Invalid([FieldProblem(name[:100], "Send this field once.") for name in repeated][:PROBLEMS_MAX])


Q = TypeVar("Q", bound=Query)
#: A query with more parameters than this is no query of ours.
_PARAMETERS_MAX = 50


def asks(model: type[Query]) -> dict[str, type[Query]]:
    """Return what to put into the ``opt`` of a route that reads its query with :func:`query_of`, for the document."""
    return {"query": model}


def query_of(request: JsonRequest, model: type[Q]) -> Q:
    """Read what stands behind the ``?``.

    Raises:
        Invalid: it is not what ``model`` says; every parameter that is wrong is named.
    """
    raw: bytes = request.scope["query_string"]
    try:
        pairs = parse_qsl(
            raw.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS_MAX
        )
    except ValueError:
        raise Invalid(
            [FieldProblem("", "The query is not percent-encoded UTF-8, or has too many parameters.")]
        ) from None
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name[:100] for name in names if names.count(name) > 1})
        raise Invalid([FieldProblem(name, "Send this parameter once.") for name in repeated])
    try:
        return model.model_validate_strings(values)
    except ValidationError as error:
        problems = [
            _parameter_problem(each)
            for each in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise Invalid(problems[:PROBLEMS_MAX]) from None


def _parameter_problem(error: Any) -> FieldProblem:
    problem = _field_problem(error)
    return FieldProblem(problem.field, _PARAMETER_SENTENCES.get(error["type"], problem.detail))


_PARAMETER_SENTENCES = {"missing": "This parameter is needed.", "extra_forbidden": "There is no such parameter."}

_SENTENCES = {
    "missing": "This field is needed.",
    "extra_forbidden": "There is no such field.",
    "model_type": "Send a JSON object.",
    "model_attributes_type": "Send a JSON object.",
    "tuple_type": "Send a list.",
}


def _field_problem(error: Any) -> FieldProblem:
    field = ".".join(str(part) for part in error["loc"])
    return FieldProblem(field[:100], _SENTENCES.get(error["type"], error["msg"]))


def _unreadable_fields(raw: bytes) -> list[FieldProblem]:
    """Name the fields because of which a body is not JSON: those with half of a surrogate pair."""
    try:
        fields = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return []
    if not isinstance(fields, dict):
        return []
    return [
        FieldProblem(name.encode(errors="backslashreplace").decode()[:100], "This text has half of a surrogate pair.")
        for name, value in fields.items()
        if not _is_unicode(name) or (isinstance(value, str) and not _is_unicode(value))
    ]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


#: Put into the ``opt`` of a write: it takes the two headers that :func:`read_asking` reads.
WRITE = {"write": True}

#: Put into the ``opt`` of a route that takes ``If-Match``: it reads it with :func:`version_of`.
VERSIONED = {"versioned": True}
#: Put into the ``opt`` of a stream that goes on behind the event its reader had last: it takes ``Last-Event-ID``.
RESUMABLE = {"resumable": True}


class Asking:
    """How the sender of a write wants it treated: under which idempotency key, and how long the answer may take."""

    __slots__ = ("key", "key_given", "wait_s")

    def __init__(self, key: str | None = None, wait_s: int = 0) -> None:
        """Take the sender's key, or make one: a UUIDv7."""
        self.key_given = key is not None
        self.key = key if key is not None else str(uuid7())
        self.wait_s = wait_s

    def prefer_key(self, resource_id: UUID | None) -> None:
        """Use an id the client chose for the new thing as the key, unless it sent one."""
        if resource_id is not None and not self.key_given:
            self.key, self.key_given = str(resource_id), True


def read_asking(request: JsonRequest) -> None:
    """Read ``Idempotency-Key`` and ``Prefer: wait`` of a write into the scope, from where every answer returns the key.

    Raises:
        Invalid: the key is longer than 255 characters or not printable ASCII.
    """
    key = request.sent(b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        sentence = f"Send 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} printable ASCII characters."
        raise Invalid([FieldProblem("Idempotency-Key", sentence)])
    asking = Asking(key, wait_of(request.sent(b"prefer")))
    request.scope["asking"] = asking  # type: ignore[typeddict-unknown-key]  # ours; ASGI allows it


def asking_of(request: JsonRequest) -> Asking:
    """Return how the sender of a write wants it treated; its route must say ``WRITE``."""
    asking: Asking = request.scope["asking"]  # type: ignore[typeddict-item]
    return asking


def wait_of(prefer: str | None) -> int:
    """Return the seconds of ``Prefer: wait=N``, at most :data:`WAIT_S_MAX`; what is not understood is no preference."""
    if prefer is None or (found := _WAIT.search(prefer)) is None:
        return 0
    return min(int(found[1]), WAIT_S_MAX)


def version_of(request: JsonRequest) -> int | None:
    """Return the version that ``If-Match`` names (RFC 9110, 13.1.1); ``None`` without one, or for any (``*``).

    Raises:
        Invalid: it is not an ETag of ours.
    """
    sent = request.sent(b"if-match")
    if sent is None or sent.strip() == "*":
        return None
    if (found := _ETAG.fullmatch(sent.strip())) is None:
        raise Invalid([FieldProblem("If-Match", 'Send the ETag of the answer you saw, such as "42".')])
    return int(found[1])


def uuid7() -> UUID:
    """Make a UUIDv7 (RFC 9562): the millisecond it was made, then random bits."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=bits)
