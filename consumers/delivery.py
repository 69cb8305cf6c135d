"""Delivery: the same six steps for every batch of records, so that each accepted submission takes effect exactly once.

1. read each record alone; 2. lock what the batch is about; 3. claim the operation ids; 4. load once; 5. decide in
order; 6. write once. One READ COMMITTED database transaction, then wake-ups, then the offset. The guard is the
operation's row key: whatever is delivered again, after a crash or a rebalance, finds its id taken. Only an operation
that failed may be claimed once more, by a record that an operator sent again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

import prometheus_client as prometheus

from consumers.batch_spans import committing, note_outcomes, taking
from consumers.dead_letters import DeadLetter, DeadLetters
from consumers.domain.decisions import Asked, Decision
from consumers.records import GrantReader, KafkaRecord, Received, receive
from consumers.repositories import operations
from consumers.repositories.outbox import insert_outbox
from contracts.dead_letters import DEFECT, MALFORMED
from contracts.errors import MalformedMessage
from contracts.messages import JournalEntry, OperationState, Submission
from infra.errors import TookTooLong, Unavailable
from infra.postgres.engine import Connection, Database, without_rows
from infra.redis.wakeups import Wakeups
from infra.telemetry.logs import get_logger
from infra.telemetry.spans import find_recorder
from infra.telemetry.traces import trace_id_of, tracing

log = get_logger(__name__)

DEFECT_TRIES = 3
DEFECTS_IN_A_ROW_MAX = 20
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 1.0
"""A try costs one refused connection, so waiting longer spares nothing; and people see it added to every outage."""
TRACES_LOGGED_MAX = 100

BATCH_RECORDS = prometheus.Histogram(
    "cash_batch_records", "Records in a delivered batch.", ["consumer"], buckets=(1, 2, 5, 10, 50, 100, 500, 1000, 2000)
)
BATCH_SECONDS = prometheus.Histogram(
    "cash_batch_seconds",
    "Time of a batch from the first step to the commit.",
    ["consumer"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
SUBMISSIONS = prometheus.Counter(
    "cash_submissions_total", "Submissions by how they ended.", ["consumer", "noun", "outcome"]
)
BACKOFFS = prometheus.Counter("cash_backoffs_total", "Batches put back because a dependency was down.", ["consumer"])


class State(Protocol):
    """What a batch knows of one subject (a ledger, a registration, a user), changed by each decision in turn."""

    journal: list[JournalEntry]
    """Everything decided in this batch that must be published, in order."""

    def apply(self, asked: Asked[Any], decision: Decision) -> None:
        """Let the next record of this subject see a decision."""


S = TypeVar("S", bound=State)
Decider: TypeAlias = Callable[[Any, S], Decision]


class Repository(Protocol[S]):
    """What differs between consumers around a decision: what to lock, what to load, what to write."""

    async def lock(self, connection: Connection, received: Sequence[Received]) -> None:
        """Insert the subjects that may begin with this batch, then lock all of its subjects, sorted."""

    async def load(self, connection: Connection, asked: Sequence[Asked[Submission]]) -> dict[UUID, S]:
        """Load what the records need, one query per table, by subject id."""

    async def save(
        self, connection: Connection, states: Collection[S], decided: Sequence[tuple[Asked[Submission], Decision]]
    ) -> None:
        """Write what follows from the decisions, once per table."""


class TooManyDefects(Exception):
    """So many records in a row could not be taken that the fault is ours: a bad deployment must not drain a topic."""


class Delivery(Generic[S]):
    """Delivers batches to one consumer's deciders."""

    def __init__(
        self,
        name: str,
        database: Database,
        repository: Repository[S],
        deciders: Mapping[type[Submission], Decider[S]],
        dead_letters: DeadLetters,
        wakeups: Wakeups,
        *,
        read_grant: GrantReader | None = None,
        after_commit: Callable[[Sequence[tuple[Asked[Submission], Decision]]], Awaitable[None]] | None = None,
    ) -> None:
        """Put the parts together; ``after_commit`` may hasten what the commit made due, and must not fail."""
        self._name = name
        self._database = database
        self._repository = repository
        self._deciders = deciders
        self._dead_letters = dead_letters
        self._wakeups = wakeups
        self._read_grant = read_grant
        self._after_commit = after_commit
        self._defects_in_a_row = 0
        self._backoff_s = BACKOFF_FIRST_S
        BACKOFFS.labels(name)
        BATCH_RECORDS.labels(name)

    async def deliver(self, records: Sequence[KafkaRecord]) -> None:
        """Take a batch: afterwards every record of it was decided, found already decided, or is a dead letter.

        Raises:
            Unavailable: a dependency is down, and a while was waited already; deliver the batch again. What was
                committed before will be found decided.
            TooManyDefects: the process should end.
        """
        BATCH_RECORDS.labels(self._name).observe(len(records))
        try:
            received, malformed = self._receive(records)
            if received:
                if recorder := find_recorder():
                    with taking(recorder, self._name, received) as carrying:
                        await self._take(carrying)
                else:
                    await self._take(received)
            # Last, so that a batch put back because a database is down does not send its dead letters every time.
            await self._dead_letters.send(malformed)
        except Unavailable as error:
            BACKOFFS.labels(self._name).inc()
            log.warning("batch put back", operation=str(error), cause=repr(error.__cause__), wait_s=self._backoff_s)
            await asyncio.sleep(self._backoff_s)
            self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)
            raise
        self._backoff_s = BACKOFF_FIRST_S

    def _receive(self, records: Sequence[KafkaRecord]) -> tuple[list[Received], list[DeadLetter]]:
        """Read each record alone; return the submissions, and the records that are none with the reasons."""
        read_grant = _once_per_grant(self._read_grant)
        received: list[Received] = []
        malformed: list[DeadLetter] = []
        for record in records:
            try:
                received.append(receive(record, read_grant))
            except MalformedMessage as error:
                malformed.append(DeadLetter(record, MALFORMED, str(error)))
        return received, malformed

    async def _take(self, received: Sequence[Received]) -> None:
        """Take a batch in one database transaction; a defect, or too long a time, halves it.

        So the one record with a defect is found, and a slow machine takes what it can.
        """
        try:
            with BATCH_SECONDS.labels(self._name).time():
                decided = await self._commit(received)
        except Unavailable as error:
            if not isinstance(error, TookTooLong) or len(received) == 1:
                raise
            await self._take_halves(received, error)
        except Exception as defect:  # noqa: BLE001 - whatever it is, it must not hold up the records behind it
            if len(received) == 1:
                await self._take_alone(received[0], defect)
            else:
                await self._take_halves(received, defect)
        else:
            await self._answer(received, decided)

    async def _take_halves(self, received: Sequence[Received], why: Exception) -> None:
        log.warning("batch halved", records=len(received), because=repr(why))
        middle = len(received) // 2
        await self._take(received[:middle])
        await self._take(received[middle:])

    async def _commit(self, received: Sequence[Received]) -> list[tuple[Asked[Submission], Decision]]:
        with committing(self._database.name, received):
            return await self._decide(received)

    async def _decide(self, received: Sequence[Received]) -> list[tuple[Asked[Submission], Decision]]:
        async with self._database.transaction(f"take {len(received)} submissions") as connection:
            await self._repository.lock(connection, received)
            claimed, recorded_at = await operations.claim(connection, received, OperationState.RECORDED)
            if len(claimed) < len(received):
                await self._note_reused_keys(connection, received)
            if recorded_at is None:
                return []
            asked = [each.asked(recorded_at) for each in claimed]
            states = await self._repository.load(connection, asked)
            decided: list[tuple[Asked[Submission], Decision]] = []
            for each_asked in asked:
                state = states[each_asked.message.subject_id]
                decision = self._deciders[type(each_asked.message)](each_asked, state)
                state.apply(each_asked, decision)
                decided.append((each_asked, decision))
            await self._repository.save(connection, states.values(), decided)
            refusals = [(each.operation_id, decision.refusal) for each, decision in decided if decision.refusal]
            if refusals:
                await operations.refuse(connection, refusals)
            journal = [entry for state in states.values() for entry in state.journal]
            if journal:
                traceparents = {
                    cause: each.traceparent for each in asked for cause in (each.operation_id, each.message.subject_id)
                }
                await insert_outbox(connection, journal, recorded_at, traceparents)
            return decided

    async def _note_reused_keys(self, connection: Connection, received: Sequence[Received]) -> None:
        """Say so where a key came again with other content, which changes nothing.

        A sender who waits is refused by the gateway, which compares the same hashes; this is for those who do not.
        """
        hashes = await operations.request_hashes(connection, [each.operation_id for each in received])
        reused = [each for each in received if hashes.get(each.operation_id) != each.request_hash]
        if reused:
            SUBMISSIONS.labels(self._name, "any", "key_reused").inc(len(reused))
            log.warning(
                "idempotency key came again with other content",
                operations=[str(each.operation_id) for each in reused[:TRACES_LOGGED_MAX]],
            )

    async def _answer(
        self, received: Sequence[Received], decided: Sequence[tuple[Asked[Submission], Decision]]
    ) -> None:
        """Wake the gateways that wait, also for what was decided before: its first wake-up may have been lost."""
        # Refusals and repeats write next to nothing; that they work does not say that recording does.
        if any(decision.refusal is None for _, decision in decided):
            self._defects_in_a_row = 0
        outcomes = Counter(
            (asked.message.noun, decision.refusal.code if decision.refusal else OperationState.RECORDED)
            for asked, decision in decided
        )
        for (noun, outcome), count in outcomes.items():
            SUBMISSIONS.labels(self._name, noun, outcome).inc(count)
        # One line a batch, findable by any of its trace ids; a line a record would cost more than deciding it.
        log.info(
            "batch decided",
            records=len(received),
            outcomes={f"{noun} {outcome}": count for (noun, outcome), count in outcomes.items()},
            trace_ids=[trace_id_of(each.envelope.traceparent) for each in received[:TRACES_LOGGED_MAX]],
        )
        if repeated := len(received) - len(decided):
            SUBMISSIONS.labels(self._name, "any", "repeated").inc(repeated)
        waiting: dict[UUID, list[UUID]] = {}
        for each in received:
            if each.envelope.reply_to:
                waiting.setdefault(each.envelope.reply_to, []).append(each.operation_id)
        if waiting:
            await self._wakeups.send(waiting)
        if self._after_commit and decided:
            await self._after_commit(decided)
        if find_recorder():
            note_outcomes(received, decided)

    async def _take_alone(self, received: Received, defect: Exception) -> None:
        """Try the one record again; then make it a dead letter and mark its operation failed."""
        for attempt in range(2, DEFECT_TRIES + 1):
            await asyncio.sleep(0.05 * attempt)
            try:
                decided = await self._commit([received])
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - the reason goes to the dead letter
                defect = error
            else:
                await self._answer([received], decided)
                return
        defect = without_rows(defect)
        # Counted before anything is done about it: a deployment so bad that not even that works must end as well.
        if self._defects_in_a_row >= DEFECTS_IN_A_ROW_MAX:
            raise TooManyDefects(f"{self._defects_in_a_row} submissions in a row failed; the next: {defect!r}")
        self._defects_in_a_row += 1
        with tracing(received.envelope.traceparent):
            log.error("submission failed", type=received.message.type, exc_info=defect)
        reason = f"{type(defect).__name__}: {defect}"
        await self._dead_letters.send([DeadLetter(received.record, DEFECT, reason, DEFECT_TRIES)])
        SUBMISSIONS.labels(self._name, received.message.noun, OperationState.FAILED).inc()
        async with self._database.transaction("mark an operation failed") as connection:
            await operations.claim(connection, [received], OperationState.FAILED)
        with suppress(Unavailable):
            await self._answer([received], [])
        received.span.fail(type(defect).__name__)
        received.span.note("cash.outcome", OperationState.FAILED)
        if self._defects_in_a_row >= DEFECTS_IN_A_ROW_MAX:
            raise TooManyDefects(f"{self._defects_in_a_row} submissions in a row failed; the last: {defect!r}")


def _once_per_grant(read_grant: GrantReader | None) -> GrantReader | None:
    """Verify each distinct grant of a batch once: a million rows of an import carry the same one."""
    if read_grant is None:
        return None
    answers: dict[str, Any] = {}

    def read(grant: str) -> Any:
        if grant not in answers:
            try:
                answers[grant] = read_grant(grant)
            except MalformedMessage as error:
                answers[grant] = error
        if isinstance(answers[grant], MalformedMessage):
            raise MalformedMessage(str(answers[grant]))
        return answers[grant]

    return read
