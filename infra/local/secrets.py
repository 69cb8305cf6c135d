"""Secrets of the local stack: generated once, kept in one file only its owner can read."""

from collections.abc import Mapping

from infra.deployment.secrets import LOCAL_NAMES, Secrets, filled_up
from infra.local.home import Home, StackError, write_whole

# A file without this last line was cut short: filling it up would give existing data new passwords.
END = "# end"


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
    if not known.keys() >= set(LOCAL_NAMES):
        known = filled_up(known, LOCAL_NAMES, key_id="local-1")
        _write(home, known)
    return known


def adopt_keys(home: Home, keys: Mapping[str, str]) -> None:
    """Have the stack go on with the keys of another one, whose data it is given; it must not run."""
    _write(home, Secrets({**ensure_secrets(home), **keys}))


def _write(home: Home, secrets: Secrets) -> None:
    lines = ["# Made by `cash up` for this machine only. Whoever reads this file can read and change everything."]
    lines += [f"{name}={value}" for name, value in secrets.items()]
    write_whole(home.secrets, "\n".join([*lines, END]) + "\n")
