"""The simulator over Kafka: people come in over HTTP once, then events go straight to a topic, and each is followed."""

import asyncio
import contextlib
import itertools
import logging
import random
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import structlog
from structlog.typing import EventDict, WrappedLogger

from cli.environments import Environment
from cli.operating.operator_settings import reaching, settings_of
from cli.simulation.accounting import Accounting, Verdict
from cli.simulation.events import GRANT_EXPIRED_S, PURPOSES, Writer, flaws_on
from cli.simulation.following import Drain, Listener, Sample
from cli.simulation.highest_rate import LAG_MAX_S, LESS, Attempt, Search, judge
from cli.simulation.kafka_options import DURATION_OF_MAX_S, EVENTS_MAX, LEDGERS_MAX, KafkaOptions, Road, Shape
from cli.simulation.patience import GIVE_UP_S, Patience
from cli.simulation.schedules import Shares, plan
from cli.simulation.sending import Sender, Stage
from cli.simulation.targets import CURRENCY, Cast, bringing_in, greet
from cli.terminal.output import ExitCode, Failure, fail, show_json
from contracts import topics
from contracts.topics import Topic
from infra.kafka.following import Follower, GroupWatch, following
from infra.kafka.producer import Producer
from infra.settings import KafkaSettings

_CLIENT = "simulator"
SAMPLE_EVERY_S = 0.1
_ASK_BEHIND_EVERY_S = 1.0
_ASK_AT_THE_END_EVERY_S = 0.2
_LOOK_S = 0.05
#: Nothing more is recorded, and not all is taken: it is not awaited any longer.
STANDSTILL_S = 60.0
#: All is taken, and some of what may never have arrived is still not in the journal.
_LATE_JOURNAL_S = 5.0
_IMPATIENT_S = 10.0
PROBE_S = 8.0
_HOLDS_MAX = 5
#: Beyond the time that events are sent, leave to write them is good for so long.
_GRANT_SPARE_S = 3600
#: Of so many operations that nothing was heard of, the API is asked one by one.
_ASKED_MAX = 2_000
_FINISHING = "waiting for the last to be recorded"


@dataclass(slots=True)
class Result:
    """What a run came to.

    ``why_over`` says why it ended before its time, ``stopped`` that somebody stopped it, ``left`` that nobody waited
    for what was sent until then. ``samples`` are of the whole run, ``stage`` is the last one: what it was sent at, and
    how long that took.
    """

    options: KafkaOptions
    started_at: datetime
    verdict: Verdict | None = None
    samples: list[Sample] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    stage: Stage | None = None
    stopped: bool = False
    left: bool = False
    why_over: str | None = None
    journal_repeats: int = 0
    letter_repeats: int = 0
    holds: bool = False
    """Whether the last of the attempts was held for the whole duration."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands while events are under way."""

    stage: Stage
    samples: Sequence[Sample]


#: Is told how a run stands: what is being done, in words, and how it goes where events are under way.
Tell = Callable[[str, Progress | None], None]


def run(options: KafkaOptions, environment: Environment) -> None:
    """Simulate, and say what came of it: in words or as JSON, and in the reports that were asked for.

    Raises:
        Failure: it could not begin, was interrupted, or not all is accounted for.
    """
    from cli.simulation.kafka_document import as_document
    from cli.simulation.kafka_progress import showing
    from cli.simulation.kafka_summary import show_summary
    from cli.simulation.report import check_files, write_reports

    _check(options)
    check_files(options.reports)
    with reaching("Kafka"), _quiet(), showing() as tell:
        result = simulate(options, environment, tell)
    document = as_document(result)
    if options.json:
        show_json(document)
    else:
        show_summary(document)
    write_reports(options.reports, document)
    if result.left:
        fail("interrupted; what was not decided by then is not accounted for", ExitCode.INTERRUPTED)
    if result.verdict is not None and not result.verdict.is_good:
        fail(f"{result.verdict.problem_count:,} events or sums are not as they should be")
    if result.stopped:
        fail("interrupted; the summary is of what was done until then", ExitCode.INTERRUPTED)
    if result.why_over is not None:
        fail(result.why_over)


