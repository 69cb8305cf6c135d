"""Bulk grants: signed leave for one person to write rows of one ledger to ``ledger.bulk``, made and verified here.

A grant is a JSON Web Token (RFC 7519) of type ``bulk-grant+jwt``, signed with Ed25519 (RFC 8037). ``sub`` is the person
and ``ledger`` the ledger; ``cur`` and ``tz`` are the home that the person's own ledger opens with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from contracts.errors import MalformedMessage
from infra.secrets import JWT, KeyRing, verifying_key
from infra.settings import Settings

LIFETIME_MAX = timedelta(hours=24)

_AUDIENCE = "ledger.bulk"
_TYPE = "bulk-grant+jwt"
_ALGORITHM = "EdDSA"
_CLAIMS = ("iss", "aud", "sub", "ledger", "cur", "tz", "iat", "exp")


class GrantSettings(Settings):
    """Whose grants are honoured (``CASH_TOKEN_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_TOKEN_")

    public_keys: KeyRing = Field(
        description="kid:base64 of each Ed25519 public key a grant may be signed with, comma-separated."
    )


@dataclass(frozen=True, slots=True)
class Grant:
    """What a genuine grant says. Whether it had expired, its reader judges by the time the broker gave the record."""

    user_id: UUID
    ledger_id: UUID
    currency: str
    zone: str
    expires_at: datetime


def issue_grant(key: Ed25519PrivateKey, key_id: str, *, issuer: str, grant: Grant, issued_at: datetime) -> str:
    """Sign a grant. It must not live longer than :data:`LIFETIME_MAX`: nobody would honour it."""
    claims = {
        "iss": issuer,
        "aud": _AUDIENCE,
        "sub": str(grant.user_id),
        "ledger": str(grant.ledger_id),
        "cur": grant.currency,
        "tz": grant.zone,
        "iat": issued_at,
        "exp": grant.expires_at,
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"typ": _TYPE, "kid": key_id})


def grant_verifier(settings: GrantSettings) -> Callable[[str], Grant]:
    """Return :func:`verify_grant` with a memory of the good grants: an import sends the same one with every row."""
    return lru_cache(maxsize=10_000)(partial(verify_grant, settings=settings))


def verify_grant(token: str, settings: GrantSettings) -> Grant:
    """Read a grant and verify its signature, type, audience and lifetime; not its expiry.

    Raises:
        MalformedMessage: it is not a grant of ours, with the reason.
    """
    if not JWT.fullmatch(token):
        raise MalformedMessage("ce_grant is not a bulk grant.")
    try:
        header = jwt.get_unverified_header(token)
        raw = settings.public_keys.get(str(header.get("kid")))
        if raw is None:
            raise MalformedMessage("The grant is signed with a key that is not ours.")
        if header.get("typ") != _TYPE:
            raise MalformedMessage("ce_grant is another kind of token, not a bulk grant.")
        claims = jwt.decode(
            token,
            verifying_key(raw),
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": list(_CLAIMS), "strict_aud": True, "verify_exp": False, "verify_iat": False},
        )
        return _read(claims)
    except jwt.InvalidSignatureError:
        raise MalformedMessage("The grant's signature is wrong.") from None
    except (jwt.PyJWTError, TypeError, ValueError, OverflowError, RecursionError):
        raise MalformedMessage("The grant's claims are not those of a bulk grant.") from None


def _read(claims: Mapping[str, Any]) -> Grant:
    issued_at, expires_at = (datetime.fromtimestamp(int(claims[name]), UTC) for name in ("iat", "exp"))
    if not timedelta(0) < expires_at - issued_at <= LIFETIME_MAX:
        raise MalformedMessage("The grant does not live as long as a grant may: get a new one.")
    return Grant(
        user_id=UUID(str(claims["sub"])),
        ledger_id=UUID(str(claims["ledger"])),
        currency=str(claims["cur"]),
        zone=str(claims["tz"]),
        expires_at=expires_at,
    )
