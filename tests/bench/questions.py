"""The questions that the gateway answers from its databases, each as its route asks it, about a ledger of years."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import md5
from typing import Any, TypeAlias
from urllib.parse import quote
from uuid import UUID

from contracts.accounts import AccountKind
from contracts.filters import parse_filter
from contracts.messages import OperationState
from gateway.queries import (
    accounts,
    assertions,
    balances,
    changes,
    events,
    history,
    invitations,
    ledgers,
    members,
    net_worth,
    operations,
    people,
    rates,
    registers,
    registrations,
    sessions,
    totals,
    transactions,
    users,
)
from gateway.queries.filters import Sort
from gateway.queries.totals import By, Period
from infra.postgres.engine import Database
from tests.bench.histories import (
    CATEGORY,
    CHECKING,
    EXPENSES,
    FREQUENT_WORD,
    HIGH_AMOUNT,
    LAST_DAY,
    ON_A_DAY,
    PAYEE,
    RARE_WORD,
    TAG,
    History,
)

PAGE = 50
LISTS, REGISTERS, BALANCES, TOTALS = "lists", "registers", "balances", "totals"
#: With fewer transactions there may be none with a certain tag.
_ENOUGH = 10_000


@dataclass(frozen=True, slots=True)
class Asking:
    """The databases, the ledger that is asked about, and who asks."""

    ledger: Database
    users: Database
    of: History

    @property
    def member(self) -> tuple[UUID, UUID]:
        return self.of.ledger_id, self.of.user_id


Ask: TypeAlias = Callable[[Asking], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """A question in words, and how its route asks it.

    What the bench asks as well has a path, below the ledger's, and is ``measured`` with others of its kind.
    """

    words: str
    ask: Ask
    path: Callable[[History], str] = lambda _: ""
    measured: str = ""


def _listing(words: str, *, filter: str | None = None, sort: Sort = Sort.NEWEST, measured: bool = False) -> Question:
    async def ask(asking: Asking) -> None:
        what = parse_filter(filter) if filter else None
        if what is not None:
            await members.find_standing(asking.ledger, *asking.member)
        page = await transactions.list_transactions(asking.ledger, *asking.member, limit=PAGE, sort=sort, what=what)
        assert page.items or asking.of.transactions < _ENOUGH, words

    found = f"&filter={quote(filter)}" if filter else ""
    path = f"/transactions?limit={PAGE}&sort={sort}{found}"
    return Question(words, ask, lambda _: path, LISTS if measured else "")


async def _next_transactions(asking: Asking) -> None:
    first = await transactions.list_transactions(asking.ledger, *asking.member, limit=PAGE)
    await transactions.list_transactions(asking.ledger, *asking.member, limit=PAGE, cursor=first.next_cursor)


async def _register(asking: Asking) -> None:
    account_id = asking.of.account(CHECKING)
    page = await registers.list_register(asking.ledger, *asking.member, account_id, limit=PAGE, cursor=None)
    assert page is not None
    assert len(page.items) == PAGE


async def _next_register(asking: Asking) -> None:
    account_id = asking.of.account(CHECKING)
    page = await registers.list_register(asking.ledger, *asking.member, account_id, limit=PAGE, cursor=None)
    assert page is not None
    await registers.list_register(asking.ledger, *asking.member, account_id, limit=PAGE, cursor=page.next_cursor)


def _balances(
    *, on: date | None = None, part: float | None = None, account: str | None = None, kinds: bool = False
) -> Ask:
    """Return how balances are asked for; ``part`` of the ledger's history is what was known."""

    async def ask(asking: Asking) -> None:
        knowledge = None
        if part is not None:
            knowledge = await balances.find_knowledge(asking.ledger, *asking.member, asking.of.known_at_part(part))
            assert 0 < knowledge.sequence < knowledge.last
        found = await accounts.find_named_account(asking.ledger, *asking.member, account) if account else None
        lines = await balances.list_balances(
            asking.ledger,
            *asking.member,
            account_id=found.id if found else None,
            kinds=[AccountKind.ASSET] if kinds else None,
            on=on,
            knowledge=knowledge,
        )
        assert lines

    return ask


