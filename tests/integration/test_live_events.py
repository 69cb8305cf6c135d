"""Live events on the whole system: in order, none missing and none twice, for members only."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
import pytest_asyncio

from contracts import topics
from contracts.envelope import Envelope, to_headers
from contracts.members import Role
from gateway.streaming import LAST_WORDS_S, STALLED_S
from infra.kafka.producer import Producer, Record
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.settings import KafkaSettings
from tests.builders.gateway import Person, a_person
from tests.builders.journal import a_recorded
from tests.builders.kafka import read_whole
from tests.builders.ledger_rows import LedgerRows, Write
from tests.builders.settings import settings_from
from tests.builders.watching import Watcher
from tests.integration.test_gateway_process import a_gateway
from tests.integration.test_gateway_transactions import named

pytestmark = pytest.mark.stack


@pytest.fixture
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


@pytest.fixture
def bob(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


@pytest.fixture(scope="module")
def kafka(stack: LocalStack) -> KafkaSettings:
    return settings_from(stack.environment("gateway"), KafkaSettings)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def producer(stack: LocalStack) -> AsyncIterator[Producer]:
    """A producer that may write the journal, as only the relay may."""
    producer = Producer(settings_from(stack.environment("relay"), KafkaSettings), client_id="tests")
    yield producer
    await producer.stop()


async def record(person: Person, **fields: Any) -> Any:
    return await asyncio.to_thread(person.record, **fields)


async def sequence_of(database: Database, ledger_id: UUID) -> int:
    async with database.connection("ask how far a ledger is") as connection:
        sequence: int = await connection.fetchval("SELECT sequence FROM ledgers WHERE id = $1", ledger_id)
    return sequence


def in_order(sequences: Sequence[int]) -> bool:
    return list(sequences) == list(range(sequences[0], sequences[0] + len(sequences)))


async def test_what_is_recorded_comes_as_it_is_recorded(ann: Person) -> None:
    async with Watcher(ann) as watcher:
        recorded = await record(ann, description="Weekly shop")
        await watcher.until(1)
        async with asyncio.timeout(10):
            while watcher.entries[-1]["type"] != "transaction.recorded":
                await asyncio.sleep(0.01)

    assert watcher.headers["content-type"].startswith("text/event-stream")
    assert watcher.headers["cache-control"] == "no-store"
    assert watcher.beginning.startswith("retry: 2000\nid: 0\n\n")
    assert watcher.sequences[0] == 1
    assert in_order(watcher.sequences)
    assert [event.type for event in watcher.events] == [entry["type"] for entry in watcher.entries]
    entry = watcher.entries[-1]
    assert entry["transaction_id"] == recorded["id"]
    assert entry["user_id"] == str(ann.user_id)
    assert [(posting["amount"], posting["currency"]) for posting in entry["postings"]] == [("24.47", "EUR")]


async def test_without_an_id_it_begins_with_what_comes_from_now_on(ann: Person, ledger_reading: Database) -> None:
    await record(ann)
    last = await sequence_of(ledger_reading, ann.ledger_id)
    async with Watcher(ann) as watcher:
        assert watcher.last_id == str(last)
        await record(ann)

        assert (await watcher.until(last + 1))[0] == last + 1


async def test_with_an_id_everything_after_it_comes_first(ann: Person, ledger_reading: Database) -> None:
    for _ in range(3):
        await record(ann)
    last = await sequence_of(ledger_reading, ann.ledger_id)
    async with Watcher(ann, last=0) as whole, Watcher(ann, last=last - 1) as tail:
        assert await whole.until(last) == list(range(1, last + 1))
        assert await tail.until(last) == [last]
        await record(ann)
        assert await whole.until(last + 1) == list(range(1, last + 2))
        assert await tail.until(last + 1) == [last, last + 1]
    assert whole.entries[0]["type"] == "ledger.opened"


async def test_a_cut_in_the_middle_of_what_is_recorded_leaves_no_gap_and_no_repeat(
    ann: Person, ledger_reading: Database
) -> None:
    await record(ann)

    async def record_many() -> None:
        for number in range(60):
            await record(ann, amount=f"{number + 1}.00")

    recording = asyncio.create_task(record_many())
    watcher = Watcher(ann, last=0)
    cuts = 0
    while not recording.done():
        await watcher.open()
        await asyncio.sleep(0.02 * (cuts % 7))
        await watcher.cut()
        cuts += 1
    await recording
    last = await sequence_of(ledger_reading, ann.ledger_id)
    async with watcher:
        assert await watcher.until(last) == list(range(1, last + 1))
    assert cuts > 5


async def test_two_readers_get_the_same(ann: Person, ledger_reading: Database) -> None:
    async with Watcher(ann) as first, Watcher(ann) as second:
        for _ in range(5):
            await record(ann)
        last = await sequence_of(ledger_reading, ann.ledger_id)

        assert await first.until(last) == await second.until(last) == list(range(1, last + 1))
    assert first.events == second.events


async def test_ledgers_are_apart(ann: Person, bob: Person, ledger_reading: Database) -> None:
    async with Watcher(ann) as hers, Watcher(bob) as his:
        await asyncio.gather(*(record(person) for person in (ann, bob) for _ in range(5)))
        for watcher, person in ((hers, ann), (his, bob)):
            last = await sequence_of(ledger_reading, person.ledger_id)
            assert await watcher.until(last) == list(range(1, last + 1))
            assert {entry["ledger_id"] for entry in watcher.entries} == {str(person.ledger_id)}


async def test_what_the_relay_sends_again_is_not_sent_again(
    ann: Person, kafka: KafkaSettings, producer: Producer, ledger_reading: Database
) -> None:
    async with Watcher(ann) as watcher:
        for _ in range(3):
            await record(ann)
        last = await sequence_of(ledger_reading, ann.ledger_id)
        await watcher.until(last)
        key = str(ann.ledger_id).encode()
        written = await read_whole(kafka, topics.LEDGER_JOURNAL.name)
        ours = [Record(each.topic, each.key, each.value, list(each.headers)) for each in written if each.key == key]
        await producer.send_all(ours)
        await producer.send_all(ours[-2:])
        await record(ann)

        assert await watcher.until(last + 1) == list(range(1, last + 2))
        async with Watcher(ann, last=2) as later:
            assert await later.until(last + 1) == list(range(3, last + 2))


async def test_a_stranger_finds_no_ledger_and_a_wrong_id_is_named(ann: Person, bob: Person) -> None:
    await record(ann)
    path = f"/ledgers/{ann.ledger_id}/events"

    assert named(await asyncio.to_thread(bob.get, path), 404) == ["ledger_id"]
    assert named(await asyncio.to_thread(bob.get, f"/ledgers/{uuid4()}/events"), 404) == ["ledger_id"]
    for wrong in ("x", "-1", "1.0", "", "1" * 30, "99999", "1, 2"):
        answer = await asyncio.to_thread(ann.http.get, path, headers={"Last-Event-ID": wrong})
        assert named(answer, 400) == ["Last-Event-ID"], wrong
    for wrong in ("x", "-1", "1.0", "", "1" * 30):
        assert named(await asyncio.to_thread(ann.get, path, last_event_id=wrong), 400) == ["last_event_id"], wrong
    assert named(await asyncio.to_thread(ann.get, path, last_event_id="99999"), 400) == ["Last-Event-ID"]
    assert named(await asyncio.to_thread(ann.get, path, since="3"), 400) == ["since"]


async def test_a_removed_member_is_told_and_gets_nothing_more(ann: Person, bob: Person) -> None:
    await record(ann)
    await invite(ann, bob)
    async with Watcher(bob, ledger_id=ann.ledger_id) as his, Watcher(ann) as hers:
        await record(ann)
        async with asyncio.timeout(10):
            while not his.entries:
                await asyncio.sleep(0.01)
        removed = await asyncio.to_thread(
            ann.http.delete, f"/ledgers/{ann.ledger_id}/members/{bob.user_id}", headers={"Prefer": "wait=10"}
        )
        assert removed.status_code == 204, removed.text
        await record(ann)

        assert await his.ended(within_s=5) == "not_a_member"
        assert {entry["type"] for entry in his.entries} == {"transaction.recorded"}
        assert len(his.entries) == 1
        async with asyncio.timeout(10):
            while hers.entries[-1]["type"] != "transaction.recorded" or len(hers.entries) < 3:
                await asyncio.sleep(0.01)
        assert "member.removed" in {entry["type"] for entry in hers.entries}
    path = f"/ledgers/{ann.ledger_id}/events"
    assert named(await asyncio.to_thread(bob.get, path), 404) == ["ledger_id"]


async def test_who_was_removed_and_is_back_reads_on(ann: Person, bob: Person, ledger_reading: Database) -> None:
    await record(ann)
    await invite(ann, bob)
    removed = await asyncio.to_thread(
        ann.http.delete, f"/ledgers/{ann.ledger_id}/members/{bob.user_id}", headers={"Prefer": "wait=10"}
    )
    assert removed.status_code == 204, removed.text
    await invite(ann, bob)
    last = await sequence_of(ledger_reading, ann.ledger_id)
    async with Watcher(bob, ledger_id=ann.ledger_id, last=0) as watcher:
        assert await watcher.until(last) == list(range(1, last + 1))
        invitations = [entry for entry in watcher.entries if entry["type"] == "member.invited"]
        assert len(invitations) == 2
        assert not any("invited_user_id" in entry for entry in invitations)


async def invite(owner: Person, guest: Person) -> None:
    """Let somebody become a member of one's personal ledger."""

    def walk() -> None:
        path = f"/ledgers/{owner.ledger_id}/invitations"
        invited = owner.post(path, {"email": guest.email, "role": "viewer"}, prefer="wait=10")
        assert invited.status_code == 201, invited.text
        accepted = guest.post(f"{path}/{invited.json()['id']}/accept", {}, prefer="wait=10")
        assert accepted.status_code == 200, accepted.text

    await asyncio.to_thread(walk)


