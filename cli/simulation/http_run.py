"""The simulator over HTTP: people arrive, then record, then what they recorded is read back; some at once, always."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cli.connection.client import Client
from cli.connection.credentials import credentials_file
from cli.development.mailbox import list_mails
from cli.environments import Environment
from cli.simulation.participants import Participant, Steps
from cli.simulation.patience import GIVE_UP_S, Patience, Stopped
from cli.simulation.people import people
from cli.simulation.progress import Show, showing
from cli.simulation.tally import Step, Tally
from cli.simulation.verdict import Findings, Sent
from cli.terminal.endings import ended_in_order
from cli.terminal.output import Failure

_LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """One run. ``repeats``: the seed was given, so an earlier run may have done all of it, or some."""

    users: int
    threads: int
    transactions: int
    seed: str
    repeats: bool


@dataclass(slots=True)
class Result:
    """What a run came to. ``gave_up``: the server had not answered for too long; ``interrupted``: Ctrl-C."""

    options: HttpOptions
    tally: Tally
    findings: Findings = field(default_factory=Findings)
    took_s: float = 0.0
    interrupted: bool = False
    gave_up: Failure | None = None

    @property
    def all_read(self) -> bool:
        """Whether everybody who was signed in was read back, and there was somebody."""
        return 0 < self.findings.people == self.tally.done(Step.SIGNED_IN)


class HttpRun:
    """One run: all register and sign in, then all record, then all are read back."""

    def __init__(self, options: HttpOptions, environment: Environment, give_up_s: float = GIVE_UP_S) -> None:
        """Make the people up."""
        self._options = options
        self._environment = environment
        self._give_up_s = give_up_s
        self._participants = [
            Participant(person, [Sent(entry) for entry in person.first_entries(options.transactions)])
            for person in people(options.seed, options.users)
        ]
        tally = Tally(
            {
                Step.REGISTERED: options.users,
                Step.SIGNED_IN: options.users,
                Step.RECORDED: options.users * options.transactions,
                Step.READ_BACK: options.users,
            }
        )
        self._result = Result(options, tally)
        self._tally = tally
        self._steps = Steps(environment, tally, Patience(threading.Event(), give_up_s), repeats=options.repeats)
        self._clients: list[Client] = []
        self._leaving = False
        self._turn = threading.Lock()
        self._defect: BaseException | None = None

    def run(self) -> Result:
        """Simulate, read back, and return what it came to.

        A first Ctrl-C ends what is being done; what was accepted until then is still read back. A second one leaves.
        """
        self._check()
        begun = time.monotonic()
        with ended_in_order(), self._heeding_ctrl_c(), self._connected(), showing(self._tally) as show:
            self._side_by_side(self._participants, self._steps.arrive, show)
            signed_in = [each for each in self._participants if each.session]
            self._side_by_side(signed_in, self._steps.record_all, show)
            self._tally.planned[Step.READ_BACK] = len(signed_in)
            # What was asked in vain for so long is not asked for long again.
            self._steps.patience = Patience(threading.Event(), 0.0 if self._result.gave_up else self._give_up_s)
            self._side_by_side(signed_in, self._read_back, show)
        self._result.took_s = time.monotonic() - begun
        return self._result

    def _check(self) -> None:
        """See that there is a server, and a mailbox, before anything begins."""
        with contextlib.closing(self._client()) as client:
            client.greet()
        if not self._options.repeats:
            list_mails(self._environment.mailbox, to=self._participants[0].person.email)

    def _client(self) -> Client:
        return Client(self._environment.server, credentials_file(), told=self._tally.hear)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Have a client for each thread, which keeps its connection from step to step."""
        with contextlib.ExitStack() as opened:
            for _ in range(min(self._options.threads, len(self._participants))):
                self._clients.append(opened.enter_context(contextlib.closing(self._client())))
            yield

    def _side_by_side(
        self,
        participants: Sequence[Participant],
        work: Callable[[Client, Participant], None],
        show: Show,
    ) -> None:
        """Do something for everybody, in threads, and show how far it is meanwhile."""
        waiting = iter(participants)
        turn = threading.Lock()

        def go_on(client: Client) -> None:
            try:
                while not self._steps.patience.stopping.is_set():
                    with turn:
                        participant = next(waiting, None)
                    if participant is None:
                        return
                    client.session = participant.session
                    try:
                        work(client, participant)
                    finally:
                        # It may have been renewed meanwhile.
                        participant.session = client.session
            except Stopped:
                pass
            except Failure as failure:
                # Not about one person: the next one would meet it too.
                self._result.gave_up = failure
                self._steps.patience.stopping.set()
            except BaseException as defect:  # noqa: BLE001 - raised again where somebody hears it
                self._defect = defect
                self._steps.patience.stopping.set()

        # Nobody waits for them after a second Ctrl-C.
        threads = [threading.Thread(target=go_on, args=(client,), daemon=True) for client in self._clients]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            show(self._why())
            threads[-1].join(_LOOK_S)
            if self._leaving:
                raise KeyboardInterrupt
        show(None)
        if self._defect is not None:
            raise self._defect

    def _why(self) -> str | None:
        """Return why it does not go on, or what it does instead."""
        if self._result.interrupted and self._steps.patience.stopping.is_set():
            return "finishing what is under way; Ctrl-C again leaves at once"
        trouble = self._tally.trouble
        return self._steps.patience.why() or (f"{trouble}, asking again" if trouble else None)

    @contextlib.contextmanager
    def _heeding_ctrl_c(self) -> Iterator[None]:
        """Take a first Ctrl-C for "enough"; a second one, or one nobody would hear, stays what it is."""

        def enough(*_: object) -> None:
            if self._leaving:
                raise KeyboardInterrupt
            # Not here, where a line may be half drawn; a third one would not wait for that.
            self._leaving = self._result.interrupted
            self._result.interrupted = True
            self._steps.patience.stopping.set()

        before = signal.getsignal(signal.SIGINT)
        heeded = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
        if heeded:
            signal.signal(signal.SIGINT, enough)
        try:
            yield
        finally:
            if heeded:
                signal.signal(signal.SIGINT, before)

    def _read_back(self, client: Client, participant: Participant) -> None:
        findings = self._steps.read_back(client, participant)
        with self._turn:
            self._result.findings.add(findings)
