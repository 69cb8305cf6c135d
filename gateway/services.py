"""What routes need besides the request, in one object: Litestar resolves two dependencies in a task each."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.auth import Doorman
from gateway.events import LedgerEvents
from gateway.outcomes import Outcomes
from gateway.passwords import Passwords
from gateway.publishing import Publisher
from gateway.readiness import Readiness
from gateway.settings import GatewaySettings
from gateway.tokens import Tokens
from infra.postgres.engine import Database
from infra.redis.limits import Limits


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running gateway."""

    settings: GatewaySettings
    doorman: Doorman
    publisher: Publisher
    users: Database
    ledger: Database
    identity_outcomes: Outcomes
    ledger_outcomes: Outcomes
    limits: Limits
    events: LedgerEvents
    passwords: Passwords
    tokens: Tokens
    readiness: Readiness
    openapi: Callable[[], bytes]
    """The document, which describes the routes; so it is none of what they import."""
