"""Questions to the person: prompts at a terminal, lines of standard input everywhere else."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from getpass import getpass

import typer
from rich.text import Text

from cli.terminal.output import ExitCode, Failure, Output, fail, note, printable


def ask(
    question: str,
    *,
    default: str | None = None,
    check: Callable[[str], str] = str,
    optional: bool = False,
    suggestions: Sequence[str] = (),
) -> str:
    """Ask for a line and return what ``check`` makes of it.

    At a terminal a wrong answer is explained and asked again; elsewhere the next line of standard input is the
    answer, an empty or missing one takes the default, and a wrong one ends the command.

    Args:
        question: what is asked, without a colon.
        default: the answer when nothing is typed.
        check: returns the answer to use, or raises ``ValueError``, or a usage ``Failure``, with a sentence that says
            what to type.
        optional: nothing typed is an answer too, the empty one.
        suggestions: what the Tab key completes.
    """
    hint = f" [{default}]" if default else ""
    return _answer(
        question, lambda: _typed(f"{question}{hint}: ", suggestions) or default or "", check, optional=optional
    )


def ask_secret(question: str, *, confirm: bool = False, check: Callable[[str], str] = str) -> str:
    """Ask for a line that is not shown; at a terminal ``confirm`` has it typed twice."""

    def checked(secret: str) -> str:
        secret = check(secret)
        if confirm and is_interactive() and _typed_hidden(f"{question} again: ") != secret:
            raise ValueError("the two were not equal; type it again")
        return secret

    return _answer(question, lambda: _typed_hidden(f"{question}: "), checked)


def agree(question: str) -> bool:
    """Ask somebody at a terminal for yes or no; nothing typed is no."""
    return _typed(f"{question} [y/N]: ").lower() in ("y", "yes")


def confirm(question: str) -> bool:
    """Ask for yes or no; nothing typed is no. Away from a terminal the next line of standard input answers."""
    answer = _typed(f"{question} [y/N]: ")
    if not answer and not is_interactive():
        fail("nobody can be asked here; say --yes to do it unasked", ExitCode.USAGE)
    return answer.lower() in ("y", "yes")


def is_interactive() -> bool:
    """Return whether somebody can be asked again."""
    return sys.stdin.isatty()


def _answer(question: str, typed: Callable[[], str], check: Callable[[str], str], *, optional: bool = False) -> str:
    while True:
        answer = ""
        try:
            answer = _readable(typed)
            if not answer and optional:
                return ""
            if not answer:
                raise ValueError(f"{question} is missing")
            return check(answer)
        except (ValueError, Failure) as error:
            if isinstance(error, Failure) and error.code is not ExitCode.USAGE:
                raise
            if not is_interactive():
                where = "; it is read from standard input, a line each (see --help)" if not answer else ""
                fail(f"{error}{where}", ExitCode.USAGE)
            note(f"{error}.")


def _readable(typed: Callable[[], str]) -> str:
    try:
        answer = typed()
        answer.encode()
    except UnicodeError:
        raise ValueError("what was typed is not readable in this terminal's encoding") from None
    return answer


def _typed(prompt: str, suggestions: Sequence[str] = ()) -> str:
    if not is_interactive():
        return sys.stdin.readline().strip()
    if suggestions and sys.stdout.isatty():
        with _leaving_on_end_of_input(), _completing(suggestions):
            return input(printable(prompt)).strip()
    # On stderr, so that stdout holds nothing but the command's result.
    Output(stderr=True).print(Text(printable(prompt)), end="")
    with _leaving_on_end_of_input():
        return input().strip()


def _typed_hidden(prompt: str) -> str:
    if not is_interactive():
        return sys.stdin.readline().rstrip("\r\n")
    with _leaving_on_end_of_input():
        return getpass(prompt)


@contextlib.contextmanager
def _completing(words: Sequence[str]) -> Iterator[None]:
    """Have the Tab key complete one of some words, which may have spaces, however they are capitalised."""
    try:
        import readline
    except ImportError:
        yield
        return

    def complete(begun: str, number: int) -> str | None:
        found = [word for word in words if word.lower().startswith(begun.lower())]
        return found[number] if number < len(found) else None

    before = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(complete)
    readline.set_completer_delims("")
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before[0])
        readline.set_completer_delims(before[1])


@contextlib.contextmanager
def _leaving_on_end_of_input() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise typer.Abort from None
