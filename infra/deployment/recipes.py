"""What each process is told, wherever it runs: only what it needs, under the names of its settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.deployment.secrets import KAFKA_ADMINISTRATOR, KAFKA_USERS, Secrets

#: The processes, in the order of `cash status`, and what each runs as one command of Python.
COMMANDS: Mapping[str, Sequence[str]] = {
    "gateway": ("-m", "gateway"),
    "identity-consumer": ("-m", "consumers.identity"),
    "ledger-consumer": ("-m", "consumers.ledger", "--topics", "interactive,bulk"),
    "relay": ("-m", "consumers.relay"),
    "celery-worker": ("-m", "consumers.jobs.worker"),
    "celery-beat": ("-m", "consumers.jobs.schedule"),
}
#: What is run once, before the processes.
STEPS: Mapping[str, Sequence[str]] = {
    "bootstrap-postgres": ("-m", "infra.postgres.bootstrap"),
    "migrate": ("-m", "infra.postgres.migrate"),
    "bootstrap-kafka": ("-m", "infra.kafka.bootstrap"),
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything of one system is.

    ``http`` is where each process itself listens, by name. ``ca_file`` names the authorities by which the servers'
    certificates are verified; ``None``: they are not spoken to by TLS. ``superusers`` names the secret that is the
    password of PostgreSQL's superuser on the server of each database.
    """

    public_url: str
    http: Mapping[str, Address]
    kafka: Address
    redis: Address
    databases: Mapping[str, Address]
    superusers: Mapping[str, str]
    smtp: Address
    sender: str
    ca_file: Path | None = None
    static_members: bool = False
    """Whether there is one process of each kind, so that its name may be that of a member of its consumer groups."""
    drain_s: int = 0
    """How long a gateway that was asked to stop still answers: until whoever sends it requests has noticed."""
    common: Mapping[str, str] = field(default_factory=dict)
    """What every process is told besides."""


class Recipes:
    """Makes the environment of any process or step of one system, by name."""

    def __init__(self, secrets: Secrets, places: Places) -> None:
        self._secrets = secrets
        self.places = places

    def of(self, name: str) -> dict[str, str]:
        """Return the settings of a process or step; raise ``KeyError`` for a name that has none."""
        return _RECIPES[name](self)

    def secrets_of(self, name: str) -> dict[str, str]:
        """Return those settings of a process or step that are secret."""
        values = set(self._secrets.values())
        return {setting: value for setting, value in self.of(name).items() if value in values}

    def plain_of(self, name: str) -> dict[str, str]:
        """Return those settings of a process or step that everybody may see."""
        return {setting: value for setting, value in self.of(name).items() if setting not in self.secrets_of(name)}

    def http(self, process: str) -> dict[str, str]:
        """Return where a process answers HTTP, and what all processes are told."""
        address = self.places.http[process]
        return {"CASH_HTTP_HOST": address.host, "CASH_HTTP_PORT": str(address.port), **self.places.common}

    def kafka(self, user: str) -> dict[str, str]:
        """Return how one of Kafka's users signs in."""
        return {
            "CASH_KAFKA_BOOTSTRAP_SERVERS": str(self.places.kafka),
            "CASH_KAFKA_SECURITY_PROTOCOL": "SASL_SSL" if self.places.ca_file else "SASL_PLAINTEXT",
            "CASH_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "CASH_KAFKA_SASL_USERNAME": user,
            "CASH_KAFKA_SASL_PASSWORD": self._secrets.kafka_password(user),
            **self._authorities("CASH_KAFKA"),
        }

    def member(self, name: str) -> dict[str, str]:
        """Return the name under which a consumer is in its groups, where it has one."""
        return {"CASH_KAFKA_INSTANCE_ID": name} if self.places.static_members else {}

    def database(self, name: str, role: str) -> dict[str, str]:
        """Return the settings of one database, ``users`` or ``ledger``, for its migrator, consumer or gateway."""
        prefix, user = f"CASH_{name.upper()}_DB", f"{name}_{role}"
        return {
            **self._postgres(prefix, name),
            f"{prefix}_NAME": name,
            f"{prefix}_USER": user,
            f"{prefix}_PASSWORD": self._secrets.database_password(user),
        }

    def superuser(self, name: str) -> dict[str, str]:
        """Return what prepares the server of one database: its superuser, and the passwords of the roles it makes."""
        prefix = f"CASH_{name.upper()}_POSTGRES"
        return {
            **self._postgres(prefix, name),
            f"{prefix}_USER": "postgres",
            f"{prefix}_PASSWORD": self._secrets[self.places.superusers[name]],
            **{
                f"CASH_{name.upper()}_{role.upper()}_PASSWORD": self._secrets.database_password(f"{name}_{role}")
                for role in ("migrator", "consumer", "gateway")
            },
        }

    def redis(self) -> dict[str, str]:
        """Return how Redis is reached."""
        address = self.places.redis
        return {
            "CASH_REDIS_HOST": address.host,
            "CASH_REDIS_PORT": str(address.port),
            "CASH_REDIS_PASSWORD": self._secrets["REDIS_PASSWORD"],
            "CASH_REDIS_TLS": "true" if self.places.ca_file else "false",
            **self._authorities("CASH_REDIS"),
        }

    def smtp(self) -> dict[str, str]:
        """Return where mail is handed over."""
        address = self.places.smtp
        return {
            "CASH_SMTP_HOST": address.host,
            "CASH_SMTP_PORT": str(address.port),
            "CASH_SMTP_SENDER": self.places.sender,
        }

    def secrets(self, *names: str) -> dict[str, str]:
        """Return these secrets, which are named like their settings."""
        return {name: self._secrets[name] for name in names}

    def kafka_users(self) -> dict[str, str]:
        """Return the passwords that Kafka's users get."""
        return {f"CASH_{_upper(f'kafka_{user}')}_PASSWORD": self._secrets.kafka_password(user) for user in KAFKA_USERS}

    def _postgres(self, prefix: str, database: str) -> dict[str, str]:
        address = self.places.databases[database]
        return {
            f"{prefix}_HOST": address.host,
            f"{prefix}_PORT": str(address.port),
            f"{prefix}_SSLMODE": "verify-full" if self.places.ca_file else "disable",
            **self._authorities(prefix),
        }

    def _authorities(self, prefix: str) -> dict[str, str]:
        return {f"{prefix}_SSL_CAFILE": str(self.places.ca_file)} if self.places.ca_file else {}


