"""All commands of ``cash``, as a table; only the module of the one that is typed is imported."""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer._click.shell_completion import CompletionItem
from typer.core import TyperGroup

from cli import preferences
from cli.frame import SHARED, Group, frame, parameters_of
from cli.terminal.output import ExitCode, fail, say
from infra.version import own_version


class Entry(NamedTuple):
    """One word after ``cash``: the module whose ``register`` makes it, and what it does, as its docstring begins."""

    name: str
    module: str
    help: str


#: The headings of ``cash --help`` with what stands below them, in this order.
PANELS: Mapping[str, tuple[Entry, ...]] = {
    "Who you are": (
        Entry("register", "cli.people.registrations", "Register an e-mail address; a code is mailed to it."),
        Entry("verify", "cli.people.registrations", "Type the mailed code, then choose a username and a password."),
        Entry("login", "cli.people.sessions", "Sign in; the session is remembered on this machine."),
        Entry("logout", "cli.people.sessions", "End the session on the server and forget its tokens here."),
        Entry("whoami", "cli.people.sessions", "Show who is signed in, as the server sees it."),
        Entry("sessions", "cli.people.sessions", "List where you are signed in, the last used first."),
        Entry("session", "cli.people.sessions", "End a session of yours."),
        Entry("password", "cli.people.passwords", "Change your password; other devices are signed out."),
    ),
    "Your money": (
        Entry("tx", "cli.books.transactions", "Record transactions, change them, and read them back."),
        Entry("accounts", "cli.books.accounts", "List accounts and categories with their balances."),
        Entry("account", "cli.books.accounts", "Open an account or category, and change it."),
        Entry("balance", "cli.books.balances", "Show what accounts hold: now, on a day, as known then."),
        Entry("totals", "cli.books.totals", "Add up what came in and what went out."),
        Entry("net-worth", "cli.books.balances", "Show what you have less what you owe."),
    ),
    "Statements and currencies": (
        Entry("reconcile", "cli.books.reconciliation", "Hold an account against its statement."),
        Entry("assertions", "cli.books.reconciliation", "List asserted balances, and whether they hold."),
        Entry("assertion", "cli.books.reconciliation", "Look at an asserted balance, or lift it."),
        Entry("rates", "cli.books.rates", "Enter the exchange rates that convert amounts."),
    ),
    "History": (
        Entry("changes", "cli.books.changes", "List who changed what in a ledger, the newest first."),
        Entry("undo", "cli.books.changes", "Take a change back."),
        Entry("redo", "cli.books.changes", "Bring back what was undone."),
        Entry("operations", "cli.people.operations", "List what you asked of ledgers, and what became of it."),
        Entry("operation", "cli.people.operations", "Look at one thing you asked for."),
    ),
    "Household": (
        Entry("ledger", "cli.books.ledgers", "Share books: ledgers, their members, invitations."),
        Entry("watch", "cli.books.watch", "Show what is recorded in a ledger as it comes."),
    ),
    "Your data": (
        Entry("export", "cli.books.exports", "Write transactions to a file: CSV, JSON, hledger, beancount."),
        Entry("my-data", "cli.people.personal_data", "Save a copy of everything that is held about you."),
    ),
    "Try it out": (
        Entry("test", "cli.walk.commands", "Walk through the system by menus: register, log in, play."),
        Entry("sim", "cli.simulation.commands", "Simulate people who register and record; read it all back."),
        Entry("demo", "cli.development.demo", "Make a demo person with some months of transactions."),
        Entry("mail", "cli.development.mail", "List the mails the local mailbox caught, or read one."),
    ),
    "Run the system on this machine": (
        Entry("up", "cli.operating.stack", "Start everything and show one log; Ctrl-C stops it all."),
        Entry("status", "cli.operating.stack", "Show every process, and whether all are ready."),
        Entry("logs", "cli.operating.stack", "Show what the processes logged."),
        Entry("down", "cli.operating.stack", "Stop everything; data stays."),
        Entry("reset", "cli.operating.stack", "Stop everything and delete its data; downloads stay."),
        Entry("doctor", "cli.operating.stack", "Check this machine and the stack; say how to repair it."),
    ),
    "Look after the system": (
        Entry("jobs", "cli.operating.jobs", "List the jobs: how often, how the last run ended, when next."),
        Entry("job", "cli.operating.jobs", "Run a job now, or look at its last runs."),
        Entry("backup", "cli.operating.backups", "Keep a copy of everything the system knows; bring it back."),
        Entry("queues", "cli.operating.queues", "Show what waits: jobs, records per topic, outbox, mails."),
        Entry("psql", "cli.operating.psql", "Look into a database with psql; nothing can be changed there."),
        Entry(
            "dead-letters", "cli.operating.dead_letters", "Look at records that could not be taken; send them again."
        ),
    ),
    "Build and generate": (
        Entry("openapi", "cli.generation.openapi", "Write the API documents of a service, a client, a server."),
        Entry("build", "cli.images.build", "Build the container image and publish it."),
    ),
    "This command line": (
        Entry("config", "cli.configuration", "Keep servers, ledgers and forms as profiles; choose one."),
        Entry("completion", "cli.completion", "Print what makes the Tab key complete commands and names."),
    ),
}


class Commands(Mapping[str, Any]):
    """The commands by name; asking for one imports its module."""

    def __init__(self) -> None:
        self._entries = {entry.name: entry for entries in PANELS.values() for entry in entries}
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return the command of a name."""
        entry = self._entries[name]
        if name not in self._made:
            self._made |= commands_of(entry.module)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is such a command, without importing it."""
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """Yield the names, as the table has them."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._entries)


def commands_of(module: str) -> Mapping[str, Any]:
    """Import a module and return the commands that it registers, by name."""
    register: Callable[[typer.Typer], None] = importlib.import_module(module).register
    app = typer.Typer(name="cash", add_completion=False)
    register(app)
    frame(app)
    return dict(typer.main.get_group(app).commands)


class Cash(Group):
    """The word ``cash`` itself."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands()  # type: ignore[assignment]  # a group changes its commands nowhere
        self.params += SHARED.values()

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what the options before its name say holds for it."""
        preferences.prefer(**{name: ctx.params.pop(name) for name in SHARED})
        ctx.params.clear()
        return super().invoke(ctx)

    def sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Return the headings with their commands, without importing any."""
        return [(panel, [(entry.name, entry.help) for entry in entries]) for panel, entries in PANELS.items()]

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the names that begin so, without importing the commands."""
        entries = (entry for below in PANELS.values() for entry in below)
        found = [CompletionItem(entry.name, help=entry.help) for entry in entries if entry.name.startswith(incomplete)]
        # What a command completes besides, its options, without what a group does: that would import them all.
        return found + super(TyperGroup, self).shell_complete(ctx, incomplete)

    def _main_shell_completion(self, *arguments: Any, **settings: Any) -> None:
        if any(name.endswith("_COMPLETE") for name in os.environ):
            # Has Typer know its shells; it does so only for applications that it makes itself.
            typer.main.get_install_completion_arguments()
        super()._main_shell_completion(*arguments, **settings)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"cash {own_version()}")
        raise typer.Exit


def _of_cash(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options of ``cash`` itself."""


app = Cash(
    name="cash",
    help="Record money and run the system that does it.",
    params=list(parameters_of(_of_cash).values()),
)


def run(words: Sequence[str]) -> object:
    """Run a command line; what it raises, or the exit code it returns, is for ``guard``."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            fail(f"'{word}' is not readable in this terminal's encoding; type it again", ExitCode.USAGE)
    preferences.forget()
    return app.main(list(words), prog_name="cash", standalone_mode=False)
