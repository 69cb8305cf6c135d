"""The relay: sends what the outboxes hold to Kafka, in order, at least once: ``python -m consumers.relay``.

It reads unsent rows, never a cursor: a cursor would pass over a row that got its id early and was committed late. One
relay is active per database, by an advisory lock on a connection of its own; a deposed one can only repeat what was
sent, and readers drop repeats.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

import asyncpg
from prometheus_client import Counter, Gauge

from consumers.process import Process, run
from consumers.repositories.outbox import read_messages
from infra.errors import Unavailable
from infra.kafka.producer import Producer, Record
from infra.postgres.engine import Connection, Database, unavailable
from infra.settings import KafkaSettings, LedgerDatabaseSettings, UsersDatabaseSettings, read
from infra.telemetry.logs import get_logger
from infra.telemetry.spans import LINKS_MAX, SpanKind, find_recorder, sending

log = get_logger(__name__)

ROWS_MAX = 20
"""Rows sent between two marks; each holds up to a thousand messages."""
SWEEP_S = 1.0
"""How long a lost notification can delay a row."""
ANSWER_TIMEOUT_S = 10.0
"""How long a statement may take before the database counts as down."""
WAIT_FIRST_S = 0.1
WAIT_MAX_S = 5.0
_LOCK_KEY = 0x6361_7368_7265_6C61
"""``cashrela``: the advisory lock of the active relay in each database."""

RELAYED = Counter("cash_relayed_messages_total", "Messages sent from the outbox to Kafka.", ["database"])
OUTBOX_AGE = Gauge("cash_outbox_age_seconds", "Age of the oldest unsent outbox row; 0 when all are sent.", ["database"])
LOOKS_OLD_AFTER_S = 5.0
"""So long a look at the outbox tells of now. One who hangs or cannot look tells the time since then as an age."""
ACTIVE = Gauge("cash_relay_active", "1 while this relay is the one that sends.", ["database"])


class Relay:
    """Relays one database's outbox."""

    def __init__(self, database: Database, producer: Producer) -> None:
        """Relay from this database with this producer."""
        self._database = database
        self._producer = producer
        self._arrived = asyncio.Event()
        #: The age of the oldest unsent row as it was last seen, and when that was; ``None`` while another is active.
        self._seen: tuple[float, float] | None = None
        ACTIVE.labels(database.name).set(0)
        OUTBOX_AGE.labels(database.name).set_function(self.outbox_age_s)
        self.problem: str | None = "not connected yet"

    def outbox_age_s(self) -> float:
        """Return the age of the oldest unsent row now; 0 when all are sent, and while another relay is active."""
        if self._seen is None:
            return 0.0
        age_s, at = self._seen
        since_s = time.monotonic() - at
        return age_s + since_s if age_s or since_s > LOOKS_OLD_AFTER_S else 0.0

    async def run(self) -> None:
        """Relay until cancelled; whatever goes down, wait and begin again at the first unsent row."""
        wait_s = WAIT_FIRST_S
        while True:
            try:
                await self._relay()
            except Unavailable as error:
                if self.problem is None:
                    wait_s = WAIT_FIRST_S  # it worked meanwhile: this is another outage
                self.problem = f"{self._database.name}: {error.in_full()}"
                log.warning("relay waits", database=self._database.name, cause=repr(error.__cause__), wait_s=wait_s)
            ACTIVE.labels(self._database.name).set(0)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, WAIT_MAX_S)

    async def _relay(self) -> None:
        connection = await self._database.connect()
        try:
            async with unavailable("relay the outbox"):
                await connection.add_listener("outbox", lambda *_: self._arrived.set())
                while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
                    self._seen = None
                    self.problem = None  # a standby is ready: it takes over within a second of the other's end
                    await asyncio.sleep(SWEEP_S)
                ACTIVE.labels(self._database.name).set(1)
                while True:
                    self._arrived.clear()
                    while await self._send_next(connection):
                        pass
                    self.problem = None
                    self._seen = 0.0, time.monotonic()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._arrived.wait(), SWEEP_S)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.close(), 2)
            connection.terminate()

    async def _send_next(self, connection: Connection) -> bool:
        """Send the oldest unsent rows and mark them; return whether there were any.

        All rows are sent before any is marked, and a failed send marks none: what Kafka took is then sent again, so a
        reader sees repeats, never a gap.
        """
        rows = await connection.fetch(
            "SELECT id, topic, messages, extract(epoch FROM clock_timestamp() - created_at)::float AS age "
            "FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT $1",
            ROWS_MAX,
        )
        if not rows:
            return False
        self._seen = rows[0]["age"], time.monotonic()
        for row in rows:
            records = _records(row)
            with _spans(row["topic"], records):
                await self._producer.send_all(records)
            RELAYED.labels(self._database.name).inc(len(records))
        await connection.execute(
            "UPDATE outbox SET sent_at = clock_timestamp() WHERE id = ANY($1::bigint[])", [row["id"] for row in rows]
        )
        return True


def _records(row: "asyncpg.Record") -> Sequence[Record]:
    return [Record(row["topic"], key, value, headers) for key, headers, value in read_messages(row["messages"])]


@contextlib.contextmanager
def _spans(topic: str, records: Sequence[Record]) -> Iterator[None]:
    """Record the sending of an outbox row: in the traces of its first hundred causes, and in one that links to them."""
    recorder = find_recorder()
    if recorder is None:
        yield
        return
    causes = list(dict.fromkeys(_traceparent(record) for record in records))
    attributes = sending(topic)
    with contextlib.ExitStack() as spans:
        for cause in causes[:LINKS_MAX]:
            if cause is not None:
                spans.enter_context(recorder.begin(f"relay {topic}", SpanKind.PRODUCER, attributes, parent=cause))
        if len(causes) > 1:
            of_all = attributes | {"messaging.batch.message_count": len(records)}
            spans.enter_context(
                recorder.begin(f"relay batch {topic}", SpanKind.PRODUCER, of_all, links=causes, is_root=True)
            )
        yield


def _traceparent(record: Record) -> str | None:
    return next((value.decode() for name, value in record.headers if name == "traceparent" and value), None)


async def main(process: Process) -> None:
    """Relay both outboxes until the process stops."""
    producer = Producer(read(KafkaSettings), client_id="relay")
    databases = [
        Database(read(UsersDatabaseSettings), application="relay", answer_timeout_s=ANSWER_TIMEOUT_S),
        Database(read(LedgerDatabaseSettings), application="relay", answer_timeout_s=ANSWER_TIMEOUT_S),
    ]
    relays = [Relay(database, producer) for database in databases]

    async def check() -> list[str]:
        problems = [relay.problem for relay in relays if relay.problem]
        # Asked, not concluded from sending: with Kafka away nothing is decided, so there may be nothing to send.
        try:
            await producer.ping()
        except Unavailable as error:
            problems.append(f"Kafka does not answer ({error.__cause__!r})")
        return problems

    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    tasks.append(asyncio.create_task(process.readiness.watch(check)))
    stopping = asyncio.create_task(process.stopping.wait())
    done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {stopping}:
        process.end(f"relay stopped by itself: {task.exception()!r}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await producer.stop()


if __name__ == "__main__":
    run("relay", main)
