"""A gateway with its books and mailbox in memory, for tests of what is simulated: it can lose, double and change."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx

from cli.connection.client import API
from tests.builders.api import URL, a_problem
from tests.builders.terminal import Ended, Terminal

MAILBOX = "http://127.0.0.1:8"
CODE = "FLFSDN"

#: Looks at a request first; what it returns is the answer, what it raises was no answer.
Meddler = Callable[[httpx.Request], httpx.Response | None]


@dataclass
class User:
    """Somebody, and their books: transactions by idempotency key."""

    password: str
    currency: str
    ledger_id: str = field(default_factory=lambda: str(uuid4()))
    books: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: What stands in the books besides, or instead.
    listed: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda items: items


class SimulatedGateway:
    """Answers as the gateway does, as far as a simulation asks it."""

    def __init__(self, folder: Path) -> None:
        self.terminal = Terminal(
            {
                "CASH_CONFIG_HOME": str(folder),
                "CASH_HOME": str(folder),
                "CASH_URL": URL,
                "CASH_MAILBOX_URL": MAILBOX,
                "COLUMNS": "100",
            }
        )
        self.users: dict[str, User] = {}
        self.asked: list[tuple[str, str]] = []
        self.meddler: Meddler = lambda _: None
        #: Called with what was recorded, after it was; what it raises is a lost answer.
        self.after: Callable[[dict[str, Any]], None] = lambda _: None
        self._currencies: dict[str, str] = {}
        self._mails: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def sim(self, *words: str) -> Ended:
        """Run ``cash sim`` against it."""
        with self.answering():
            return self.terminal.cash("sim", *words)

    def answering(self) -> AbstractContextManager[Any]:
        """Answer all that goes over HTTP within the block."""
        return mock.patch.object(httpx.HTTPTransport, "handle_request", lambda _, request: self._answer(request))

    def sent(self, what: str) -> int:
        """Return how many requests went to a path that ends so."""
        return sum(path.endswith(what) for _, path in self.asked)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        with self._lock:
            self.asked.append((request.method, request.url.path))
        if (answer := self.meddler(request)) is not None:
            return answer
        with self._lock:
            status, body = self._decide(request)
        if status == 201 and "postings" in body:
            self.after(body)
        headers = {"Idempotency-Replayed": "true"} if status == 200 and "postings" in body else {}
        return httpx.Response(status, json=body, headers=headers)

    def _decide(self, request: httpx.Request) -> tuple[int, Any]:
        body = json.loads(request.content or b"{}")
        match [request.method, *request.url.path.removeprefix(API).strip("/").split("/")]:
            case ["GET", ".well-known", _]:
                return 200, {"keys": []}
            case ["GET", "search"]:
                query = request.url.params["query"]
                return 200, {"messages": [mail for mail in self._mails if mail["To"][0]["Address"] in query]}
            case ["GET", "message", number]:
                return 200, self._mails[int(number)]
            case ["POST", "registrations"]:
                self._currencies[body["email"]] = body["base_currency"]
                self._mails.append(self._mail(body["email"]))
                return 202, {"registration_id": body["email"]}
            case ["POST", "registrations", _, "verify"]:
                return 200, {}
            case ["POST", "registrations", email, "user"]:
                self.users.setdefault(body["username"], User(body["password"], self._currencies[email]))
                return 201, {"username": body["username"]}
            case ["POST", "sessions"]:
                return self._sign_in(body)
            case ["DELETE", "sessions", _]:
                return 200, {}
            case ["POST", "ledgers", _, "accounts"]:
                return 201, {}
            case ["POST", "ledgers", ledger_id, "transactions"]:
                return self._record(self._owner(ledger_id), request.headers["Idempotency-Key"], body)
            case ["GET", "ledgers", ledger_id, "transactions"]:
                return 200, self._page(self._owner(ledger_id), request.url.params)
            case ["GET", "ledgers", ledger_id, "accounts"]:
                return 200, {"items": self._accounts(self._owner(ledger_id)), "more": False}
        raise AssertionError(f"nobody expected {request.method} {request.url}")

    def _mail(self, email: str) -> dict[str, Any]:
        text = f"Your code:\n\n  {CODE}\n" if not self._taken(email) else "You already have an account."
        return {
            "ID": str(len(self._mails)),
            "Created": "2026-03-31T10:00:00Z",
            "From": None,
            "To": [{"Name": "", "Address": email}],
            "Subject": "",
            "MessageID": "",
            "Snippet": "",
            "Text": text,
        }

    def _taken(self, email: str) -> bool:
        return email.partition("@")[0] in self.users

    def _sign_in(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        user = self.users.get(body["username"])
        if user is None or user.password != body["password"]:
            problem = a_problem(401, "Username or password is wrong; try again.", code="credentials_wrong")
            return 401, problem.json()
        person = {"id": str(uuid5(NAMESPACE_URL, body["username"])), "username": body["username"]}
        home = {"ledger_id": user.ledger_id, "base_currency": user.currency, "time_zone": "Europe/Berlin"}
        tokens = {"access_token": "a", "refresh_token": "r", "expires_in": 900, "session_id": "s"}
        return 201, tokens | {"user": person | home}

    def _owner(self, ledger_id: str) -> User:
        return next(user for user in self.users.values() if user.ledger_id == ledger_id)

    def _record(self, user: User, key: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        if key in user.books:
            return 200, user.books[key]
        user.books[key] = as_answered(body, user.currency)
        return 201, user.books[key]

    def _page(self, user: User, asked: httpx.QueryParams) -> dict[str, Any]:
        items = user.listed(list(user.books.values()))
        begin, limit = int(asked.get("cursor", 0)), int(asked["limit"])
        end = begin + limit
        return {"items": items[begin:end], "next_cursor": str(end) if end < len(items) else None}

    def _accounts(self, user: User) -> list[dict[str, Any]]:
        return accounts_of(user.listed(list(user.books.values())))


def as_answered(body: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Return a transaction as the gateway answers it that was sent so."""
    parts = body.get("splits") or [{"amount": body["amount"], "category": body.get("category") or body["to_account"]}]
    came_in = body["kind"] in ("income", "refund")
    postings = [
        {
            "source": {"name": part["category"] if came_in else "Cash"},
            "destination": {"name": "Cash" if came_in else part["category"]},
            "amount": part["amount"],
            "currency": currency,
        }
        for part in parts
    ]
    answered: dict[str, Any] = {
        "id": str(uuid4()),
        "kind": body["kind"],
        "amount": body["amount"],
        "currency": currency,
        "account": {"name": "Cash"},
        "category": {"name": parts[0]["category"]} if "to_account" not in body else None,
        "description": body["description"],
        "payee": body.get("payee"),
        "tags": body.get("tags", []),
        "external_id": body.get("external_id"),
        "date": body["date"],
        "postings": postings,
    }
    if "splits" in body:
        answered["splits"] = [{"amount": part["amount"], "category": {"name": part["category"]}} for part in parts]
    if "to_account" in body:
        answered["to_account"] = {"name": body["to_account"]}
    return answered


def accounts_of(transactions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the accounts that these transactions make, with what they hold."""
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for posting in (posting for each in transactions for posting in each["postings"]):
        held[posting["source"]["name"], posting["currency"]] -= Decimal(posting["amount"])
        held[posting["destination"]["name"], posting["currency"]] += Decimal(posting["amount"])
    return [
        {"name": name, "balances": [{"amount": f"{amount:f}", "currency": currency}]}
        for (name, currency), amount in held.items()
    ]