def _check(options: KafkaOptions) -> None:
    """Refuse what cannot be done, before anything begins."""
    events = (options.rate or 0) * options.duration_s
    if events > EVENTS_MAX:
        fail(f"that is more than {EVENTS_MAX:,} events; take a lower --rate or --duration", ExitCode.USAGE)
    if options.rate is not None and events < 1:
        fail("at this rate no event falls into the duration; raise one of them", ExitCode.USAGE)
    if options.rate is None and options.duration_s > DURATION_OF_MAX_S:
        fail(f"the highest rate is held for {DURATION_OF_MAX_S:.0f} s at most; take a lower --duration", ExitCode.USAGE)
    if options.ledgers > LEDGERS_MAX:
        fail(f"that is more than {LEDGERS_MAX:,} ledgers; take a lower --ledgers", ExitCode.USAGE)


def simulate(options: KafkaOptions, environment: Environment, tell: Tell) -> Result:
    """Make people and their ledgers, send events to them, follow each, and judge.

    A first Ctrl-C ends what is being sent; what was sent until then is still followed to its end, which a second one
    ends as well.

    Raises:
        Failure: it could not begin.
    """
    result = Result(options, datetime.now(UTC))
    kafka = settings_of(KafkaSettings, "simulator")
    # Both are there, before anybody is registered.
    greet(environment)
    _run_loop(_greet_kafka(options, kafka))
    patience = Patience(threading.Event())
    on_bulk = options.road is Road.BULK
    seconds = options.duration_s if options.rate else _HOLDS_MAX * options.duration_s
    with_expired = on_bulk and options.bad > 0 and options.duration_s > GRANT_EXPIRED_S
    try:
        with bringing_in(
            environment,
            options.seed,
            users=options.users,
            ledgers=options.ledgers,
            grants_s=int(seconds) + _GRANT_SPARE_S if on_bulk else None,
            with_expired=with_expired,
            patience=patience,
            tell=lambda words: tell(words, None),
        ) as cast:
            run = KafkaRun(options, kafka, cast, result, tell)
            _heeding_ctrl_c(run)
            # Where Kafka is gone the gateway may be too.
            patience = Patience(threading.Event(), GIVE_UP_S if result.why_over is None else _IMPATIENT_S)
            _ask_the_api(run, cast, result, patience, tell)
    except KeyboardInterrupt:
        result.stopped = True
    return result


async def _greet_kafka(options: KafkaOptions, kafka: KafkaSettings) -> None:
    topic = _topic_of(options.road)
    watch = GroupWatch(kafka, topic.group, topic.name, _CLIENT)
    try:
        await watch.offsets()
    finally:
        await watch.close()


def _topic_of(road: Road) -> Topic:
    return next(topic for topic in topics.SUBMISSION_TOPICS if topic.name == road)


def _heeding_ctrl_c(run: "KafkaRun") -> None:
    """Run the loop; Ctrl-C is for it, and does not fall on whatever is being done."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGINT, run.stop)
        await run.run()

    _run_loop(main())


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the libraries log off the terminal: what of it matters here, the run itself finds and says."""
    root, ours, nobody = logging.getLogger(), structlog.get_config(), logging.NullHandler()
    root.addHandler(nobody)
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory(), processors=[_as_a_word])
    try:
        yield
    finally:
        root.removeHandler(nobody)
        structlog.configure(**ours)


def _as_a_word(_: WrappedLogger, __: str, event: EventDict) -> str:
    return str(event["event"])


