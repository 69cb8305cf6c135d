"""Keys, and what is made with them: codes, proofs, sealed hashes, refresh tokens, signed tokens. No rules live here.

Every key has one purpose and is held only by the processes DESIGN names for it. HMAC is HMAC-SHA-256; sealing is
AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; tokens are signed with Ed25519 (RFC 8032).
"""

import hashlib
import hmac
import os
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field, PlainValidator
from pydantic_settings import NoDecode

from contracts.registrations import CODE_ALPHABET, CODE_LENGTH

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Sealed(ValueError):
    """A sealed value cannot be opened: an unknown key, another binding, or a changed byte."""


class SecretKey:
    """A 32-byte key that does not show itself in a log or a traceback."""

    __slots__ = ("_material",)

    def __init__(self, material: bytes) -> None:
        """Keep the key; it must be 32 bytes and not one byte repeated, as a default somebody left in would be."""
        if len(material) != _KEY_BYTES or len(set(material)) < 8:
            raise ValueError("must be base64 of 32 random bytes")
        self._material = material

    @classmethod
    def parse(cls, text: str) -> "SecretKey":
        """Read a key from base64."""
        try:
            return cls(b64decode(text, validate=True))
        except Base64Error:
            raise ValueError("must be base64 of 32 random bytes") from None

    def __repr__(self) -> str:
        return "SecretKey(…)"

    @property
    def material(self) -> bytes:
        """The 32 bytes."""
        return self._material

    def mac(self, *parts: bytes) -> bytes:
        """Return the HMAC of the parts, each preceded by its length, so that no two lists of parts collide."""
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._material, message, "sha256")


def _secret_key(value: object) -> SecretKey:
    if isinstance(value, SecretKey):
        return value
    if not isinstance(value, str):
        raise ValueError("must be base64 of 32 random bytes")
    return SecretKey.parse(value)


KeySetting = Annotated[SecretKey, PlainValidator(_secret_key)]
"""A settings field holding one key, given as base64 of 32 bytes."""


def parse_key_ring(text: str) -> dict[str, bytes]:
    """Read ``id:base64,id:base64`` (32 bytes each), order kept: the first is the one in use, the others only read.

    Raises:
        ValueError: a part is not an id, a colon and base64 of 32 bytes.
    """
    ring: dict[str, bytes] = {}
    for part in text.split(","):
        key_id, colon, encoded = part.strip().partition(":")
        if not (key_id and colon):
            raise ValueError("must be id:base64, comma-separated")
        ring[key_id] = SecretKey.parse(encoded).material
    return ring


def _key_ring(value: object) -> dict[str, bytes]:
    if not isinstance(value, str):
        raise ValueError("must be id:base64, comma-separated")
    return parse_key_ring(value)


KeyRing = Annotated[dict[str, bytes], NoDecode, PlainValidator(_key_ring), Field(repr=False)]
"""A settings field holding keys by id, given as ``id:base64,id:base64``; the first is in use, the others only read."""


def registration_id(proof_key: SecretKey, email_key: str, idempotency_key: str) -> UUID:
    """Return the id of a registration: an honest retry finds the same one; nobody can choose it (a version 8 UUID)."""
    return _as_uuid(proof_key.mac(b"registration", email_key.encode(), idempotency_key.encode()), version=8)


def nobodys_id(proof_key: SecretKey, email_key: str) -> UUID:
    """Return the user id that stands for an address nobody has: always the same, and it looks like any other's."""
    return _as_uuid(proof_key.mac(b"nobody", email_key.encode()), version=5)


def address_proof(proof_key: SecretKey, ledger_id: UUID, email_key: str) -> str:
    """Return what stands for an address (hex) in an invitation to a ledger: two can be told apart, none be read."""
    return proof_key.mac(b"invited", ledger_id.bytes, email_key.encode()).hex()


def letter_key(proof_key: SecretKey, invitation_id: UUID) -> str:
    """Return the idempotency key (hex) of an invitation's letter, which nobody outside can guess."""
    return proof_key.mac(b"letter", invitation_id.bytes).hex()


def _as_uuid(digest: bytes, *, version: int) -> UUID:
    """Make a UUID of a digest (RFC 9562), with a version's mark."""
    raw = bytearray(digest[:16])
    raw[6] = raw[6] & 0x0F | version << 4
    raw[8] = raw[8] & 0x3F | 0x80
    return UUID(bytes=bytes(raw))


