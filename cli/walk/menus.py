"""Menus of the walk: what there is to choose from, and doing it until somebody goes back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.panel import Panel
from rich.text import Text

from cli.terminal.output import ExitCode, Failure, Output, printable
from cli.walk.questions import Back, ask_one_of, complain, tell

#: What an entry does; ``None`` for the one that leaves the menu.
Action = Callable[[], object] | None


class SessionOver(Exception):
    """The server does not take the session any more; only signing in again helps."""


@dataclass(frozen=True)
class Menu:
    """A numbered list; the last entry usually leads back."""

    heading: str
    entries: Mapping[str, Action]

    def run(self) -> None:
        """Show it, do what is chosen, and show it again, until the entry that leaves is chosen."""
        while (action := self._chosen()) is not None:
            attempt(action)

    def _chosen(self) -> Action:
        tell(f"\n{self.heading}")
        for number, name in enumerate(self.entries, start=1):
            tell(f"{number}. {name}")
        numbers = [str(number) for number in range(1, len(self.entries) + 1)]
        chosen = int(ask_one_of("Enter your choice", numbers))
        return list(self.entries.values())[chosen - 1]


def attempt(action: Callable[[], object]) -> None:
    """Do something and say in one sentence why it could not be done."""
    try:
        action()
    except Back:
        tell("Back to the menu.")
    except Failure as failure:
        if failure.code is ExitCode.INTERRUPTED:
            raise KeyboardInterrupt from None
        complain(str(failure))
        if failure.code is ExitCode.NOT_SIGNED_IN:
            raise SessionOver from None


def show_success(sentence: str) -> None:
    """Show that something was done, in a green panel."""
    Output().print(Panel.fit(Text(printable(sentence)), title="Success", border_style="green"))
