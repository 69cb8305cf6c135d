"""Completion by the Tab key: the script for a shell, and the names of ledgers, accounts and profiles."""

import contextlib
import os
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.output import Failure, say

if TYPE_CHECKING:
    from cli.connection.client import Client


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("completion")(show_script)


def show_script(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> None:
    """Print what makes the Tab key complete commands and names.

    The shell has to read it when it starts: put the line of the example for your shell into its start file.

    Examples:
        cash completion bash >> ~/.bashrc
        cash completion zsh >> ~/.zshrc
        cash completion fish > ~/.config/fish/completions/cash.fish
    """
    # Typer offers it as options of the application only, which write into the shell's start files unasked.
    from typer._completion_shared import get_completion_script

    say(get_completion_script(prog_name="cash", complete_var="_CASH_COMPLETE", shell=shell))


def profile_names(incomplete: str) -> list[str]:
    """Return the profiles whose name begins so."""
    from cli.profiles import read_profiles

    with contextlib.suppress(Failure):
        return _beginning(read_profiles().by_name, incomplete)
    return []


def ledger_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ledgers of whoever is signed in whose name begins so."""
    return _beginning(_names(ctx, lambda client: "/ledgers"), incomplete)


def account_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the accounts and categories of the ledger whose name begins so."""

    def path(client: "Client") -> str:
        from cli.books.ledger_choice import chosen_ledger

        return chosen_ledger(client, ctx.params.get("ledger")).path("/accounts")

    return _beginning(_names(ctx, path), incomplete)


def _names(ctx: typer.Context, path: "Callable[[Client], str]") -> list[str]:
    """Ask the server of what was typed already; whatever is wrong, the Tab key just does nothing."""
    from cli import preferences
    from cli.connection.client import Client
    from cli.connection.credentials import credentials_file
    from cli.connection.servers import find_server

    with contextlib.suppress(Exception):
        preferences.prefer(profile=ctx.params.get("profile"))
        client = Client(find_server(ctx.params.get("url")), credentials_file(), hasty=True)
        with contextlib.closing(client):
            return [item["name"] for item in client.call("GET", path(client)).body["items"]]
    return []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    # Bash puts into the line what it is given, and would take a space in it for the end of a word.
    bash = os.environ.get("_CASH_COMPLETE") == "complete_bash"
    found = [name for name in names if name.startswith(incomplete)]
    return [name.replace(" ", "\\ ") for name in found] if bash else found
