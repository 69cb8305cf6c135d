"""Which version of cash-flow runs here, and how an answer says it."""

from functools import cache

#: The header in which every answer of the gateway names its version.
VERSION_HEADER = "Cash-Flow-Version"


@cache
def own_version() -> str:
    """Return the version of the installed package."""
    from importlib import metadata

    return metadata.version("cash-flow")
