"""The bench: ``python -m tests.bench`` measures each path against its floor in the same run and prints a table."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvloop

from infra.local.plan import Choices
from infra.local.postgres import remove_postgres
from infra.local.stack import LocalStack
from infra.machine import load_average
from infra.postgres.engine import Database
from infra.settings import LedgerDatabaseSettings
from tests.bench import ledger_batches, sign_ins
from tests.bench.backlog import measure_backlogs
from tests.bench.footprint import measure_footprint, memory_table
from tests.bench.machine import describe
from tests.bench.questions import BALANCES, LISTS, REGISTERS, TOTALS
from tests.bench.reads import measure_questions
from tests.bench.sign_ins import measure_sign_ins
from tests.bench.simulator import measure_simulator
from tests.bench.sizes import QUICK, Sizes
from tests.bench.system import System
from tests.bench.table import Row, Table
from tests.bench.writes import measure_writes
from tests.builders.settings import settings_from


async def measure_batches(system: System, table: Table, sizes: Sizes) -> None:
    """Measure whole batches in this process, without Kafka: which part of a backlog's time is theirs."""
    settings = settings_from(system.stack.environment("ledger-consumer"), LedgerDatabaseSettings)
    database = Database(settings, application="bench")
    await database.start()
    try:
        for path, ledgers in (("one ledger", 1), (f"{sizes.ledgers:,} ledgers", sizes.ledgers)):
            measured = await ledger_batches.measure(database, path, ledgers=ledgers, transactions=sizes.batches)
            floor = measured.transactions / measured.copy_s
            for part, seconds in (("lock, load, decide, save", measured.books_s), ("whole batch", measured.whole_s)):
                rate = measured.transactions / seconds
                table.add(
                    Row(
                        f"batches without Kafka, {path}: {part}",
                        f"{rate:,.0f}/s",
                        f"{floor:,.0f}/s (COPY)",
                        rate / floor,
                    )
                )
    finally:
        await database.stop()
    await system.quiet()


MEASURES: dict[str, Callable[[System, Table, Sizes], Awaitable[None]]] = {
    "writes": measure_writes,
    "backlog": measure_backlogs,
    "batches": measure_batches,
    "simulator": measure_simulator,
    **{kind: partial(measure_questions, kind=kind) for kind in (LISTS, REGISTERS, BALANCES, TOTALS)},
    "sign-ins": measure_sign_ins,
}


async def run(stack: LocalStack, chosen: list[str], sizes: Sizes) -> None:
    """Measure on a stack that is not running yet, and print."""
    began = time.monotonic()
    busy = load_average()
    table = Table()
    await asyncio.to_thread(stack.start)
    memory = await measure_footprint(stack, table, sizes) if "footprint" in chosen else None
    system = System(stack)
    machine = await describe(system)
    await system.prepare_scratch()
    for name, measure in MEASURES.items():
        if name in chosen:
            await measure(system, table, sizes)
    print(f"{table.text()}\n")
    if reads := table.reads_text():
        print(f"{reads}\n")
    if memory:
        print(f"{memory_table(memory)}\n")
    took_s = time.monotonic() - began
    print(
        f"{machine}\n- load generator and floors on the same cores; load average before: {busy}; {took_s:.0f} s in all"
    )


def main() -> int:
    """Run the bench in a folder of its own, which is deleted afterwards."""
    names = ["footprint", *MEASURES]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="show only that everything works, in a minute or so")
    parser.add_argument("--only", default=",".join(names), help=f"comma-separated: {', '.join(names)}")
    parser.add_argument("--backlog", type=int, help="rows of the one-ledger backlog (1000000: also judges the memory)")
    parser.add_argument("--rows", type=int, help="transactions of the larger ledger")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else Sizes()
    if arguments.backlog:
        # In one piece, so that it lasts.
        sizes = replace(sizes, backlog_one=arguments.backlog, backlog_rounds=1)
    if arguments.rows:
        sizes = replace(sizes, list_large=arguments.rows)
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - {*names}:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(names)}")
    # Not below a folder of this user's alone: PostgreSQL runs as another one when root runs the bench.
    folder = Path(tempfile.mkdtemp(prefix="cash-flow-bench-"))
    stack = LocalStack(folder, Choices(any_ports=True, settings=sign_ins.SETTINGS), partial(print, file=sys.stderr))
    try:
        uvloop.run(run(stack, chosen, sizes))
    finally:
        stack.stop()
        remove_postgres(stack.home)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
