"""Help pages: what a command is for, its arguments and options, examples, exit codes; readable at 40 columns too.

Typer's own pages are framed tables with a column for types: at 40 columns they show half of each word, and making them
takes a third of the time that ``cash --help`` has.
"""

import re
from collections.abc import Sequence
from typing import Any

from rich.text import Text
from typer.core import TyperArgument

from cli.terminal.output import MEANINGS, ExitCode, Output, say

#: The heading in a docstring below which the examples stand.
EXAMPLES = "Examples:"
#: Where names take more room than this, what they mean stands below them.
_NAMES_MAX = 30
_LEAST_BESIDE = 24
#: Columns before a name, and between it and what it means.
_GAP = 4

#: Types as people say them.
_WORDS = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "path": "PATH", "file": "PATH", "directory": "FOLDER"}
_TYPE = re.compile(rf"<(?:list\[)?({'|'.join(_WORDS)})\]?(?: range)?>")

Lines = Sequence[tuple[str, str]]


def show_group(group: Any, ctx: Any) -> None:
    """Print the page of a group: what it is for, and its commands under their headings."""
    _say_what_for(group.help or "")
    _show_usage(f"{ctx.command_path} COMMAND [OPTIONS] [ARGUMENTS]")
    sections = group.sections()
    widest = max((len(name) for _, commands in sections for name, _ in commands), default=0)
    for heading, commands in sections:
        _show_section(heading, commands, widest)
    options = _records(group, ctx)
    _show_section("Options", options, max(len(name) for name, _ in options))
    say("")
    if ctx.parent is None:
        _show_exit_codes()
    _print(Text(f"`{ctx.command_path} COMMAND --help` says more, with examples."))


def show_command(command: Any, ctx: Any) -> None:
    """Print the page of a command: usage, arguments, options, examples, exit codes."""
    text, examples = parted(command.help or "")
    _say_what_for(text)
    pieces = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    # Typer puts what must be there in braces, and brackets around words that have some.
    _show_usage(re.sub(r"\[(\[\w+\]\.\.\.)\]\.\.\.", r"\1", re.sub(r"[{}]", "", pieces)))
    arguments = _records(command, ctx, arguments=True)
    options = _records(command, ctx)
    for heading, lines in (("Arguments", arguments), ("Options", options)):
        widest = max((len(name) for name, _ in lines), default=0)
        _show_section(heading, lines, widest)
    if examples:
        say("")
        Output().print(Text("Examples", style="bold"))
        for line in examples:
            # A line to copy stays one line, however narrow the terminal is.
            Output().print(Text(f"  {line}", style="cyan"), soft_wrap=True)
    say("")
    _show_exit_codes()


def parted(page: str) -> tuple[str, list[str]]:
    """Return a docstring's text, and the examples at its end."""
    text, _, examples = page.partition(f"\n\n{EXAMPLES}\n")
    return text.strip(), [line.strip() for line in examples.splitlines() if line.strip()]


def exit_codes() -> str:
    """Return what the exit codes mean, as one line."""
    return "Exit codes: " + "; ".join(f"{int(code)} {MEANINGS[code]}" for code in ExitCode) + "."


def _say_what_for(text: str) -> None:
    _print(Text(text))


def _show_usage(usage: str) -> None:
    say("")
    _print(Text.assemble(("Usage: ", "bold"), usage))


def _show_exit_codes() -> None:
    _print(Text(exit_codes(), style="dim"))


def _show_section(heading: str, lines: Lines, widest: int) -> None:
    if not lines:
        return
    say("")
    output = Output()
    output.print(Text(heading, style="bold"))
    beside = min(widest, _NAMES_MAX)
    if output.width - beside - _GAP < _LEAST_BESIDE:
        # Too narrow for two columns: what it means stands below each name.
        beside = 4
    edge = Text(" " * (beside + _GAP))
    for name, meaning in lines:
        wrapped = Text(meaning).wrap(output, max(output.width - len(edge), 1))
        called = Text(f"  {name}", style="cyan")
        if len(name) <= beside and wrapped:
            called.append(" " * (len(edge) - len(called)))
            output.print(Text.assemble(called, wrapped.pop(0)), soft_wrap=True)
        else:
            output.print(called, overflow="fold")
        for line in wrapped:
            output.print(Text.assemble(edge, line), soft_wrap=True)


def _records(command: Any, ctx: Any, *, arguments: bool = False) -> Lines:
    """Return the arguments or options as name and meaning, as Typer words them."""
    records = []
    for each in command.get_params(ctx):
        record = each.get_help_record(ctx)
        if record is None or isinstance(each, TyperArgument) is not arguments:
            continue
        name, meaning = (re.sub(r"\s+", " ", text) for text in record)
        if arguments:
            # The usage says already what type it has (a text), and whether it must be there.
            name, meaning = str(each.metavar or name), meaning.removesuffix(" [required]")
        name = _TYPE.sub(lambda found: _WORDS[found[1]], name)
        records.append((name, meaning))
    return records


def _print(text: Text) -> None:
    Output().print(text)