def derive_code(code_key: SecretKey, registration_id: UUID, issue: int) -> str:
    """Return the verification code of a registration's issue (1, 2, …): six letters, the same whenever it is asked."""
    number = int.from_bytes(code_key.mac(b"code", registration_id.bytes, issue.to_bytes(4, "big")), "big")
    letters = []
    for _ in range(CODE_LENGTH):
        number, index = divmod(number, len(CODE_ALPHABET))
        letters.append(CODE_ALPHABET[index])
    return "".join(letters)


def proof_of(proof_key: SecretKey, registration_id: UUID, letters: str) -> str:
    """Return the proof (hex) that somebody typed these letters; case and surrounding spaces do not count."""
    return proof_key.mac(b"proof", registration_id.bytes, letters.strip().upper().encode()).hex()


def seal(ring: Mapping[str, bytes], plain: str, *, bound_to: bytes) -> str:
    """Seal text with the ring's first key so that it opens only with the same binding: ``key id:base64``."""
    key_id, key = next(iter(ring.items()))
    nonce = os.urandom(_NONCE_BYTES)
    return f"{key_id}:{b64encode(nonce + AESGCM(key).encrypt(nonce, plain.encode(), bound_to)).decode()}"


def unseal(ring: Mapping[str, bytes], sealed: str, *, bound_to: bytes) -> str:
    """Open what :func:`seal` sealed.

    Raises:
        Sealed: the key is not in the ring, the binding is another one, or the text was changed.
    """
    key_id, _, encoded = sealed.partition(":")
    key = ring.get(key_id)
    if key is None:
        raise Sealed("sealed with a key this process does not hold")
    try:
        raw = b64decode(encoded, validate=True)
        return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound_to).decode()
    except (Base64Error, InvalidTag, ValueError):
        raise Sealed("cannot be opened") from None


def password_binding(registration_id: UUID, username_key: str) -> bytes:
    """Return what a sealed password hash is bound to: nobody can move it to another registration or name."""
    return b"password\0" + registration_id.bytes + username_key.encode()


def new_password_binding(user_id: UUID, version: int) -> bytes:
    """Return what a new password's sealed hash is bound to: the user, and the version of the password it replaces."""
    return b"new password\0" + user_id.bytes + version.to_bytes(8, "big")


def token_hash(token: str) -> bytes:
    """Return the SHA-256 of a refresh token, which is all that is stored of it."""
    return hashlib.sha256(token.encode()).digest()


_REFRESH_BYTES = 24


def first_refresh_token(refresh_key: SecretKey, session_id: UUID) -> str:
    """Make a session's first refresh token: ``session.secret.tag``, the tag proving that we made it."""
    return _refresh_token(refresh_key, session_id, urlsafe_b64encode(os.urandom(_REFRESH_BYTES)).decode())


def next_refresh_token(refresh_key: SecretKey, token: str) -> str:
    """Derive a token's successor, so that a lost answer can be given again though only hashes are stored."""
    session_id = UUID(hex=token.split(".")[0])
    secret = urlsafe_b64encode(refresh_key.mac(b"successor", token.encode())[:_REFRESH_BYTES]).decode()
    return _refresh_token(refresh_key, session_id, secret)


def session_of(refresh_key: SecretKey, token: str) -> UUID | None:
    """Return the session of a refresh token that we made, ``None`` for anything else."""
    session, _, rest = token.partition(".")
    secret, _, _ = rest.partition(".")
    try:
        session_id = UUID(hex=session)
    except ValueError:
        return None
    genuine = _refresh_token(refresh_key, session_id, secret)
    return session_id if hmac.compare_digest(genuine.encode(), token.encode()) else None


def _refresh_token(refresh_key: SecretKey, session_id: UUID, secret: str) -> str:
    tag = urlsafe_b64encode(refresh_key.mac(b"refresh", session_id.bytes, secret.encode())[:16]).decode().rstrip("=")
    return f"{session_id.hex}.{secret}.{tag}"


#: How a signed token looks, before anything in it is read (RFC 7519), and how long its parts may be.
JWT = re.compile(r"[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]{1,1536}\.[A-Za-z0-9_-]{1,128}")


def signing_key(seed: bytes) -> Ed25519PrivateKey:
    """Return the Ed25519 key of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed)


def verifying_key(raw: bytes) -> Ed25519PublicKey:
    """Return the Ed25519 public key of its 32 raw bytes."""
    return Ed25519PublicKey.from_public_bytes(raw)
