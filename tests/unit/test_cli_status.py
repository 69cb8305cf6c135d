"""The table of ``cash status``, on terminals of any width."""

import re

import pytest

from cli.operating.status import show_status, why_not_ready
from infra.local.plan import EVERYTHING
from infra.local.status import ProcessStatus, StackStatus

MEMORY = 123_000_000


def a_process(name: str, state: str = "ready", why: str | None = None) -> ProcessStatus:
    return ProcessStatus(
        name=name, state=state, why=why, pid=1234567, uptime_s=360_000, memory_bytes=MEMORY, restarts=3, port=28470
    )


def a_stack(
    *processes: ProcessStatus, preparing: tuple[str, ...] = (), running: bool = True, being_prepared: bool = False
) -> StackStatus:
    return StackStatus(
        home="/home/ann/cash",
        running=running,
        being_prepared=being_prepared,
        ready=False,
        preparing=list(preparing),
        failure=None,
        memory_bytes=MEMORY * len(processes),
        processes=list(processes),
    )


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (38, "process state"),
        (40, "process state memory"),
        (60, "process state pid memory port"),
        (80, "process state pid uptime memory restarts port"),
        (140, "process state pid uptime memory restarts port"),
    ],
)
def test_process_and_state_are_whole_at_every_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, headings: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    why = "asked for its health, it did not answer within two seconds"

    show_status(
        a_stack(*(a_process(name, "unsupervised") for name in EVERYTHING), a_process("relay", "not ready", why))
    )

    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == headings.split()
    assert all(len(line.rstrip()) <= width for line in (heading, *lines[:-1]))
    for name, line in zip(EVERYTHING, lines, strict=False):
        assert re.match(rf"{name} +unsupervised( |$)", line)
    assert lines[-1] == f"relay: {why}"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (a_stack(running=False), "not running; start it with `cash up`"),
        (a_stack(running=False, being_prepared=True), "is being prepared"),
        (a_stack(a_process("redis", "stopped"), running=False, being_prepared=True), "is being prepared"),
        (a_stack(a_process("redis"), preparing=("migrate",)), "still preparing: migrate; see `cash logs migrate`"),
        (a_stack(a_process("redis"), a_process("relay", "failing")), "not ready: relay; see `cash logs relay`"),
    ],
)
def test_why_it_is_not_ready_says_what_to_do(seen: StackStatus, said: str) -> None:
    assert said in why_not_ready(seen)
