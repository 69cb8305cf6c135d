"""What every command prints: tables for people, JSON for programs, one sentence when something fails."""

import codecs
import contextlib
import errno
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from cli.terminal.pager import paged
from cli.terminal.tables import GAP, Column, fitting, lines_of
from infra.local.home import StackError
from infra.telemetry.words import printable as printable

#: So many lines of a table are printed together.
_LINES_AT_ONCE = 200


class ExitCode(IntEnum):
    """What the exit code of every ``cash`` command means; the list stands in ``cash --help``."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_SIGNED_IN = 4
    REFUSED = 5
    NOT_FOUND = 6
    PENDING = 7
    NOT_READY = 8
    DEFECT = 70
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "could not be done (the sentence says why)",
    ExitCode.USAGE: "the command was typed wrongly",
    ExitCode.UNREACHABLE: "the API or a server does not answer (trying again is safe)",
    ExitCode.NOT_SIGNED_IN: "sign in first, or again",
    ExitCode.REFUSED: "the system read the request and said no",
    ExitCode.NOT_FOUND: "there is no such thing, or it is not yours",
    ExitCode.PENDING: "accepted, the outcome is not known yet",
    ExitCode.NOT_READY: "the system is not running or not ready",
    ExitCode.DEFECT: "a defect in cash itself",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class Form(StrEnum):
    """In what form a command shows things."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


_form = Form.TABLE
_pages = False


@contextlib.contextmanager
def showing(form: Form, *, pages: bool) -> Iterator[None]:
    """Have what a command shows come out in a form: ``show_json`` writes CSV where that is wanted.

    Args:
        form: what ``--output`` says; a command prints text, or hands everything to ``show_json``.
        pages: let a table that is longer than the terminal is high go through the pager.
    """
    global _form, _pages
    before = _form, _pages
    _form, _pages = form, pages
    try:
        yield
    finally:
        _form, _pages = before


