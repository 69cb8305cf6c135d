"""The compose file as Compose reads it, with no variable set."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

ROOT = Path(__file__).parents[2]
#: ``${NAME:-default}``, the innermost ones first.
_VARIABLE = re.compile(r"\$\{(\w+):-([^${}]*)\}")

Service: TypeAlias = Mapping[str, Any]


def read_compose() -> dict[str, Any]:
    """Read the file, each variable replaced by its default; without one it stays as it is, and no test takes it."""
    content: dict[str, Any] = _filled(yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8")))
    return content


def volumes_of(service: Service) -> dict[str, str]:
    """Return where a service mounts what, ``:ro`` and the like left at the place, and those with a name only."""
    return dict(reversed(mount.split(":", 1)) for mount in service.get("volumes", ()) if ":" in mount)


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each) for each in value]
    while isinstance(value, str) and (replaced := _VARIABLE.sub(r"\2", value)) != value:
        value = replaced
    return value
