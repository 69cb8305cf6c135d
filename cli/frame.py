"""What every command has around it: the options they share, their help pages, and the groups they stand in."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cli import preferences
from cli.completion import profile_names
from cli.terminal.output import ExitCode, Form, fail, showing

_PARAGRAPH = re.compile(r"(?<!\n)\n(?![\n ])")


def _shared(
    output: Annotated[
        Form | None,
        typer.Option(
            "--output", "-o", help="Form of what is shown. Without it: CASH_OUTPUT, else the profile's, else a table."
        ),
    ] = None,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Print long lists as they are.")] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            autocompletion=profile_names,
            help="Server, ledger and form of a profile (`cash config`). Without it: CASH_PROFILE, else the chosen one.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell about each request on stderr; also by CASH_VERBOSE=1.")
    ] = False,
) -> None:
    """Hold the options that commands share."""


def parameters_of(holder: Callable[..., None]) -> dict[str, Any]:
    """Return the options that a function's signature declares, by name."""
    application = typer.Typer(add_completion=False)
    application.command()(holder)
    return {parameter.name: parameter for parameter in typer.main.get_command(application).params if parameter.name}


#: The options by their names; ``output`` and ``no_pager`` are taken by commands that have --json.
SHARED: Mapping[str, Any] = parameters_of(_shared)
_OF_SHOWING = ("output", "no_pager")


class Command(TyperCommand):
    """One command; it takes the shared options, wherever on the line they are typed."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        own = {parameter.name for parameter in self.params}
        self.params += [
            option for name, option in SHARED.items() if name not in own and ("json" in own or name not in _OF_SHOWING)
        ]
        if self.callback is not None:
            self.help = page_of(self.callback)

    def invoke(self, ctx: Any) -> Any:
        """Run it, in the form and with the profile that its options ask for."""
        said = _taken(ctx.params, self.params)
        preferences.prefer(**said)
        if "json" not in ctx.params:
            return self._done(ctx)
        if ctx.params["json"] and said.get("output") not in (None, Form.JSON):
            fail(f"--json is --output json; say one of --json and --output {said['output']}", ExitCode.USAGE)
        form = Form.JSON if ctx.params["json"] else preferences.form()
        ctx.params["json"] = form is not Form.TABLE
        with showing(form, pages=form is Form.TABLE and preferences.wants_pager()):
            return self._done(ctx)

    def _done(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            from cli.connection.client import misread

            if failure := misread(error):
                raise failure from error
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page."""
        from cli.help_pages import show_command

        show_command(self, ctx)


class Group(TyperGroup):
    """Commands below one word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words up to the command's name; without any show the help page, which is no mistake."""
        if not args and not ctx.resilient_parsing:
            self.format_help(ctx, None)
            raise typer.Exit
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page."""
        from cli.help_pages import show_group

        show_group(self, ctx)

    def sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Return headings, each with the commands below it: name, and what it does in a line."""
        return [("Commands", [(name, command.get_short_help_str(200)) for name, command in self.commands.items()])]


def frame(app: typer.Typer) -> None:
    """Have all commands and groups of an application made by the classes here."""
    app.info.cls = Group
    for command in app.registered_commands:
        if command.cls in (None, TyperCommand):
            command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance:
            group.cls = Group
            frame(group.typer_instance)


def page_of(callback: Any) -> str:
    """Return what a docstring says, its paragraphs as long lines: they are broken where the terminal ends."""
    return _PARAGRAPH.sub(" ", inspect.getdoc(callback) or "")


def _taken(typed: dict[str, Any], params: list[Any]) -> dict[str, Any]:
    """Take the shared options out of what was typed; those of the same name that are a command's own stay."""
    shared = [name for name, option in SHARED.items() if any(option is parameter for parameter in params)]
    return {name: typed.pop(name) for name in shared if name in typed}
