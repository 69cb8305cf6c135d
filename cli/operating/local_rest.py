"""The local stack at rest: its servers run, and nothing of ours does, while somebody puts its data back."""

import contextlib
from collections.abc import Iterator, Mapping

from cli.terminal.output import note
from infra.deployment.recipes import COMMANDS
from infra.local.home import Home

_PROCESSES = tuple(COMMANDS)


class Rest:
    """Whether the processes may go on when the rest is over."""

    def __init__(self) -> None:
        self.is_over = False


@contextlib.contextmanager
def at_rest(keys: Mapping[str, str]) -> Iterator[Rest]:
    """Have the stack's servers run, with these keys as its own, and its processes stand still within the block.

    Afterwards they run again, if the block says so (``is_over``). Where it does not, data may be half there: they stay
    stopped until the block was run to its end, or the stack is started anew.
    """
    from infra.local.holding import hold, let_go
    from infra.local.plan import Choices
    from infra.local.secrets import adopt_keys, read_secrets
    from infra.local.stack import LocalStack
    from infra.local.state import is_running

    home = Home.default()
    home.create()
    stack = LocalStack(home, Choices(), say=note)
    known = read_secrets(home) if home.secrets.exists() else {}
    if any(known.get(name) != value for name, value in keys.items()):
        if is_running(home):
            note("Stopping the stack: it goes on with the keys of the backup.")
            stack.stop()
        adopt_keys(home, keys)
    if not is_running(home):
        note("Starting the servers.")
        stack.start()
    note("Stopping the processes.")
    hold(home, _PROCESSES)
    rest = Rest()
    try:
        yield rest
    finally:
        if rest.is_over:
            running = let_go(home, _PROCESSES)
            note(f"Running again: {', '.join(running)}.")
        else:
            note("The processes stay stopped. Run this again, or let them go with `cash down` and `cash up`.")
