"""How patient the supervisor is; what it does has its own tests with real processes."""

import pytest

from infra.local.supervisor import pause_s


@pytest.mark.parametrize(
    ("failures", "pause"), [(1, 0.2), (2, 0.4), (3, 0.8), (7, 12.8), (8, 15.0), (1_025, 15.0), (1_000_000, 15.0)]
)
def test_pause_doubles_up_to_its_limit_and_never_overflows(failures: int, pause: float) -> None:
    assert pause_s(failures) == pytest.approx(pause)
