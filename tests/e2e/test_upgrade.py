"""From one version to the next, and back, and on, while the system is used: ``make chaos``.

The next version is this one with a field more (`tests/upgrade/next_version.py`). Old and new processes run side by side
on one set of servers, in the order `docs/upgrading.md` gives.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from infra.local.plan import Choices
from infra.local.postgres import remove_postgres
from infra.local.stack import LocalStack
from tests.builders.gateway import Person, a_person
from tests.builders.proxy import LOOKED_EVERY_S, Proxy, a_proxy, record_and_read
from tests.chaos.line import Line, open_line
from tests.chaos.load import BulkRoad, InteractiveRoad, Load, Road
from tests.chaos.truth import assert_all_is_true
from tests.upgrade.next_version import BEFORE, CONTRACTED, EXPANDED, Version, next_version
from tests.upgrade.processes import THIS_VERSION, Another, Beside, beside, run_step

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

DRAIN_S = "5"
#: Each stage of the upgrade is used for so long.
STAGE_S = 3.0
CONSUMERS = ("identity-consumer", "ledger-consumer", "relay", "celery-worker")


@pytest.fixture(scope="module")
def old() -> Iterator[LocalStack]:
    """A stack of its own: its tables will be those of another version."""
    folder = Path(tempfile.mkdtemp(prefix="cash-flow-upgrade-"))
    limits = {"CASH_LIMITS_PER_NETWORK": "1000000", "CASH_LIMITS_PER_SUBJECT": "1000000"}
    stack = LocalStack(folder, Choices(any_ports=True, settings={**limits, "CASH_GATEWAY_DRAIN_S": DRAIN_S}))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        remove_postgres(stack.home)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Rolling:
    """A deployment on its way: this version's processes are the stack's, the next one's stand beside them."""

    line: Line
    others: Beside
    proxy: Proxy
    load: Load
    ann: Person
    new: list[Another] = field(default_factory=list)

    async def start_new(self, version: Version, *names: str) -> None:
        """Start processes of the next version beside those that run."""
        started = [self.others.start(version, name) for name in names]
        for another in started:
            await another.ready()
            if another.name == "gateway":
                self.proxy.stand_before(another.port)
        self.new += started
        await asyncio.sleep(2 * LOOKED_EVERY_S)

    async def stop_new(self, *names: str) -> None:
        """Stop those of the next version."""
        for another in [another for another in self.new if another.name in names]:
            await asyncio.to_thread(another.leave)
            self.new.remove(another)

    async def hold_old(self, *names: str) -> None:
        """Stop those of this version."""
        for name in names:
            await asyncio.to_thread(self.line.stack.hold, name)

    async def release_old(self, *names: str) -> None:
        """Start those of this version again."""
        for name in names:
            await asyncio.to_thread(self.line.stack.release, name)
        await asyncio.sleep(2 * LOOKED_EVERY_S)

    async def record(self, key: str = "", by: httpx.AsyncClient | None = None, **fields: str) -> httpx.Response:
        """Record by one of the gateways that are ready, or that one, and wait for the decision."""
        headers = {**self._who, "Prefer": "wait=20", "Idempotency-Key": key or str(uuid4())}
        body = {"amount": "2", "category": "Travel", **fields}
        answer = await self.proxy.ask("POST", "/transactions", by=by, json=body, headers=headers)
        assert answer is not None, self.proxy.failed
        return answer

    async def place_of(self, answer: httpx.Response) -> str | None:
        """Return what stands in the next version's column."""
        async with self.line.ledger.connection("read a place") as connection:
            place: str | None = await connection.fetchval(
                "SELECT place FROM transactions WHERE ledger_id = $1 AND id = $2",
                self.ann.ledger_id,
                answer.json()["id"],
            )
            return place

    async def recorded(self) -> int:
        """Return how many transactions Ann has."""
        async with self.line.ledger.connection("count transactions") as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM transactions WHERE ledger_id = $1", self.ann.ledger_id
            )
            return count

    @property
    def _who(self) -> dict[str, str]:
        return {"Authorization": self.ann.http.headers["Authorization"]}


@asynccontextmanager
async def in_use(stack: LocalStack) -> AsyncIterator[Rolling]:
    """Have the system used on every road within the block; afterwards all that was accepted is recorded, and once."""
    with a_person(stack) as ann, beside(stack, CASH_GATEWAY_DRAIN_S=DRAIN_S) as others:
        async with open_line(stack) as line, a_proxy(stack.ports["gateway"]) as proxy:
            importing = BulkRoad(line.importer, stack.environment("gateway"))
            roads: list[Road] = [InteractiveRoad(line.producer), importing]
            who, done = ann.http.headers["Authorization"], asyncio.Event()
            async with Load(roads, per_second=40) as load:
                asking = [asyncio.create_task(record_and_read(proxy, who, done, pause_s=0.3)) for _ in range(4)]
                rolling = Rolling(line, others, proxy, load, ann)
                try:
                    yield rolling
                finally:
                    done.set()
                    await asyncio.gather(*asking)
            await assert_all_is_true(line, load)
            assert await rolling.recorded() == proxy.accepted


async def test_an_upgrade_a_rollback_and_the_next_step_are_seen_by_nobody(
    old: LocalStack, tmp_path: Path, say: Callable[[str], None]
) -> None:
    new, newest = next_version(tmp_path / "next"), next_version(tmp_path / "newest", contracted=True)
    async with in_use(old) as rolling:

        async def stage(what: str) -> None:
            await asyncio.sleep(STAGE_S)
            assert rolling.proxy.failed == [], what
            say(f"{what}: {rolling.proxy.accepted} requests, {len(rolling.load.accepted)} messages so far, none failed")

        await stage(f"this version at {BEFORE}")
        assert f"ledger: at revision {EXPANDED}" in run_step(old, new, "migrate", "infra.postgres.migrate")
        await stage(f"this version with the tables of the next ({EXPANDED})")

        await rolling.start_new(new, *CONSUMERS)
        await stage("consumers of both versions")
        await rolling.start_new(new, "gateway")
        await stage("gateways of both versions")
        key = str(uuid4())
        answers = [await rolling.record(key, external_id="the same") for _ in range(8)]
        assert len({answer.json()["id"] for answer in answers}) == 1, "one version hashes a request as the other does"
        rolling.proxy.accepted -= 7

        await rolling.hold_old(*CONSUMERS, "gateway")
        await stage("the next version alone")
        assert await rolling.place_of(await rolling.record(place="Trieste")) == "Trieste"

        await rolling.release_old("gateway", *CONSUMERS)
        await rolling.stop_new(*CONSUMERS)
        # The wrong order, to see that nothing breaks: what this version's consumer does not know it leaves alone.
        unheard = await rolling.record(place="Trieste", by=rolling.proxy.gateways[-1])
        assert await rolling.place_of(unheard) is None
        await rolling.stop_new("gateway")
        said = run_step(old, THIS_VERSION, "migrate", "infra.postgres.migrate")
        assert f"at revision {EXPANDED}, later than this version knows ({BEFORE}); nothing to do" in said
        await stage("back at this version")

        await rolling.start_new(new, *CONSUMERS)
        await rolling.start_new(new, "gateway")
        await rolling.hold_old(*CONSUMERS, "gateway")
        assert f"ledger: at revision {CONTRACTED}" in run_step(old, newest, "migrate", "infra.postgres.migrate")
        assert await rolling.place_of(await rolling.record()) == ""
        await stage(f"the next version, nobody needs what was before ({CONTRACTED})")
