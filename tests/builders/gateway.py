"""People who use the API, and what a gateway is made of when no server is there."""

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from contracts.ledgers import personal_ledger_id
from gateway.settings import GatewaySettings
from infra.grants import Grant, issue_grant
from infra.local.stack import LocalStack
from infra.secrets import SecretKey, derive_code, parse_key_ring, signing_key

PASSWORD = "correct horse battery"
ISSUER = "http://cash.example"


def a_key() -> bytes:
    return secrets.token_bytes(32)


def in_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def public_of(seed: bytes) -> bytes:
    return signing_key(seed).public_key().public_bytes_raw()


def gateway_environment(seed: bytes | None = None) -> dict[str, str]:
    """The settings of the gateway itself, with fresh keys."""
    seed = seed or a_key()
    return {
        "CASH_PUBLIC_URL": ISSUER,
        "CASH_KEY_PROOF": in_base64(a_key()),
        "CASH_KEY_REFRESH": in_base64(a_key()),
        "CASH_KEY_SEAL": f"one:{in_base64(a_key())}",
        "CASH_TOKEN_SIGNING_KEY": f"key-1:{in_base64(seed)}",
        "CASH_TOKEN_PUBLIC_KEYS": f"key-1:{in_base64(public_of(seed))}",
    }


def gateway_settings(seed: bytes | None = None) -> GatewaySettings:
    fields: dict[str, Any] = {
        name.removeprefix("CASH_").lower(): value for name, value in gateway_environment(seed).items()
    }
    return GatewaySettings(**fields)


def a_bulk_grant(gateway: Mapping[str, str], user_id: UUID, *, lifetime: timedelta = timedelta(hours=2)) -> str:
    """Return a grant for somebody's personal ledger as the gateway of this environment signs it."""
    ((key_id, seed), *_) = parse_key_ring(gateway["CASH_TOKEN_SIGNING_KEY"]).items()
    expires_at = datetime.now(UTC) + lifetime
    grant = Grant(user_id, personal_ledger_id(user_id), "EUR", "Europe/Berlin", expires_at)
    issued_at = expires_at - timedelta(hours=2)
    return issue_grant(signing_key(seed), key_id, issuer=gateway["CASH_PUBLIC_URL"], grant=grant, issued_at=issued_at)


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in, with a client of their own."""

    http: httpx.Client
    username: str
    email: str
    tokens: Mapping[str, Any]

    def __enter__(self) -> "Person":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @property
    def user_id(self) -> UUID:
        return UUID(self.tokens["user"]["id"])

    @property
    def ledger_id(self) -> UUID:
        return UUID(self.tokens["user"]["ledger_id"])

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.http.post(path, json=body, headers=_named(headers))

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params)

    def record(self, **fields: Any) -> Any:
        """Record a transaction and wait for it."""
        body = {"amount": "24.47", "category": "Groceries", **fields}
        answer = self.post("/transactions", body, prefer="wait=10")
        assert answer.status_code == 201, answer.text
        return answer.json()


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def a_client(stack: LocalStack, port: int | None = None) -> httpx.Client:
    """A client of the API that nobody has signed in with."""
    return httpx.Client(base_url=f"http://127.0.0.1:{port or stack.ports['gateway']}/api/v1", timeout=20)


def code_of(stack: LocalStack, registration_id: UUID, issue: int = 1) -> str:
    """The code a mail brings."""
    key = SecretKey.parse(stack.environment("identity-consumer")["CASH_KEY_CODE"])
    return derive_code(key, registration_id, issue)


def a_registration(http: httpx.Client, email: str | None = None) -> UUID:
    """Start a registration and return its id."""
    body = {"email": email or an_address(), "base_currency": "EUR", "time_zone": "Europe/Berlin"}
    answer = http.post("/registrations", json=body)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["registration_id"])


def an_address() -> str:
    return f"{uuid4().hex[:12]}@example.org"


def a_person(stack: LocalStack, port: int | None = None, *, email: str | None = None) -> Person:
    """Register somebody and sign them in."""
    with a_client(stack, port) as http:
        email = email or an_address()
        registration = a_registration(http, email)
        wait = {"Prefer": "wait=10"}
        code = {"code": code_of(stack, registration)}
        answer = http.post(f"/registrations/{registration}/verify", json=code, headers=wait)
        assert answer.status_code == 200, answer.text
        body = {**code, "username": f"p{uuid4().hex[:12]}", "password": PASSWORD}
        answer = http.post(f"/registrations/{registration}/user", json=body, headers=wait)
        assert answer.status_code == 201, answer.text
        return signed_in(http, body["username"], email)


def signed_in(http: httpx.Client, username: str, email: str = "") -> Person:
    """Sign somebody in, with a client of their own."""
    answer = http.post("/sessions", json={"username": username, "password": PASSWORD, "client": "tests"})
    assert answer.status_code == 201, answer.text
    tokens = answer.json()
    own = httpx.Client(
        base_url=http.base_url, timeout=20, headers={"Authorization": f"Bearer {tokens['access_token']}"}
    )
    return Person(own, username, email, tokens)


def now_s() -> int:
    return int(time.time())
