"""What the walk asks: questions at a terminal, lines of standard input everywhere else; a bad answer is asked again.

Other than the questions of a command (``cli.terminal.prompts``), these do not end with the first bad line of a pipe, an
empty answer goes back to the menu, and all is said on stdout: it is a conversation, and has no other result.
"""

import sys
from collections.abc import Callable, Collection
from getpass import getpass
from typing import TypeVar

from rich.text import Text

from cli.terminal.output import ExitCode, Failure, Output, printable

T = TypeVar("T")
Check = Callable[[str], str]

#: Refusals that another answer may help against.
_ASKED_AGAIN = (ExitCode.USAGE, ExitCode.NOT_FOUND)


class Left(Exception):
    """Nobody answers any more: Ctrl-D, or the end of standard input."""


class Back(Exception):
    """Somebody thought better of it, and is back at the menu."""


def ask(question: str, *, default: str | None = None, check: Check = str, optional: bool = False) -> str:
    """Ask for a line and return what ``check`` makes of it; a wrong answer is explained and asked again.

    Args:
        question: what is asked, without a colon.
        default: the answer when nothing is typed; it is shown.
        check: returns the answer to use, or raises ``ValueError`` or a usage ``Failure`` that says what to type.
        optional: nothing typed is an answer too.

    Raises:
        Back: nothing was typed where something was needed.
        Left: the input has ended.
    """
    hint = f" ({default})" if default else ""
    return _answered(lambda: _line(f"{question}{hint}: ") or default or "", check, optional=optional)


def ask_for(question: str, find: Callable[[str], T]) -> T:
    """Ask for the name or id of something and return what ``find`` finds; what is not there is asked for again."""
    return _answered(lambda: _line(f"{question}: "), find)


def ask_secret(question: str, *, check: Check = str, twice: bool = False) -> str:
    """Ask for a line that is not shown; at a terminal it is typed ``twice`` where nobody could tell a slip."""

    def checked(secret: str) -> str:
        secret = check(secret)
        if twice and sys.stdin.isatty() and _hidden(f"{question} again: ") != secret:
            raise ValueError("the two were not equal; type it again")
        return secret

    return _answered(lambda: _hidden(f"{question}: "), checked)


def ask_one_of(question: str, answers: Collection[str], *, default: str | None = None) -> str:
    """Ask for one of some words, however it is capitalised."""

    def check(typed: str) -> str:
        if typed.lower() not in answers:
            raise ValueError(f"'{typed}' is none of {', '.join(answers)}; type one of them")
        return typed.lower()

    asked = f"{question} [{'/'.join(answers)}]"
    while True:
        try:
            return ask(asked, default=default, check=check)
        except Back:
            complain(f"type one of {', '.join(answers)}")


def ask_yes(question: str, *, default: bool) -> bool:
    """Ask for yes or no."""
    return ask_one_of(question, ("y", "n"), default="y" if default else "n") == "y"


def tell(sentence: str) -> None:
    """Say something; a narrow terminal breaks it between words."""
    Output().print(Text(printable(sentence)))


def complain(sentence: str) -> None:
    """Say why something is not so, or could not be done."""
    Output(stderr=True).print(Text(printable(f"{sentence.rstrip('.')}."), style="red"))


def _answered(typed: Callable[[], str], check: Callable[[str], T], *, optional: bool = False) -> T:
    while True:
        try:
            answer = typed()
            answer.encode()
            if answer or optional:
                return check(answer)
        except UnicodeError:
            complain("what was typed is not readable in this terminal's encoding; type it again")
        except ValueError as error:
            complain(str(error))
        except Failure as failure:
            if failure.code not in _ASKED_AGAIN:
                raise
            complain(str(failure))
        else:
            raise Back


def _line(prompt: str) -> str:
    Output().print(Text(printable(prompt)), end="")
    sys.stdout.flush()
    if sys.stdin.isatty():
        try:
            return input().strip()
        except EOFError:
            raise Left from None
    typed = _next_line()
    # Where nobody types, the answer stands in the transcript all the same.
    tell(typed.strip())
    return typed.strip()


def _hidden(prompt: str) -> str:
    if sys.stdin.isatty():
        try:
            return getpass(prompt)
        except EOFError:
            raise Left from None
    tell(prompt)
    return _next_line().rstrip("\r\n")


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise Left
    return line
