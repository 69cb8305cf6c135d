"""The bench's footprint: how soon a stack that was used before is ready again, and what it holds when idle."""

import asyncio
import time

from infra.local.stack import LocalStack
from infra.local.status import StackStatus, look
from tests.bench.sizes import Sizes
from tests.bench.table import Row, Table

WARM_START_S = 6.0
IDLE_BYTES = 1_000_000_000
_MEGABYTE = 1_000_000


async def measure_footprint(stack: LocalStack, table: Table, sizes: Sizes) -> StackStatus:
    """Stop the stack, start it again, let it settle; return what it looked like then."""
    await asyncio.to_thread(stack.stop)
    began = time.perf_counter()
    await asyncio.to_thread(stack.start)
    seconds = time.perf_counter() - began
    table.add(
        Row("warm start, all ready", f"{seconds:.1f} s", goal=f"≤ {WARM_START_S:.0f} s", met=seconds <= WARM_START_S)
    )
    await asyncio.sleep(sizes.settle_s)
    seen = look(stack.home)
    total = seen.memory_bytes
    table.add(
        Row(
            f"idle memory of everything, {sizes.settle_s:.0f} s after the start",
            f"{total / _MEGABYTE:,.0f} MB PSS",
            goal="≤ 1,000 MB",
            met=total <= IDLE_BYTES,
        )
    )
    return seen


def memory_table(seen: StackStatus) -> str:
    """Return the memory of each process as a Markdown table."""
    lines = [f"| {each.name:<18} | {(each.memory_bytes or 0) / _MEGABYTE:>6.1f} |" for each in seen.processes]
    return "\n".join([f"| {'process':<18} | {'MB PSS':>6} |", f"|{'-' * 20}|{'-' * 7}:|", *lines])
