"""Which bulk grants are genuine."""

from base64 import b64encode, urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contracts.errors import MalformedMessage
from infra.grants import LIFETIME_MAX, Grant, GrantSettings, grant_verifier, issue_grant, verify_grant

KEY = Ed25519PrivateKey.generate()
ISSUED_AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
GRANT = Grant(
    user_id=UUID(int=1),
    ledger_id=UUID(int=2),
    currency="EUR",
    zone="Europe/Berlin",
    expires_at=ISSUED_AT + timedelta(hours=1),
)


def public_text(key: Ed25519PrivateKey) -> str:
    return b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


@pytest.fixture
def settings() -> GrantSettings:
    return GrantSettings(public_keys=f"old:{public_text(Ed25519PrivateKey.generate())},k1:{public_text(KEY)}")  # type: ignore[arg-type]  # read from text, as from the environment


def issued(**changes: Any) -> str:
    return issue_grant(KEY, "k1", issuer="https://cash.example", grant=replace(GRANT, **changes), issued_at=ISSUED_AT)


def signed(key: Any = KEY, algorithm: str = "EdDSA", header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a token that is a good grant but for the changes; a claim changed to ``None`` is left out."""
    claims = jwt.decode(issued(), options={"verify_signature": False}) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"typ": "bulk-grant+jwt", "kid": "k1"} | (header or {}))


def test_a_grant_says_what_it_was_issued_for(settings: GrantSettings) -> None:
    assert verify_grant(issued(), settings) == GRANT


def test_an_old_grant_is_read_all_the_same_because_the_brokers_time_judges_its_expiry(settings: GrantSettings) -> None:
    old = issue_grant(
        KEY,
        "k1",
        issuer="https://cash.example",
        grant=replace(GRANT, expires_at=datetime(2020, 1, 2, tzinfo=UTC)),
        issued_at=datetime(2020, 1, 1, tzinfo=UTC),
    )

    assert verify_grant(old, settings).expires_at == datetime(2020, 1, 2, tzinfo=UTC)


def test_a_grant_from_a_clock_ahead_of_ours_is_read(settings: GrantSettings) -> None:
    ahead = datetime(2999, 1, 1, tzinfo=UTC)

    token = signed(iat=int(ahead.timestamp()), exp=int((ahead + timedelta(hours=1)).timestamp()))

    assert verify_grant(token, settings).expires_at == ahead + timedelta(hours=1)


def without(claim: str) -> str:
    left_out: dict[str, Any] = {claim: None}
    return signed(**left_out)


def none_algorithm() -> str:
    header = urlsafe_b64encode(b'{"alg":"none","typ":"bulk-grant+jwt","kid":"k1"}').rstrip(b"=").decode()
    return f"{header}.{issued().split('.')[1]}."


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "a.b.c",
        "é.é.é",
        "x" * 10_000,
        none_algorithm(),
        none_algorithm() + "AAAA",
        issued()[:-8] + "AAAAAAAA",
        ".".join([issued().split(".")[0], signed(ledger=str(UUID(int=9))).split(".")[1], issued().split(".")[2]]),
        signed(Ed25519PrivateKey.generate()),
        signed("a secret of at least thirty-two bytes", "HS256"),
        signed(header={"kid": "unknown"}),
        signed(header={"typ": "at+jwt"}),
        signed(header={"typ": "JWT"}),
        signed(aud="cash-flow"),
        signed(aud=["ledger.bulk", "cash-flow"]),
        *(without(claim) for claim in ("iss", "aud", "sub", "ledger", "cur", "tz", "iat", "exp")),
        signed(sub="ann"),
        signed(ledger="mine"),
        signed(ledger=7),
        signed(exp="tomorrow"),
        signed(exp=10**30),
        signed(iat=True),
        signed(exp=int((ISSUED_AT + LIFETIME_MAX).timestamp()) + 1),
        signed(exp=int(ISSUED_AT.timestamp())),
    ],
)
def test_what_is_no_grant_of_ours_is_refused_without_repeating_it(settings: GrantSettings, token: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        verify_grant(token, settings)

    assert str(refused.value).endswith(".")
    assert not token or token not in str(refused.value)


def test_a_good_grant_is_verified_once_and_a_bad_one_never_becomes_good(settings: GrantSettings) -> None:
    verify = grant_verifier(settings)
    token = issued()

    assert verify(token) is verify(token)
    for _ in range(2):
        with pytest.raises(MalformedMessage):
            verify(token[:-8] + "AAAAAAAA")
