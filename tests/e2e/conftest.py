"""What the tests that kill share: a way to speak during a run, and the figures they took, told at its end."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from tests.chaos.recovery import Recoveries

Say = Callable[[str], None]


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Say:
    """Print at once, whatever pytest captures: a long run shows where it is."""
    capturing = pytestconfig.pluginmanager.getplugin("capturemanager")

    def print_at_once(sentence: str) -> None:
        with capturing.global_and_fixture_disabled() if capturing else nullcontext():
            print(f"\n{sentence}", end="", flush=True)

    return print_at_once


@pytest.fixture(scope="session")
def recoveries(say: Say) -> Iterator[Recoveries]:
    recoveries = Recoveries()
    yield recoveries
    say(f"From the kill to the next transaction recorded, for information:\n{recoveries}\n")
