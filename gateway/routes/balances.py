"""Balances and net worth, read from the ledger database: now, on a day, and as they were known at a moment."""

from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field

from gateway.auth import require_member
from gateway.errors import FieldProblem, Invalid, NotFound
from gateway.fields import AnyAccount, Day, HomeCurrency, Moment, Query
from gateway.queries.accounts import FoundAccount, find_named_account
from gateway.queries.balances import (
    SETTLED_AFTER_S,
    BalanceLine,
    KindedAccount,
    Knowledge,
    Line,
    find_knowledge,
    list_balances,
)
from gateway.queries.net_worth import NetWorth, find_net_worth
from gateway.requests import JsonRequest, asks, query_of
from gateway.routes.answers import JsonAnswer, answer_of, problems
from gateway.routes.ledgers import read_ledger
from gateway.services import Services
from gateway.tokens import Principal
from infra.postgres.engine import Database


class BalancesAsked(Query):
    """Which balances, of when, and as known when."""

    on: Day | None = Field(None, description="At the end of this day; absent: with everything that is booked.")
    known_at: Moment | None = Field(
        None,
        description=f"By what the ledger knew at this moment, at least {SETTLED_AFTER_S} s ago; absent: by all of it.",
    )
    account: AnyAccount | None = Field(None, description="Name or id of one account or category; absent: all.")


class BalanceList(msgspec.Struct):
    """Balances by account and currency, without those that are zero; of one that was asked for its own currency always.

    Those of what was merged into an account are in its balance.
    """

    on: date | None
    known_at: datetime | None
    items: list[BalanceLine]


class NetWorthAsked(Query):
    """Of which day, and in which currency."""

    on: Day | None = Field(None, description="At the end of this day; absent: today in the ledger's time zone.")
    currency: HomeCurrency | None = Field(None, description="To convert into; absent: the ledger's.")


@get(
    "/ledgers/{ledger_id:uuid}/balances",
    responses={200: answer_of(BalanceList, "The balances."), **problems(400, 401, 404, 503)},
    opt=asks(BalancesAsked),
    tags=["balances"],
)
async def list_ledger_balances(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """List balances by account and currency: now, at the end of a day, or as they were known at a moment."""
    asked, principal, ledger = query_of(request, BalancesAsked), request.user, services.ledger
    knowledge = await _knowledge(ledger, ledger_id, principal, asked.known_at) if asked.known_at else None
    account = await _account(ledger, ledger_id, principal, asked.account) if asked.account else None
    lines = await list_balances(
        ledger,
        ledger_id,
        principal.user_id,
        account_id=account.id if account else None,
        on=asked.on,
        knowledge=knowledge,
    )
    if account and account.currency and not lines:
        lines = [Line(KindedAccount(account.id, account.name, account.kind), account.currency, 0)]
    if not lines:
        await require_member(ledger, ledger_id, principal)
    return JsonAnswer(BalanceList(asked.on, asked.known_at, [line.shown() for line in lines]))


@get(
    "/ledgers/{ledger_id:uuid}/net-worth",
    responses={200: answer_of(NetWorth, "The net worth."), **problems(400, 401, 404, 503)},
    opt=asks(NetWorthAsked),
    tags=["balances"],
)
async def get_net_worth(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """Read what is owned less what is owed on a day: per currency, and in one by the rates that were entered."""
    asked, principal = query_of(request, NetWorthAsked), request.user
    ledger = await read_ledger(services.ledger, ledger_id, principal)
    on = asked.on or datetime.now(UTC).astimezone(ZoneInfo(ledger.time_zone)).date()
    currency = asked.currency or ledger.base_currency
    found = await find_net_worth(services.ledger, ledger_id, principal.user_id, on=on, currency=currency)
    return JsonAnswer(found)


async def _knowledge(ledger: Database, ledger_id: UUID, principal: Principal, known_at: datetime) -> Knowledge:
    knowledge = await find_knowledge(ledger, ledger_id, principal.user_id, known_at)
    if not knowledge.settled:
        sentence = (
            f"Send a moment at least {SETTLED_AFTER_S} seconds ago: until then more may come to light that was "
            "recorded before it."
        )
        raise Invalid([FieldProblem("known_at", sentence)])
    return knowledge


async def _account(ledger: Database, ledger_id: UUID, principal: Principal, named: str) -> FoundAccount:
    account = await find_named_account(ledger, ledger_id, principal.user_id, named)
    if account is None:
        await require_member(ledger, ledger_id, principal)
        raise NotFound("There is no such account or category in this ledger; list its accounts.", "account")
    return account
