"""Passwords and keys of one system: which there are, and how they are made."""

import base64
import secrets
from collections.abc import Iterator, Mapping, Sequence

DATABASE_ROLES = (
    "users_migrator",
    "users_consumer",
    "users_gateway",
    "ledger_migrator",
    "ledger_consumer",
    "ledger_gateway",
)
#: A super user of Kafka, for the step that makes topics, users and access rules, and for nothing else.
KAFKA_ADMINISTRATOR = "administrator"
#: Whom the broker must know before anybody can sign in.
KAFKA_FIRST_USERS = ("broker", KAFKA_ADMINISTRATOR)
#: Whom the step makes.
KAFKA_USERS = (
    "operator",
    "gateway",
    "identity-consumer",
    "ledger-consumer",
    "relay",
    "simulator",
    "importer",
)


def password_name(owner: str) -> str:
    """Return the name of the secret that is the password of a server's user."""
    return f"{owner.replace('-', '_').upper()}_PASSWORD"


_SHARED_PASSWORDS = tuple(
    password_name(owner)
    for owner in (
        "redis",
        *DATABASE_ROLES,
        *(f"kafka_{user}" for user in (*KAFKA_FIRST_USERS, "controller", *KAFKA_USERS)),
    )
)
_KEYS = ("CASH_KEY_CODE", "CASH_KEY_PROOF", "CASH_KEY_REFRESH")
KEY_PAIR = ("CASH_TOKEN_SIGNING_KEY", "CASH_TOKEN_PUBLIC_KEYS")
#: What data was made with; passwords are of servers, and these are of one system wherever it runs.
DATA_KEYS = (*_KEYS, "CASH_KEY_SEAL", *KEY_PAIR)
_SHARED = (*_SHARED_PASSWORDS, *DATA_KEYS)
#: The local stack has one PostgreSQL server, and so one superuser.
LOCAL_NAMES = ("POSTGRES_PASSWORD", *_SHARED)
DEPLOYED_NAMES = ("USERS_POSTGRES_PASSWORD", "LEDGER_POSTGRES_PASSWORD", "GRAFANA_PASSWORD", *_SHARED)


class Secrets(Mapping[str, str]):
    """Names and values; values never show in a representation."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def database_password(self, role: str) -> str:
        """Return the password of a role such as ``users_gateway``."""
        return self[password_name(role)]

    def kafka_password(self, user: str) -> str:
        """Return the password of one of Kafka's users."""
        return self[password_name(f"kafka_{user}")]


def filled_up(known: Mapping[str, str], names: Sequence[str], key_id: str) -> Secrets:
    """Return secrets with those of ``names`` made that are missing; ``key_id`` names the keys among them."""
    # The two halves of the signing key belong together: either one missing renews both.
    kept = {name: value for name, value in known.items() if name not in KEY_PAIR or known.keys() >= set(KEY_PAIR)}
    missing = set(names) - kept.keys()
    made = {name: value for name, value in _generate(names, key_id).items() if name in missing} if missing else {}
    return Secrets({**made, **kept})


def _generate(names: Sequence[str], key_id: str) -> dict[str, str]:
    # Imported here: only the very first start needs it, and it costs every other one its load time.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signing = Ed25519PrivateKey.generate()
    pair = (signing.private_bytes_raw(), signing.public_key().public_bytes_raw())
    return {
        **{name: secrets.token_urlsafe(24) for name in names if name.endswith("_PASSWORD")},
        **{name: _text(secrets.token_bytes(32)) for name in _KEYS},
        "CASH_KEY_SEAL": f"{key_id}:{_text(secrets.token_bytes(32))}",
        **{name: f"{key_id}:{_text(half)}" for name, half in zip(KEY_PAIR, pair, strict=True)},
    }


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
