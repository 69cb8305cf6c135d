"""Delivery under defects and outages, on the real PostgreSQL, Kafka and Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from consumers.dead_letters import DeadLetters
from consumers.deciders import LEDGER_DECIDERS
from consumers.delivery import DEFECTS_IN_A_ROW_MAX, Delivery, TooManyDefects
from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from consumers.repositories.books import BooksRepository
from contracts import topics
from contracts.dead_letters import read_label, replay_headers
from contracts.envelope import operation_id
from contracts.ledgers import personal_ledger_id
from contracts.messages import OperationState, Source
from contracts.topics import dead_letter_of
from contracts.transactions import TransactionSubmitted
from infra.errors import TookTooLong, Unavailable
from infra.kafka.producer import Producer
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.redis.wakeups import Wakeups
from infra.settings import KafkaSettings, LedgerDatabaseSettings, RedisSettings
from tests.builders.kafka import header, reading
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission, as_consumed

pytestmark = pytest.mark.stack

Decide = Callable[[Asked[TransactionSubmitted], Books], Decision]

#: An amount whose decider has a defect.
CURSED = "66.60"
MENDED: Decide = LEDGER_DECIDERS[TransactionSubmitted]


def defective(asked: Asked[TransactionSubmitted], books: Books) -> Decision:
    if asked.message.amount == CURSED:
        raise ZeroDivisionError("a defect, on purpose")
    return MENDED(asked, books)


class Line:
    """A delivery with a defective decider, and what it works on."""

    def __init__(self, stack: LocalStack) -> None:
        settings = stack.environment("ledger-consumer")
        #: Of one who may read dead letters: the consumer only writes them.
        self.kafka = settings_from(stack.environment("operator"), KafkaSettings)
        self.database = Database(settings_from(settings, LedgerDatabaseSettings), application="tests")
        self.producer = Producer(settings_from(settings, KafkaSettings), client_id="tests")
        self.wakeups = Wakeups(settings_from(settings, RedisSettings))

    def delivery(self, database: Database | None = None, decide: Decide = defective) -> Delivery[Books]:
        return Delivery(
            "tests",
            database or self.database,
            BooksRepository(),
            {TransactionSubmitted: decide},
            DeadLetters(self.producer),
            self.wakeups,
        )

    async def balance_minor(self, user_id: UUID) -> int | None:
        async with self.database.connection("read the balance") as connection:
            balance: int | None = await connection.fetchval(
                "SELECT sum(balance_minor) FILTER (WHERE balance_minor > 0) FROM balances WHERE ledger_id = $1",
                personal_ledger_id(user_id),
            )
        return balance

    async def sources(self, user_id: UUID) -> list[int]:
        """Return the offsets that the operations were claimed by, in order."""
        async with self.database.connection("read sources") as connection:
            rows = await connection.fetch(
                "SELECT source_offset FROM operations WHERE subject_id = $1 ORDER BY source_offset",
                personal_ledger_id(user_id),
            )
        return [row["source_offset"] for row in rows]

    async def states(self, user_id: UUID) -> list[str]:
        async with self.database.connection("read states") as connection:
            rows = await connection.fetch(
                "SELECT state FROM operations WHERE subject_id = $1 ORDER BY source_offset", personal_ledger_id(user_id)
            )
        return [row["state"] for row in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line(stack: LocalStack) -> AsyncIterator[Line]:
    line = Line(stack)
    await line.database.start()
    yield line
    await line.producer.stop()
    await line.wakeups.close()
    await line.database.stop()


def replay_of(record: Any, offset: int) -> Any:
    """Return a record as it is read once an operator has sent its dead letter again."""
    source = Source(topic=record.topic, partition=record.partition, offset=record.offset)
    headers = replay_headers(record.headers, source)
    return SimpleNamespace(**{**vars(record), "headers": tuple(headers), "offset": offset})


def records_of(user_id: UUID, *amounts: str) -> list[Any]:
    return [
        as_consumed(a_record(a_submission(user_id, amount=amount), user_id), partition=0, offset=offset)
        for offset, amount in enumerate(amounts)
    ]


async def test_a_defect_is_found_by_halving_and_fails_alone(line: Line) -> None:
    user_id = uuid4()
    records = records_of(user_id, "1.00", "2.00", CURSED, "4.00", "5.00")

    async with reading(line.kafka, dead_letter_of(topics.LEDGER_SUBMISSIONS.name).name) as dead_letters:
        await line.delivery().deliver(records)
        dead = await dead_letters.until(bool)

    (letter,) = [record for record in dead if record.key == records[2].key]
    assert letter.value == records[2].value
    assert header(letter, "deadletter_cause") == "defect"
    assert "ZeroDivisionError" in (header(letter, "deadletter_reason") or "")
    assert header(letter, "deadletter_attempts") == "3"
    assert await line.states(user_id) == ["recorded", "recorded", "failed", "recorded", "recorded"]


async def test_a_batch_that_takes_too_long_is_taken_in_parts(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    user_id = uuid4()
    delivery = line.delivery()
    commit, sizes = delivery._commit, []

    async def slow(received: Any) -> Any:
        sizes.append(len(received))
        if len(received) > 2:
            raise TookTooLong("take many submissions")
        return await commit(received)

    monkeypatch.setattr(delivery, "_commit", slow)
    await delivery.deliver(records_of(user_id, "1.00", "2.00", "3.00", "4.00"))

    assert sizes == [4, 2, 2]
    assert await line.states(user_id) == ["recorded"] * 4


async def test_a_failed_record_delivered_again_stays_failed(line: Line) -> None:
    user_id = uuid4()
    records = records_of(user_id, CURSED)

    await line.delivery().deliver(records)
    await line.delivery().deliver(records)

    assert await line.states(user_id) == [OperationState.FAILED]
    async with line.database.connection("read the resource") as connection:
        resource_id = await connection.fetchval(
            "SELECT resource_id FROM operations WHERE subject_id = $1", personal_ledger_id(user_id)
        )
    assert resource_id is None


async def test_a_replay_is_recorded_once_the_defect_is_mended_however_often_it_is_delivered(line: Line) -> None:
    user_id = uuid4()
    records = records_of(user_id, "1.00", CURSED)
    await line.delivery().deliver(records)
    replay, second = replay_of(records[1], 2), replay_of(records[1], 3)

    await line.delivery(decide=MENDED).deliver([replay, second])
    await line.delivery(decide=MENDED).deliver([*records, replay, second])

    assert await line.states(user_id) == ["recorded", "recorded"]
    assert await line.balance_minor(user_id) == 6760
    assert await line.sources(user_id) == [0, 2]


async def test_a_replay_that_fails_again_is_another_dead_letter_which_says_what_it_replays(line: Line) -> None:
    user_id = uuid4()
    (record,) = records_of(user_id, CURSED)
    await line.delivery().deliver([record])
    replay = replay_of(record, 1)

    async with reading(line.kafka, dead_letter_of(topics.LEDGER_SUBMISSIONS.name).name) as dead_letters:
        await line.delivery().deliver([replay])
        # Delivered again, after the dead letter was written, it was tried: nobody tries it a fourth time.
        await line.delivery(decide=MENDED).deliver([record, replay])
        dead = await dead_letters.until(bool)

    (letter,) = [read_label(each.headers) for each in dead if each.key == record.key]
    assert (letter.source.offset, letter.replay_of) == (1, Source(topic="ledger.submissions", partition=0, offset=0))
    assert await line.states(user_id) == ["failed"]

    # In one batch with those that were tried before.
    await line.delivery(decide=MENDED).deliver([record, replay, replay_of(replay, 2), replay_of(replay, 3)])
    assert await line.states(user_id) == ["recorded"]
    assert await line.sources(user_id) == [2]


async def test_a_process_that_dies_while_it_takes_a_replay_leaves_the_operation_failed(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = uuid4()
    (record,) = records_of(user_id, CURSED)
    await line.delivery().deliver([record])
    replay = replay_of(record, 1)
    dying = line.delivery(decide=MENDED)

    async def die(*_: object) -> None:
        raise Unavailable("write the books")

    with monkeypatch.context() as patch:
        patch.setattr(dying._repository, "save", die)
        with pytest.raises(Unavailable):
            await dying.deliver([replay])
    assert await line.states(user_id) == ["failed"]

    await line.delivery(decide=MENDED).deliver([replay])
    assert await line.states(user_id) == ["recorded"]


async def test_two_processes_that_take_the_same_replay_record_it_once(line: Line) -> None:
    user_id = uuid4()
    (record,) = records_of(user_id, CURSED)
    await line.delivery().deliver([record])
    replay = replay_of(record, 1)

    await asyncio.gather(*(line.delivery(decide=MENDED).deliver([replay]) for _ in range(4)))

    assert await line.states(user_id) == ["recorded"]
    assert await line.balance_minor(user_id) == 6660


async def test_only_a_replay_of_the_same_request_claims_what_failed(line: Line) -> None:
    user_id = uuid4()
    failed, other = (
        as_consumed(a_record(a_submission(user_id, amount=amount), user_id, key="k"), partition=0, offset=offset)
        for offset, amount in enumerate((CURSED, "1.00"))
    )
    await line.delivery().deliver([failed])
    again = SimpleNamespace(**{**vars(failed), "offset": 2})

    await line.delivery(decide=MENDED).deliver([replay_of(other, 1), again])
    assert await line.states(user_id) == ["failed"]


async def test_a_replay_of_what_was_recorded_meanwhile_changes_nothing(line: Line) -> None:
    user_id = uuid4()
    (record,) = records_of(user_id, "1.00")
    await line.delivery().deliver([record])

    await line.delivery().deliver([replay_of(record, 1)])

    assert (await line.states(user_id), await line.sources(user_id)) == (["recorded"], [0])


async def test_a_batch_delivered_twice_takes_effect_once(line: Line) -> None:
    user_id = uuid4()
    records = records_of(user_id, "1.00", "2.00")

    await line.delivery().deliver(records)
    await line.delivery().deliver(records)

    assert await line.states(user_id) == ["recorded", "recorded"]
    assert await line.balance_minor(user_id) == 300


async def test_a_key_that_comes_again_with_other_content_changes_nothing_and_is_noticed(line: Line) -> None:
    user_id = uuid4()
    first, other = (
        as_consumed(a_record(a_submission(user_id, amount=amount), user_id, key="k"), partition=0, offset=offset)
        for offset, amount in enumerate(("1.00", "99.00"))
    )

    with capture_logs() as logs:
        await line.delivery().deliver([first, other])
        await line.delivery().deliver([other])
        await line.delivery().deliver([first])

    assert await line.states(user_id) == ["recorded"]
    noticed = [log["operations"] for log in logs if "other content" in log["event"]]
    assert noticed == [[str(operation_id(a_submission(user_id), user_id, "k"))]] * 2


async def test_the_malformed_of_a_batch_go_to_the_dead_letters_together(line: Line) -> None:
    user_id = uuid4()
    good, bad = records_of(user_id, "1.00", "2.00")
    bad.value = b"{"

    async with reading(line.kafka, dead_letter_of(topics.LEDGER_SUBMISSIONS.name).name) as dead_letters:
        with capture_logs() as logs:
            await line.delivery().deliver([bad, good, bad, bad])
        mine = await dead_letters.until(lambda records: sum(record.key == bad.key for record in records) == 3)

    assert await line.states(user_id) == ["recorded"]
    assert {header(record, "deadletter_offset") for record in mine if record.key == bad.key} == {"1"}
    assert [log["records"] for log in logs if "dead letters" in log["event"]] == [3]


async def test_a_dead_letter_too_large_with_its_headers_is_sent_without_those_nobody_knows(line: Line) -> None:
    user_id = uuid4()
    good, bad = records_of(user_id, "1.00", "2.00")
    # As it is read: a name of 600,000 bytes that are not UTF-8 has grown to four letters each.
    bad.headers = ((r"\xff" * 600_000, b"1"), *bad.headers)
    bad.value = b"{"

    async with reading(line.kafka, dead_letter_of(topics.LEDGER_SUBMISSIONS.name).name) as dead_letters:
        await line.delivery().deliver([bad, good])
        (letter,) = await dead_letters.until(lambda records: any(record.key == bad.key for record in records))

    assert await line.states(user_id) == ["recorded"]
    assert (letter.value, header(letter, "deadletter_headers")) == (b"{", "left out: too large")
    assert header(letter, "ce_type") == "cashflow.transaction.submitted.v1"


async def test_too_many_defects_in_a_row_end_the_process_before_the_topic_is_drained(line: Line) -> None:
    user_id = uuid4()
    records = records_of(user_id, *[CURSED] * (DEFECTS_IN_A_ROW_MAX + 5))

    with pytest.raises(TooManyDefects):
        await line.delivery().deliver(records)

    assert await line.states(user_id) == ["failed"] * DEFECTS_IN_A_ROW_MAX


async def test_a_database_that_is_down_is_no_defect(line: Line, stack: LocalStack) -> None:
    settings = settings_from(
        {**stack.environment("ledger-consumer"), "CASH_LEDGER_DB_PORT": "1"}, LedgerDatabaseSettings
    )
    down = Database(settings, application="tests")
    await down.start()
    user_id = uuid4()

    with pytest.raises(Unavailable):
        await line.delivery(down).deliver(records_of(user_id, "1.00"))

    await down.stop()
    assert await line.states(user_id) == []


async def test_the_operation_keeps_the_request_as_sent(line: Line) -> None:
    user_id = uuid4()
    message = a_submission(user_id, amount="7.10", description="Käse")
    record = as_consumed(a_record(message, user_id, key="k"))

    await line.delivery().deliver([record])

    async with line.database.connection("read the request") as connection:
        request = await connection.fetchval(
            "SELECT request FROM operations WHERE id = $1", operation_id(message, user_id, "k")
        )
    assert request == record.value
