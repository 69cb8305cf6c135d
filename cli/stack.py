"""Commands of the operator: run the local stack, look at it, take it down."""

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli.log_lines import Renderer
from cli.output import ExitCode, fail, note, say, show_json, show_table
from infra.local.home import Home
from infra.local.logs import follow, last_lines, sizes
from infra.local.orphans import end_orphans, find_orphans
from infra.local.ports import LOOPBACK
from infra.local.postgres import remove_postgres
from infra.local.stack import EVERYTHING, Choices, LocalStack, Prepared, prepare, supervise
from infra.local.state import Condition, Lock, is_running
from infra.local.status import StackStatus, look

STEPS = ("bootstrap", "migrate", "topics")
_COLOURS: Mapping[str, str] = {
    Condition.READY: "green",
    Condition.FAILING: "bold red",
    Condition.NOT_READY: "yellow",
    Condition.RESTARTING: "yellow",
}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    for command in (up, status, logs, down, reset, doctor):
        app.command(rich_help_panel="Run the system on this machine")(command)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is ready; `cash down` stops it.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(help="Start these processes only, comma-separated.", metavar="NAMES")
    ] = None,
) -> None:
    """Start every server and process and show one log; Ctrl-C stops it all."""
    home = Home.default()
    stack = LocalStack(home, Choices(processes=_chosen(only)), say=_progress)
    started = time.monotonic()
    home.create()
    if is_running(home):
        note("It is running already.")
        stack.wait_ready(give_up=True)
    elif detach:
        stack.start()
    else:
        _up_here(home, Choices(processes=_chosen(only)))
        return
    _say_where(stack, time.monotonic() - started)


def status(json: Json = False) -> None:
    """Show every process; the exit code is 0 only when all are ready."""
    seen = look(Home.default())
    if json:
        show_json(asdict(seen))
    elif seen.processes:
        _show_status(seen)
    if not seen.ready:
        fail(_why_not(seen), ExitCode.NOT_READY)


def logs(
    process: Annotated[str | None, typer.Argument(help="One process; all of them when left out.")] = None,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each to begin with.")] = 20,
) -> None:
    """Show what the processes logged."""
    home = Home.default()
    known = sorted(file.name.removesuffix(".log") for file in home.logs.glob("*.log"))
    if process is not None and process not in known:
        fail(f"there is no log of {process!r}; there are: {', '.join(known) or 'none yet'}", ExitCode.NOT_FOUND)
    chosen = [process] if process else known
    renderer = Renderer(chosen)
    offsets = sizes(home, chosen)
    for name in chosen:
        for line in last_lines(home.log(name), lines):
            renderer.show(name, line)
    if follow_on:
        # Ctrl-C is how this ends, not how it fails.
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_follow(home, chosen, offsets, renderer))


def down() -> None:
    """Stop everything; data stays."""
    home = Home.default()
    if not is_running(home) and not (home.run.is_dir() and find_orphans(home)):
        say("Nothing was running.")
        return
    LocalStack(home).stop()
    say("Everything is stopped; the data stays. Start again with `cash up`.")


