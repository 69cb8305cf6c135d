"""Where the servers are that an operator's command talks to: where the environment says, else the local stack's."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from cli.terminal.output import ExitCode, fail
from infra.local.home import Home

if TYPE_CHECKING:
    from infra.settings import Settings

S = TypeVar("S", bound="Settings")

#: Whose settings an operator's command has, where it needs no others: Kafka's operator, Redis, both databases.
OPERATOR = "operator"


def is_elsewhere() -> bool:
    """Return whether the environment names the servers: they are not the local stack's."""
    return "CASH_KAFKA_BOOTSTRAP_SERVERS" in os.environ


def settings_of(kind: type[S], process: str = OPERATOR) -> S:
    """Return the settings of one adapter: those of the environment where it names the server, else the local stack's.

    Args:
        kind: such as ``KafkaSettings``, whose server ``CASH_KAFKA_BOOTSTRAP_SERVERS`` names.
        process: a name that ``infra.deployment.recipes`` knows; the local stack's command acts as that one.

    Raises:
        Failure: a setting of the environment is missing or wrong, or there is neither it nor a running local stack.
    """
    from pydantic import ValidationError

    from infra.settings import complaints

    prefix = kind.model_config.get("env_prefix", "")
    server = f"{prefix}{next(name for name, field in kind.model_fields.items() if field.is_required())}".upper()
    fields: dict[str, Any] = {}
    if server not in os.environ:
        given = local_settings(process, or_set=server)
        fields = {name.removeprefix(prefix).lower(): value for name, value in given.items() if name.startswith(prefix)}
    try:
        return kind(**fields)
    except ValidationError as error:
        fail(complaints(kind, error)[0], ExitCode.USAGE)
    except OSError as error:
        fail(f"a setting could not be read from its file ({error}); see the {prefix}*_FILE you set", ExitCode.USAGE)


@contextlib.contextmanager
def reaching(server: str) -> Iterator[None]:
    """Fail with a sentence where a server does not answer, or refuses; what Kafka's client says besides is left out.

    Args:
        server: such as ``Kafka``, for the sentence.
    """
    from infra.errors import Refused, Unavailable

    quiet_kafka()
    try:
        yield
    except Refused as error:
        fail(str(error), ExitCode.REFUSED)
    except Unavailable as error:
        fail(f"{server} does not answer ({error}); see `cash status`, then try again", ExitCode.UNREACHABLE)


def quiet_kafka() -> None:
    """Keep Kafka's client from writing on stderr what a sentence of ours says, or a line of a table."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def local_settings(process: str, *, or_set: str | None = None) -> Mapping[str, str]:
    """Return the environment of one of the local stack's processes or steps; its servers must run.

    ``or_set`` names what somebody whose servers run elsewhere would set instead.
    """
    from infra.local.environment import local_recipes

    home = Home.default()
    if not home.secrets.exists() or not _is_running(home):
        otherwise = f", or set {or_set} and what goes with it" if or_set else ""
        fail(f"the local stack is not running; start it with `cash up -d`{otherwise}", ExitCode.NOT_READY)
    return local_recipes(home).of(process)


def _is_running(home: Home) -> bool:
    # Imported where a stack was started once: elsewhere, as in the container image, what it needs is not installed.
    from infra.local.state import is_running

    return is_running(home)
