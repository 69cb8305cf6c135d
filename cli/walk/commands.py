"""The command that leads somebody through the system, menu by menu."""

import typer

from cli.connection.servers import UrlOption
from cli.environments import EnvironmentOption, find_environment
from cli.terminal.output import ExitCode


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("test")(try_out)


def try_out(environment: EnvironmentOption = None, url: UrlOption = None) -> None:
    """Walk through the system by menus: register, log in, play.

    Register with the mailed code or have it taken from the mailbox, record transactions, look at what the system does
    in the background. Your own session on this machine stays as it is. Ctrl-C and Ctrl-D leave at any time; an empty
    answer goes back to the menu. Where standard input is no terminal its lines are the answers.

    Examples:
      cash test

      cash test -e docker
    """
    from cli.walk.walk import walk

    with find_environment(environment, url) as found:
        code = walk(found)
    if code is ExitCode.INTERRUPTED:
        # Said politely already; it is for whoever started this.
        raise SystemExit(code)
