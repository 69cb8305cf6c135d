"""The table of ``cash status``, and its reason when not all is ready."""

from collections.abc import Mapping

from rich.text import Text

from cli.terminal.output import say, show_table
from infra.local.state import Condition
from infra.local.status import StackStatus

_COLOURS: Mapping[str, str] = {
    Condition.READY: "green",
    Condition.FAILING: "bold red",
    Condition.NOT_READY: "yellow",
    Condition.RESTARTING: "yellow",
}


def show_status(seen: StackStatus) -> None:
    """Print every process in a line, and below what is wrong with some; a narrow terminal gets fewer columns."""
    cells: list[list[object]] = [
        [
            process.name,
            Text(process.state, style=_COLOURS.get(process.state, "")),
            process.pid,
            _duration(process.uptime_s),
            _megabytes(process.memory_bytes),
            process.restarts,
            process.port,
        ]
        for process in seen.processes
    ]
    cells.append([Text("all", style="bold"), None, None, None, _megabytes(seen.memory_bytes), None, None])
    show_table(
        ["process", "state", "pid", "uptime", "memory", "restarts", "port"],
        cells,
        right=["pid", "uptime", "memory", "restarts", "port"],
        whole=["process", "state"],
        spare=["restarts", "uptime", "pid", "port", "memory"],
    )
    for process in seen.processes:
        if process.why:
            say(f"{process.name}: {process.why}")


def why_not_ready(seen: StackStatus) -> str:
    """Return why not all is ready, and what to do or to look at."""
    if seen.being_prepared:
        return "the stack is being prepared, and its first start fetches the servers; ask again in a moment"
    if not seen.running:
        return "the stack is not running; start it with `cash up`"
    if seen.failure:
        return f"{seen.failure}; see `cash logs {seen.failure.split()[0]}`"
    if seen.preparing:
        return f"still preparing: {', '.join(seen.preparing)}; see `cash logs {seen.preparing[0]}`"
    waiting = [process.name for process in seen.processes if process.state != Condition.READY]
    return f"not ready: {', '.join(waiting)}; see `cash logs {waiting[0]}`"


def _duration(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


def _megabytes(count: int | None) -> str | None:
    return None if count is None else f"{count / 1_000_000:.0f} MB"
