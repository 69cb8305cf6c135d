"""The bench's writes over HTTP: accepted, recorded while the sender waits, and one at a time on an idle system."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from itertools import cycle

from infra.deployment.secrets import KAFKA_ADMINISTRATOR
from tests.bench.http_load import Answers, Side, ask, in_turns, load, request_bytes
from tests.bench.sizes import Sizes
from tests.bench.system import Person, System, free_ports, running
from tests.bench.table import Row, Table

CONNECTIONS = 64
_BODIES = 200


async def measure_writes(system: System, table: Table, sizes: Sizes) -> None:
    """Measure all three against their floors, which run beside the stack meanwhile."""
    route, answer, line = free_ports(3)
    pids = {system.gateway_port: system.stack.pid("gateway")}
    people = [system.a_person() for _ in range(CONNECTIONS)]
    with ExitStack() as beside:
        for kind, port in (("litestar", route), ("answer", answer)):
            pids[port] = beside.enter_context(
                running("tests.bench.bare_route", kind, str(port), environment={}, port=port)
            )
        migrator = system.stack.recipes.database("ledger", "migrator")
        # It reads and writes a topic of its own, for which there are no rules.
        kafka = system.stack.recipes.kafka(KAFKA_ADMINISTRATOR)
        settings = system.stack.environment("ledger-consumer") | kafka | migrator | {"CASH_HTTP_PORT": str(line)}
        settings.pop("CASH_KAFKA_INSTANCE_ID", None)
        pids[line] = beside.enter_context(running("tests.bench.bare_line", "gateway", environment=settings, port=line))
        beside.enter_context(running("tests.bench.bare_line", "consumer", environment=settings))
        await _open_ledgers(system, people, sizes)
        await _accepted(system, table, sizes, people, pids, route, answer)
        await _recorded(system, table, sizes, people, pids, line)
        await _idle(system, table, sizes, people[0], line)


async def _open_ledgers(system: System, people: list[Person], sizes: Sizes) -> None:
    """Record the first transactions of everybody; it also warms up all that they pass through."""
    waiting = [_posts(person, {"Prefer": "wait=10"}) for person in people]
    await load(system.gateway_port, waiting, seconds=sizes.warm_s, status=201)


async def _accepted(
    system: System, table: Table, sizes: Sizes, people: list[Person], pids: dict[int, int], route: int, answer: int
) -> None:
    def side(port: int) -> Side:
        posts = [_posts(person) for person in people]
        return partial(load, port, posts, seconds=sizes.round_s, status=202, pid=pids[port])

    async def ours() -> Answers:
        answers = await side(system.gateway_port)()
        # What was accepted is recorded before the next round, and does not slow the floor.
        await system.quiet()
        return answers

    await load(route, [_posts(person) for person in people], seconds=sizes.warm_s, status=202)
    ceiling, bare, measured = await in_turns(sizes.rounds, side(answer), side(route), ours)
    ratio = measured.per_second / bare.per_second
    table.add(
        Row(
            f"POST accepted, {CONNECTIONS} connections",
            measured.text(),
            f"{bare.text()} (bare Litestar route)",
            ratio,
            "≥ 50 %",
            ratio >= 0.5,
        )
    )
    table.add(
        Row(
            "the load generator itself, 64 connections",
            f"{ceiling.per_second:,.0f}/s; {ceiling.own_cpu_s / len(ceiling.latencies_s) * 1e6:.0f} µs CPU each",
            "(a server that answers without reading)",
        )
    )


async def _recorded(
    system: System, table: Table, sizes: Sizes, people: list[Person], pids: dict[int, int], line: int
) -> None:
    def side(port: int) -> Side:
        posts = [_posts(person, {"Prefer": "wait=10"}) for person in people]
        return partial(load, port, posts, seconds=sizes.round_s, status=201, pid=pids[port])

    await load(line, [_posts(person) for person in people], seconds=sizes.warm_s, status=201)
    bare, measured = await in_turns(sizes.rounds, side(line), side(system.gateway_port))
    ratio = measured.per_second / bare.per_second
    p50, p99 = measured.percentile_ms(50), measured.percentile_ms(99)
    table.add(
        Row(
            f"POST with wait (recorded), {CONNECTIONS} connections",
            measured.text(),
            f"{bare.text()} (the bare line)",
            ratio,
            "≥ 70 %, p50 ≤ 25 ms, p99 ≤ 70 ms",
            ratio >= 0.7 and p50 <= 25 and p99 <= 70,
        )
    )
    await system.quiet()


async def _idle(system: System, table: Table, sizes: Sizes, person: Person, line: int) -> None:
    posts = _posts(person, {"Prefer": "wait=10"})
    chance = random.Random(3)
    measured, bare = Answers(), Answers()
    for _ in range(sizes.idle_requests):
        for port, answers in ((line, bare), (system.gateway_port, measured)):
            await asyncio.sleep(chance.uniform(0.25, 0.5))
            answers.latencies_s.append(await ask(port, next(posts), status=201))
    p50 = measured.percentile_ms(50)
    table.add(
        Row(
            f"one idle POST with wait ({sizes.idle_requests} at random gaps)",
            measured.extremes,
            f"{bare.extremes} (the bare line)",
            None,
            "p50 ≤ 12 ms",
            p50 <= 12,
        )
    )


def _posts(person: Person, headers: dict[str, str] | None = None) -> Iterator[bytes]:
    """Return requests to record an expense each, the amounts, categories and days spread as a household's are."""
    chance = random.Random(person.user_id.int)
    return cycle(
        [
            request_bytes(
                "POST",
                "/api/v1/transactions",
                {**person.bearer, **(headers or {})},
                {
                    "amount": f"{chance.randrange(1, 50_000) / 100:.2f}",
                    "category": f"Category {chance.randrange(24)}",
                    "description": f"Receipt {number} of the bench",
                    "date": str(date(2024, 1, 1) + timedelta(days=chance.randrange(730))),
                },
            )
            for number in range(_BODIES)
        ]
    )
