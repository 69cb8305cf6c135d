"""What commands print, and how they end."""

import json
import subprocess
import sys
from decimal import Decimal
from uuid import UUID

import pytest

from cli import output
from cli.commands import app
from cli.output import ExitCode
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


def test_reader_that_leaves_early_is_no_error() -> None:
    program = (
        "from cli.output import guard, show_json; guard(lambda: [show_json('x' * 999) for _ in range(999)] and None)"
    )
    ended = subprocess.run(
        f'{sys.executable} -c "{program}" | head -c 1', shell=True, capture_output=True, text=True, check=False
    )

    assert ended.stderr == ""


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
