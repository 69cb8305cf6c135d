"""Settings of the consumers beyond those of the adapters; each process reads only what it needs."""

from typing import Annotated

from pydantic import Field, PlainValidator
from pydantic_settings import NoDecode, SettingsConfigDict

from infra.secrets import KeySetting, parse_key_ring
from infra.settings import Settings

KeyRing = Annotated[dict[str, bytes], NoDecode, PlainValidator(parse_key_ring)]
"""Keys by id, given as ``id:base64,id:base64``; the first is in use, the others only open what they once sealed."""


class CodeKey(Settings):
    """What the mail job derives codes with (``CASH_KEY_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_KEY_")

    code: KeySetting = Field(description="Derives verification codes.")


class IdentityKeys(CodeKey):
    """What the identity consumer judges codes with and opens password hashes with (``CASH_KEY_…``)."""

    proof: KeySetting = Field(description="Makes the proof of a typed code; the gateway has the same key.")
    seal: KeyRing = Field(repr=False, description="Opens password hashes; the gateway seals with its first key.")
