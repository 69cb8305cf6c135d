"""What each process is told through its environment: only what it needs."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from infra.local.home import Home
from infra.local.ports import LOOPBACK, read_ports
from infra.local.secrets import Secrets, read_secrets

SENDER = "cash-flow <no-reply@cash-flow.local>"


class Environments:
    """Makes the environment of any process or step of one stack, by name."""

    def __init__(self, secrets: Secrets, ports: Mapping[str, int]) -> None:
        self._secrets = secrets
        self._ports = ports

    def of(self, name: str) -> dict[str, str]:
        """Return the settings of a process or step; raise ``KeyError`` for a name that has none."""
        return _RECIPES[name](self)

    @property
    def api_url(self) -> str:
        """The address of the API."""
        return f"http://{LOOPBACK}:{self._ports['gateway']}"

    def http(self, process: str) -> dict[str, str]:
        """Return where a process answers HTTP, and how it logs."""
        port = str(self._ports[process])
        return {"CASH_HTTP_HOST": LOOPBACK, "CASH_HTTP_PORT": port, "CASH_LOG_LEVEL": "INFO", "CASH_LOG_FORMAT": "json"}

    def kafka(self, user: str) -> dict[str, str]:
        """Return how one of Kafka's users signs in."""
        return {
            "CASH_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self._ports['kafka']}",
            "CASH_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "CASH_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "CASH_KAFKA_SASL_USERNAME": user,
            "CASH_KAFKA_SASL_PASSWORD": self._secrets.kafka_password(user),
        }

    def database(self, name: str, role: str) -> dict[str, str]:
        """Return the settings of one database, ``users`` or ``ledger``, for its migrator, consumer or gateway."""
        prefix, user = f"CASH_{name.upper()}_DB", f"{name}_{role}"
        return {
            f"{prefix}_HOST": LOOPBACK,
            f"{prefix}_PORT": str(self._ports["postgres"]),
            f"{prefix}_NAME": name,
            f"{prefix}_USER": user,
            f"{prefix}_PASSWORD": self._secrets.database_password(user),
            # The wheel's server is built without TLS and listens on loopback only.
            f"{prefix}_SSLMODE": "disable",
        }

    def redis(self) -> dict[str, str]:
        """Return how Redis is reached."""
        return {
            "CASH_REDIS_HOST": LOOPBACK,
            "CASH_REDIS_PORT": str(self._ports["redis"]),
            "CASH_REDIS_PASSWORD": self._secrets["REDIS_PASSWORD"],
            "CASH_REDIS_TLS": "false",
        }

    def smtp(self) -> dict[str, str]:
        """Return where mail is handed over."""
        return {"CASH_SMTP_HOST": LOOPBACK, "CASH_SMTP_PORT": str(self._ports["smtp"]), "CASH_SMTP_SENDER": SENDER}

    def secrets(self, *names: str) -> dict[str, str]:
        """Return these secrets, which are named like their settings."""
        return {name: self._secrets[name] for name in names}

    def superuser(self) -> dict[str, str]:
        """Return what ``infra.postgres.bootstrap`` needs: the superuser, and the passwords of the roles it makes."""
        roles = {
            f"CASH_{name}": value for name, value in self._secrets.items() if name.startswith(("USERS_", "LEDGER_"))
        }
        return {
            "CASH_POSTGRES_HOST": LOOPBACK,
            "CASH_POSTGRES_PORT": str(self._ports["postgres"]),
            "CASH_POSTGRES_USER": "postgres",
            "CASH_POSTGRES_PASSWORD": self._secrets["POSTGRES_PASSWORD"],
            **roles,
        }


_RECIPES: Mapping[str, Callable[[Environments], dict[str, str]]] = {
    "mailbox": lambda make: make.http("mailbox") | make.smtp(),
    "gateway": lambda make: (
        make.http("gateway")
        | make.kafka("gateway")
        | make.database("users", "gateway")
        | make.database("ledger", "gateway")
        | make.redis()
        | make.secrets(
            "CASH_KEY_PROOF", "CASH_KEY_REFRESH", "CASH_KEY_SEAL", "CASH_TOKEN_SIGNING_KEY", "CASH_TOKEN_PUBLIC_KEYS"
        )
        | {"CASH_PUBLIC_URL": make.api_url}
    ),
    "identity-consumer": lambda make: (
        make.http("identity-consumer")
        | make.kafka("identity-consumer")
        | {"CASH_KAFKA_INSTANCE_ID": "identity-consumer"}
        | make.database("users", "consumer")
        | make.redis()
        | make.secrets("CASH_KEY_CODE", "CASH_KEY_PROOF", "CASH_KEY_SEAL")
    ),
    "ledger-consumer": lambda make: (
        make.http("ledger-consumer")
        | make.kafka("ledger-consumer")
        | {"CASH_KAFKA_INSTANCE_ID": "ledger-consumer"}
        | make.database("ledger", "consumer")
        | make.redis()
        | make.secrets("CASH_TOKEN_PUBLIC_KEYS")
    ),
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
    "bootstrap": lambda make: make.superuser(),
    "migrate": lambda make: make.database("users", "migrator") | make.database("ledger", "migrator"),
    "topics": lambda make: make.kafka("operator"),
    # Commands that look after the system, such as `cash queues`. They only read; gateways may not read the outbox.
    "operator": lambda make: (
        make.kafka("operator") | make.database("users", "consumer") | make.database("ledger", "consumer") | make.redis()
    ),
    # `cash sim --via kafka`
    "simulator": lambda make: make.kafka("simulator"),
    # `cash ledger rebuild`
    "rebuild": lambda make: make.superuser() | make.kafka("operator"),
}


def main(arguments: Sequence[str]) -> int:
    """Become a program with a process's settings: ``… gateway -- python -m gateway``."""
    if len(arguments) < 3 or arguments[1] != "--" or arguments[0] not in _RECIPES:
        print(f"Say which settings and which program: NAME -- PROGRAM...; NAME is one of {', '.join(_RECIPES)}")
        return os.EX_USAGE
    home = Home.default()
    if not home.secrets.exists():
        print(f"There is no stack in {home.root} yet; start one with `cash up`")
        return 1
    settings = Environments(read_secrets(home), read_ports(home)).of(arguments[0])
    program = list(arguments[2:])
    return subprocess.run(program, env=os.environ | settings, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
