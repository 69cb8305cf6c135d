"""What the tests that kill share: the figures they took, printed at the end of the run."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from tests.chaos.recovery import Recoveries


@pytest.fixture(scope="session")
def recoveries(pytestconfig: pytest.Config) -> Iterator[Recoveries]:
    recoveries = Recoveries()
    yield recoveries
    capturing = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capturing.global_and_fixture_disabled() if capturing else nullcontext():
        print(f"\nFrom the kill to the next transaction recorded (no bound is tested but the mails'):\n{recoveries}")
