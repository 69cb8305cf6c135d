"""Commands of the operator: run the local stack, look at it, take it down."""

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from cli.operating.log_lines import Renderer
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json, show_table
from cli.terminal.prompts import confirm
from infra.local.home import Home

# The rest is imported by the command that needs it: it brings packages that a plain install does without, and time.


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    for command in (up, status, logs, down, reset, doctor):
        app.command()(_installed(command))


def _installed(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command say what to install where the extra ``local`` was left out."""

    @functools.wraps(command)
    def run(*arguments: object, **options: object) -> None:
        try:
            command(*arguments, **options)
        except ModuleNotFoundError as error:
            if error.name != "psutil":
                raise
            fail("this runs servers, whose packages are not installed; install them: pip install 'cash-flow[local]'")

    return run


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is ready; `cash down` stops it.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(help="Start these processes only, comma-separated.", metavar="NAMES")
    ] = None,
) -> None:
    """Start everything and show one log; Ctrl-C stops it all.

    Examples:
        cash up
        cash up -d
    """
    from cli.operating.foreground import progress, run_here, say_where
    from infra.local.plan import EVERYTHING, Choices
    from infra.local.stack import LocalStack
    from infra.local.state import is_running

    home = Home.default()
    choices = Choices(processes=_chosen(only, EVERYTHING), settings=_limits())
    stack = LocalStack(home, choices, say=progress)
    started = time.monotonic()
    home.create()
    if is_running(home):
        note("It is running already.")
        stack.wait_ready(give_up=True)
    elif detach:
        stack.start()
    else:
        run_here(home, choices)
        return
    say_where(stack, time.monotonic() - started)


def status(json: Json = False) -> None:
    """Show every process, and whether all are ready.

    The exit code is 0 only when all are.

    Examples:
        cash status
    """
    from cli.operating.status import show_status, why_not_ready
    from infra.local.status import look

    seen = look(Home.default())
    if json:
        show_json(asdict(seen))
    elif seen.processes:
        show_status(seen)
    if not seen.ready:
        fail(why_not_ready(seen), ExitCode.NOT_READY)


def logs(
    process: Annotated[str | None, typer.Argument(help="One process; all of them when left out.")] = None,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each to begin with.")] = 20,
) -> None:
    """Show what the processes logged.

    Examples:
        cash logs -f
        cash logs gateway -n 50
    """
    from infra.local.logs import last_lines, list_logs, sizes
    from infra.local.plan import EVERYTHING
    from infra.local.state import is_running

    home = Home.default()
    logged = list_logs(home)
    if process is not None and process not in {*logged, *EVERYTHING}:
        fail(f"there is no process {process!r}; there are: {', '.join(logged or EVERYTHING)}", ExitCode.NOT_FOUND)
    begun = [name for name in logged if process in (None, name)]
    if not begun:
        nothing = f"{process} has logged nothing yet" if process else "nothing is logged yet"
        if not (follow_on and is_running(home)):
            fail(f"{nothing}; start it with `cash up`, or see `cash status`", ExitCode.NOT_READY)
        note(f"{nothing}; waiting.")
    renderer = Renderer([process] if process else sorted({*logged, *EVERYTHING}))
    offsets = sizes(home, begun)
    for name in begun:
        for line in last_lines(home.log(name), lines):
            renderer.show(name, line)
    if follow_on:
        # Ctrl-C is how this ends, not how it fails.
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_follow(home, process, offsets, renderer))


def down() -> None:
    """Stop everything; data stays.

    Examples:
        cash down
    """
    from infra.local.stack import LocalStack

    if LocalStack(Home.default()).stop():
        say("Everything is stopped; the data stays. Start again with `cash up`.")
    else:
        say("Nothing was running.")


def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop everything and delete its data; downloads stay.

    Deletes databases, topics, mails, logs and secrets.

    Examples:
        cash reset
    """
    from infra.local.stack import LocalStack

    home = Home.default()
    if not home.root.exists():
        say("There is nothing to delete.")
        return
    home.check_ours()
    if not yes and not confirm(f"Delete all transactions, users, mails and secrets in {home.root}?"):
        fail("nothing was deleted")
    LocalStack(home).reset()
    say(f"All data in {home.root} is deleted. Start anew with `cash up`.")


def doctor(json: Json = False) -> None:
    """Check this machine and the stack; say how to repair it.

    Examples:
        cash doctor
    """
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


async def _follow(home: Home, process: str | None, offsets: dict[str, int], renderer: Renderer) -> None:
    from infra.local.logs import follow

    async for name, line in follow(home, [process] if process else None, from_now=offsets):
        renderer.show(name, line)


def _limits() -> dict[str, str]:
    """Return how often somebody may register or sign in, where the environment says it (``CASH_LIMITS_…``)."""
    return {name: value for name, value in os.environ.items() if name.startswith("CASH_LIMITS_")}


def _chosen(only: str | None, everything: tuple[str, ...]) -> tuple[str, ...]:
    if only is None:
        return everything
    names = tuple(name.strip() for name in only.split(","))
    if unknown := [name for name in names if name not in everything]:
        fail(f"there is no process {unknown[0]!r}; there are: {', '.join(everything)}", ExitCode.USAGE)
    return names
