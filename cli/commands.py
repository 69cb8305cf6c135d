"""All commands of ``cash``: registrations of the command groups, nothing else."""

import typer

from cli import accounts, demo, mail, registrations, sessions, stack, transactions
from cli.output import MEANINGS

_EXIT_CODES = "Exit codes: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS.items()) + "."

app = typer.Typer(
    name="cash", help="Record money and run the system that does it.", epilog=_EXIT_CODES, no_args_is_help=True
)
for commands in (registrations, sessions, transactions, accounts, demo, mail, stack):
    commands.register(app)
for group in (app, *(each.typer_instance for each in app.registered_groups)):
    for command in group.registered_commands if group else ():
        command.epilog = _EXIT_CODES
