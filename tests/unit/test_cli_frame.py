"""What every command has around it: its line in ``cash --help``, its page with examples, the options all share."""

import csv
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from cli.commands import PANELS, app, commands_of
from cli.frame import Command, Group
from cli.help_pages import parted
from cli.terminal.csv_rows import rows_of, write_rows
from cli.terminal.output import ExitCode, show_table
from infra.telemetry.traces import trace_id_of
from infra.version import own_version
from tests.builders.api import ACCOUNT, LEDGER, TRANSACTION, URL, Api, a_page, a_transaction, an_account, an_api
from tests.captures.screens import CapturedScreen

ENTRIES = [entry for entries in PANELS.values() for entry in entries]
#: What takes longer to import than `cash --help` may take; none of its words needs any of it.
HEAVY = ("asyncio", "httpx", "pydantic", "sqlalchemy", "markdown_it", "pygments", "typer.rich_utils")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Give an API at which somebody is signed in."""
    with an_api(tmp_path) as api:
        yield api


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], None]:
    """Write the file of profiles."""

    def write(text: str) -> None:
        (tmp_path / "config.toml").write_text(text)

    return write


def profiles_file_of(api: Api) -> Path:
    return Path(api.terminal.environment["CASH_CONFIG_HOME"]) / "config.toml"


def every_command(group: Any = app, path: str = "cash") -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, by its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


EVERY = dict(every_command())


def first_line(command: Any) -> str:
    return str(command.help).splitlines()[0]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_table_of_commands_says_what_the_commands_say_of_themselves(entry: Any) -> None:
    assert first_line(app.commands[entry.name]) == entry.help


def test_whatever_a_module_registers_stands_in_the_table() -> None:
    registered = {name for module in {entry.module for entry in ENTRIES} for name in commands_of(module)}

    assert registered == {entry.name for entry in ENTRIES}


@pytest.mark.parametrize("words", EVERY)
def test_every_command_is_framed_and_says_in_a_line_what_it_does(words: str) -> None:
    command = EVERY[words]

    assert isinstance(command, Command)
    assert {parameter.name for parameter in command.params} >= {"verbose", "profile"}
    assert len(first_line(command)) <= 62
    assert first_line(command).endswith(".")


@pytest.mark.parametrize("words", EVERY)
def test_every_command_has_examples_that_can_be_typed(words: str) -> None:
    _, examples = parted(EVERY[words].help)

    shown = []
    for line in examples:
        _, *left = shlex.split(re.split(" (?:[<>|]|>>) ", line)[0])
        found: Any = app
        while isinstance(found, Group):
            found, left = found.commands[left[0]], left[1:]
        found.make_context(found.name, left)
        shown.append(found)
    assert EVERY[words] in shown


def test_help_imports_nothing_that_takes_long() -> None:
    program = f"""if True:
        import sys
        from cli.main import main
        sys.argv = ["cash", "--help"]
        try:
            main()
        except SystemExit:
            print([name for name in {HEAVY!r} if name in sys.modules])
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_help_of_cash_and_of_every_group_stays_within_narrow_terminals(
    entry: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command: Any = app.commands[entry.name]
    context = command.make_context(entry.name, ["--help"], resilient_parsing=True)
    command.format_help(context, None)

    text, _, _ = capsys.readouterr().out.partition("\nExamples\n")
    assert max(len(line) for line in text.splitlines()) <= 40


def test_a_near_command_is_proposed(api: Api) -> None:
    ended = api.cash("acounts")

    assert ended.code == ExitCode.USAGE
    assert "No such command 'acounts'. Did you mean 'accounts'" in ended.err


def test_the_version_is_that_of_the_package(api: Api) -> None:
    assert api.cash("--version").out == f"cash {own_version()}\n"


def test_csv_has_a_header_and_the_values_of_json(api: Api) -> None:
    odd = a_transaction(description='two\nlines, "quoted"', payee=None, tags=["a", "b"], category=None)
    api.on("GET", "transactions", a_page(a_transaction(), odd))

    ended = api.cash("tx", "list", "--output", "csv")

    assert ended.out.count("\r\n") == 3
    first, second = csv.DictReader(io.StringIO(ended.out, newline=""))
    assert first["id"] == TRANSACTION
    assert (first["amount"], first["date"], first["category.name"]) == ("24.47", "2026-03-31", "Groceries")
    assert second["description"] == 'two\nlines, "quoted"'
    assert (second["payee"], second["category.name"], second["tags.1"]) == ("", "", "b")
    assert "category" not in first


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("\ttab", "'\ttab"),
        ("'=1", "''=1"),
        ("-12.30", "-12.30"),
        ("it's", "it's"),
    ],
)
def test_no_cell_is_a_formula_and_each_can_be_had_back(text: str, cell: str) -> None:
    stream = io.StringIO()
    rows, _ = rows_of([{"description": text}])
    write_rows(rows, stream)

    assert list(csv.reader(io.StringIO(stream.getvalue(), newline="")))[1] == [cell]