def _upper(name: str) -> str:
    return name.replace("-", "_").upper()


def _gateway(make: Recipes) -> dict[str, str]:
    return (
        make.http("gateway")
        | make.kafka("gateway")
        | make.database("users", "gateway")
        | make.database("ledger", "gateway")
        | make.redis()
        | make.secrets(
            "CASH_KEY_PROOF", "CASH_KEY_REFRESH", "CASH_KEY_SEAL", "CASH_TOKEN_SIGNING_KEY", "CASH_TOKEN_PUBLIC_KEYS"
        )
        | {"CASH_PUBLIC_URL": make.places.public_url}
        | ({"CASH_GATEWAY_DRAIN_S": str(make.places.drain_s)} if make.places.drain_s else {})
    )


def _ledger_consumer(name: str) -> Callable[[Recipes], dict[str, str]]:
    return lambda make: (
        make.http(name)
        | make.kafka("ledger-consumer")
        | make.member(name)
        | make.database("ledger", "consumer")
        | make.redis()
        | make.secrets("CASH_TOKEN_PUBLIC_KEYS")
    )


_RECIPES: Mapping[str, Callable[[Recipes], dict[str, str]]] = {
    "gateway": _gateway,
    "identity-consumer": lambda make: (
        make.http("identity-consumer")
        | make.kafka("identity-consumer")
        | make.member("identity-consumer")
        | make.database("users", "consumer")
        | make.redis()
        | make.secrets("CASH_KEY_CODE", "CASH_KEY_PROOF", "CASH_KEY_SEAL")
    ),
    "ledger-consumer": _ledger_consumer("ledger-consumer"),
    # The same process for imports alone; the local stack has one for both.
    "ledger-consumer-bulk": _ledger_consumer("ledger-consumer-bulk"),
    "relay": lambda make: (
        make.http("relay")
        | make.kafka("relay")
        | make.database("users", "consumer")
        | make.database("ledger", "consumer")
    ),
    "celery-worker": lambda make: (
        make.http("celery-worker")
        | make.database("users", "consumer")
        | make.database("ledger", "consumer")
        | make.redis()
        | make.smtp()
        | make.secrets("CASH_KEY_CODE")
    ),
    "celery-beat": lambda make: make.http("celery-beat") | make.redis(),
    "bootstrap-postgres": lambda make: make.superuser("users") | make.superuser("ledger"),
    "migrate": lambda make: make.database("users", "migrator") | make.database("ledger", "migrator"),
    "bootstrap-kafka": lambda make: make.kafka(KAFKA_ADMINISTRATOR) | make.kafka_users(),
    # Commands that look after the system, such as `cash queues`. They only read; gateways may not read the outbox.
    "operator": lambda make: (
        make.kafka("operator") | make.database("users", "consumer") | make.database("ledger", "consumer") | make.redis()
    ),
    # `cash sim --via kafka`
    "simulator": lambda make: make.kafka("simulator"),
    # Whoever writes rows straight into `ledger.bulk`.
    "importer": lambda make: make.kafka("importer"),
    # `cash backup restore`: it loads tables as their owner, and writes the journal, which nobody but the relay may.
    "restore": lambda make: (
        make.kafka(KAFKA_ADMINISTRATOR) | make.database("users", "migrator") | make.database("ledger", "migrator")
    ),
    # `cash ledger rebuild`
    "rebuild": lambda make: make.superuser("ledger") | make.kafka("operator"),
}
NAMES: Sequence[str] = tuple(_RECIPES)
