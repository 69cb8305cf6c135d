"""The bench's writes over HTTP: accepted, recorded while the sender waits, and one at a time on an idle system."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from itertools import cycle

from tests.bench.http_load import Answers, Side, ask, in_turns, load, request_bytes
from tests.bench.sizes import Sizes
from tests.bench.system import Person, System, free_ports, running
from tests.bench.table import Row, Table

CONNECTIONS = 64
_BODIES = 200


async def measure_writes(system: System, table: Table, sizes: Sizes) -> None:
    """Measure all three against their floors, which run beside the stack meanwhile."""
    route, answer, line = free_ports(3)
    people = [system.a_person() for _ in range(CONNECTIONS)]
    with ExitStack() as beside:
        beside.enter_context(running("tests.bench.bare_route", "litestar", str(route), environment={}, port=route))
        beside.enter_context(running("tests.bench.bare_route", "answer", str(answer), environment={}, port=answer))
        migrator = system.stack.environments.database("ledger", "migrator")
        settings = system.stack.environment("ledger-consumer") | migrator | {"CASH_HTTP_PORT": str(line)}
        settings.pop("CASH_KAFKA_INSTANCE_ID", None)
        beside.enter_context(running("tests.bench.bare_line", "gateway", environment=settings, port=line))
        beside.enter_context(running("tests.bench.bare_line", "consumer", environment=settings))
        await _open_ledgers(system, people)
        await _accepted(system, table, sizes, people, route, answer)
        await _recorded(system, table, sizes, people, line)
        await _idle(system, table, sizes, people[0], line)


async def _open_ledgers(system: System, people: list[Person]) -> None:
    waiting = [_posts(person, {"Prefer": "wait=10"}) for person in people]
    await load(system.gateway_port, waiting, seconds=1.0, status=201)


async def _accepted(system: System, table: Table, sizes: Sizes, people: list[Person], route: int, answer: int) -> None:
    async def ours() -> Answers:
        answers = await load(
            system.gateway_port, [_posts(person) for person in people], seconds=sizes.round_s, status=202
        )
        await system.quiet()
        return answers

    def floor(port: int) -> Side:
        return partial(load, port, [_posts(person) for person in people], seconds=sizes.round_s, status=202)

    await load(route, [_posts(person) for person in people], seconds=0.5, status=202)
    ceiling, bare, measured = await in_turns(sizes.rounds, floor(answer), floor(route), ours)
    ratio = measured.per_second / bare.per_second
    table.add(
        Row(
            f"POST accepted, {CONNECTIONS} connections",
            f"{measured.per_second:,.0f}/s; {measured.spread}",
            f"{bare.per_second:,.0f}/s; {bare.spread} (bare Litestar route)",
            ratio,
            "≥ 50 %",
            ratio >= 0.5,
        )
    )
    table.add(
        Row(
            "the load generator itself, 64 connections",
            f"{ceiling.per_second:,.0f}/s; {ceiling.cpu_s / len(ceiling.latencies_s) * 1e6:.0f} µs of CPU each",
            "(a server that answers without reading)",
        )
    )


async def _recorded(system: System, table: Table, sizes: Sizes, people: list[Person], line: int) -> None:
    def side(port: int) -> Side:
        waiting = [_posts(person, {"Prefer": "wait=10"}) for person in people]
        return partial(load, port, waiting, seconds=sizes.round_s, status=201)

    await load(line, [_posts(person) for person in people], seconds=1.0, status=201)
    bare, measured = await in_turns(sizes.rounds, side(line), side(system.gateway_port))
    ratio = measured.per_second / bare.per_second
    p50, p99 = measured.percentile_ms(50), measured.percentile_ms(99)
    table.add(
        Row(
            f"POST with wait (recorded), {CONNECTIONS} connections",
            f"{measured.per_second:,.0f}/s; {measured.spread}",
            f"{bare.per_second:,.0f}/s; {bare.spread} (the bare line)",
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
            measured.spread,
            f"{bare.spread} (the bare line)",
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