def test_where_a_csv_ends_too_early_stands_on_stderr(api: Api) -> None:
    api.on("GET", "transactions", a_page(a_transaction(), next_cursor="next"))

    assert "--cursor next" in api.cash("tx", "list", "-o", "csv").err


@pytest.mark.parametrize(
    ("words", "environment", "begins"),
    [
        (("tx", "list", "--json"), {}, "{"),
        (("tx", "list", "--output", "json"), {}, "{"),
        (("--output", "json", "tx", "list"), {}, "{"),
        (("tx", "list"), {"CASH_OUTPUT": "json"}, "{"),
        (("tx", "list"), {"CASH_OUTPUT": "csv"}, "id,"),
        (("tx", "list", "-o", "table"), {"CASH_OUTPUT": "csv"}, "Date"),
        (("tx", "list", "--json"), {"CASH_OUTPUT": "csv"}, "{"),
    ],
)
def test_the_form_is_said_by_option_then_environment(
    api: Api, words: tuple[str, ...], environment: dict[str, str], begins: str
) -> None:
    api.on("GET", "transactions", a_page(a_transaction()))

    assert api.cash(*words, **environment).out.startswith(begins)


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("tx", "list", "--json", "-o", "csv"), {}, "say one of --json and --output csv"),
        (("tx", "list", "-o", "xml"), {}, "'xml' is not one of"),
        (("tx", "list"), {"CASH_OUTPUT": "xml"}, "CASH_OUTPUT is 'xml'; set it to one of table, json, csv"),
    ],
)
def test_a_wrong_form_is_refused(api: Api, words: tuple[str, ...], environment: dict[str, str], said: str) -> None:
    ended = api.cash(*words, **environment)

    assert ended.code == ExitCode.USAGE
    assert said in ended.err


@pytest.mark.parametrize(
    ("words", "environment"),
    [(("-v", "tx", "list"), {}), (("tx", "list", "--verbose"), {}), (("tx", "list"), {"CASH_VERBOSE": "1"})],
)
def test_verbose_tells_about_each_request_and_never_a_token(
    api: Api, words: tuple[str, ...], environment: dict[str, str]
) -> None:
    api.on("GET", "transactions", a_page(a_transaction()))

    ended = api.cash(*words, **environment)

    trace = trace_id_of(api.requests[-1].headers["traceparent"])
    line = rf"GET /api/v1/ledgers/{LEDGER}/transactions · 200 · \d+ ms · trace {trace}"
    assert re.fullmatch(line, ended.err.strip())
    assert "Bearer" not in ended.err


def test_without_verbose_nothing_is_told(api: Api) -> None:
    api.on("GET", "transactions", a_page(a_transaction()))

    assert api.cash("tx", "list", CASH_VERBOSE="0").err == ""


# --- profiles ---


def test_a_profile_is_made_chosen_and_used(api: Api) -> None:
    api.on("GET", "/ledgers", a_page({"id": ACCOUNT, "name": "Home", "base_currency": "EUR", "time_zone": "UTC"}))
    api.on("GET", f"/ledgers/{ACCOUNT}/transactions", a_page(a_transaction()))

    assert api.cash("config", "set", "home", "--url", f"{URL}/", "--ledger", "Home", "--form", "json").code == 0
    assert api.cash("config", "use", "home").code == 0
    assert api.cash("config", "show").json == [
        {"name": "home", "chosen": True, "url": URL, "ledger": "Home", "output": "json"}
    ]
    ended = api.cash("tx", "list", CASH_URL="")
    assert ended.json["items"][0]["id"] == TRANSACTION
    assert api.requests[-1].url.path == f"/api/v1/ledgers/{ACCOUNT}/transactions"


def test_what_is_typed_goes_before_the_environment_and_that_before_the_chosen_profile(
    api: Api, config: Callable[[str], None]
) -> None:
    config('profile = "b"\n[profiles.a]\noutput = "json"\n[profiles.b]\noutput = "csv"\n')
    api.on("GET", "transactions", a_page(a_transaction()))

    assert api.cash("tx", "list").out.startswith("id,")
    assert api.cash("tx", "list", CASH_PROFILE="a").out.startswith("{")
    assert api.cash("tx", "list", CASH_PROFILE="a", CASH_OUTPUT="table").out.startswith("Date")
    assert api.cash("tx", "list", "--profile", "a", CASH_OUTPUT="table").out.startswith("{")
    assert api.cash("--profile", "a", "tx", "list", "-o", "csv").out.startswith("id,")


def test_the_ledger_of_a_profile_means_nothing_at_another_server(api: Api, config: Callable[[str], None]) -> None:
    config('profile = "b"\n[profiles.b]\nurl = "http://elsewhere.example.org"\nledger = "Home"\n')
    api.on("GET", "transactions", a_page(a_transaction()))

    assert api.cash("tx", "list", "--url", URL).code == ExitCode.OK


