"""Settings of the adapters, read from the environment; each field says meaning, unit and default.

A setting may also come from a file: one that ``CASH_REDIS_PASSWORD_FILE`` names, or one that is called
``CASH_REDIS_PASSWORD`` in the folder that ``CASH_SECRETS_FOLDER`` names. A setting without a default that is missing
refuses the start, by name.
"""

import os
import ssl
import sys
from pathlib import Path
from typing import Literal, Self, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from contracts.topics import PARTITIONS

#: Names the folder whose files are settings: what a container is given as its secrets.
SECRETS_FOLDER = "CASH_SECRETS_FOLDER"


class _FileSource(EnvSettingsSource):
    """Reads the file that ``NAME_FILE`` names, else ``NAME`` in the folder of secrets, where ``NAME`` is not set."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        name = f"{self.env_prefix}{field_name}".upper()
        if value is None and (path := _file_of(name)):
            value = path.read_text(encoding="utf-8").strip()
        return value, key, is_complex


def _file_of(name: str) -> Path | None:
    if named := os.environ.get(f"{name}_FILE"):
        return Path(named)
    folder = os.environ.get(SECRETS_FOLDER)
    path = Path(folder, name) if folder else None
    return path if path and path.is_file() else None


class Settings(BaseSettings):
    """Base of all settings: the environment, then files; never the command line or a dotenv."""

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


SslMode: TypeAlias = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
"""libpq's: from ``verify-ca`` on the server's certificate is verified, at ``verify-full`` its name, too."""


def tls_context(cafile: Path | None) -> ssl.SSLContext:
    """Return a TLS context that verifies server and name by these authorities, the system's where there are none.

    Raises:
        OSError: the file cannot be read; its name is in the error.
    """
    try:
        return ssl.create_default_context(cafile=str(cafile) if cafile else None)
    except OSError as error:
        raise OSError(f"certificate authorities {cafile}: {error.strerror or error}") from error


class KafkaSettings(Settings):
    """Where Kafka is and how to prove who we are there (``CASH_KAFKA_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_KAFKA_")

    bootstrap_servers: str = Field(description="host:port, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"] = Field(
        "SASL_SSL", description="Signing in and TLS; without SSL at its end, everything travels in clear."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How we prove the password."
    )
    sasl_username: str | None = Field(None, description="Kafka's user; each process has its own. Needed for SASL.")
    sasl_password: SecretStr | None = Field(None, description="Its password. Needed for SASL.")
    ssl_cafile: Path | None = Field(None, description="Certificate authorities in PEM; absent: the system's.")
    instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="A consumer's name in its groups that outlives it (static membership): killed and started again "
        "under it, it has its partitions back at once, not after the session time-out. Unique per running process; "
        "absent: a new member each time, which leaves when it stops.",
    )
    replication_factor: int = Field(1, ge=1, description="Of topics we create. 3 where three brokers run.")
    partitions: int = Field(
        PARTITIONS,
        ge=1,
        description="Of topics we create: the most consumers a topic can have. Chosen before the first start, since it "
        "never changes; 48 where there may be many.",
    )
    send_timeout_s: float = Field(5.0, gt=0, description="Deadline of one send; after it the outcome is unknown.")

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            raise ValueError("sasl_username and sasl_password are needed for SASL")
        return self

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context, or ``None`` where the protocol has no TLS."""
        return tls_context(self.ssl_cafile) if self.security_protocol.endswith("SSL") else None


class PostgresServerSettings(Settings):
    """One PostgreSQL server and the role we use there."""

    host: str = Field(description="Name or address of the server.")
    port: int = Field(5432, description="Its port.")
    user: str = Field(description="The role we sign in as.")
    password: SecretStr = Field(description="Its password.")
    sslmode: SslMode = Field(
        "prefer", description="As libpq's: only verify-full makes sure who answers; prefer goes on without TLS."
    )
    ssl_cafile: Path | None = Field(
        None, description="Certificate authorities in PEM, for verify-ca and verify-full; absent: the system's."
    )

    def tls(self) -> ssl.SSLContext | SslMode:
        """Return what asyncpg takes for ``ssl``: a context where the certificate is verified, else the mode."""
        if self.sslmode not in ("verify-ca", "verify-full"):
            return self.sslmode
        context = tls_context(self.ssl_cafile)
        context.check_hostname = self.sslmode == "verify-full"
        return context


class PostgresSettings(PostgresServerSettings):
    """One PostgreSQL database and the role we use there."""

    name: str = Field(description="Of the database.")
    pool_size: int = Field(8, ge=1, description="Connections at most, per process.")


class UsersDatabaseSettings(PostgresSettings):
    """The users database (``CASH_USERS_DB_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_USERS_DB_")

    name: str = Field("users", description="Of the database.")


class LedgerDatabaseSettings(PostgresSettings):
    """The ledger database (``CASH_LEDGER_DB_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_LEDGER_DB_")

    name: str = Field("ledger", description="Of the database.")


class RedisSettings(Settings):
    """Redis: Celery's broker, rate limits and wake-ups (``CASH_REDIS_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_REDIS_")

    host: str = Field(description="Name or address of the server.")
    port: int = Field(6379, description="Its port.")
    password: SecretStr = Field(description="Of its default user.")
    tls: bool = Field(False, description="Whether it is spoken to by TLS; its certificate is verified then.")
    ssl_cafile: Path | None = Field(None, description="Certificate authorities in PEM; absent: the system's.")

    def url(self) -> str:
        """Return the connection URL, password included: hand it to a client, never to a log."""
        scheme = "rediss" if self.tls else "redis"
        # Clients and Celery verify the certificate without being told; Celery wants to be told.
        verified = {"ssl_cert_reqs": "required"} | ({"ssl_ca_certs": str(self.ssl_cafile)} if self.ssl_cafile else {})
        query = f"?{urlencode(verified)}" if self.tls else ""
        return f"{scheme}://:{quote(self.password.get_secret_value(), safe='')}@{self.host}:{self.port}/0{query}"


class SmtpSettings(Settings):
    """The mail server (``CASH_SMTP_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_SMTP_")

    host: str = Field(description="Name or address of the server that takes our mail.")
    port: int = Field(25, description="Its port.")
    sender: str = Field(description="The From address.")
    username: str | None = Field(None, description="Who signs in there; absent: nobody does.")
    password: SecretStr | None = Field(None, description="Its password.")
    security: Literal["none", "starttls", "tls"] = Field(
        "none", description="Whether to go on by TLS (usual at port 587), or to begin with it (465)."
    )
    ssl_cafile: Path | None = Field(None, description="Certificate authorities in PEM; absent: the system's.")
    timeout_s: float = Field(5.0, gt=0, lt=8, description="Of one try; below the mail lease of 8 s.")

    @model_validator(mode="after")
    def _signs_in_privately(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password are needed together")
        if self.username is not None and self.security == "none":
            raise ValueError("security must be starttls or tls to sign in: the password would travel in clear")
        return self


class HttpSettings(Settings):
    """Where a process answers HTTP: the API, or health and metrics (``CASH_HTTP_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_HTTP_")

    host: str = Field("127.0.0.1", description="Address to listen at; 0.0.0.0 in a container.")
    port: int = Field(description="Port to listen at.")


class LogSettings(Settings):
    """How a process logs (``CASH_LOG_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_LOG_")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="What is less is left out.")
    format: Literal["json", "text"] = Field("json", description="One JSON object a line, or a line for people.")


class TraceSettings(Settings):
    """Where spans go (``CASH_TRACES_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_TRACES_")

    endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s/]+(/[^\s]*)?)?$",
        description="The collector's address for OTLP over HTTP, such as http://jaeger:4318; empty: no traces.",
    )
    sample_ratio: float = Field(
        1.0, ge=0, le=1, description="Share of the traces to record; those that begin elsewhere too."
    )


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
