"""Settings of the gateway, read from the environment; each field says meaning, unit and default."""

from base64 import b64encode

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from infra.secrets import KeyRing, KeySetting, signing_key
from infra.settings import Settings


class GatewaySettings(Settings):
    """Keys the gateway holds and how it answers (``CASH_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_")

    public_url: str = Field(
        pattern=r"^https?://[^\s/]+(/[^\s]*)?$", description="Where people reach us; tokens' issuer."
    )
    key_proof: KeySetting = Field(repr=False, description="Makes registration ids and proofs of typed codes.")
    key_refresh: KeySetting = Field(repr=False, description="Makes refresh tokens and their successors.")
    key_seal: KeyRing = Field(description="Seals password hashes; the first is used.")
    token_signing_key: KeyRing = Field(description="kid:base64 of the Ed25519 seed that signs tokens.")
    token_public_keys: KeyRing = Field(description="kid:base64 of each public key a token may be signed with.")

    @field_validator("token_signing_key")
    @classmethod
    def _is_one_key(cls, ring: dict[str, bytes]) -> dict[str, bytes]:
        if len(ring) != 1:
            raise ValueError("must be exactly one id:base64")
        return ring

    @field_validator("token_public_keys")
    @classmethod
    def _has_the_signing_key(cls, ring: dict[str, bytes], info: ValidationInfo) -> dict[str, bytes]:
        for key_id, seed in info.data.get("token_signing_key", {}).items():
            public = signing_key(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            if ring.get(key_id) != public:
                shown = b64encode(public).decode()
                raise ValueError(f"must contain the public key of the signing key, {key_id}:{shown}")
        return ring


class GatewayHttpSettings(Settings):
    """How the HTTP server behaves (``CASH_GATEWAY_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_GATEWAY_")

    body_bytes_max: int = Field(64 * 1024, ge=1024, description="Larger request bodies are refused with 413.")
    trusted_proxies: str = Field(
        "", description="Addresses or networks whose X-Forwarded-For is believed, comma-separated; empty: nobody's."
    )
    access_log_every: int = Field(
        100, ge=1, description="Log one of so many requests. Server errors and requests over 1 s are always logged."
    )
    drain_s: float = Field(
        0,
        ge=0,
        le=300,
        description="How long after SIGTERM everything is still answered, in seconds: not ready, and each answer "
        "closes its connection. As long as whoever distributes requests takes to notice; 0 where nobody does.",
    )
    shutdown_s: int = Field(
        12, ge=1, description="How long requests under way are given after that, in seconds, before they are cut."
    )


class LimitSettings(Settings):
    """How often somebody may register, ask for a code, verify or sign in (``CASH_LIMITS_…``), each counted apart."""

    model_config = SettingsConfigDict(env_prefix="CASH_LIMITS_")

    window_s: int = Field(900, ge=1, description="Length of a counting window, in seconds.")
    per_subject: int = Field(10, ge=1, description="Tries per window for one address, registration or username.")
    per_network: int = Field(100, ge=1, description="Tries per window from one client network (IPv4 /24, IPv6 /64).")
