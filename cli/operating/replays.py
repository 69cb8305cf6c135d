"""Sending dead letters to their topics again: what is chosen, a few at a time, and what becomes of each."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiokafka import TopicPartition

from cli.operating.dead_letter_search import CLIENT_ID, Letter, Sources, Wanted, find_letters, read_letter, searching
from cli.operating.dead_letter_tables import short_type
from cli.operating.dead_letter_views import database_of, kind_of, not_found, opened_database
from cli.operating.operator_settings import reaching, settings_of
from cli.terminal.output import ExitCode, Failure, note, say, show_table
from contracts.dead_letters import DEFECT, replay_headers
from contracts.messages import OperationState, Source
from contracts.topics import SUBMISSION_TOPICS, dead_letter_of
from infra.kafka.following import GroupWatch
from infra.kafka.producer import Producer, Record, fits
from infra.kafka.reading_back import Backwards, KafkaRecord, Partition, reading_back
from infra.postgres.deliveries import OutcomeOf, find_outcomes
from infra.postgres.engine import Database
from infra.settings import KafkaSettings

#: When so many in a row came back, no more are sent. Twenty defects in a row would end the consumer.
_CAME_BACK_MAX = 10
_DEFECTS_AT_ONCE = 10
_AT_ONCE_FIRST = 10
_AT_ONCE_MAX = 1000
_BYTES_AT_ONCE = 4 * 1024 * 1024
_TAKEN_WITHIN_S = 30.0
_ASK_EVERY_S = 0.2
_SAY_EVERY_S = 2.0
_SHOWN_EACH = 50


class Fate(StrEnum):
    """What became of a dead letter that was to be replayed."""

    RECORDED = "recorded"
    REFUSED = "refused"
    CAME_BACK = "came back"
    SETTLED = "was settled before"
    TOO_LARGE = "too large"
    NOT_TAKEN = "not taken yet"


#: How an outcome is told, in this order.
_SENTENCES = {
    Fate.RECORDED: "recorded",
    Fate.REFUSED: "refused, with a reason for who asked",
    Fate.CAME_BACK: "came back as dead letters",
    Fate.SETTLED: "left alone: recorded or refused before",
    Fate.TOO_LARGE: "not sent: with one more header the record is larger than its topic takes",
    Fate.NOT_TAKEN: "sent, and not taken yet",
}


@dataclass(slots=True)
class Plan:
    """Which dead letters are to be sent, as places on their topics; what to say before, and what to ask."""

    topics: Sequence[str]
    chosen: Sources = field(default_factory=Sources)
    spans: dict[Partition, tuple[int, int]] = field(default_factory=dict)
    count: int = 0
    kinds: Counter[tuple[str, ...]] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    @property
    def question(self) -> str:
        """What the operator is asked."""
        of = ", ".join(f"{count:,} × {' '.join(kind)}" for kind, count in self.kinds.most_common(3))
        more = f" and {len(self.kinds) - 3} other kinds" if len(self.kinds) > 3 else ""
        noun = "dead letter" if self.count == 1 else "dead letters"
        return f"Send {self.count:,} {noun} again ({of}{more})?"

    def add(self, letter: Letter) -> None:
        """Choose a letter."""
        place = letter.place
        self.chosen.add(Source(topic=place.topic, partition=place.partition, offset=letter.offset))
        start, end = self.spans.get(place, (letter.offset, letter.offset + 1))
        self.spans[place] = min(start, letter.offset), max(end, letter.offset + 1)
        self.count += 1
        topic, cause, reason = kind_of(letter, "reason")
        self.kinds[topic, f"{cause}:", reason if len(reason) <= 60 else f"{reason[:60]}…"] += 1


@dataclass(frozen=True, slots=True)
class Replayed:
    """One dead letter and what became of it; ``why`` is the refusal's code or the new dead letter's reason."""

    id: Source
    type: str | None
    fate: Fate
    why: str | None = None
    came_back_as: Source | None = None


@dataclass(slots=True)
class Outcome:
    """What became of a replay so far; ``letters`` holds the first ones, ``stopped`` says why not all were sent."""

    count: int
    fates: Counter[Fate] = field(default_factory=Counter)
    letters: list[Replayed] = field(default_factory=list)
    stopped: Failure | None = None

    def add(self, replayed: Replayed) -> None:
        """Count one."""
        self.fates[replayed.fate] += 1
        if len(self.letters) < _SHOWN_EACH:
            self.letters.append(replayed)

    def raise_unless_good(self) -> None:
        """Raise ``Failure`` where not all were sent, or some came back."""
        if self.stopped:
            raise self.stopped
        if failed := self.fates[Fate.CAME_BACK] + self.fates[Fate.TOO_LARGE]:
            raise Failure(f"{failed:,} of {self.count:,} could not be taken; see `cash dead-letters list`")


def plan_replay(which: Sequence[Source] | Wanted) -> Plan:
    """Choose the letters by their ids, or all that are wanted; raise ``Failure`` where one is not there."""

    async def choose() -> Plan:
        with reaching("Kafka"):
            return await (_choose_all(which) if isinstance(which, Wanted) else _choose(which))

    return asyncio.run(choose())


async def _choose(ids: Sequence[Source]) -> Plan:
    wanted = Wanted(tuple(dict.fromkeys(each.topic for each in ids)))
    plan = Plan(wanted.topics)
    async with searching(settings_of(KafkaSettings), wanted) as search:
        found, replays = await find_letters(search, ids)
    for each in dict.fromkeys(ids):
        letter = found.get(each) or not_found(each)
        plan.add(letter)
        if letter.grant_ended_at:
            plan.warnings.append(
                f"The bulk grant of {each} ended on {letter.grant_ended_at:%Y-%m-%d at %H:%M} UTC: it will come back."
            )
        if newer := replays.get(each):
            plan.warnings.append(f"{each} was replayed before and came back as {newer.id}.")
        if not letter.label.is_whole:
            plan.warnings.append(f"{each} lost headers that nobody of ours reads; it goes without them.")
    return plan


async def _choose_all(wanted: Wanted) -> Plan:
    plan = Plan(wanted.topics)
    ended = came_back = 0
    async with searching(settings_of(KafkaSettings), wanted) as search:
        async for window in search.windows():
            for letter in filter(wanted.match, window):
                if letter.id in search.replayed:
                    came_back += 1
                elif letter.grant_ended_at:
                    ended += 1
                else:
                    plan.add(letter)
    if came_back:
        plan.warnings.append(f"{came_back:,} were replayed before and came back: the newer letters stand for them.")
    if ended:
        plan.warnings.append(
            f"{ended:,} are left out: their bulk grant has ended, so that they would be refused again. "
            "Have them sent once more, with a new grant and the same idempotency keys."
        )
    return plan


def send_again(plan: Plan) -> Outcome:
    """Send what is planned, a few at a time, and wait for what becomes of them.

    Ctrl-C ends it between two sends or while it waits: what was sent is taken all the same, and the outcome says so.
    """
    outcome = Outcome(plan.count)
    try:
        with reaching("Kafka or a database"):
            asyncio.run(_Replay(plan, outcome).run())
    except KeyboardInterrupt:
        sentence = "interrupted; what was sent before is taken all the same, see `cash dead-letters list`"
        outcome.stopped = Failure(sentence, ExitCode.INTERRUPTED)
    except Failure as failure:
        outcome.stopped = failure
    return outcome


class _Replay:
    """One replay under way."""

    def __init__(self, plan: Plan, outcome: Outcome) -> None:
        self._plan = plan
        self._outcome = outcome
        self._kafka = settings_of(KafkaSettings)
        self._producer = Producer(self._kafka, client_id=CLIENT_ID)
        self._watches = {
            topic.name: GroupWatch(self._kafka, topic.group, topic.name, CLIENT_ID)
            for topic in SUBMISSION_TOPICS
            if topic.name in plan.topics
        }
        self._at_once = _AT_ONCE_FIRST
        self._came_back_in_a_row = 0
        self._said_at = time.monotonic()

    async def run(self) -> None:
        """Send all, the oldest of each partition first, until all are sent or too many in a row came back."""
        topics = sorted({place.topic for place in self._plan.spans})
        async with AsyncExitStack() as opened:
            opened.push_async_callback(self._producer.stop)
            for watch in self._watches.values():
                opened.push_async_callback(watch.close)
            letters = await opened.enter_async_context(reading_back(self._kafka, topics, CLIENT_ID))
            answers = await opened.enter_async_context(reading_back(self._kafka, topics, CLIENT_ID))
            databases = {
                name: await opened.enter_async_context(opened_database(name))
                for name in {database_of(topic) for topic in self._plan.topics}
            }
            for place in sorted(self._plan.spans):
                async for few in self._few(letters, place):
                    topic = few[0][0].id.topic
                    sent, good = await self._send(few, answers, databases[database_of(topic)], topic)
                    self._at_once = min(self._at_once * 3, _AT_ONCE_MAX)
                    done = self._outcome.fates.total()
                    self._came_back_in_a_row = 0 if good else self._came_back_in_a_row + sent
                    left = self._plan.count - done
                    if left and self._came_back_in_a_row >= _CAME_BACK_MAX:
                        raise Failure(
                            f"the last {self._came_back_in_a_row:,} came back, so the other {left:,} were not sent; "
                            "mend what the reasons say and replay again"
                        )
                    self._say_progress(done)

    async def _few(self, reader: Backwards, place: Partition) -> AsyncIterator[list[tuple[Letter, KafkaRecord]]]:
        """Yield the chosen records of a partition, oldest first, as many as may go at once."""
        few: list[tuple[Letter, KafkaRecord]] = []
        size, has_defect = 0, False
        async for records in reader.batches(place, *self._plan.spans[place]):
            for record in records:
                at = Source(topic=record.topic, partition=record.partition, offset=record.offset)
                if at not in self._plan.chosen or (letter := read_letter(record)) is None:
                    continue
                few.append((letter, record))
                size += letter.size
                has_defect = has_defect or letter.label.cause == DEFECT
                at_once = min(self._at_once, _DEFECTS_AT_ONCE) if has_defect else self._at_once
                if len(few) >= at_once or size > _BYTES_AT_ONCE:
                    yield few
                    few, size, has_defect = [], 0, False
        if few:
            yield few

    async def _send(
        self, few: Sequence[tuple[Letter, KafkaRecord]], answers: Backwards, database: Database, topic: str
    ) -> tuple[int, int]:
        """Send some records and tell what became of each; return how many were sent, and how many were taken."""
        before = await self._outcomes(database, [letter for letter, _ in few])
        to_send: list[tuple[Letter, Record]] = []
        for letter, record in few:
            headers = replay_headers(record.headers, letter.id)
            again = Record(topic, record.key, record.value, headers, letter.id.partition)
            if (outcome := before.get(letter.id)) is not None and outcome.state is not OperationState.FAILED:
                self._tell(letter, Fate.SETTLED)
            elif not fits(again):
                self._tell(letter, Fate.TOO_LARGE)
            else:
                to_send.append((letter, again))
        if not to_send:
            return 0, 0
        starts = await answers.ends(answers.places(dead_letter_of(topic).name))
        acknowledged = await self._producer.send_all([again for _, again in to_send])
        sent = {
            Source(topic=topic, partition=partition, offset=offset): letter
            for (letter, _), (partition, offset) in zip(to_send, acknowledged, strict=True)
        }
        untaken = await self._wait(topic, list(sent))
        back = await self._find_back(answers, starts, sent)
        after = await self._outcomes(database, list(sent.values()))
        taken = 0
        for place, letter in sent.items():
            outcome = after.get(letter.id)
            if (newer := back.get(place)) is not None:
                self._tell(letter, Fate.CAME_BACK, newer.label.reason, newer.id)
            elif place in untaken:
                self._tell(letter, Fate.NOT_TAKEN)
            elif outcome is None or outcome.state is OperationState.FAILED:
                self._tell(letter, Fate.CAME_BACK, "its operation stays failed")
            else:
                taken += 1
                self._tell(letter, Fate(outcome.state.value), outcome.refusal_code)
        if untaken:
            raise Failure(
                f"{len(untaken):,} were not taken within {_TAKEN_WITHIN_S:.0f} s, and will be when their consumer runs;"
                " see `cash status` and `cash queues`",
                ExitCode.PENDING,
            )
        return len(sent), taken

    async def _outcomes(self, database: Database, letters: Sequence[Letter]) -> dict[Source, OutcomeOf]:
        found = await find_outcomes(database, [each.operation_id for each in letters if each.operation_id])
        return {each.id: found[each.operation_id] for each in letters if each.operation_id in found}

    async def _wait(self, topic: str, sent: Sequence[Source]) -> set[Source]:
        """Wait until the consumer has taken what was sent; return what it has not after too long."""
        until = time.monotonic() + _TAKEN_WITHIN_S
        while True:
            next_offsets = await self._watches[topic].offsets()
            untaken = {place for place in sent if next_offsets[TopicPartition(topic, place.partition)] <= place.offset}
            if not untaken or time.monotonic() > until:
                return untaken
            await asyncio.sleep(_ASK_EVERY_S)

    async def _find_back(
        self, answers: Backwards, starts: Mapping[Partition, int], sent: Mapping[Source, Letter]
    ) -> dict[Source, Letter]:
        """Return the new dead letters that came of what was sent, by the place it was sent to."""
        found: dict[Source, Letter] = {}
        for place, end in (await answers.ends(list(starts))).items():
            new = await answers.between(place, starts[place], end, read_letter)
            found |= {letter.id: letter for letter in new if letter is not None and letter.id in sent}
        return found

    def _tell(self, letter: Letter, fate: Fate, why: str | None = None, came_back_as: Source | None = None) -> None:
        self._outcome.add(Replayed(letter.id, letter.type, fate, why, came_back_as))

    def _say_progress(self, done: int) -> None:
        if done < self._plan.count and time.monotonic() - self._said_at > _SAY_EVERY_S:
            self._said_at = time.monotonic()
            note(f"{done:,} of {self._plan.count:,}")


def show_outcome(outcome: Outcome) -> None:
    """Show what became of each letter, or of how many where there are many."""
    if outcome.count <= _SHOWN_EACH and outcome.letters:
        show_table(
            ["ID", "Became", "Type", "Why"],
            [(each.id, each.came_back_as or each.fate, short_type(each.type), each.why) for each in outcome.letters],
            whole=["ID", "Became"],
            spare=["Type"],
        )
    for fate, sentence in _SENTENCES.items():
        if count := outcome.fates[fate]:
            say(f"{count:,} {sentence}.")


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """Return what became of a replay for programs; the letters are the first ones only."""
    return {
        "chosen": outcome.count,
        "outcomes": {fate.value: count for fate, count in outcome.fates.items()},
        "items": [
            {
                "id": str(each.id),
                "type": each.type,
                "outcome": each.fate,
                "why": each.why,
                "came_back_as": each.came_back_as and str(each.came_back_as),
            }
            for each in outcome.letters
        ],
        "stopped": outcome.stopped and str(outcome.stopped),
    }
