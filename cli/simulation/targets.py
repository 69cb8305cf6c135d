"""The ledgers that a run's events are for: people register over HTTP, open them, and get leave to write to them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from cli.connection.client import Client
from cli.connection.credentials import credentials_file
from cli.environments import Environment
from cli.people.sessions import end_session
from cli.simulation.events import GRANT_LIFETIME_S_MIN, Target
from cli.simulation.patience import Patience
from cli.simulation.people import Person, people
from cli.simulation.registering import Passwords, find_session, register
from cli.terminal.output import ExitCode, Failure
from contracts.messages import OperationState
from contracts.money import to_signed_minor

CURRENCY = "EUR"
_GRANT_S_MAX = 24 * 3600
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who is made up and signed in, and which of the run's ledgers are theirs."""

    person: Person
    client: Client
    places: Sequence[int]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part in a run, and the ledgers, which events have by their places."""

    owners: Sequence[Owner]
    targets: Sequence[Target]

    def refusals(self, patience: Patience) -> Iterator[tuple[str, str]]:
        """Yield the operations of these ledgers that were refused, each with its code."""
        ledgers = {str(target.ledger_id) for target in self.targets}
        for owner in self.owners:
            for item in _refused(owner.client, patience):
                if item["ledger_id"] in ledgers:
                    yield item["id"], item["code"]

    def state_of(self, place: int, operation_id: str, patience: Patience) -> tuple[str, str | None]:
        """Return how an operation of a ledger ended, and the code where it was refused."""
        client = self._client_of(place)
        found = patience.until_answered(lambda: client.call("GET", f"/operations/{operation_id}")).body
        return found["status"], found.get("code")

    def balances(self, patience: Patience) -> list[dict[str, int]]:
        """Return what the accounts and categories of each ledger hold, in minor units, by their names."""
        held: list[dict[str, int]] = []
        for place, target in enumerate(self.targets):
            client, path = self._client_of(place), f"/ledgers/{target.ledger_id}/balances"
            found = patience.until_answered(partial(client.call, "GET", path)).body
            held.append(
                {line["account"]["name"]: to_signed_minor(line["amount"], line["currency"]) for line in found["items"]}
            )
        return held

    def _client_of(self, place: int) -> Client:
        return next(owner.client for owner in self.owners if place in owner.places)


def greet(environment: Environment) -> None:
    """See that there is a server before anybody is brought in; fails, saying what to do, where there is none."""
    client = Client(environment.server, credentials_file())
    try:
        client.greet()
    finally:
        client.close()


@contextmanager
def bringing_in(
    environment: Environment,
    seed: str,
    *,
    users: int,
    ledgers: int,
    grants_s: int | None,
    with_expired: bool,
    patience: Patience,
    tell: Callable[[str], None],
) -> Iterator[Cast]:
    """Register people, or sign in those whom an earlier run of the seed registered, and open new ledgers for them.

    Args:
        environment: where.
        seed: decides who they are.
        users: how many people.
        ledgers: how many ledgers, spread over them.
        grants_s: how long leave to write to ``ledger.bulk`` is to be good; ``None`` for none.
        with_expired: get grants too that will soon be over.
        patience: asks.
        tell: is told how far it is.
    """
    passwords = Passwords()
    owners: list[Owner] = []
    targets: list[Target] = []
    try:
        for number, person in enumerate(people(seed, min(users, ledgers))):
            tell(f"{number + 1} of {min(users, ledgers)} people come in: {person.name}")
            client = Client(environment.server, credentials_file())
            places = range(number, ledgers, users)
            owners.append(Owner(person, client, places))
            _sign_in(client, environment, person, passwords.of(person), patience)
        by_place = {place: owner for owner in owners for place in owner.places}
        for place in range(ledgers):
            tell(f"{place + 1} of {ledgers} ledgers")
            owner = by_place[place]
            targets.append(_open_ledger(owner, place, patience, grants_s=grants_s, with_expired=with_expired))
        yield Cast(owners, targets)
    finally:
        for owner in owners:
            with suppress(Failure):
                if owner.client.session:
                    end_session(owner.client, owner.client.session.session_id)
            owner.client.close()


def _sign_in(client: Client, environment: Environment, person: Person, password: str, patience: Patience) -> None:
    session = find_session(client, person, password, patience)
    if session is None:
        register(client, environment.mailbox, person, password, patience)
        session = find_session(client, person, password, patience)
    if session is None:
        raise Failure(f"{person.username} registered and cannot sign in; see `cash logs gateway`", ExitCode.FAILED)
    client.session = session


def _open_ledger(owner: Owner, place: int, patience: Patience, *, grants_s: int | None, with_expired: bool) -> Target:
    client, key = owner.client, str(uuid4())
    body = {"name": f"Simulation {place + 1}", "base_currency": CURRENCY}
    opened = patience.until_answered(lambda: _opened(client, body, key))
    assert client.session is not None
    return Target(
        ledger_id=UUID(opened["id"]),
        user_id=UUID(client.session.user_id),
        currency=opened["base_currency"],
        time_zone=opened["time_zone"],
        grant=_grant(client, opened["id"], min(grants_s, _GRANT_S_MAX), patience) if grants_s else None,
        expired_grant=_grant(client, opened["id"], GRANT_LIFETIME_S_MIN, patience) if with_expired else None,
    )


def _opened(client: Client, body: dict[str, str], key: str) -> dict[str, str]:
    answer = client.call("POST", "/ledgers", body=body, key=key, wait=True)
    if answer.pending:
        raise Failure("the ledger is not open yet; see `cash queues`", ExitCode.PENDING)
    opened: dict[str, str] = answer.body
    return opened


def _refused(client: Client, patience: Patience) -> Iterator[dict[str, Any]]:
    # Page by page: a question that was not answered is asked again, which no generator of the client's would do.
    parameters: dict[str, str | int] = {"state": OperationState.REFUSED, "limit": _PAGE}
    while True:
        page = patience.until_answered(lambda: client.call("GET", "/operations", parameters=parameters)).body
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        parameters["cursor"] = page["next_cursor"]


def _grant(client: Client, ledger_id: str, seconds: int, patience: Patience) -> str:
    path, body = f"/ledgers/{ledger_id}/bulk-grants", {"expires_in": seconds}
    return str(patience.until_answered(lambda: client.call("POST", path, body=body)).body["grant"])
