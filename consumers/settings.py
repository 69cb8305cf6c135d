"""Settings of the consumers beyond those of the adapters; each process reads only what it needs."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from infra.secrets import KeyRing, KeySetting
from infra.settings import Settings


class CodeKey(Settings):
    """What the mail job derives codes with (``CASH_KEY_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_KEY_")

    code: KeySetting = Field(description="Derives verification codes.")


class IdentityKeys(CodeKey):
    """What the identity consumer judges codes with and opens password hashes with (``CASH_KEY_…``)."""

    proof: KeySetting = Field(description="Makes the proof of a typed code; the gateway has the same key.")
    seal: KeyRing = Field(description="Opens password hashes; the gateway seals with its first key.")
