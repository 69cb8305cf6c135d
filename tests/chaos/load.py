"""Load: transactions submitted at a steady, bounded rate, each again with its own key until it was accepted."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID, uuid4

import httpx

from contracts import topics
from contracts.envelope import operation_id
from contracts.ledgers import personal_ledger_id
from contracts.transactions import TransactionSubmitted
from gateway.settings import GatewaySettings
from gateway.tokens import Tokens
from infra.errors import Unavailable
from infra.kafka.producer import Producer
from tests.builders.gateway import a_bulk_grant
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission
from tests.chaos.line import Line

PAUSE_S = 0.1
"""Before what was not accepted is sent again."""
ACCEPTED_WITHIN_S = 90.0
WAITING_MAX = 4
SENT_AGAIN = 0.05
"""Share of what was accepted that is sent once more, as by a client that did not hear the answer."""
CATEGORIES = ("Groceries", "Rent", "Books", "Travel")


@dataclass(slots=True)
class Sent:
    """One transaction of the load."""

    user_id: UUID
    key: str
    message: TransactionSubmitted
    amount_minor: int
    sent_at: datetime
    road: str
    accepted: bool = False

    @property
    def operation_id(self) -> UUID:
        return operation_id(self.message, self.user_id, self.key)


class Road(Protocol):
    """A way into the system."""

    name: str
    users: Sequence[UUID]

    async def submit(self, sent: Sequence[Sent]) -> None:
        """Submit, and return when all are accepted.

        Raises:
            Unavailable: unknown for all of them; each may be submitted again with its key.
        """


class InteractiveRoad:
    """``ledger.submissions``, as the gateway writes it."""

    name = "ledger.submissions"

    def __init__(self, producer: Producer, people: int = 20) -> None:
        self._producer = producer
        self._reply_to = uuid4()
        self.users: Sequence[UUID] = [uuid4() for _ in range(people)]

    async def submit(self, sent: Sequence[Sent]) -> None:
        await self._producer.send_all(
            [a_record(one.message, one.user_id, key=one.key, reply_to=self._reply_to) for one in sent]
        )


class BulkRoad:
    """``ledger.bulk``, as an importer writes it: with a grant for each ledger."""

    name = "ledger.bulk"

    def __init__(self, producer: Producer, gateway: Mapping[str, str], people: int = 5) -> None:
        self._producer = producer
        self.users: Sequence[UUID] = [uuid4() for _ in range(people)]
        self._grants = {user_id: a_bulk_grant(gateway, user_id) for user_id in self.users}

    async def submit(self, sent: Sequence[Sent]) -> None:
        await self._producer.send_all(
            [
                a_record(
                    one.message, one.user_id, key=one.key, topic=topics.LEDGER_BULK, grant=self._grants[one.user_id]
                )
                for one in sent
            ]
        )


class HttpRoad:
    """``POST /transactions``, as people's programs ask; 2xx accepts, whatever says "later" is unknown."""

    name = "HTTP"

    def __init__(self, http: httpx.AsyncClient, gateway: Mapping[str, str], people: int = 5) -> None:
        self._http = http
        self._url = f"{gateway['CASH_PUBLIC_URL']}/api/v1/transactions"
        self.users: Sequence[UUID] = [uuid4() for _ in range(people)]
        tokens = Tokens(settings_from(gateway, GatewaySettings))
        self._tokens = {
            user_id: tokens.access_token(
                user_id=user_id, session_id=uuid4(), username="ann", currency="EUR", zone="Europe/Berlin"
            )
            for user_id in self.users
        }

    async def submit(self, sent: Sequence[Sent]) -> None:
        # All are heard to their end before one of them is asked again.
        for answer in await asyncio.gather(*(self._post(one) for one in sent), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _post(self, one: Sent) -> None:
        headers = {"Authorization": f"Bearer {self._tokens[one.user_id]}", "Idempotency-Key": one.key}
        if one.amount_minor % 4 == 0:
            headers["Prefer"] = "wait=2"
        body = {"amount": one.message.amount, "category": one.message.category}
        try:
            answer = await self._http.post(self._url, json=body, headers=headers, timeout=10)
        except httpx.TransportError as error:
            raise Unavailable("post a transaction") from error
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise Unavailable("post a transaction")
        assert answer.status_code in (200, 201, 202), f"{answer.status_code}: {answer.text}"


def all_roads(line: Line) -> list[Road]:
    """Return a way in of each kind, with people of their own."""
    gateway = line.stack.environment("gateway")
    return [InteractiveRoad(line.producer), BulkRoad(line.importer, gateway), HttpRoad(line.http, gateway)]


class Load:
    """Submits on several roads for as long as its block lasts; afterwards every transaction it began is accepted."""

    def __init__(
        self, roads: Sequence[Road], *, per_second: float = 120, at_once: int = 5, seed: int | None = None
    ) -> None:
        self._roads = roads
        self._period_s = at_once * len(roads) / per_second
        self._at_once = at_once
        self._random = random.Random(seed)
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.sent: list[Sent] = []
        self.unknown = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._run(road)) for road in self._roads]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if kind is None and isinstance(result, BaseException):
                raise result

    @property
    def roads(self) -> list[str]:
        return [road.name for road in self._roads]

    @property
    def accepted(self) -> list[Sent]:
        return [one for one in self.sent if one.accepted]

    @property
    def users(self) -> list[UUID]:
        return [user_id for road in self._roads for user_id in road.users]

    @property
    def ledgers(self) -> list[UUID]:
        return [personal_ledger_id(user_id) for user_id in self.users]

    async def until_accepted(self, count: int, within_s: float = ACCEPTED_WITHIN_S) -> None:
        """Wait until so many more were accepted."""
        enough = len(self.accepted) + count
        async with asyncio.timeout(within_s):
            while len(self.accepted) < enough:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.02)

    async def _run(self, road: Road) -> None:
        # A road that is blocked is not piled upon: as many groups wait as that many people would.
        waiting = asyncio.Semaphore(WAITING_MAX)
        async with asyncio.TaskGroup() as tasks:
            while not self._stopping.is_set():
                await waiting.acquire()
                accepting = tasks.create_task(self._accept(road, list(self._next(road))))
                accepting.add_done_callback(lambda _: waiting.release())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._period_s)

    def _next(self, road: Road) -> Iterator[Sent]:
        for _ in range(self._at_once):
            user_id = self._random.choice(road.users)
            amount_minor = self._random.randint(1, 99_999)
            message = a_submission(
                user_id,
                amount=f"{amount_minor // 100}.{amount_minor % 100:02}",
                category=self._random.choice(CATEGORIES),
            )
            one = Sent(user_id, str(uuid4()), message, amount_minor, datetime.now(UTC), road.name)
            self.sent.append(one)
            yield one

    async def _accept(self, road: Road, group: list[Sent]) -> None:
        deadline = time.monotonic() + ACCEPTED_WITHIN_S
        while True:
            try:
                await road.submit(group)
            except Unavailable:
                self.unknown += len(group)
                assert time.monotonic() < deadline, f"{road.name} accepted nothing for {ACCEPTED_WITHIN_S:.0f} s"
                await asyncio.sleep(PAUSE_S)
                continue
            for one in group:
                one.accepted = True
            if self._random.random() >= SENT_AGAIN:
                return
