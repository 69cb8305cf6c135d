"""What stands on dead letters, how they are found, and how they look."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import jwt
import pytest
from aiokafka import TopicPartition

from cli.operating.dead_letter_search import (
    Letter,
    Search,
    Sources,
    Wanted,
    count_kinds,
    find_letters,
    find_newest,
    read_letter,
)
from cli.operating.dead_letter_tables import advice, letter_as_json
from cli.operating.dead_letter_views import Opened, Standing, kind_of, standing_of
from cli.operating.dead_letters import read_id
from cli.operating.replays import Fate, Outcome, Plan, Replayed
from cli.terminal.output import Failure
from contracts.dead_letters import DEFECT, MALFORMED, Label, label_headers, read_label, read_source, replay_headers
from contracts.errors import MalformedMessage
from contracts.messages import OperationState, Source
from infra.kafka.reading_back import Backwards, KafkaRecord, Partition
from infra.postgres.deliveries import OutcomeOf
from tests.builders.submissions import a_record, a_submission, as_consumed

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC = "ledger.submissions"


def a_label(offset: int = 41, partition: int = 3, topic: str = TOPIC, **changes: Any) -> Label:
    fields: dict[str, Any] = {"cause": DEFECT, "reason": "ZeroDivisionError: x", "attempts": 3, "at": NOON}
    return Label(Source(topic=topic, partition=partition, offset=offset), **fields | changes)


def a_letter(
    label: Label, *, partition: int = 0, offset: int = 0, at_s: float = 0.0, value: bytes | None = None, **header: Any
) -> KafkaRecord:
    """Return the record of a dead letter; ``at_s`` is when it was written, after noon."""
    user_id = uuid4()
    record = a_record(a_submission(user_id), user_id, **header)
    return cast(
        KafkaRecord,
        as_consumed(
            record,
            topic=f"{TOPIC}.dead-letter",
            partition=partition,
            offset=offset,
            timestamp=int((NOON.timestamp() + at_s) * 1000),
            headers=(*record.headers, *label_headers(label)),
            **({} if value is None else {"value": value}),
        ),
    )


def read(record: KafkaRecord) -> Letter:
    letter = read_letter(record)
    assert letter is not None
    return letter


class Kept:
    """Stands in for the reader of Kafka: partitions as lists, oldest first."""

    def __init__(self, *partitions: Sequence[KafkaRecord]) -> None:
        self._records = {TopicPartition(f"{TOPIC}.dead-letter", n): list(each) for n, each in enumerate(partitions)}

    @property
    def left(self) -> dict[Partition, int]:
        return {place: len(records) for place, records in self._records.items() if records}

    async def before(self, place: Partition, count: int, take: Callable[[KafkaRecord], Any]) -> list[Any]:
        records = self._records[place]
        window, self._records[place] = records[-count:], records[:-count]
        return [take(record) for record in reversed(window)]


def a_search(*partitions: Sequence[KafkaRecord]) -> Search:
    return Search(cast(Backwards, Kept(*partitions)))


@pytest.mark.parametrize(
    "label",
    [
        a_label(),
        a_label(cause=MALFORMED, reason="Käse", attempts=1),
        a_label(is_whole=False),
    ],
)
def test_a_label_is_read_as_it_was_written_whatever_the_record_brought_along(label: Label) -> None:
    brought = [("deadletter_reason", b"somebody else's"), ("deadletter_partition", None), ("x", None)]

    assert read_label([*brought, *label_headers(label)]) == label


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("deadletter_topic", b"t")],
        [(name, b"x" if name == "deadletter_offset" else value) for name, value in label_headers(a_label())],
        [(name, b"noon" if name == "deadletter_at" else value) for name, value in label_headers(a_label())],
    ],
)
def test_what_is_no_dead_letter_of_ours_is_passed_over(headers: Any) -> None:
    with pytest.raises(MalformedMessage):
        read_label(headers)


def test_a_replay_has_the_headers_of_the_record_and_says_what_it_replays() -> None:
    original = [("ce_id", b"1"), ("x", None), ("x", b"2")]
    first, second = a_label(), a_label(offset=57)

    replay = replay_headers([*original, *label_headers(first)], first.source)
    again = [*replay, *label_headers(second)]

    assert replay == [*original, ("deadletter_replayof", b"ledger.submissions/3/41")]
    assert read_label(again).replay_of == first.source
    assert replay_headers(again, second.source) == [*original, ("deadletter_replayof", b"ledger.submissions/3/57")]


@pytest.mark.parametrize("text", ["", "t", "t/1", "t/1/2/3", "t/a/2", "t/1/-2", "/1/2", "t/1/²", "t/ 1/2"])
def test_an_id_that_is_none_is_refused(text: str) -> None:
    assert read_source(text) is None
    with pytest.raises(Failure):
        read_id(text)


def test_sources_are_remembered_one_by_one() -> None:
    sources = Sources()
    places = [Source(topic=topic, partition=n, offset=n * 4095) for topic in "ab" for n in range(5)]

    assert [sources.add(place) for place in places + places] == [True] * 10 + [False] * 10
    assert Source(topic="a", partition=1, offset=4094) not in sources


async def test_the_newest_are_found_across_partitions_without_reading_all() -> None:
    # The one partition is older as a whole; of the other one the newest are read, and no more.
    old = [a_letter(a_label(offset=n, partition=0), partition=0, offset=n, at_s=n) for n in range(500)]
    new = [a_letter(a_label(offset=n, partition=1), partition=1, offset=n, at_s=1000 + n) for n in range(500)]
    search = a_search(old, new)

    found = await find_newest(search, Wanted(), limit=5, look_at=None)

    assert [str(letter.id) for letter in found] == [f"{TOPIC}/1/{n}" for n in (499, 498, 497, 496, 495)]
    assert search.looked_at < 300
    assert search.not_looked_at == 1000 - search.looked_at


async def test_one_that_was_written_twice_is_shown_once_and_no_more_is_looked_at_than_allowed() -> None:
    twice = [a_letter(a_label(), offset=n, at_s=n) for n in range(2)]
    others = [a_letter(a_label(offset=100 + n), offset=2 + n, at_s=2 + n) for n in range(98)]

    whole = await find_newest(a_search([*twice, *others]), Wanted(), limit=1000, look_at=None)
    cut = a_search([*twice, *others])
    some = await find_newest(cut, Wanted(), limit=1000, look_at=70)

    assert (len(whole), len(some)) == (99, 70)
    assert (cut.looked_at, cut.not_looked_at) == (70, 30)


async def test_only_what_is_wanted_is_found() -> None:
    defect = a_letter(a_label(offset=1), at_s=1)
    malformed = a_letter(a_label(offset=2, cause=MALFORMED, reason="The grant had expired"), at_s=2)
    stranger = as_consumed(a_record(a_submission(uuid4()), uuid4()))

    async def found(**wanted: Any) -> list[int]:
        search = a_search([stranger, defect, malformed])
        letters = await find_newest(search, Wanted(**wanted), limit=10, look_at=None)
        assert search.strangers == 1
        return [letter.id.offset for letter in letters]

    assert await found() == [2, 1]
    assert await found(cause=DEFECT) == [1]
    assert await found(reason="GRANT had") == [2]
    assert await found(since=NOON + timedelta(seconds=1)) == []


async def test_kinds_are_counted_and_ids_in_reasons_make_no_kind_of_their_own() -> None:
    reasons = [f"KeyError: {uuid4()}" for _ in range(3)] + ["KeyError: 12345678", "other", "another"]
    letters = [a_letter(a_label(offset=n, reason=reason), at_s=n) for n, reason in enumerate(reasons)]

    kinds, others = await count_kinds(
        a_search(letters), Wanted(), lambda letter: kind_of(letter, "reason"), look_at=None, kinds_max=2
    )

    assert {names[-1]: kind.count for names, kind in kinds.items()} == {"another": 1, "other": 1}
    assert others == 4
    assert len({kind_of(read(letter), "reason") for letter in letters}) == 3


async def test_a_letter_is_found_by_its_id_with_what_its_replay_became() -> None:
    first, again = a_label(), a_label(offset=57)
    replayed = a_letter(first, partition=3, offset=0)
    record = a_letter(again, partition=3, offset=1, at_s=1)
    record.headers = (*replay_headers(replayed.headers, first.source), *label_headers(again))

    search = a_search([], [], [], [replayed, record])
    found, replays = await find_letters(search, [first.source])

    assert found[first.source].offset == 0
    assert replays[first.source].id == again.source
    assert standing_of(found[first.source], {}, search) is Standing.FAILED_AGAIN
    assert standing_of(replays[first.source], {}, search) is Standing.OPEN


@pytest.mark.parametrize("state", [OperationState.RECORDED, OperationState.REFUSED, OperationState.FAILED])
def test_what_became_of_a_letter_is_what_became_of_its_operation(state: OperationState) -> None:
    letter = read(a_letter(a_label()))
    assert letter.operation_id is not None
    outcome = OutcomeOf(state, None, NOON, letter.id)

    standing = standing_of(letter, {letter.operation_id: outcome}, a_search())

    assert standing == (Standing.OPEN if state is OperationState.FAILED else Standing(state.value))
    assert standing_of(letter, {}, a_search(), silent=["ledger"]) is Standing.UNKNOWN


def test_a_grant_that_has_ended_is_said_and_one_that_is_none_is_not() -> None:
    secret = "s" * 40
    ended, lasting = (
        jwt.encode({"exp": NOON + timedelta(days=days)}, secret, algorithm="HS256") for days in (0, 365 * 50)
    )

    for grant, ended_at in ((ended, NOON), (lasting, None), ("rubbish", None), ("a.b.c", None)):
        letter = read(a_letter(a_label(cause=MALFORMED, topic="ledger.bulk"), grant=grant))
        assert letter.grant_ended_at == ended_at
    assert read(a_letter(a_label(), grant=ended)).grant_ended_at is None


@pytest.mark.parametrize(
    ("value", "shown", "encoding"),
    [
        (b'{"password": "hunter2", "n": [{"refresh_hash": "abc"}]}', None, "json"),
        (b'{"token": "hunter2', '{"token": "… (7 letters)"', "text"),
        (b"\x00\xff", "AP8=", "base64"),
        (b"[" * 100_000, None, "text"),
        (b"1" * 10_000, None, "text"),
    ],
)
def test_any_value_can_be_shown_and_nothing_secret_of_it(value: bytes, shown: str | None, encoding: str) -> None:
    record = a_letter(a_label(), value=value)
    as_json = letter_as_json(Opened(read(record), record, Standing.OPEN, None, None))

    assert as_json["value_encoding"] == encoding
    assert shown is None or as_json["value"] == shown
    assert "hunter2" not in str(as_json)
    assert "abc'" not in str(as_json)


def test_the_advice_fits_the_letter() -> None:
    def advised(label: Label, standing: Standing = Standing.OPEN, **header: Any) -> str:
        record = a_letter(label, **header)
        return advice(Opened(read(record), record, standing, None, None))

    ended = jwt.encode({"exp": NOON}, "s" * 40, algorithm="HS256")
    assert "Mend the defect" in advised(a_label())
    assert "send it right" in advised(a_label(cause=MALFORMED))
    assert "with a new grant" in advised(a_label(cause=MALFORMED, topic="ledger.bulk"), grant=ended)
    assert "Nothing is left to do" in advised(a_label(), Standing.RECORDED)


def test_a_plan_asks_by_kinds_and_an_outcome_fails_where_one_came_back() -> None:
    plan = Plan([TOPIC])
    for offset in range(3):
        plan.add(read(a_letter(a_label(offset=offset), offset=offset)))
    assert plan.question == "Send 3 dead letters again (3 × ledger.submissions defect: ZeroDivisionError: x)?"
    assert list(plan.spans.values()) == [(0, 3)]

    outcome = Outcome(3)
    outcome.add(Replayed(a_label().source, None, Fate.RECORDED))
    outcome.add(Replayed(a_label().source, None, Fate.SETTLED))
    outcome.raise_unless_good()
    outcome.add(Replayed(a_label().source, None, Fate.CAME_BACK))
    with pytest.raises(Failure, match="1 of 3"):
        outcome.raise_unless_good()
