"""All commands of ``cash``: registrations of the command groups, and how a line of words becomes one of them."""

import inspect
import re
from collections.abc import Sequence

import typer

from cli import (
    accounts,
    balances,
    changes,
    demo,
    ledgers,
    mail,
    rates,
    reconciliation,
    registrations,
    sessions,
    stack,
    totals,
    transactions,
    watch,
)
from cli.output import MEANINGS, ExitCode, fail

_EXIT_CODES = "Exit codes: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS.items()) + "."

app = typer.Typer(
    name="cash", help="Record money and run the system that does it.", epilog=_EXIT_CODES, no_args_is_help=True
)
for commands in (
    registrations,
    sessions,
    transactions,
    accounts,
    balances,
    totals,
    reconciliation,
    rates,
    changes,
    ledgers,
    watch,
    demo,
    mail,
    stack,
):
    commands.register(app)
for group in (app, *(each.typer_instance for each in app.registered_groups)):
    for command in group.registered_commands if group else ():
        command.epilog = _EXIT_CODES
        # Paragraphs as long lines: what prints them breaks them where the terminal ends, and keeps what is broken.
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command.callback) or "")


def run(words: Sequence[str]) -> object:
    """Run a command line; what it raises, or the exit code it returns, is for ``guard``."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            fail(f"'{word}' is not readable in this terminal's encoding; type it again", ExitCode.USAGE)
    return app(list(words), prog_name="cash", standalone_mode=False)