async def test_an_ended_session_ends_its_streams(ann: Person) -> None:
    async with Watcher(ann) as watcher:
        ended = await asyncio.to_thread(
            ann.http.delete, f"/sessions/{ann.tokens['session_id']}", headers={"Prefer": "wait=10"}
        )
        assert ended.status_code == 204, ended.text

        assert await watcher.ended(within_s=6) == "session_ended"


async def test_one_person_has_so_many_streams_and_no_more(ann: Person) -> None:
    watchers = [Watcher(ann) for _ in range(20)]
    try:
        await asyncio.gather(*(watcher.open() for watcher in watchers))
        refused = await asyncio.to_thread(ann.get, f"/ledgers/{ann.ledger_id}/events")
        assert refused.status_code == 429
        assert refused.json()["type"] == "urn:cash-flow:problem:too-many-streams"
        assert int(refused.headers["retry-after"]) > 0
        await watchers.pop().cut()
        async with asyncio.timeout(10):
            while (await asyncio.to_thread(_try_to_watch, ann)) == 429:
                await asyncio.sleep(0.05)
    finally:
        await asyncio.gather(*(watcher.cut() for watcher in watchers))


async def test_with_kafka_killed_streams_stay_open_and_go_on_without_a_gap(
    stack: LocalStack, ann: Person, ledger_reading: Database
) -> None:
    await record(ann)
    last = await sequence_of(ledger_reading, ann.ledger_id)
    async with Watcher(ann) as watcher, Watcher(ann, last=0) as whole:
        await whole.until(last)
        before = await asyncio.to_thread(stack.pid, "kafka")
        await asyncio.to_thread(stack.kill, "kafka")
        # One that begins meanwhile waits, and misses nothing.
        async with Watcher(ann, last=0) as late:
            await asyncio.to_thread(stack.wait_for_restart, "kafka", before)
            await asyncio.to_thread(stack.wait_ready)
            for number in range(5):
                await asyncio.to_thread(until_recorded, ann, f"after-{number}")
            last = await sequence_of(ledger_reading, ann.ledger_id)

            assert await late.until(last, within_s=40) == list(range(1, last + 1))
        assert await whole.until(last, within_s=40) == list(range(1, last + 1))
        assert in_order(await watcher.until(last, within_s=40))
        assert not watcher.over.is_set()
        assert not whole.over.is_set()


