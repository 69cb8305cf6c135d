"""Settings of the adapters, read from the environment; each field says meaning, unit and default.

A secret may also come from a file: ``CASH_REDIS_PASSWORD_FILE=/run/secrets/redis``. A setting without a default that is
missing refuses the start, by name.
"""

import os
import ssl
import sys
from pathlib import Path
from typing import Literal, Self, TypeVar
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict


class _FileSource(EnvSettingsSource):
    """Reads ``NAME_FILE`` where ``NAME`` itself is not set."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        path = os.environ.get(f"{self.env_prefix}{field_name}_FILE".upper())
        if value is None and path:
            value = Path(path).read_text(encoding="utf-8").strip()
        return value, key, is_complex


class Settings(BaseSettings):
    """Base of all settings: the environment, then files named by ``…_FILE``; never the command line or a dotenv."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the file source behind the environment."""
        return init_settings, env_settings, _FileSource(settings_cls)


class KafkaSettings(Settings):
    """Where Kafka is and how to prove who we are there (``CASH_KAFKA_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_KAFKA_")

    bootstrap_servers: str = Field(description="host:port, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"] = "SASL_SSL"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = Field(None, description="Certificate authorities in PEM; absent: the system's.")
    instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="A consumer's name in its groups that outlives it (static membership): killed and started again "
        "under it, it has its partitions back at once, not after the session time-out. Unique per running process; "
        "absent: a new member each time, which leaves when it stops.",
    )
    replication_factor: int = Field(1, ge=1, description="Of topics we create. 3 where three brokers run.")
    send_timeout_s: float = Field(5.0, gt=0, description="Deadline of one send; after it the outcome is unknown.")

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            raise ValueError("sasl_username and sasl_password are needed for SASL")
        return self

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context, or ``None`` where the protocol has no TLS."""
        if not self.security_protocol.endswith("SSL"):
            return None
        return ssl.create_default_context(cafile=str(self.ssl_cafile) if self.ssl_cafile else None)


class PostgresSettings(Settings):
    """One PostgreSQL database and the role we use there."""

    host: str
    port: int = 5432
    name: str
    user: str
    password: SecretStr
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    pool_size: int = Field(8, ge=1, description="Connections at most, per process.")


class UsersDatabaseSettings(PostgresSettings):
    """The users database (``CASH_USERS_DB_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_USERS_DB_")

    name: str = "users"


class LedgerDatabaseSettings(PostgresSettings):
    """The ledger database (``CASH_LEDGER_DB_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_LEDGER_DB_")

    name: str = "ledger"


class RedisSettings(Settings):
    """Redis: Celery's broker, rate limits and wake-ups (``CASH_REDIS_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_REDIS_")

    host: str
    port: int = 6379
    password: SecretStr
    tls: bool = False

    def url(self) -> str:
        """Return the connection URL, password included: hand it to a client, never to a log."""
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://:{quote(self.password.get_secret_value(), safe='')}@{self.host}:{self.port}/0"


class SmtpSettings(Settings):
    """The mail server (``CASH_SMTP_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_SMTP_")

    host: str
    port: int = 25
    sender: str = Field(description="The From address.")
    username: str | None = None
    password: SecretStr | None = None
    starttls: bool = False
    timeout_s: float = Field(5.0, gt=0, lt=8, description="Of one try; below the mail lease of 8 s.")


class HttpSettings(Settings):
    """Where a process answers HTTP: the API, or health and metrics (``CASH_HTTP_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_HTTP_")

    host: str = "127.0.0.1"
    port: int


class LogSettings(Settings):
    """How a process logs (``CASH_LOG_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_LOG_")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


S = TypeVar("S", bound=Settings)


def read(settings: type[S]) -> S:
    """Read settings from the environment, or end the process with status 78 (EX_CONFIG) naming what is wrong."""
    try:
        return settings()
    except ValidationError as error:
        for complaint in complaints(settings, error):
            print(f"{complaint} and start again.", file=sys.stderr)
        raise SystemExit(78) from None


def complaints(settings: type[Settings], error: ValidationError) -> list[str]:
    """Return what is wrong with settings, a line each with the setting's name; values are left out."""
    prefix = settings.model_config.get("env_prefix", "")
    problems = error.errors(include_input=False, include_url=False)
    names = ["_".join(str(part) for part in problem["loc"]) for problem in problems]
    return [
        f"Setting {f'{prefix}{name}'.upper()}: {problem['msg']}. Set it in the environment"
        for name, problem in zip(names, problems, strict=True)
    ]
