"""Passwords and keys of the local stack: generated once, kept in one file only its owner can read."""

import base64
import secrets
from collections.abc import Iterator, Mapping

from infra.local.home import Home, StackError, write_whole

DATABASE_ROLES = (
    "users_migrator",
    "users_consumer",
    "users_gateway",
    "ledger_migrator",
    "ledger_consumer",
    "ledger_gateway",
)
KAFKA_USERS = (
    "broker",
    "controller",
    "operator",
    "gateway",
    "identity-consumer",
    "ledger-consumer",
    "relay",
    "simulator",
)


def password_name(owner: str) -> str:
    """Return the name under which a server's user keeps its password in ``secrets.env``."""
    return f"{owner.replace('-', '_').upper()}_PASSWORD"


PASSWORDS = tuple(
    password_name(owner) for owner in ("postgres", "redis", *DATABASE_ROLES, *(f"kafka_{user}" for user in KAFKA_USERS))
)
KEYS = ("CASH_KEY_CODE", "CASH_KEY_PROOF", "CASH_KEY_REFRESH")
KEY_PAIR = ("CASH_TOKEN_SIGNING_KEY", "CASH_TOKEN_PUBLIC_KEYS")
NAMES = (*PASSWORDS, *KEYS, "CASH_KEY_SEAL", *KEY_PAIR)
# A file without this last line was cut short: filling it up would give existing data new passwords.
END = "# end"


class Secrets(Mapping[str, str]):
    """Names and values of ``secrets.env``; values never show in a representation."""

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


def read_secrets(home: Home) -> Secrets:
    """Read ``secrets.env``; raise when it is missing or damaged."""
    try:
        lines = home.secrets.read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise StackError(f"{home.secrets} does not exist yet; start the stack with `cash up`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(
            f"{home.secrets} cannot be read ({error}); put a copy back, or start over with `cash reset`"
        ) from error
    if lines[-1:] != [END]:
        raise StackError(f"{home.secrets} is cut short; put a copy back, or start over with `cash reset`")
    values: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator or not name or not value:
            raise StackError(
                f"line {number} of {home.secrets} is damaged; put a copy back, or start over with `cash reset`"
            )
        values[name] = value
    return Secrets(values)


def ensure_secrets(home: Home) -> Secrets:
    """Return the stack's secrets, making those that do not exist yet.

    Data made under lost secrets cannot be opened again, so a missing file beside existing data is refused.
    """
    if home.secrets.exists():
        home.secrets.chmod(0o600)
        known = read_secrets(home)
    elif (home.postgres / "data").exists() or (home.kafka / "data").exists():
        raise StackError(
            f"{home.secrets} is gone, but data made with it is there; put it back, or start over with `cash reset`"
        )
    else:
        known = Secrets({})
    if not known.keys() >= set(NAMES):
        known = filled_up(known)
        lines = ["# Made by `cash up` for this machine only. Whoever reads this file can read and change everything."]
        lines += [f"{name}={value}" for name, value in known.items()]
        write_whole(home.secrets, "\n".join([*lines, END]) + "\n")
    return known


def filled_up(known: Mapping[str, str], key_id: str = "local-1") -> Secrets:
    """Return secrets with those made that are missing; ``key_id`` names the keys among them."""
    made = _generate(key_id)
    # The two halves of the signing key belong together: either one missing renews both.
    kept = {name: value for name, value in known.items() if name not in KEY_PAIR or known.keys() >= set(KEY_PAIR)}
    return Secrets({**made, **kept})


def _generate(key_id: str) -> dict[str, str]:
    # Imported here: only the very first start needs it, and it costs every other one its load time.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signing = Ed25519PrivateKey.generate()
    pair = (signing.private_bytes_raw(), signing.public_key().public_bytes_raw())
    return {
        **{name: secrets.token_urlsafe(24) for name in PASSWORDS},
        **{name: _text(secrets.token_bytes(32)) for name in KEYS},
        "CASH_KEY_SEAL": f"{key_id}:{_text(secrets.token_bytes(32))}",
        **{name: f"{key_id}:{_text(half)}" for name, half in zip(KEY_PAIR, pair, strict=True)},
    }


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
