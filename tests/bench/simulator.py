"""The bench's row of ``cash sim --via kafka``: the highest rate this machine holds, against COPY of the same rows."""

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from infra.local.processes import PROJECT
from infra.local.stack import LocalStack
from tests.bench.backlog import clock, copy_again
from tests.bench.sizes import Sizes
from tests.bench.system import System
from tests.bench.table import Row, Table


async def measure_simulator(system: System, table: Table, sizes: Sizes) -> None:
    """Let the simulator look for the highest rate, as its own process, as people run it."""
    began = await clock(system)
    document = await _simulate(system.stack, sizes.simulator_s)
    await system.quiet()
    copied, seconds = await copy_again(system, await _ledgers(system, began), began)
    floor = copied / seconds
    held, latency = document["highest_rate"]["held_per_s"], document["latency_ms"]
    path = f"cash sim --via kafka, held {sizes.simulator_s:.0f} s, {document['parameters']['ledgers']} ledgers"
    floor_text = f"{floor:,.0f}/s (COPY)"
    if held is None:
        table.add(Row(path, f"none: {document['ended_because']}", floor_text))
        return
    measured = f"{held:,.0f}/s; planned to journal p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms"
    table.add(Row(path, measured, floor_text, held / floor))


async def _simulate(stack: LocalStack, seconds: float) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as config:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "sim", "--via", "kafka", "--json"),
            *("--rate", "max", "--duration", str(seconds)),
            cwd=PROJECT,
            env={**os.environ, "CASH_HOME": str(stack.home.root), "CASH_CONFIG_HOME": config},
            stdout=PIPE,
        )
        out, _ = await process.communicate()
    document: Mapping[str, Any] = json.loads(out)
    verdict = document["verdict"]
    assert verdict["all_accounted_for"], verdict["told"]
    return document


async def _ledgers(system: System, since: Any) -> Sequence[UUID]:
    connection = await system.connect("gateway")
    try:
        rows = await connection.fetch("SELECT DISTINCT ledger_id FROM transactions WHERE recorded_at > $1", since)
    finally:
        await connection.close()
    return [row["ledger_id"] for row in rows]