class Output(Console):
    """What tables and sentences are printed by: on stdout, or on stderr."""

    def __init__(self, *, stderr: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        # Where nobody looks at a terminal (pipes, files, tests) there is no width to fit into.
        width = None if stream.isatty() or "COLUMNS" in os.environ else 200
        # NO_COLOR and FORCE_COLOR are Rich's own; these two are as common.
        forced = os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0") or None
        colourless = os.environ.get("CLICOLOR") == "0" or None
        super().__init__(stderr=stderr, highlight=False, width=width, force_terminal=forced, no_color=colourless)

    def on_broken_pipe(self) -> None:
        """Leave it to the caller that the reader is gone; Rich would end the program, be it in a signal handler."""
        raise BrokenPipeError


class Failure(Exception):
    """A command could not do its work; the message is one sentence that says what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


def fail(message: str, code: ExitCode = ExitCode.FAILED) -> NoReturn:
    """End the command: the message goes to stderr, the code to the shell."""
    raise Failure(message, code)


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
    spare: Iterable[str] = (),
) -> None:
    """Print rows as a table.

    Args:
        columns: headings, in order.
        rows: cells in the same order; ``None`` prints as nothing, ``rich.text.Text`` keeps its style.
        title: a line above the table.
        right: headings of the columns to set flush right (amounts, counts); these never break over two lines.
        whole: headings of further columns that never break (days, ids).
        spare: headings of columns to leave out, in this order, until what never breaks fits into the terminal, and
            the other headings too.
    """
    lines = _lines(columns, rows, right=right, whole=whole, spare=spare)
    with in_pages():
        if title:
            say_bold(title)
        # Each print has its price; many lines share one.
        while some := list(islice(lines, _LINES_AT_ONCE)):
            Output().print(Text("\n").join(some), soft_wrap=True)


def fitting_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
    spare: Iterable[str] = (),
) -> Text:
    """Make the table that :func:`show_table` prints, for who draws it again and again."""
    return Text("\n").join(_lines(columns, rows, right=right, whole=whole, spare=spare))


def _lines(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Iterable[str],
    whole: Iterable[str],
    spare: Iterable[str],
) -> Iterator[Text]:
    flush_right, unbroken = set(right), {*right, *whole}
    cells = [[_cell(value) for value in row] for row in rows]
    made = [
        Column(heading, [row[number] for row in cells], heading in flush_right, heading in unbroken)
        for number, heading in enumerate(columns)
    ]
    output = Output()
    return lines_of(fitting(made, spare, output.width), output)


def show_record(record: Mapping[str, object], *, title: str | None = None) -> None:
    """Print one thing as two columns, name and value; ``None`` values are left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in record.items():
        if value is not None:
            table.add_row(Text(name), _cell(value))
    with in_pages():
        if title:
            say_bold(title)
        Output().print(table)


def say_bold(title: str) -> None:
    """Print a line above a table or a record."""
    Output().print(Text(printable(title), style="bold"), soft_wrap=True)


def in_pages() -> contextlib.AbstractContextManager[None]:
    """Have all that is printed within go through one pager where it is long; a table does so by itself."""
    return paged() if _pages else contextlib.nullcontext()


def fits(columns: Mapping[str, Iterable[object]]) -> bool:
    """Return whether a table of these columns, each with its cells, has room beside each other without a break."""
    widest = [max(_cell(cell).cell_len for cell in (name, *cells)) for name, cells in columns.items()]
    return sum(widest) + GAP * (len(widest) - 1) <= Output().width


def show_json(value: object) -> None:
    """Print one JSON document for programs, or its rows as CSV; decimals stay text, never floats."""
    if _form is Form.CSV:
        _show_csv(value)
        return
    sys.stdout.write(json.dumps(value, ensure_ascii=not _can_say_all(), indent=2, default=_as_json) + "\n")


def show_json_line(value: object) -> None:
    """Print one of many JSON documents, each on a line of its own, at once."""
    if _form is Form.CSV:
        fail("this comes a thing at a time, each of its own shape; say --output json", ExitCode.USAGE)
    sys.stdout.write(json.dumps(value, ensure_ascii=not _can_say_all(), default=_as_json) + "\n")
    sys.stdout.flush()


def _show_csv(value: object) -> None:
    from cli.terminal.csv_rows import rows_of, write_rows

    rows, next_cursor = rows_of(json.loads(json.dumps(value, default=_as_json)))
    write_rows(rows, sys.stdout)
    if next_cursor:
        note(f"There are more: repeat it with --cursor {next_cursor}")


def _can_say_all() -> bool:
    return codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"


def say(message: str) -> None:
    """Print a sentence for people on stdout, without interpreting markup in it."""
    Output().print(Text(printable(message)), soft_wrap=True)


def note(message: str) -> None:
    """Print a sentence for people on stderr, where it does not disturb ``--json``."""
    Output(stderr=True).print(Text(printable(message)), soft_wrap=True)


def aside(message: str) -> None:
    """Print a dim line on stderr, for whoever looks over the shoulder of a command."""
    Output(stderr=True).print(Text(printable(message), style="dim"))


@contextlib.contextmanager
def telling_progress(begin: str, *, shown: bool = True) -> Iterator[Callable[[str], None]]:
    """Lend what tells, in a line on stderr, how far something is; at a terminal only.

    Args:
        begin: what is told at first.
        shown: whether anything is told at all.
    """
    output = Output(stderr=True)
    if not (shown and output.is_terminal):
        yield lambda _: None
        return
    with output.status(begin) as status:
        yield status.update


def open_streams() -> None:
    """Make the standard streams good for whatever comes.

    One that is closed reads as empty, or swallows what is written. A letter that the encoding of stdout does not have
    is printed as an escape, as on stderr; bytes that are none in the encoding of stdin come as surrogates.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def guard(command: Callable[[], object]) -> NoReturn:
    """Run a command line to its end and leave with its exit code; no traceback ever reaches the terminal.

    A defect prints one sentence; ``CASH_DEBUG=1`` adds the traceback for whoever repairs it.
    """
    code: int = ExitCode.OK
    try:
        result = command()
        if result == ExitCode.INTERRUPTED:
            # Typer has caught the KeyboardInterrupt and made an exit code of it.
            raise KeyboardInterrupt
        if isinstance(result, int):
            code = result
        sys.stdout.flush()
    except Failure as failure:
        code = _complain(str(failure), failure.code)
    except StackError as error:
        code = _complain(str(error), ExitCode.NOT_READY)
    except TyperException as error:
        code = _complain(_usage(error), ExitCode.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        if sys.stderr.isatty():
            sys.stderr.write("\n")
        code = _complain("interrupted; nothing more was done", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        _give_stdout_away()
    except SystemExit as ended:
        # Typer, and Rich printing Typer's help, have an exit code of their own for a reader that left.
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        _give_stdout_away()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            code = _complain(_defect(error), ExitCode.DEFECT)
        else:
            code = _complain("there is no room to write to; make some and try again", ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, nobody gets a traceback
        code = _complain(_defect(error), ExitCode.DEFECT)
    sys.exit(code)


def _give_stdout_away() -> None:
    # The reader of our output (head, less) left, which is no error; flushing what is left at exit would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    return Text("" if value is None else printable(str(value)))


def _as_json(value: object) -> Any:
    if isinstance(value, Decimal | UUID | Path):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be shown as JSON")


def _complain(message: str, code: ExitCode) -> int:
    # Where nobody reads stderr either, the code still tells.
    with contextlib.suppress(OSError):
        Output(stderr=True).print(Text.assemble(("error: ", "bold red"), printable(message)), soft_wrap=True)
    return code


def _usage(error: TyperException) -> str:
    describe = getattr(error, "format_message", None)
    # Typer's coercion says so before what is wrong with a value.
    message = (describe() if callable(describe) else str(error)).replace("Value error, ", "").rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    return f"{message}{' See' if message.endswith('?') else '; see'} '{context.command_path} --help'"


def _defect(error: Exception) -> str:
    if os.environ.get("CASH_DEBUG"):
        traceback.print_exception(error)
        return f"a defect in cash ({type(error).__name__})"
    return f"a defect in cash ({type(error).__name__}: {error}); run it again with CASH_DEBUG=1 to see where"
