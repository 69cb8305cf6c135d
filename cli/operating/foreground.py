"""``cash up`` at a terminal: the supervisor runs in this process, one log shows what all of them say."""

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from pathlib import Path

from cli.operating.log_lines import Renderer
from cli.terminal.output import ExitCode, fail, note, say
from infra.local.home import Home
from infra.local.logs import follow, sizes
from infra.local.plan import Choices, Prepared, prepare, supervise
from infra.local.ports import LOOPBACK
from infra.local.stack import LocalStack
from infra.local.state import Lock


def run_here(home: Home, choices: Choices) -> None:
    """Start everything, show one log, stop it all on Ctrl-C. Whoever read the log may leave: the stack goes on."""
    lock = Lock.take(home)
    if lock is None:
        fail("somebody else is starting the stack; look at it with `cash status`", ExitCode.NOT_READY)
    began = time.monotonic()
    try:
        prepared = prepare(home, choices, progress)
        progress("starting; Ctrl-C stops everything")
        asyncio.run(_run(prepared, began))
    finally:
        lock.release()


def progress(sentence: str) -> None:
    """Say on stderr what is happening now."""
    with contextlib.suppress(OSError):
        note(f"[{time.strftime('%H:%M:%S')}] {sentence}")


def say_where(stack: LocalStack, took_s: float) -> None:
    """Say where everything is, and what to try next."""
    ports, processes = stack.ports, (state.processes if (state := stack.state()) else {})
    say(f"\nAll {len(processes)} processes are ready ({took_s:.1f} s).")
    if "gateway" in processes:
        say(f"  API      http://{LOOPBACK}:{ports['gateway']}/api/v1")
        say(f"  Its docs http://{LOOPBACK}:{ports['gateway']}/docs")
    if "mailbox" in processes:
        say(f"  Mailbox  http://{LOOPBACK}:{ports['mailbox']}/")
    if "gateway" in processes:
        say(f"Try next:  {_own_command()} demo")


async def _run(prepared: Prepared, began: float) -> None:
    def tell(sentence: str) -> None:
        with contextlib.suppress(OSError):
            renderer.show("stack", sentence)

    supervisor = supervise(prepared, tell)
    names = [*supervisor.state.preparing, *supervisor.state.processes]
    renderer = Renderer(["stack", *names])
    offsets = sizes(prepared.home, names)

    async def show() -> None:
        with contextlib.suppress(OSError):
            async for name, line in follow(prepared.home, names, from_now=offsets):
                renderer.show(name, line)

    asked = False

    def stop(number: int) -> None:
        nonlocal asked
        again, asked = asked, True
        # Only a person is impatient: a closing terminal or a service manager may well send two signals for one stop.
        hurry = again and number == signal.SIGINT
        supervisor.hurry() if hurry else supervisor.stop()
        # Where the terminal was closed, nobody reads this.
        with contextlib.suppress(OSError):
            note("Killing what is left." if hurry else "\nStopping; Ctrl-C again kills what is left.")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    following = asyncio.create_task(show())
    running = asyncio.create_task(supervisor.run())
    ready = asyncio.create_task(supervisor.ready.wait())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    if ready.done() and not running.done():
        # What was logged until now comes first, so that these lines are the last of the start.
        await asyncio.sleep(0.4)
        with contextlib.suppress(OSError):
            say_where(LocalStack(prepared.home), time.monotonic() - began)
    await running
    ready.cancel()
    following.cancel()
    with contextlib.suppress(OSError):
        say("Everything is stopped; the data stays.")


def _own_command() -> str:
    """Return how this person types ``cash``: by name where the shell finds it, else by path."""
    own = Path(sys.argv[0])
    if shutil.which("cash"):
        return "cash"
    return str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else str(own)
