"""What all tests share: one local stack per session, in a folder and on ports of its own."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from infra.local.plan import Choices
from infra.local.postgres import remove_postgres
from infra.local.stack import LocalStack

# The machine also runs the servers: how long an example took says nothing about the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# structlog's default draws tracebacks with all local variables: seconds for each, where a test makes twenty of them.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


@pytest.fixture(autouse=True)
def _hears_ctrl_c() -> None:
    """Have a test, and what it starts, hear Ctrl-C and hang-ups.

    Whoever started the tests in the background (a shell, nohup, a CI) may ignore them, which every process inherits; an
    earlier test may have left a handler of its own.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """The whole system, running: real servers, every process, migrated databases, created topics.

    The downloads are shared with `cash up`; what is missing is fetched. Logs stay where a test failed.
    """
    # Not pytest's own temporary folder: it is closed to the user PostgreSQL runs as when root runs the tests.
    folder = Path(tempfile.mkdtemp(prefix="cash-flow-tests-"))
    # Everybody in the tests comes from one network; the limits are tested with a gateway of their own.
    limits = {"CASH_LIMITS_PER_NETWORK": "1000000", "CASH_LIMITS_PER_SUBJECT": "1000000"}
    local = LocalStack(folder, Choices(any_ports=True, settings=limits))
    try:
        local.start()
        yield local
    finally:
        local.stop()
        remove_postgres(local.home)
        if request.session.testsfailed:
            print(f"\nThe logs of the local stack: {local.home.logs}")
            for data in (local.home.kafka, local.home.redis):
                shutil.rmtree(data, ignore_errors=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
