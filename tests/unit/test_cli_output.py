"""What commands print, and how they end."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from uuid import UUID

import pytest

from cli.commands import app
from cli.terminal import output
from cli.terminal.output import ExitCode
from infra.local.home import StackError


def ending(command: object) -> int:
    with pytest.raises(SystemExit) as ended:
        output.guard(command)  # type: ignore[arg-type]  # a test may hand over anything
    assert isinstance(ended.value.code, int)
    return ended.value.code


def raising(error: BaseException) -> object:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (output.Failure("no such thing", ExitCode.NOT_FOUND), ExitCode.NOT_FOUND),
        (StackError("start it with `cash up`"), ExitCode.NOT_READY),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (RuntimeError("boom"), ExitCode.DEFECT),
    ],
)
def test_every_end_is_one_sentence_and_a_documented_code(
    error: BaseException, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(raising(error)) == code

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("typed", [["no-such"], ["status", "--no-such"], ["logs", "-n", "many"]])
def test_wrongly_typed_command_says_where_help_is(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(lambda: app(typed, standalone_mode=False, prog_name="cash")) == ExitCode.USAGE

    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "--help'" in error


def printing(statement: str, **environment: str) -> subprocess.Popen[str]:
    """Run a statement as a command of its own, its output in pipes."""
    program = f"""if True:
        from cli.commands import app
        from cli.terminal.output import guard, open_streams, say, show_json, show_table
        open_streams()
        guard(lambda: {statement})
    """
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | environment,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "show_json('x')",
        "show_json('x' * 999_999)",
        "show_table(['x'], [['y']])",
        "say('x')",
        "app(['--help'], standalone_mode=False, prog_name='cash')",
        "app(['tx', 'add', '--help'], standalone_mode=False, prog_name='cash')",
    ],
)
def test_a_reader_that_left_is_no_error(statement: str) -> None:
    with printing(statement) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, error = process.communicate(timeout=20)

    assert (process.returncode, error) == (ExitCode.OK, "")


def test_that_a_reader_left_is_an_error_a_caller_can_leave_aside() -> None:
    program = """if True:
        import contextlib, sys
        from cli.terminal.output import note, say
        for speak in (say, note):
            with contextlib.suppress(OSError):
                speak("nobody hears this")
        sys.exit(7)
    """
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([sys.executable, "-c", program], stdout=writing, stderr=writing, check=False)
    os.close(writing)

    assert ended.returncode == 7


@pytest.mark.parametrize("statement", ["say('5 € → Café')", "show_table(['from'], [['5 € → Café']], title='€')"])
def test_what_the_encoding_does_not_have_is_written_as_escapes(statement: str) -> None:
    with printing(statement, PYTHONIOENCODING="ascii") as process:
        out, error = process.communicate(timeout=20)

    assert (process.returncode, error) == (ExitCode.OK, "")
    assert r"5 \u20ac \u2192 Caf\xe9" in out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_json_in_every_encoding(encoding: str) -> None:
    with printing(r"show_json('5 € → Café \udce9')", PYTHONIOENCODING=encoding) as process:
        out, error = process.communicate(timeout=20)

    assert (process.returncode, error) == (ExitCode.OK, "")
    assert json.loads(out) == "5 € → Café \udce9"


def test_spare_columns_are_left_out_until_the_rest_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(columns: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        output.show_table(
            ["name", "why", "first", "last"],
            [["abcdefgh", "a b", "1111", "22 22222"]],
            whole=["name", "first", "last"],
            spare=["first", "last"],
        )
        return capsys.readouterr().out.split("\n")[0].split()

    assert shown(40) == ["name", "why", "first", "last"]
    assert shown(24) == ["name", "why", "last"]
    assert shown(14) == ["name", "why"]


def test_a_table_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(["name"], [])

    assert capsys.readouterr().out.strip() == "name"


def test_json_keeps_decimals_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_json({"amount": Decimal("0.10"), "id": UUID(int=1)})

    assert json.loads(capsys.readouterr().out) == {"amount": "0.10", "id": str(UUID(int=1))}


def test_stored_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(["description"], [["\x1b[2Jgone [bold]x[/bold]"]])

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\\x1b[2Jgone [bold]x[/bold]" in printed


def test_every_exit_code_is_documented() -> None:
    assert set(output.MEANINGS) == set(ExitCode)
