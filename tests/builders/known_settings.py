"""Every setting there is, and what its value is checked by: for whatever names settings in a file of another kind."""

import functools
import importlib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter

from infra.settings import Settings

_MODULES = ("consumers.settings", "gateway.settings", "infra.kafka.users", "infra.postgres.bootstrap")


@functools.cache
def known_settings() -> Mapping[str, "TypeAdapter[Any]"]:
    """Return, by its name in the environment, what checks the value of each setting that some process reads."""
    for module in _MODULES:
        importlib.import_module(module)
    known: dict[str, TypeAdapter[Any]] = {}
    classes: list[type[Settings]] = [Settings]
    while classes:
        each = classes.pop()
        classes += each.__subclasses__()
        for field, told in each.model_fields.items():
            checked: Any = Annotated[(told.annotation, *told.metadata)] if told.metadata else told.annotation
            known[f"{each.model_config.get('env_prefix', '')}{field}".upper()] = TypeAdapter(checked)
    return known