def _balances_path(*, on: date | None = None, part: float | None = None) -> Callable[[History], str]:
    def path(of: History) -> str:
        asked = {"on": on, "known_at": part and of.known_at_part(part).isoformat()}
        return "/balances?" + "&".join(f"{name}={quote(str(value))}" for name, value in asked.items() if value)

    return path


async def _net_worth(asking: Asking) -> None:
    await ledgers.find_ledger(asking.ledger, *asking.member)
    found = await net_worth.find_net_worth(asking.ledger, *asking.member, on=LAST_DAY, currency="EUR")
    assert found.rates


async def _assertion(asking: Asking) -> None:
    page = await assertions.list_assertions(asking.ledger, asking.users, *asking.member, limit=PAGE)
    await assertions.find_assertion(asking.ledger, asking.users, *asking.member, page.items[0].id)


def _totals(words: str, by: By, *, measured: bool = False, filter: str | None = None, **asked: Any) -> Question:
    async def ask(asking: Asking) -> None:
        what = parse_filter(filter) if filter else None
        await members.find_standing(asking.ledger, *asking.member)
        found = await totals.find_totals(asking.ledger, *asking.member, by=by, what=what, **asked)
        assert found.items or asking.of.transactions < _ENOUGH, words

    names = {"first": "from", "last": "to"}
    sent = {"by": by, **{names.get(name, name): value for name, value in asked.items()}}
    if filter:
        sent["filter"] = filter
    path = "/totals?" + "&".join(f"{name}={quote(str(value))}" for name, value in sent.items())
    return Question(words, ask, lambda _: path, TOTALS if measured else "")


def _assertions(**asked: Any) -> Ask:
    return lambda asking: assertions.list_assertions(asking.ledger, asking.users, *asking.member, limit=PAGE, **asked)


def _changes(**asked: Any) -> Ask:
    return lambda asking: changes.list_changes(asking.ledger, asking.users, *asking.member, limit=PAGE, **asked)


def _rates(**asked: Any) -> Ask:
    return lambda asking: rates.list_rates(asking.ledger, *asking.member, limit=PAGE, **asked)


#: Annotated, and so with a history.
_ANNOTATED = 40
_PERSON_7 = UUID(md5(b"person 7", usedforsecurity=False).hexdigest())

