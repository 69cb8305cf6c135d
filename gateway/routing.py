"""The table of addresses: every route of the gateway, and who may ask there."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar, Request, Router
from litestar.di import Provide

from gateway.auth import is_open
from gateway.errors import EXCEPTION_HANDLERS
from gateway.requests import BodyReading, JsonRequest, read_asking
from gateway.routes import (
    accounts,
    assertions,
    balances,
    changes,
    docs,
    events,
    grants,
    health,
    invitations,
    ledgers,
    members,
    operations,
    passwords,
    people,
    rates,
    registers,
    registrations,
    sessions,
    totals,
    transactions,
)
from gateway.routes.answers import API
from gateway.services import Services


def route_handlers(identify: Callable[[Request[Any, Any, Any]], Awaitable[None]]) -> list[Any]:
    """Return every route; those below ``/api/v1`` ask who it is, but for the few that say they are open to all."""
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
            passwords.change_password,
            people.get_own_data,
            transactions.submit_own_transaction,
            transactions.list_own_transactions,
            transactions.get_own_transaction,
            transactions.change_own_transaction,
            transactions.delete_own_transaction,
            transactions.submit_transaction,
            transactions.list_ledger_transactions,
            transactions.get_transaction,
            transactions.change_transaction,
            transactions.delete_transaction,
            transactions.get_transaction_history,
            accounts.list_own_accounts,
            accounts.open_own_account,
            accounts.list_ledger_accounts,
            accounts.open_account,
            accounts.get_account,
            accounts.change_account,
            registers.list_account_register,
            totals.get_totals,
            balances.list_ledger_balances,
            balances.get_net_worth,
            rates.list_ledger_rates,
            rates.record_rates,
            assertions.list_ledger_assertions,
            assertions.assert_balance,
            assertions.get_assertion,
            assertions.lift_assertion,
            ledgers.list_own_ledgers,
            ledgers.open_ledger,
            ledgers.get_ledger,
            ledgers.change_ledger,
            members.list_ledger_members,
            members.change_member,
            members.remove_member,
            invitations.invite,
            invitations.list_ledger_invitations,
            invitations.get_invitation,
            invitations.withdraw_invitation,
            invitations.accept_invitation,
            invitations.decline_invitation,
            invitations.list_invitations_for_me,
            changes.list_ledger_changes,
            changes.undo_change,
            grants.grant_bulk,
            events.stream_events,
            operations.list_own_operations,
            operations.get_operation,
        ],
        # Not one of Litestar's guards, which copies the route's handler for every request, at a tenth of the whole.
        before_request=identify,
    )
    root = [sessions.list_keys, health.get_live, health.get_ready, health.get_metrics]
    return [api, *root, docs.get_document, docs.get_page, docs.get_asset]


def build(services: Callable[[], Services], **options: Any) -> Litestar:
    """Build the Litestar application; ``services`` is called for on every request."""

    async def identify(request: Request[Any, Any, Any]) -> None:
        """Find out how somebody asks, and who it is, before anything else is looked at."""
        assert isinstance(request, JsonRequest)  # the application's request class
        if "write" in request.route_handler.opt:
            read_asking(request)
        if not is_open(request.route_handler):
            request.scope["user"] = services().doorman.find_principal(request)

    return Litestar(
        route_handlers(identify),
        dependencies={"services": Provide(services, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS,
        request_class=JsonRequest,
        plugins=[BodyReading()],
        logging_config=None,
        **options,
    )
