"""What others are told of a stack: whether it runs, whether it is ready, and who can be asked to stop it."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.local.home import Home
from infra.local.state import (
    Condition,
    Lock,
    ProcessState,
    StackState,
    find_runners,
    is_running,
    sign_lock,
)
from infra.local.status import look

ME = (os.getpid(), psutil.Process().create_time())
SOMEBODY_LATER = (os.getpid(), 1.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


@pytest.fixture
def lock(home: Home) -> Iterator[Lock]:
    lock = Lock.take(home)
    assert lock is not None
    yield lock
    lock.release()


def a_state(supervisor: tuple[int, float] = ME, process: tuple[int, float] = ME) -> StackState:
    ready = ProcessState("kafka", 1, Condition.READY, pid=process[0], created=process[1])
    return StackState(*supervisor, processes={"kafka": ready})


@pytest.mark.usefixtures("lock")
def test_stack_whose_processes_live_and_are_ready_is_ready(home: Home) -> None:
    a_state().write(home)

    seen = look(home)

    assert (seen.running, seen.ready, seen.being_prepared) == (True, True, False)


@pytest.mark.usefixtures("lock")
def test_ready_process_that_is_gone_is_not_ready(home: Home) -> None:
    a_state(process=SOMEBODY_LATER).write(home)

    seen = look(home)

    assert not seen.ready
    assert (seen.processes[0].state, seen.processes[0].why) == (Condition.NOT_READY, "its process is gone")


@pytest.mark.usefixtures("lock")
def test_stack_whose_supervisor_is_gone_is_not_ready(home: Home) -> None:
    a_state(supervisor=SOMEBODY_LATER).write(home)

    seen = look(home)

    assert (seen.running, seen.ready, seen.being_prepared) == (False, False, False)
    assert seen.processes[0].state == "unsupervised"


@pytest.mark.usefixtures("lock")
@pytest.mark.parametrize("before", [True, False])
def test_start_that_has_no_supervisor_yet_is_being_prepared(home: Home, before: bool) -> None:
    if before:
        a_state(supervisor=SOMEBODY_LATER, process=SOMEBODY_LATER).write(home)
    sign_lock(home)

    seen = look(home)

    assert (seen.running, seen.ready, seen.being_prepared) == (False, False, True)


@pytest.mark.parametrize(
    ("signed", "found"),
    [(f"{ME[0]} {ME[1]}", {ME[0]}), (f"{ME[0]} 1.0", set()), ("", set()), ("x y", set()), ("1 2 3", set())],
)
def test_who_can_be_asked_to_stop_is_never_somebody_who_got_the_pid_later(
    home: Home, signed: str, found: set[int]
) -> None:
    a_state(supervisor=SOMEBODY_LATER).write(home)
    (home.run / "lock").write_text(signed)

    assert find_runners(home) == found


def test_supervisor_is_found_by_its_state_where_the_lock_has_no_name(home: Home) -> None:
    a_state().write(home)

    assert find_runners(home) == {ME[0]}


def test_two_who_look_at_once_do_not_take_each_other_for_a_running_stack(home: Home) -> None:
    with (home.run / "lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_SH)

        assert not is_running(home)