#: Everything about a ledger; what the bench asks as well has a path.
OF_A_LEDGER: tuple[Question, ...] = (
    _listing(f"the {PAGE} newest transactions", measured=True),
    Question("the next page of them", _next_transactions),
    _listing("the oldest transactions", sort=Sort.OLDEST),
    _listing("the largest transactions", sort=Sort.LARGEST, measured=True),
    _listing("the smallest transactions", sort=Sort.SMALLEST),
    _listing("transactions of a category", filter=f'category:"{CATEGORY}"', measured=True),
    _listing("transactions of an account", filter=f"account:{CHECKING}"),
    _listing("transactions with a payee", filter=f'payee:"{PAYEE}"', measured=True),
    _listing("transactions with a tag", filter=f'tag:"{TAG}"', measured=True),
    _listing("transactions with a rare word", filter=RARE_WORD, measured=True),
    _listing("transactions with a frequent word", filter=FREQUENT_WORD, measured=True),
    _listing("transactions of an amount or more", filter=f"amount:>={HIGH_AMOUNT}", measured=True),
    _listing("transactions of a month", filter="date:2024-03"),
    _listing("transactions with an external id", filter="external:bank-9000"),
    _listing("transactions by status", filter="status:pending"),
    _listing("reconciled transactions", filter="status:reconciled"),
    _listing("transactions of a currency", filter="currency:USD"),
    _listing("transactions of a kind", filter="kind:exchange"),
    _listing(
        "transactions of one of two categories, in spring, without a tag",
        filter=f'(category:"{CATEGORY}" OR category:"{EXPENSES[0]}") date:2024-03..2024-05 -tag:"{TAG}"',
        measured=True,
    ),
    _listing("the largest with a tag", filter=f'tag:"{TAG}"', sort=Sort.LARGEST),
    _listing("the largest with a frequent word", filter=FREQUENT_WORD, sort=Sort.LARGEST),
    _listing("the largest of a category", filter=f'category:"{EXPENSES[0]}"', sort=Sort.LARGEST),
    Question(
        "one transaction",
        lambda asking: transactions.find_transaction(asking.ledger, *asking.member, asking.of.transaction(9)),
    ),
    Question(
        "a transaction's history",
        lambda asking: history.find_history(
            asking.ledger, asking.users, *asking.member, asking.of.transaction(_ANNOTATED)
        ),
    ),
    Question(
        f"an account's register with the balance after each line, {PAGE} newest",
        _register,
        lambda of: f"/accounts/{of.account(CHECKING)}/register?limit={PAGE}",
        REGISTERS,
    ),
    Question("the next page of it", _next_register),
    Question(
        "accounts with their balances",
        lambda asking: accounts.list_accounts(asking.ledger, *asking.member),
        lambda _: "/accounts",
        REGISTERS,
    ),
    Question(
        "one account, with what its assertions say now",
        lambda asking: accounts.find_account(asking.ledger, *asking.member, asking.of.account(CHECKING)),
    ),
    Question(
        "an account by its id",
        lambda asking: accounts.find_named_account(asking.ledger, *asking.member, str(asking.of.account(CHECKING))),
    ),
    Question("balances now", _balances(), _balances_path(), BALANCES),
    Question("balances at the end of a day", _balances(on=ON_A_DAY), _balances_path(on=ON_A_DAY), BALANCES),
    Question("balances as known when nine tenths were", _balances(part=0.9), _balances_path(part=0.9), BALANCES),
    Question("balances on a day as known when nine tenths were", _balances(on=ON_A_DAY, part=0.9)),
    Question("balances as known when a tenth was", _balances(part=0.1)),
    Question("the balance of one category as known in the middle", _balances(part=0.5, account=EXPENSES[24])),
    Question("balances of assets", _balances(kinds=True)),
    Question("net worth in one currency", _net_worth, lambda _: f"/net-worth?on={LAST_DAY}&currency=EUR", BALANCES),
    _totals("totals by category over the months of four years", By.CATEGORY, period=Period.MONTH, measured=True),
    _totals(
        "totals by category over days of three years",
        By.CATEGORY,
        period=Period.QUARTER,
        first=date(2022, 5, 10),
        last=ON_A_DAY,
        measured=True,
    ),
    _totals("totals by account", By.ACCOUNT, period=Period.YEAR),
    _totals("totals by payee of a month", By.PAYEE, first=date(2024, 3, 1), last=date(2024, 3, 31), measured=True),
    _totals("totals by payee of four years", By.PAYEE),
    _totals("totals by tag of a month", By.TAG, first=date(2024, 3, 1), last=date(2024, 3, 31)),
    _totals("totals by category of transactions with a tag", By.CATEGORY, filter=f'tag:"{TAG}"'),
    _totals("totals by payee of a category", By.PAYEE, filter=f'category:"{CATEGORY}"'),
    _totals("totals by tag of transactions with a word", By.TAG, filter=RARE_WORD),
    Question("rates", _rates()),
    Question("rates of a currency", _rates(currency="USD")),
    Question("rates of a currency in another", _rates(currency="USD", quote="EUR")),
    Question(
        "rates that were just entered",
        lambda asking: rates.find_rates(asking.ledger, *asking.member, [("USD", "EUR", date(2022, 1, 1))]),
    ),
    Question("assertions", _assertions()),
    Question("assertions of an account", lambda asking: _assertions(account_id=asking.of.account(CHECKING))(asking)),
    Question("broken assertions", _assertions(broken=True)),
    Question("one assertion with its uncleared rows", _assertion),
    Question("changes", _changes()),
    Question("changes by one person", lambda asking: _changes(by=asking.of.user_id)(asking)),
    Question(
        "changes of one transaction", lambda asking: _changes(subject_id=asking.of.transaction(_ANNOTATED))(asking)
    ),
    Question(
        "the change that took another one back",
        lambda asking: changes.find_undo(
            asking.ledger,
            asking.users,
            *asking.member,
            undone=asking.of.last_sequence,
            operation_id=asking.of.change_operation(_ANNOTATED),
        ),
    ),
    Question(
        "how far ledgers are, for streams of events",
        lambda asking: events.find_standings(asking.ledger, [events.Reader(*asking.member)]),
    ),
    Question(
        "when an event was recorded",
        lambda asking: events.find_recorded_at(asking.ledger, events.Reader(*asking.member), 999),
    ),
    Question("somebody's ledgers", lambda asking: ledgers.list_ledgers(asking.ledger, asking.of.user_id)),
    Question("one ledger", lambda asking: ledgers.find_ledger(asking.ledger, *asking.member)),
    Question("what somebody is in a ledger", lambda asking: members.find_standing(asking.ledger, *asking.member)),
    Question("members", lambda asking: members.list_members(asking.ledger, asking.users, *asking.member)),
    Question(
        "one member",
        lambda asking: members.find_member(asking.ledger, asking.users, *asking.member, asking.of.user_id),
    ),
    Question(
        "a ledger's invitations",
        lambda asking: invitations.list_invitations(asking.ledger, asking.users, *asking.member),
    ),
    Question(
        "one invitation",
        lambda asking: invitations.find_invitation(
            asking.ledger, asking.users, *asking.member, asking.of.transaction(1)
        ),
    ),
    Question(
        "somebody's invitations",
        lambda asking: invitations.list_own_invitations(asking.ledger, asking.users, asking.of.user_id),
    ),
    Question(
        "operations, with the transactions they recorded",
        lambda asking: operations.find_ledger_operations(asking.ledger, [asking.of.operation(9)]),
    ),
    Question(
        "what an operation was asked",
        lambda asking: operations.find_request(asking.ledger, asking.of.operation(9)),
    ),
    Question(
        "an operation of somebody's",
        lambda asking: operations.find_own_operation(asking.ledger, asking.of.operation(9), asking.of.user_id),
    ),
    Question(
        f"somebody's {PAGE} newest operations",
        lambda asking: operations.list_operations(asking.ledger, asking.of.user_id, limit=PAGE),
    ),
    Question(
        "somebody's refused operations in a ledger",
        lambda asking: operations.list_operations(
            asking.ledger,
            asking.of.user_id,
            state=OperationState.REFUSED,
            ledger_id=asking.of.ledger_id,
            limit=PAGE,
        ),
    ),
)
#: About people.
OF_PEOPLE: tuple[Question, ...] = (
    Question("a user by name", lambda asking: users.find_by_username(asking.users, "person 7")),
    Question("a user by address", lambda asking: users.find_by_address(asking.users, "person7@example.org")),
    Question("a user's password", lambda asking: users.find_password(asking.users, _PERSON_7)),
    Question(
        "what is held about somebody",
        lambda asking: people.find_personal_data(asking.users, asking.ledger, _PERSON_7),
    ),
    Question("names of users", lambda asking: users.find_usernames(asking.users, [asking.of.user_id])),
    Question(
        "somebody's sessions",
        lambda asking: sessions.list_sessions(asking.users, asking.of.user_id, current=asking.of.user_id),
    ),
    Question("whose session one is", lambda asking: sessions.find_person_of(asking.users, asking.of.user_id)),
    Question(
        "sessions that ended",
        lambda asking: sessions.list_ended(
            asking.users, since=datetime(2025, 1, 1, tzinfo=UTC), within=timedelta(hours=1)
        ),
    ),
    Question("a registration's address", lambda asking: registrations.find_email_key(asking.users, asking.of.user_id)),
    Question(
        "operations of people",
        lambda asking: operations.find_identity_operations(asking.users, [asking.of.user_id]),
    ),
)
