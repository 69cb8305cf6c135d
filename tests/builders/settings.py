"""Settings as a process of the stack would read them, without touching this process's environment."""

from collections.abc import Mapping
from typing import Any, TypeVar

from infra.settings import Settings

S = TypeVar("S", bound=Settings)


def settings_from(environment: Mapping[str, str], settings: type[S]) -> S:
    """Read settings from a process's environment, as ``LocalStack.environment`` gives it."""
    prefix = settings.model_config.get("env_prefix", "")
    fields = {
        name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)
    }
    known: dict[str, Any] = {name: value for name, value in fields.items() if name in settings.model_fields}
    return settings(**known)
