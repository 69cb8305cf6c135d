"""Signed tokens: the access token that says who asks, and the grant that lets a program write rows in bulk."""

import hashlib
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import msgspec

from contracts.ledgers import personal_ledger_id
from contracts.sessions import ACCESS_TOKEN_LIFETIME_S
from gateway.errors import Unauthenticated
from gateway.settings import GatewaySettings
from infra.grants import Grant, issue_grant
from infra.secrets import JWT, signing_key, verifying_key

ALGORITHM = "EdDSA"
AUDIENCE = "cash-flow"
ACCESS_TYPE = "at+jwt"


class _Claims(msgspec.Struct):
    """What an access token must say, besides issuer and audience."""

    sub: UUID
    sid: UUID
    name: str
    cur: str
    tz: str
    iat: int
    exp: int


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as the verified token says; ``expires_at`` in seconds since 1970."""

    user_id: UUID
    session_id: UUID
    username: str
    ledger_id: UUID
    base_currency: str
    time_zone: str
    expires_at: int


class Tokens:
    """Signs tokens with one key, verifies them with those of the ring: EdDSA only, whatever a token's header says."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Read the keys."""
        ((self._key_id, seed),) = settings.token_signing_key.items()
        self._signing_key = signing_key(seed)
        self._public = {key_id: verifying_key(raw) for key_id, raw in settings.token_public_keys.items()}
        self._raw_public = settings.token_public_keys
        self._issuer = settings.public_url

    def access_token(self, *, user_id: UUID, session_id: UUID, username: str, currency: str, zone: str) -> str:
        """Sign an access token of :data:`ACCESS_TOKEN_LIFETIME_S`."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "name": username,
            "cur": currency,
            "tz": zone,
            "iat": now,
            "exp": now + ACCESS_TOKEN_LIFETIME_S,
        }
        return self._signed(claims, ACCESS_TYPE)

    def bulk_grant(self, principal: Principal, ledger_id: UUID, lifetime_s: int) -> tuple[str, datetime]:
        """Sign a grant to write rows of one ledger to ``ledger.bulk``; return it and when it expires (aware UTC)."""
        issued_at = datetime.fromtimestamp(int(time.time()), UTC)
        grant = Grant(
            user_id=principal.user_id,
            ledger_id=ledger_id,
            currency=principal.base_currency,
            zone=principal.time_zone,
            expires_at=issued_at + timedelta(seconds=lifetime_s),
        )
        token = issue_grant(self._signing_key, self._key_id, issuer=self._issuer, grant=grant, issued_at=issued_at)
        return token, grant.expires_at

    def verify(self, token: str) -> Principal:
        """Verify an access token.

        Raises:
            Unauthenticated: forged, expired, of another kind or issuer, or not a token at all.
        """
        if not JWT.fullmatch(token):
            raise Unauthenticated("This is not an access token. Sign in to get one.")
        try:
            header = jwt.get_unverified_header(token)
            key = self._public.get(str(header.get("kid")))
            if key is None or header.get("typ") != ACCESS_TYPE:
                raise Unauthenticated("This access token is not one of ours. Sign in again.")
            decoded = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                # Another gateway's clock may be ahead of ours; when a token ends is all that counts.
                options={"require": ["iss", "aud", "exp"], "strict_aud": True, "verify_iat": False},
            )
            claims = msgspec.convert(decoded, _Claims)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The access token has expired. Refresh the session or sign in again.") from None
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError):
            raise Unauthenticated("This access token is not valid. Sign in again.") from None
        return Principal(
            user_id=claims.sub,
            session_id=claims.sid,
            username=claims.name,
            ledger_id=personal_ledger_id(claims.sub),
            base_currency=claims.cur,
            time_zone=claims.tz,
            expires_at=claims.exp,
        )

    def key_set(self) -> list[dict[str, str]]:
        """Return the public keys as JSON Web Keys (RFC 8037)."""
        return [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "alg": ALGORITHM,
                "use": "sig",
                "kid": key_id,
                "x": urlsafe_b64encode(raw).rstrip(b"=").decode(),
            }
            for key_id, raw in self._raw_public.items()
        ]

    def _signed(self, claims: dict[str, Any], token_type: str) -> str:
        headers = {"typ": token_type, "kid": self._key_id}
        return jwt.encode(claims, self._signing_key, algorithm=ALGORITHM, headers=headers)


class VerifiedTokens:
    """Remembers tokens it has verified, by their hash, for half a minute and never beyond their expiry.

    Verifying a signature costs as much as all the rest of a request; a bounded memory, least recently used out first.
    """

    def __init__(self, tokens: Tokens, *, size: int = 10_000, lifetime_s: float = 30) -> None:
        """Start empty."""
        self._tokens = tokens
        self._size = size
        self._lifetime_s = lifetime_s
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def verify(self, token: str) -> Principal:
        """Return who a token speaks for; errors as :meth:`Tokens.verify`."""
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        now = time.time()
        found = self._known.get(digest)
        if found is not None:
            if now < found[1]:
                self._known.move_to_end(digest)
                return found[0]
            del self._known[digest]
        principal = self._tokens.verify(token)
        self._known[digest] = principal, min(now + self._lifetime_s, principal.expires_at)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return principal