def _try_to_watch(person: Person) -> int:
    """Return the status with which a stream begins, and leave it again."""
    with person.http.stream("GET", f"/ledgers/{person.ledger_id}/events") as answer:
        return answer.status_code


def until_recorded(person: Person, key: str) -> None:
    """Record a transaction, however often it has to be asked for."""
    for _ in range(60):
        body = {"amount": "1.00", "category": "Groceries"}
        if person.post("/transactions", body, prefer="wait=10", idempotency_key=key).status_code in (200, 201):
            return
        time.sleep(0.5)
    raise AssertionError("it was not recorded")


@pytest.mark.chaos
async def test_with_the_database_away_streams_stay_open_and_go_on(
    stack: LocalStack, ann: Person, ledger_reading: Database
) -> None:
    await record(ann)
    async with Watcher(ann) as watcher:
        last = await sequence_of(ledger_reading, ann.ledger_id)
        await asyncio.to_thread(stack.hold, "postgres")
        await asyncio.sleep(3)
        assert not watcher.over.is_set()
        await asyncio.to_thread(stack.release, "postgres")
        await asyncio.to_thread(stack.wait_ready)
        await asyncio.to_thread(until_recorded, ann, "afterwards")

        assert await watcher.until(last + 1, within_s=40) == [last + 1]