def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop everything and delete its data: databases, topics, mails, logs, secrets. Downloads stay."""
    home = Home.default()
    if not home.root.exists():
        say("There is nothing to delete.")
        return
    if not yes and not typer.confirm(f"Delete all transactions, users, mails and secrets in {home.root}?"):
        fail("nothing was deleted")
    stack = LocalStack(home)
    if is_running(home):
        stack.stop()
    home.create()
    lock = Lock.take(home)
    if lock is None:
        fail("somebody started the stack in between; nothing was deleted, try again")
    end_orphans(home)
    _delete(home)
    lock.release()
    say(f"All data in {home.root} is deleted. Start anew with `cash up`.")


def doctor(json: Json = False) -> None:
    """Check this machine and the stack, and say how to repair what is wrong."""
    # Imported here: it brings the servers' client libraries, which no other command needs.
    from infra.local.doctor import examine

    findings = examine(Home.default())
    if json:
        show_json([{"check": one.check, "ok": one.ok, "finding": one.finding, "fix": one.fix} for one in findings])
    else:
        marks = {True: Text("ok", style="green"), False: Text("wrong", style="bold red")}
        rows = [[marks[one.ok], one.check, one.finding, None if one.ok else one.fix] for one in findings]
        show_table(["", "check", "finding", "what to do"], rows)
    if wrong := [one for one in findings if not one.ok]:
        fail(f"{len(wrong)} of {len(findings)} checks found something; the last column says what to do")


def _up_here(home: Home, choices: Choices) -> None:
    lock = Lock.take(home)
    if lock is None:
        fail("somebody else is starting the stack; look at it with `cash status`", ExitCode.NOT_READY)
    began = time.monotonic()
    prepared = prepare(home, choices, _progress)
    _progress("starting; Ctrl-C stops everything")
    try:
        asyncio.run(_run_here(prepared, began))
    finally:
        lock.release()


async def _run_here(prepared: Prepared, began: float) -> None:
    names = [*STEPS, *prepared.choices.processes]
    renderer = Renderer(["stack", *names])
    offsets = sizes(prepared.home, names)

    def tell(sentence: str) -> None:
        with contextlib.suppress(OSError):
            renderer.show("stack", sentence)

    supervisor = supervise(prepared, tell)
    stopping = False

    def stop() -> None:
        nonlocal stopping
        supervisor.stop()
        again, stopping = stopping, True
        # Where the terminal was closed, nobody reads this.
        with contextlib.suppress(OSError):
            note("Killing what is left." if again else "\nStopping; Ctrl-C again kills what is left.")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    following = asyncio.create_task(_follow(prepared.home, names, offsets, renderer))
    running = asyncio.create_task(supervisor.run())
    ready = asyncio.create_task(supervisor.ready.wait())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    if ready.done() and not running.done():
        # What was logged until now comes first, so that these lines are the last of the start.
        await asyncio.sleep(0.4)
        _say_where(LocalStack(prepared.home), time.monotonic() - began)
    await running
    ready.cancel()
    following.cancel()
    with contextlib.suppress(OSError):
        say("Everything is stopped; the data stays.")


async def _follow(home: Home, names: list[str], offsets: dict[str, int], renderer: Renderer) -> None:
    async for name, line in follow(home, names, from_now=offsets):
        renderer.show(name, line)


def _say_where(stack: LocalStack, took_s: float) -> None:
    ports, processes = stack.ports, (state.processes if (state := stack.state()) else {})
    say(f"\nAll {len(processes)} processes are ready ({took_s:.1f} s).")
    if "gateway" in processes:
        say(f"  API      http://{LOOPBACK}:{ports['gateway']}/api/v1")
        say(f"  Its docs http://{LOOPBACK}:{ports['gateway']}/docs")
    if "mailbox" in processes:
        say(f"  Mailbox  http://{LOOPBACK}:{ports['mailbox']}/")
    if "gateway" in processes:
        say(f"Try next:  {_own_command()} demo")


def _own_command() -> str:
    """Return how this person types ``cash``: by name where the shell finds it, else by path."""
    own = Path(sys.argv[0])
    if shutil.which("cash"):
        return "cash"
    return str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else str(own)


def _show_status(seen: StackStatus) -> None:
    cells: list[list[object]] = [
        [
            process.name,
            Text(process.state, style=_COLOURS.get(process.state, "")),
            process.pid,
            _duration(process.uptime_s),
            _megabytes(process.memory_bytes),
            process.restarts,
            process.port,
            process.why,
        ]
        for process in seen.processes
    ]
    cells.append([Text("all", style="bold"), None, None, None, _megabytes(seen.memory_bytes), None, None, None])
    columns = ["process", "state", "pid", "uptime", "memory", "restarts", "port", ""]
    show_table(columns, cells, right=["pid", "uptime", "memory", "restarts", "port"])


def _why_not(seen: StackStatus) -> str:
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


def _chosen(only: str | None) -> tuple[str, ...]:
    if only is None:
        return EVERYTHING
    names = tuple(name.strip() for name in only.split(","))
    if unknown := [name for name in names if name not in EVERYTHING]:
        fail(f"there is no process {unknown[0]!r}; there are: {', '.join(EVERYTHING)}", ExitCode.USAGE)
    return names


def _delete(home: Home) -> None:
    """Delete what the stack made and nothing else: the folder may hold files of somebody who chose it badly."""
    remove_postgres(home)
    for folder in (home.kafka, home.redis, home.mail, home.logs, home.run):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (home.secrets, home.ports):
        file.unlink(missing_ok=True)
    if not any(home.root.iterdir()):
        home.root.rmdir()


def _progress(sentence: str) -> None:
    note(f"[{time.strftime('%H:%M:%S')}] {sentence}")
