"""What every command prints: tables for people, JSON for programs, one sentence when something fails."""

import codecs
import contextlib
import errno
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from infra.local.home import StackError

#: Columns (of letters) between two columns of a table.
_GAP = 2


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
    ExitCode.NOT_READY: "the local stack is not running or not ready",
    ExitCode.DEFECT: "a defect in cash itself",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class Output(Console):
    """What tables and sentences are printed by: on stdout, or on stderr."""

    def __init__(self, *, stderr: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        # Where nobody looks at a terminal (pipes, files, tests) there is no width to fit into.
        width = None if stream.isatty() or "COLUMNS" in os.environ else 200
        super().__init__(stderr=stderr, highlight=False, width=width)

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
    flush_right, unbroken = set(right), {*right, *whole}
    rows = list(rows)
    cells = {column: [_cell(row[number]) for row in rows] for number, column in enumerate(columns)}

    def table(*, roomy: bool) -> Table:
        made = Table(header_style="bold", box=None, pad_edge=False)
        for column, below in cells.items():
            justify: Literal["left", "right"] = "right" if column in flush_right else "left"
            is_whole = column in unbroken
            widest = max(cell.cell_len for cell in (Text(column), *below)) if is_whole else None
            least = widest or (len(column) if roomy else None)
            made.add_column(column, justify=justify, overflow="fold", no_wrap=is_whole, min_width=least)
        for row in zip(*cells.values(), strict=True):
            made.add_row(*row)
        return made

    for column in spare:
        if _least_width(table(roomy=True)) <= Output().width:
            break
        del cells[column]
    has_room = _least_width(table(roomy=True)) <= Output().width
    _print_titled(table(roomy=has_room), title)


def show_record(record: Mapping[str, object], *, title: str | None = None) -> None:
    """Print one thing as two columns, name and value; ``None`` values are left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in record.items():
        if value is not None:
            table.add_row(Text(name), _cell(value))
    _print_titled(table, title)


def _print_titled(table: Table, title: str | None) -> None:
    # Rich would break a title of its own to the table's width, however wide the terminal is.
    if title:
        Output().print(Text(title, style="bold"), soft_wrap=True)
    Output().print(table)


def _least_width(table: Table) -> int:
    output = Output()
    return output.measure(table, options=output.options.update(width=1000)).minimum


def fits(columns: Mapping[str, Iterable[object]]) -> bool:
    """Return whether a table of these columns, each with its cells, has room beside each other without a break."""
    widest = [max(_cell(cell).cell_len for cell in (name, *cells)) for name, cells in columns.items()]
    return sum(widest) + _GAP * (len(widest) - 1) <= Output().width


def show_json(value: object) -> None:
    """Print one JSON document for programs; decimals stay text, never floats."""
    sys.stdout.write(json.dumps(value, ensure_ascii=not _can_say_all(), indent=2, default=_as_json) + "\n")


def show_json_line(value: object) -> None:
    """Print one of many JSON documents, each on a line of its own, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=not _can_say_all(), default=_as_json) + "\n")
    sys.stdout.flush()


def _can_say_all() -> bool:
    return codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"


def say(message: str) -> None:
    """Print a sentence for people on stdout, without interpreting markup in it."""
    Output().print(Text(printable(message)), soft_wrap=True)


def note(message: str) -> None:
    """Print a sentence for people on stderr, where it does not disturb ``--json``."""
    Output(stderr=True).print(Text(printable(message)), soft_wrap=True)


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


def printable(text: str) -> str:
    """Show control characters as escapes, so that stored text cannot steer the terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else _escape(character) for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


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
    message = (describe() if callable(describe) else str(error)).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see '{context.command_path} --help'" if context is not None else message


def _defect(error: Exception) -> str:
    if os.environ.get("CASH_DEBUG"):
        traceback.print_exception(error)
        return f"a defect in cash ({type(error).__name__})"
    return f"a defect in cash ({type(error).__name__}: {error}); run it again with CASH_DEBUG=1 to see where"
