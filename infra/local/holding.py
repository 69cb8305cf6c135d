"""Stop processes of the local stack and keep them stopped: ``python -m infra.local.holding ledger-consumer``.

A stop of the stack, or its next start, lets them go; so does :func:`let_go`.
"""

import sys
from collections.abc import Sequence

from infra.local.home import Home, StackError
from infra.local.stack import LocalStack
from infra.local.state import is_running
from infra.local.supervisor import hold_file


def hold(home: Home, names: Sequence[str]) -> None:
    """Stop these processes; one that this stack does not run needs no stopping."""
    stack = LocalStack(home)
    state = stack.state()
    if not is_running(home) or state is None:
        return
    there = [name for name in names if name in state.processes]
    for name in there:
        # All at once: they stop side by side.
        hold_file(home, name).touch()
    for name in there:
        stack.hold(name)


def let_go(home: Home, names: Sequence[str], *, wait: bool = True) -> list[str]:
    """Let those of these processes run again that are held, and wait until they are ready; return their names."""
    held = [name for name in names if hold_file(home, name).exists()]
    for name in held:
        hold_file(home, name).unlink(missing_ok=True)
    if wait and is_running(home):
        for name in held:
            LocalStack(home).release(name)
    return held


def main(names: Sequence[str]) -> int:
    """Hold the named processes of the stack in ``CASH_HOME``."""
    try:
        hold(Home.default(), names)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
