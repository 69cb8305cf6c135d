"""The HTTP API as the commands see it, in tests without a server: answers as told, and keeps what was asked."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from cli.connection.client import API
from cli.connection.credentials import Credentials, PrivateFile, Session
from tests.builders.terminal import Ended, Terminal

URL = "http://127.0.0.1:9"
LEDGER = "11111111-1111-1111-1111-111111111111"
USER = "99999999-9999-9999-9999-999999999999"
TRANSACTION = "3f2a91bc-0000-4000-8000-000000000001"
ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"


class Api:
    """Answers of the API by method and path below the personal ledger, or below ``/api/v1`` where it begins with ``/``.

    An answer is a body, or a response; of a list of answers each is given once, and the last for ever.
    """

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.requests: list[httpx.Request] = []
        self._answers: dict[tuple[str, str], list[Any]] = {}

    def on(self, method: str, path: str, *answers: Any) -> "Api":
        """Answer so."""
        whole = path if path.startswith("/") else f"/ledgers/{LEDGER}/{path}"
        self._answers[method, API + whole] = list(answers)
        return self

    def cash(self, *words: str, lines: str = "", **environment: str) -> Ended:
        """Run a command against these answers."""
        with mock.patch.object(httpx.HTTPTransport, "handle_request", lambda _, request: self._answer(request)):
            return self.terminal.cash(*words, lines=lines, **environment)

    def sent(self, method: str) -> list[Any]:
        """Return the bodies of the requests that were made with a method."""
        return [json.loads(request.content or b"null") for request in self.requests if request.method == method]

    def asked(self) -> dict[str, str]:
        """Return the query of the last request."""
        return dict(self.requests[-1].url.params)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        key = (request.method, request.url.path)
        assert key in self._answers, f"nobody expected {key}"
        answers = self._answers[key]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return httpx.Response(204) if answer is None else httpx.Response(200, json=answer)


@contextmanager
def an_api(folder: Path) -> Iterator[Api]:
    """Give an API at which ann is signed in."""
    session = Session.model_validate(
        {
            "session_id": "s",
            "user_id": USER,
            "username": "ann",
            "ledger_id": LEDGER,
            "base_currency": "EUR",
            "time_zone": "Europe/Berlin",
            "access_token": "a",
            "access_expires_at": "2999-01-01T00:00:00Z",
            "refresh_token": "r",
        }
    )
    file = PrivateFile(folder / "credentials.json")
    with file.changing(Credentials) as credentials:
        credentials.at(URL).session = session
    with mock.patch("cli.connection.client._PAUSES_S", ()):
        yield Api(Terminal({"CASH_CONFIG_HOME": str(folder), "CASH_URL": URL, "CASH_HOME": str(folder)}))


def a_problem(status: int, detail: str, **members: Any) -> httpx.Response:
    """Return a problem as the gateway answers it (RFC 9457)."""
    return httpx.Response(status, json={"title": "A title", "status": status, "detail": detail, **members})


def a_page(*items: Any, next_cursor: str | None = None) -> dict[str, Any]:
    """Return one page of a list."""
    return {"items": list(items), "next_cursor": next_cursor}


def an_account(name: str, *balances: str, **fields: Any) -> dict[str, Any]:
    """Return an account with balances such as ``12.30 EUR``."""
    amounts = [dict(zip(("amount", "currency"), balance.split(), strict=True)) for balance in balances]
    account = {"id": ACCOUNT, "name": name, "kind": "asset", "currency": "EUR", "group": None, "position": None}
    return {**account, "closed": False, "version": 4, "balances": amounts, **fields}


def a_transaction(**fields: Any) -> dict[str, Any]:
    """Return a transaction: an expense of 24.47 EUR for Groceries, unless told otherwise."""
    cash, groceries = ({"id": ACCOUNT, "name": name} for name in ("Cash", "Groceries"))
    transaction: dict[str, Any] = {
        "id": TRANSACTION,
        "version": 57,
        "revision": 1,
        "kind": "expense",
        "status": "pending",
        "amount": "24.47",
        "currency": "EUR",
        "account": cash,
        "category": groceries,
        "description": "Weekly shop",
        "payee": None,
        "tags": [],
        "note": None,
        "external_id": None,
        "date": "2026-03-31",
        "booked_at": "2026-03-31T10:00:00Z",
        "recorded_at": "2026-03-31T10:00:01Z",
        "deleted": False,
        "postings": [{"source": cash, "destination": groceries, "amount": "24.47", "currency": "EUR"}],
    }
    return {**transaction, **fields}


def a_change(sequence: int, kind: str = "transaction.annotated", **fields: Any) -> Mapping[str, Any]:
    """Return a change by ann, as ``/changes`` lists it."""
    change = {
        "sequence": sequence,
        "type": kind,
        "at": "2026-03-31T10:00:01Z",
        "user_id": USER,
        "username": "ann",
        "subject_id": TRANSACTION,
        "detail": {},
        "undoes": None,
        "undone_by": None,
        "undoable": True,
    }
    return {**change, **fields}


def cells(table: str) -> list[list[str]]:
    """Return the rows of a printed table, each as its cells."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines() if line.strip()]
