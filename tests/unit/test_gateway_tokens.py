"""Tokens: only ours, only the right kind, only as long as they are good."""

import base64
import json
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest

from contracts.ledgers import personal_ledger_id
from gateway.errors import Unauthenticated
from gateway.tokens import ACCESS_TYPE, AUDIENCE, Tokens, VerifiedTokens
from infra.secrets import signing_key
from tests.builders.gateway import ISSUER, a_key, gateway_settings, now_s, public_of

SEED = a_key()
USER, SESSION = uuid4(), uuid4()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(gateway_settings(SEED))


def a_token(tokens: Tokens) -> str:
    return tokens.access_token(user_id=USER, session_id=SESSION, username="ann", currency="EUR", zone="Europe/Berlin")


def forged(seed: bytes = SEED, algorithm: str = "EdDSA", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    now = now_s()
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(USER),
        "sid": str(SESSION),
        "name": "ann",
        "cur": "EUR",
        "tz": "UTC",
        "iat": now,
        "exp": now + 60,
    }
    kept = {name: value for name, value in (good | claims).items() if value is not None}
    key: Any = signing_key(seed) if algorithm == "EdDSA" else public_of(seed) if algorithm != "none" else None
    return jwt.encode(kept, key, algorithm=algorithm, headers={"typ": ACCESS_TYPE, "kid": "key-1"} | (headers or {}))


def test_a_token_of_ours_says_who_asks(tokens: Tokens) -> None:
    principal = tokens.verify(a_token(tokens))

    assert (principal.user_id, principal.session_id, principal.username) == (USER, SESSION, "ann")
    assert principal.ledger_id == personal_ledger_id(USER)


def test_a_token_of_a_gateway_whose_clock_is_ahead_is_good(tokens: Tokens) -> None:
    assert tokens.verify(forged(iat=now_s() + 5)).user_id == USER


def _alg_none() -> str:
    def part(fields: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()

    _, claims, _ = forged().split(".")
    return f"{part({'alg': 'none', 'typ': ACCESS_TYPE, 'kid': 'key-1'})}.{claims}."


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.ü.ö",
        "a" * 5000,
        _alg_none(),
        forged(algorithm="none"),
        forged(algorithm="HS256"),
        forged(seed=a_key()),
        forged(headers={"kid": "key-2"}),
        forged(headers={"typ": "JWT"}),
        forged(headers={"typ": "bulk-grant+jwt"}),
        forged(exp=now_s() - 1),
        forged(exp="later"),
        forged(aud="ledger.bulk"),
        forged(aud=[AUDIENCE, "other"]),
        forged(iss="http://elsewhere"),
        forged(sub=None),
        forged(sub="ann"),
        forged(sid=None),
        forged(sid=7),
        forged(name=None),
        forged()[:-4] + "AAAA",
    ],
)
def test_a_token_that_is_not_quite_ours_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(token)


def test_a_bulk_grant_is_no_access_token(tokens: Tokens) -> None:
    grant, _ = tokens.bulk_grant(tokens.verify(a_token(tokens)), uuid4(), 3600)

    with pytest.raises(Unauthenticated):
        tokens.verify(grant)


def test_a_bulk_grant_names_its_ledger_and_ends(tokens: Tokens) -> None:
    ledger_id = uuid4()

    grant, expires_at = tokens.bulk_grant(tokens.verify(a_token(tokens)), ledger_id, 3600)

    claims = jwt.decode(grant, signing_key(SEED).public_key(), algorithms=["EdDSA"], audience="ledger.bulk")
    assert UUID(claims["ledger"]) == ledger_id
    assert claims["exp"] == int(expires_at.timestamp())


class Counting(Tokens):
    """Counts how often a signature was verified."""

    verified = 0

    def verify(self, token: str) -> Any:
        self.verified += 1
        return super().verify(token)


def test_a_token_is_verified_once_in_a_while_and_again_when_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Counting(gateway_settings(SEED))
    remembered = VerifiedTokens(tokens, lifetime_s=30)
    token = forged(exp=now_s() + 20)
    began = now_s()

    for _ in range(3):
        remembered.verify(token)
    assert tokens.verified == 1

    monkeypatch.setattr("gateway.tokens.time.time", lambda: began + 21)
    remembered.verify(token)
    assert tokens.verified == 2


def test_only_so_many_tokens_are_remembered() -> None:
    tokens = Counting(gateway_settings(SEED))
    remembered = VerifiedTokens(tokens, size=2)
    first, second, third = (forged(name=name) for name in ("ann", "bob", "cat"))

    for token in (first, second, first, third, first, second):
        remembered.verify(token)

    assert tokens.verified == 4
    assert len(remembered._known) == 2


def test_keys_are_published_as_json_web_keys(tokens: Tokens) -> None:
    (key,) = tokens.key_set()

    assert jwt.PyJWK(key).key.public_bytes_raw() == public_of(SEED)