@asynccontextmanager
async def stalled(person: Person, ledger_id: UUID, port: int) -> AsyncIterator[socket.socket]:
    """Ask for all events of a ledger, and read none of the answer."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        await asyncio.to_thread(connection.connect, ("127.0.0.1", port))
        request = (
            f"GET /api/v1/ledgers/{ledger_id}/events HTTP/1.1\r\nHost: cash\r\nLast-Event-ID: 0\r\n"
            f"Authorization: {person.http.headers['Authorization']}\r\n\r\n"
        )
        connection.sendall(request.encode())
        yield connection


async def a_long_journal(person: Person, count: int, write: Write, producer: Producer) -> UUID:
    """Write a ledger of so many entries into database and journal, and return its id."""
    # Only how far it is and when it was opened are asked of the database.
    rows = LedgerRows(person.user_id, recorded_at=datetime.now(UTC))
    rows.sequence = count
    await write(rows)
    await send_entries(producer, rows.ledger_id, 1, count)
    return rows.ledger_id


async def send_entries(producer: Producer, ledger_id: UUID, first: int, last: int) -> None:
    """Send entries to the journal, a thousand at once, as the relay does."""
    for start in range(first, last + 1, 1000):
        numbers = range(start, min(start + 1000, last + 1))
        entries = [a_recorded(number, ledger_id=ledger_id) for number in numbers]
        await producer.send_all(
            [
                Record(
                    topics.LEDGER_JOURNAL.name,
                    str(ledger_id).encode(),
                    entry.model_dump_json(exclude_defaults=True).encode(),
                    to_headers(Envelope(str(entry.event_id), entry.type, "tests", entry.recorded_at)),
                )
                for entry in entries
            ]
        )


async def test_an_import_at_full_speed_comes_whole_and_in_order(ann: Person, write: Write, producer: Producer) -> None:
    count = 15_000
    rows = LedgerRows(ann.user_id, recorded_at=datetime.now(UTC))
    await write(rows)
    async with Watcher(ann, ledger_id=rows.ledger_id) as first, Watcher(ann, ledger_id=rows.ledger_id) as second:
        rows.sequence = count
        await write(rows)
        await send_entries(producer, rows.ledger_id, 1, count)

        for watcher in (first, second):
            assert await watcher.until(count, within_s=60) == list(range(2, count + 1))


@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_who_does_not_read_costs_little_and_is_cut_and_the_others_read_on(
    stack: LocalStack, ann: Person, write: Write, producer: Producer, tmp_path: Path
) -> None:
    count = 25_000
    ledger_id = await a_long_journal(ann, count, write, producer)
    with a_gateway(stack, tmp_path) as gateway:
        port = gateway.http.base_url.port
        assert port is not None
        async with Watcher(ann, ledger_id=ledger_id, port=port) as warm:
            assert warm.last_id == str(count)
        process = psutil.Process(gateway.process.pid)
        before = process.memory_info().rss
        async with stalled(ann, ledger_id, port) as first, stalled(ann, ledger_id, port) as second:
            async with Watcher(ann, ledger_id=ledger_id, port=port, last=0) as watcher:
                assert await watcher.until(count, within_s=90) == list(range(1, count + 1))
            grown = process.memory_info().rss - before
            # Each of the three was sent 15 MB, or would have been.
            assert grown < 20 * 1024 * 1024, f"{grown / 1024 / 1024:.0f} MB"
            await asyncio.sleep(STALLED_S + LAST_WORDS_S + 2)
            for connection in (first, second):
                assert await asyncio.to_thread(read_to_the_end, connection) < 8 * 1024 * 1024
        log = gateway.log.read_text()
        metrics = await asyncio.to_thread(gateway.http.get, str(gateway.http.base_url.copy_with(path="/metrics")))

    assert 'cash_event_streams_ended_total{reason="too_slow"} 2.0' in metrics.text
    assert "cash_event_streams 0.0" in metrics.text
    assert '"level": "error"' not in log


def read_to_the_end(connection: socket.socket) -> int:
    """Read what is left on a connection that the other side has cut; return how much came."""
    read = 0
    try:
        while part := connection.recv(65536):
            read += len(part)
    except ConnectionResetError:
        pass
    return read


async def test_at_sigterm_streams_end_at_once_also_those_nobody_reads(
    stack: LocalStack, ann: Person, write: Write, producer: Producer, tmp_path: Path
) -> None:
    ledger_id = await a_long_journal(ann, 10_000, write, producer)
    with a_gateway(stack, tmp_path) as gateway:
        port = gateway.http.base_url.port
        assert port is not None
        async with Watcher(ann, port=port) as watcher, stalled(ann, ledger_id, port):
            await asyncio.sleep(1)
            gateway.process.send_signal(signal.SIGTERM)
            assert await watcher.ended(within_s=2) == ""
            assert ": This gateway stops." in watcher.rest
            assert await asyncio.to_thread(gateway.process.wait, 6) == 0
        lines = gateway.log.read_text()
    assert '"level": "error"' not in lines


async def test_a_viewer_and_a_ledger_that_is_not_open_yet(ann: Person, write: Write) -> None:
    async with Watcher(ann) as watcher:
        assert watcher.last_id == "0"
    rows = LedgerRows(recorded_at=datetime.now(UTC))
    rows.member(ann.user_id, Role.VIEWER)
    await write(rows)
    async with Watcher(ann, ledger_id=rows.ledger_id) as watcher:
        assert watcher.last_id == "1"


async def test_what_is_measured(stack: LocalStack, ann: Person) -> None:
    async with Watcher(ann):
        address = str(ann.http.base_url.copy_with(path="/metrics"))
        metrics = (await asyncio.to_thread(ann.http.get, address)).text
    assert "cash_event_streams 1.0" in metrics
    assert (
        'cash_http_request_seconds_count{method="GET",route="/api/v1/ledgers/{ledger_id:uuid}/events"}' not in metrics
    )