def test_the_comments_of_the_file_stay_when_it_is_changed(api: Api, config: Callable[[str], None]) -> None:
    config('# mine\n[profiles.a]\nurl = "http://a.example.org" # the old one\n')

    assert api.cash("config", "use", "a").code == ExitCode.OK
    assert api.cash("config", "set", "a", "--url", "", "--ledger", "Home").code == ExitCode.OK

    text = profiles_file_of(api).read_text()
    assert text == 'profile = "a"\n\n# mine\n[profiles.a]\nledger = "Home"\n'
    assert api.cash("config", "use").code == ExitCode.OK
    assert "profile =" not in profiles_file_of(api).read_text()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("profile = \n", 1, "invalid value"),
        ('[profiles.a]\nurl = "http://a\n', 2, "illegal character"),
        ('[profiles.a]\nurl = "http://a"\nurl = "http://b"\n', 3, "cannot overwrite a value"),
        ("[profiles.a]\nurll = 'x'\n", 2, "a profile has no 'urll'; it has url, ledger, output"),
        ("[profiles.b]\nurl = 'x'\n[profiles.a]\nurl = 5\n", 4, "'url' is not a text"),
        ("[profiles.a]\noutput = 'xml'\n", 2, "'xml' is not a form of output; there are table, json, csv"),
        ("profile = 'b'\n[profiles.a]\n", 1, "there is no profile 'b' in it"),
        ("colour = 'red'\n", 1, "'colour' is not a setting"),
        ("[profiles]\na = 5\n", 2, "'a' is not a profile"),
    ],
)
def test_a_wrong_file_of_profiles_is_refused_with_the_line(
    api: Api, config: Callable[[str], None], text: str, line: int, said: str
) -> None:
    config(text)

    for words in (("tx", "list"), ("config", "show"), ("config", "set", "a", "--form", "csv")):
        ended = api.cash(*words)
        assert ended.code == ExitCode.USAGE
        assert f"line {line} of {profiles_file_of(api)}: {said}" in ended.err
        assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("words", [("--profile", "nowhere", "whoami"), ("config", "use", "nowhere")])
def test_an_unknown_profile_is_refused_with_those_there_are(
    api: Api, config: Callable[[str], None], words: tuple[str, ...]
) -> None:
    config("[profiles.a]\n[profiles.b]\n")

    ended = api.cash(*words)

    assert ended.code == ExitCode.USAGE
    assert "there is no profile 'nowhere'" in ended.err
    assert "(there are: a, b)" in ended.err


# --- colours, pages, completion ---


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"CLICOLOR_FORCE": "1"}, True), ({"CLICOLOR_FORCE": "0"}, False)],
)
def test_a_pipe_has_colours_only_where_they_are_wanted(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    show_table(["name"], [[Text("x", style="red")]])

    assert ("\x1b[31m" in capsys.readouterr().out) is coloured


#: Prints a table of so many rows.
PROGRAM = """if True:
    from cli.terminal.output import Form, show_table, showing
    with showing(Form.TABLE, pages=True):
        show_table(["n"], [[number] for number in range({})])
"""


def test_a_long_table_at_a_terminal_goes_through_the_pager_and_a_short_one_does_not() -> None:
    for rows, pager, shown in ((50, "sed s/^/paged:/", True), (5, "sed s/^/paged:/", False), (50, "", False)):
        environment = {**os.environ, "CASH_PAGER": pager, "TERM": "xterm"}
        words = [sys.executable, "-c", PROGRAM.format(rows)]
        with CapturedScreen(words, width=40, height=20, environment=environment) as screen:
            assert screen.wait_for_end() == 0
        assert ("paged:" in screen.text()) is shown
        assert re.search(rf"^(paged:)?{rows - 1}$", screen.text(), re.MULTILINE)


@pytest.mark.parametrize("pager", ["no-such-program", "head -2"])
def test_a_pager_that_is_none_or_ends_early_is_no_error(pager: str) -> None:
    environment = {**os.environ, "CASH_PAGER": pager, "TERM": "xterm"}
    with CapturedScreen([sys.executable, "-c", PROGRAM.format(3000)], height=20, environment=environment) as screen:
        assert screen.wait_for_end() == 0
    assert "Traceback" not in screen.text()


@pytest.mark.parametrize(
    ("typed", "at", "offered"),
    [
        ("cash acc", 1, ["accounts", "account"]),
        ("cash tx ", 2, ["add", "transfer", "list", "show", "edit", "delete", "history"]),
        ("cash tx list --ver", 3, ["--verbose"]),
        ("cash whoami --profile h", 3, ["home"]),
        ("cash tx list --ledger ", 4, ["Home"]),
        ("cash account register E", 3, ["Eating\\ out"]),
        ("cash tx add 5 Nothing", 4, [""]),
    ],
)
def test_the_tab_key_completes_commands_options_and_names(
    api: Api, config: Callable[[str], None], typed: str, at: int, offered: list[str]
) -> None:
    config("[profiles.home]\n")
    api.on("GET", "/ledgers", a_page({"name": "Home"}))
    api.on("GET", "accounts", a_page(an_account("Eating out"), an_account("Savings")))

    ended = api.cash(_CASH_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(at))

    assert ended.out.splitlines() == offered
    assert ended.err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(api: Api, shell: str) -> None:
    ended = api.cash("completion", shell)

    assert f"_CASH_COMPLETE=complete_{shell}" in ended.out
