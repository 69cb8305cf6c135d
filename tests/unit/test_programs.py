"""Other people's programs: their answers read, and none left behind, nor what they started."""

from pathlib import Path

import pytest

from cli.connection.programs import Answer, ask, shown
from cli.terminal.output import ExitCode, Failure
from tests.builders.machines import is_alive, wait_until


def test_an_answer_is_what_it_said_and_its_exit_code() -> None:
    answer = ask(["sh", "-c", "cat; echo $X; echo wrong >&2; exit 3"], said="in\n", settings={"X": "out"})

    assert answer == Answer(3, "in\nout\n", "wrong\n")
    assert not answer.ok


@pytest.mark.parametrize(
    ("err", "complaint"),
    [
        ("error: one\n\nerror: the last.\n", "the last"),
        ("", "exit code 1"),
        ("\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m"),
        ("x" * 999, "x" * 300),
    ],
)
def test_a_complaint_is_the_last_line_as_a_part_of_a_sentence(err: str, complaint: str) -> None:
    assert Answer(1, "", err).complaint == complaint


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"

    with pytest.raises(Failure, match=r"`sh -c .*` did not end within 0.5 s") as failed:
        ask(["sh", "-c", f"sleep 60 & echo $! > {child}; wait"], within_s=0.5)

    assert failed.value.code == ExitCode.UNREACHABLE
    wait_until(lambda: not is_alive(int(child.read_text())))


def test_one_that_is_not_there_is_said() -> None:
    with pytest.raises(Failure, match="could not be started"):
        ask(["/nowhere/at/all"])


def test_a_command_is_shown_short_and_without_its_path() -> None:
    assert shown(["/usr/bin/kubectl", "get", "a", "b", "c", "d"]) == "kubectl get a b c …"
