"""What one person does in a run: arrive, record, and be read back afterwards."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cli.books.ledger_choice import Ledger, personal_ledger
from cli.books.transaction_entry import submit_transaction
from cli.connection.client import Answer, Client, Refused
from cli.connection.credentials import Session
from cli.connection.pages import list_pages, read_pages
from cli.development.household import SAVINGS, Entry
from cli.environments import Environment
from cli.people.sessions import end_session
from cli.simulation.patience import GaveUp, Patience, Stopped
from cli.simulation.people import Person
from cli.simulation.registering import Passwords, find_session, register
from cli.simulation.tally import Outcome, Step, Tally
from cli.simulation.verdict import Findings, Sent, examine
from cli.terminal.output import ExitCode, Failure
from contracts.accounts import AccountKind
from contracts.refusals import RefusalCode

#: What nobody answered for may still be recorded while it is read back.
_READS = 4
_READ_AGAIN_S = 1.0
#: Nobody simulates more for one person; a larger number is foreign.
_EARLIER_MAX = 100_000

T = TypeVar("T")


@dataclass(slots=True)
class Participant:
    """A person, what they are to record, and what came of it."""

    person: Person
    sent: list[Sent]
    session: Session | None = None


class Steps:
    """The steps of a run, each for one person; several threads may do them, each with a client of its own."""

    def __init__(self, environment: Environment, tally: Tally, patience: Patience, *, repeats: bool) -> None:
        """Prepare them.

        Args:
            environment: where people arrive.
            tally: counts what is done.
            patience: asks until there is an answer.
            repeats: an earlier run of the seed may have done all of it, or some.
        """
        self.patience = patience
        self._environment = environment
        self._tally = tally
        self._repeats = repeats
        self._passwords = Passwords()

    def arrive(self, client: Client, participant: Participant) -> None:
        """Register and sign in, as one person."""
        person, password = participant.person, self._passwords.of(participant.person)
        begun, step = time.monotonic(), Step.REGISTERED
        try:
            session = find_session(client, person, password, self.patience) if self._repeats else None
            if session is None:
                session = self._registered(client, person, password)
            if session is not None:
                self._tally.note(Step.REGISTERED, Outcome.KNOWN)
            else:
                self._tally.note(Step.REGISTERED, Outcome.NEW, time.monotonic() - begun)
                begun = time.monotonic()
            step = Step.SIGNED_IN
            session = session or find_session(client, person, password, self.patience)
            if session is None:
                raise Failure(f"{person.username} was registered and cannot sign in", ExitCode.REFUSED)
        except GaveUp:
            raise
        except Failure as failure:
            self._tally.note(step, Outcome.REFUSED, why=str(failure))
            return
        self._tally.note(Step.SIGNED_IN, Outcome.NEW, time.monotonic() - begun)
        client.session = session

    def _registered(self, client: Client, person: Person, password: str) -> Session | None:
        """Register somebody; return their session where another run of the seed did so meanwhile."""
        try:
            register(client, self._environment.mailbox, person, password, self.patience)
        except GaveUp:
            raise
        except Failure:
            session = find_session(client, person, password, self.patience) if self._repeats else None
            if session is None:
                raise
            return session
        return None

    def record_all(self, client: Client, participant: Participant) -> None:
        """Record the plan, as one person."""
        assert participant.session is not None
        books = personal_ledger(participant.session)
        # It may be there, without the operation that opened it. Where it is not, what goes there is refused.
        with contextlib.suppress(Refused):
            self._ask(client, participant, lambda: _open_savings(client, books, participant.person))
        for sent in participant.sent:
            if self.patience.stopping.is_set():
                return
            self._record(client, participant, books, sent)

    def _record(self, client: Client, participant: Participant, books: Ledger, sent: Sent) -> None:
        begun = time.monotonic()
        # Until something else is known: the process may end at any moment.
        sent.outcome = Outcome.UNKNOWN
        why = None
        try:
            answer = self._ask(client, participant, lambda: _submit(client, books, sent.entry))
        except Refused as refused:
            if refused.refusal == RefusalCode.TRANSACTION_ID_TAKEN:
                # Its operation was tidied away long ago; the transaction itself stays.
                sent.outcome = Outcome.KNOWN
            else:
                why = str(refused)
                # A defect says nothing about what was done before it.
                sent.outcome = Outcome.UNKNOWN if refused.code is ExitCode.FAILED else Outcome.REFUSED
        except (Failure, Stopped):
            self._tally.note(Step.RECORDED, Outcome.UNKNOWN)
            raise
        else:
            sent.id = answer.body["id"]
            # Without an earlier run, the earlier answer was one to this run that was lost on its way.
            sent.outcome = Outcome.KNOWN if answer.replayed and self._repeats else Outcome.NEW
        self._tally.note(Step.RECORDED, sent.outcome, time.monotonic() - begun, why)

    def _ask(self, client: Client, participant: Participant, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, and sign in again where the session is over."""
        try:
            return self.patience.until_answered(ask)
        except Failure as failure:
            if failure.code is not ExitCode.NOT_SIGNED_IN:
                raise
        person = participant.person
        client.session = find_session(client, person, self._passwords.of(person), self.patience) or client.session
        return self.patience.until_answered(ask)

    def read_back(self, client: Client, participant: Participant) -> Findings:
        """Hold one person's books against what was sent; end their session."""
        assert participant.session is not None
        begun = time.monotonic()
        findings = self._examine(client, participant)
        for _ in range(_READS - 1):
            if not findings.differences or all(each.outcome is not Outcome.UNKNOWN for each in participant.sent):
                break
            self.patience.wait(_READ_AGAIN_S, f"{participant.person.username} is read again")
            findings = self._examine(client, participant)
        self._tally.note(Step.READ_BACK, Outcome.NEW, time.monotonic() - begun)
        with contextlib.suppress(Failure):
            end_session(client, participant.session.session_id)
        return findings

    def _examine(self, client: Client, participant: Participant) -> Findings:
        assert participant.session is not None
        books = personal_ledger(participant.session)

        def read() -> tuple[list[Any], list[Any]]:
            found, _ = read_pages(list_pages(client, books.path("/transactions"), None))
            return found, client.call("GET", books.path("/accounts")).body["items"]

        found, accounts = self._ask(client, participant, read)
        earlier = _earlier(participant, found) if self._repeats else {}
        return examine(participant.person.username, participant.sent, earlier, found, accounts)


def _submit(client: Client, books: Ledger, entry: Entry) -> Answer:
    answer = submit_transaction(client, books, entry.body(), key=entry.key)
    if answer.pending:
        raise Failure("accepted, and not recorded yet", ExitCode.PENDING)
    return answer


def _open_savings(client: Client, books: Ledger, person: Person) -> None:
    body = {"name": SAVINGS, "kind": AccountKind.ASSET}
    answer = client.call("POST", books.path("/accounts"), body=body, key=f"sim-{person.seed}-savings", wait=True)
    if answer.pending:
        raise Failure("accepted, and not opened yet", ExitCode.PENDING)


def _earlier(participant: Participant, found: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    """Return what runs of this seed may have recorded before, as far as something of it was found."""
    prefix = participant.person.key(0)[:-1]
    numbers = [str(each["external_id"] or "").removeprefix(prefix) for each in found]
    highest = max((int(number) for number in numbers if number.isdecimal()), default=0)
    wanted = max(len(participant.sent), min(highest, _EARLIER_MAX))
    return {entry.key: entry for entry in participant.person.first_entries(wanted)}
