"""The table of addresses: every route of the gateway, and the two things routes ask for by name."""

from collections.abc import Callable
from typing import Any

from litestar import Litestar, Router
from litestar.di import NamedDependency, Provide

from gateway.errors import EXCEPTION_HANDLERS
from gateway.requests import BodyReading, JsonRequest
from gateway.routes import accounts, docs, grants, health, operations, registrations, sessions, transactions
from gateway.routes.answers import API
from gateway.services import Services
from gateway.tokens import Principal


def route_handlers() -> list[Any]:
    """Return every route; those below ``/api/v1`` are the API."""
    api = Router(
        API,
        route_handlers=[
            registrations.start_registration,
            registrations.resend_code,
            registrations.verify_registration,
            registrations.choose_user,
            operations.get_registration_operation,
            sessions.sign_in,
            sessions.refresh_session,
            sessions.list_own_sessions,
            sessions.end_session,
            sessions.authorize,
            transactions.submit_own_transaction,
            transactions.list_own_transactions,
            transactions.get_own_transaction,
            transactions.submit_transaction,
            transactions.list_ledger_transactions,
            transactions.get_transaction,
            accounts.list_own_accounts,
            accounts.list_ledger_accounts,
            grants.grant_bulk,
            operations.get_operation,
        ],
    )
    root = [sessions.list_keys, health.get_live, health.get_ready, health.get_metrics]
    return [api, *root, docs.get_document, docs.get_page, docs.get_asset]


def build(services: Callable[[], Services], **options: Any) -> Litestar:
    """Build the Litestar application; ``services`` is asked for them on every request."""
    return Litestar(
        route_handlers(),
        dependencies={
            "services": Provide(services, sync_to_thread=False),
            "principal": Provide(_principal, sync_to_thread=False),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        request_class=JsonRequest,
        plugins=[BodyReading()],
        logging_config=None,
        **options,
    )


def _principal(request: JsonRequest, services: NamedDependency[Services]) -> Principal:
    """Return who is asking. It depends on the services, so that the two are not resolved as a group of tasks."""
    return services.guard.principal(request)