class KafkaRun:
    """What happens between the people's coming in and the questions at the end: all that goes through Kafka."""

    def __init__(self, options: KafkaOptions, kafka: KafkaSettings, cast: Cast, result: Result, tell: Tell) -> None:
        """Prepare; what the run comes to is written into ``result``."""
        self._options = options
        self._kafka = kafka
        self._cast = cast
        self._result = result
        self._tell = tell
        self.accounting = Accounting(len(cast.targets))
        # What is booked is long past, so it does not matter whose day it is.
        today = datetime.now(ZoneInfo(cast.targets[0].time_zone)).date()
        self._writer = Writer(f"sim-{uuid4().hex[:12]}", options.road, cast.targets, today)
        self._chance = random.Random(f"events of {options.seed}")
        self._behind: int | None = None
        self.is_drained = False
        self._enough = False
        self._is_stopping = False
        self._is_finishing = False
        self.is_leaving = False

    def stop(self) -> None:
        """Send no more; when that was said before, wait for nothing more either."""
        self._result.stopped = True
        self._result.left = self.is_leaving = self._is_stopping
        self._is_stopping = True

    async def run(self) -> None:
        """Send and follow, until each event met its end or nothing moves any more.

        Raises:
            Unavailable: Kafka did not answer in the beginning.
        """
        topic = _topic_of(self._options.road)
        names = [topics.LEDGER_JOURNAL.name, topics.dead_letter_of(topic.name).name]
        producer = Producer(self._kafka, client_id=_CLIENT)
        watch = GroupWatch(self._kafka, topic.group, topic.name, _CLIENT)
        async with following(self._kafka, names, _CLIENT) as follower:
            await producer.start()
            sender = Sender(producer, self._writer, self.accounting)
            try:
                async with self._listening(follower), self._watching(Drain(follower, watch)):
                    if self._options.rate is None:
                        await self._find_highest(sender)
                    else:
                        await self._send(sender, self._options.shape, self._options.rate, self._options.duration_s)
                    await self._finish(sender, producer)
            finally:
                await producer.stop()
                await watch.close()

    async def _send(self, sender: Sender, shape: Shape, rate: float, seconds: float, *, probing: bool = False) -> Stage:
        """Send one schedule at its pace; while probing, only as long as it is kept up with."""
        options = self._options
        shares = Shares(options.duplicates, options.bad, options.late, flaws_on(options.road, self._cast.targets))
        schedule = plan(
            shape,
            rate,
            seconds,
            ledgers=len(self._cast.targets),
            purposes=len(PURPOSES),
            shares=shares,
            chance=self._chance,
        )
        result = self._result
        stage = result.stage = Stage(rate, schedule, self.accounting.add(schedule), self.accounting.recorded)
        self._enough = False
        sending = asyncio.create_task(sender.send(stage, lambda: self._enough or self._is_stopping))
        try:
            while not sending.done():
                await asyncio.wait([sending], timeout=_LOOK_S)
                if probing and self.accounting.waiting > LAG_MAX_S * rate:
                    self._enough = True
                self._show("sending")
            if not sending.result():
                result.why_over = "Kafka took no more events"
                self._is_stopping = True
        finally:
            sending.cancel()
        return stage

    async def _find_highest(self, sender: Sender) -> None:
        """Look for the highest rate in short probes, then hold it for the whole duration; less where it is not held."""
        search = Search()
        while (rate := search.next_rate) is not None and not self._is_stopping:
            search.learn(await self._attempt(sender, rate, min(PROBE_S, self._options.duration_s)))
        rate = search.held
        for _ in range(_HOLDS_MAX):
            if self._is_stopping or not rate:
                return
            if (await self._attempt(sender, rate, self._options.duration_s)).held:
                self._result.holds = True
                return
            rate *= LESS
        self._result.why_over = f"no rate was held for {self._options.duration_s:.0f} s"

    async def _attempt(self, sender: Sender, rate: float, seconds: float) -> Attempt:
        stage = await self._send(sender, self._options.shape, rate, seconds, probing=True)
        samples = [each for each in self._result.samples if stage.began <= each.at <= stage.ended]
        attempt = judge(
            rate,
            stage.ended - stage.began,
            samples,
            (stage.starts.percentile(99) or 0.0) / 1000,
            whole=stage.sent == len(stage.schedule),
        )
        self._result.attempts.append(attempt)
        # The next one begins with nothing left over.
        await self._until_standstill(lambda: self.accounting.waiting == 0)
        return attempt

    async def _finish(self, sender: Sender, producer: Producer) -> None:
        """Wait for what was sent: acknowledged, then taken, then recorded, dead-lettered or found to be lost."""
        self._is_finishing = True
        self._show(_FINISHING)
        # Where Kafka has taken nothing for so long already, it is not awaited for as long once more.
        if self._result.why_over is None:
            await sender.acknowledge_all(lambda: self.is_leaving)
        # What is not acknowledged by now is given up: closed, so that it cannot arrive after all was counted.
        await producer.stop()
        accounting = self.accounting

        def all_met() -> bool:
            self.is_drained = self.is_drained or self._behind == 0
            return self.is_drained and accounting.waiting == 0 and accounting.letters_due == 0

        self._behind = None
        await self._until_standstill(all_met)

    async def _until_standstill(self, is_done: Callable[[], bool]) -> None:
        """Wait until something is so, or until nothing has moved for long."""
        accounting = self.accounting
        before: object = None
        moved_at = time.monotonic()
        while not is_done() and not self.is_leaving:
            now = (accounting.recorded, accounting.letters, accounting.accepted, self._behind)
            if now != before:
                before, moved_at = now, time.monotonic()
            stands_s = time.monotonic() - moved_at
            if stands_s > (STANDSTILL_S if self._result.why_over is None else _LATE_JOURNAL_S):
                return
            if stands_s > _LATE_JOURNAL_S and self.is_drained and accounting.waiting <= accounting.unknown_waiting():
                return
            self._show(_FINISHING)
            await asyncio.sleep(_LOOK_S)

    @contextlib.asynccontextmanager
    async def _listening(self, follower: Follower) -> AsyncIterator[None]:
        ledgers = {str(target.ledger_id).encode(): place for place, target in enumerate(self._cast.targets)}
        listener = Listener(follower, self._writer, self.accounting, ledgers, self._options.road.value)

        def recorded(number: int, at: float) -> None:
            if self._result.stage is not None:
                self._result.stage.recorded(number, at)

        async with _beside(listener.listen(recorded)):
            yield

    @contextlib.asynccontextmanager
    async def _watching(self, drain: Drain) -> AsyncIterator[None]:
        async def ask_behind() -> None:
            while True:
                self._behind = await drain.behind()
                await asyncio.sleep(_ASK_AT_THE_END_EVERY_S if self._is_finishing else _ASK_BEHIND_EVERY_S)

        async def sample() -> None:
            accounting = self.accounting
            while True:
                self._result.samples.append(
                    Sample(
                        time.monotonic(),
                        accounting.sent,
                        accounting.accepted,
                        accounting.recorded,
                        accounting.waiting,
                        self._behind,
                    )
                )
                await asyncio.sleep(SAMPLE_EVERY_S)

        async with _beside(ask_behind()), _beside(sample()):
            yield

    def _show(self, words: str) -> None:
        if self._result.stage is not None:
            if self._is_stopping:
                words = f"{_FINISHING}; Ctrl-C again leaves at once"
            self._tell(words, Progress(self._result.stage, self._result.samples))


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do something for as long as a block lasts; a defect in it ends the block and is raised from it."""
    task, block = asyncio.create_task(work), asyncio.current_task()
    assert block is not None

    def end(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            block.cancel()

    task.add_done_callback(end)
    try:
        yield
    except asyncio.CancelledError:
        if task.done() and not task.cancelled() and (defect := task.exception()) is not None:
            raise defect from None
        raise
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _ask_the_api(run: KafkaRun, cast: Cast, result: Result, patience: Patience, tell: Tell) -> None:
    """Ask for refusals, for what nothing was heard of, and for the balances; then judge."""
    accounting = run.accounting
    balances = None
    if accounting.sent == 0:
        return
    try:
        if not run.is_leaving:
            tell("asking the API what was refused", None)
            for operation_id, code in cast.refusals(patience):
                accounting.refusal(operation_id, code)
            for operation_id, place in itertools.islice(accounting.unheard(), _ASKED_MAX):
                state, code_or_none = cast.state_of(place, operation_id, patience)
                if code_or_none is not None:
                    accounting.refusal(operation_id, code_or_none)
                else:
                    accounting.decided(operation_id, state)
            tell("asking the API for the balances", None)
            balances = cast.balances(patience)
    except KeyboardInterrupt:
        result.stopped = result.left = True
    except Failure as failure:
        result.why_over = "; ".join(filter(None, (result.why_over, f"the API could not be asked: {failure}")))
    result.verdict = accounting.verdict(is_drained=run.is_drained, balances=balances, currency=CURRENCY)
    result.journal_repeats, result.letter_repeats = accounting.journal_repeats, accounting.letter_repeats
