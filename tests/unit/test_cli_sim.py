"""``cash sim`` against a gateway that loses, doubles, refuses and is silent, as told."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from cli.simulation import http_run
from cli.simulation.patience import Patience
from cli.simulation.people import people
from cli.terminal.output import ExitCode
from tests.builders.api import a_problem
from tests.builders.simulated_gateway import SimulatedGateway

SEED = "20261128-7c1f"
PEOPLE = people(SEED, 3)
RUN = ("-u", "3", "-t", "2", "-x", "5", "--json")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[SimulatedGateway]:
    with mock.patch("cli.connection.client._PAUSES_S", ()), mock.patch("cli.simulation.patience._PAUSE_S", 0.01):
        yield SimulatedGateway(tmp_path)


def test_everybody_comes_and_all_is_accounted_for(gateway: SimulatedGateway) -> None:
    ended = gateway.sim(*RUN)

    assert ended.code == ExitCode.OK, ended.err
    told = ended.json
    assert {step: counts["new"] for step, counts in told["steps"].items()} == {
        "registered": 3,
        "signed_in": 3,
        "recorded": 15,
        "read_back": 3,
    }
    assert told["verdict"]["all_accounted_for"] is True
    assert told["verdict"]["transactions"] == 15
    assert len(gateway.users) == 3


def test_the_same_seed_again_adds_nothing(gateway: SimulatedGateway) -> None:
    first = gateway.sim(*RUN, "--seed", SEED)
    books = {name: dict(user.books) for name, user in gateway.users.items()}
    second = gateway.sim(*RUN, "--seed", SEED)

    assert (first.code, second.code) == (ExitCode.OK, ExitCode.OK)
    assert set(books) == {person.username for person in PEOPLE}
    assert {name: user.books for name, user in gateway.users.items()} == books
    steps = second.json["steps"]
    assert (steps["registered"]["already_there"], steps["recorded"]["already_there"]) == (3, 15)
    assert (steps["registered"]["new"], steps["recorded"]["new"]) == (0, 0)


def test_a_smaller_run_of_a_seed_knows_what_the_larger_one_recorded(gateway: SimulatedGateway) -> None:
    gateway.sim("-u", "3", "-x", "9", "--seed", SEED)
    ended = gateway.sim(*RUN, "--seed", SEED)

    assert ended.code == ExitCode.OK
    assert ended.json["verdict"]["transactions"] == 27


def test_without_a_seed_each_run_is_other_people(gateway: SimulatedGateway) -> None:
    first, second = gateway.sim(*RUN).json, gateway.sim(*RUN).json

    assert first["seed"] != second["seed"]
    assert len(gateway.users) == 6


def lose(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return items[1:]


def double(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*items, {**items[0], "id": "another"}]


def change(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**items[0], "description": "Something else"}, *items[1:]]


def add(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*items, {**items[0], "id": "another", "external_id": None}]


@pytest.mark.parametrize(
    ("happen", "fault"), [(lose, "missing"), (double, "doubled"), (change, "changed"), (add, "foreign")]
)
def test_a_ledger_that_is_not_as_it_was_sent_is_named(
    gateway: SimulatedGateway, happen: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], fault: str
) -> None:
    gateway.sim(*RUN, "--seed", SEED)
    gateway.users[PEOPLE[1].username].listed = happen
    ended = gateway.sim(*RUN, "--seed", SEED)
    shown = gateway.sim(*RUN[:-1], "--seed", SEED)

    assert ended.code == ExitCode.FAILED
    verdict = ended.json["verdict"]
    assert verdict["all_accounted_for"] is False
    assert verdict[fault] >= 1
    assert {each["username"] for each in verdict["differences"]} == {PEOPLE[1].username}
    assert f"{PEOPLE[1].username}: {fault}: " in shown.out
    assert "what was sent and what is there differ" in shown.err


def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_key(gateway: SimulatedGateway) -> None:
    lost: Counter[str] = Counter()

    def lose_each_first_answer(transaction: dict[str, Any]) -> None:
        lost[transaction["external_id"] + transaction["currency"]] += 1
        raise httpx.ReadError("the connection was lost")

    gateway.after = lose_each_first_answer
    ended = gateway.sim(*RUN)

    assert ended.code == ExitCode.OK, ended.err
    assert sum(lost.values()) == 15
    assert ended.json["steps"]["recorded"]["new"] == 15
    assert ended.json["asked_again"] == {"no answer": 15}


def test_a_503_and_what_is_not_decided_yet_are_asked_for_again(gateway: SimulatedGateway) -> None:
    answers = iter([a_problem(503, "Not now."), httpx.Response(202, json={"transaction_id": "t"})] * 3)
    turn = threading.Lock()

    def meddle(request: httpx.Request) -> httpx.Response | None:
        with turn:
            return next(answers, None) if request.url.path.endswith("/transactions") else None

    gateway.meddler = meddle
    ended = gateway.sim(*RUN)

    assert ended.code == ExitCode.OK, ended.err
    assert ended.json["asked_again"] == {"HTTP 503": 3}


def test_who_is_told_that_there_are_too_many_comes_again(gateway: SimulatedGateway) -> None:
    answers = iter([httpx.Response(429, json={"title": "Too many"}, headers={"Retry-After": "0.05"})] * 2)

    def meddle(request: httpx.Request) -> httpx.Response | None:
        return next(answers, None) if request.url.path.endswith("/registrations") else None

    gateway.meddler = meddle
    ended = gateway.sim(*RUN)

    assert ended.code == ExitCode.OK, ended.err
    assert ended.json["asked_again"] == {"HTTP 429": 2}


def test_what_is_refused_is_said_and_must_not_be_there(gateway: SimulatedGateway) -> None:
    def meddle(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and request.headers["Idempotency-Key"].endswith("-3"):
            return a_problem(422, "The account is closed.", code="account_closed")
        return None

    gateway.meddler = meddle
    ended = gateway.sim(*RUN)

    assert ended.code == ExitCode.REFUSED
    assert ended.json["failed"] == {"The account is closed": 3}
    assert ended.json["steps"]["recorded"] | {"new": 12, "refused": 3} == ended.json["steps"]["recorded"]
    assert ended.json["verdict"]["all_accounted_for"] is True


def test_an_address_whose_password_is_not_known_here_is_said(gateway: SimulatedGateway, tmp_path: Path) -> None:
    gateway.sim(*RUN, "--seed", SEED)
    (tmp_path / "simulator.json").unlink()
    ended = gateway.sim(*RUN, "--seed", SEED)

    assert ended.code == ExitCode.REFUSED
    assert ended.json["steps"]["registered"]["refused"] == 3
    assert all("use another --seed" in sentence for sentence in ended.json["failed"])


def test_passwords_are_in_a_file_of_ones_own_only(gateway: SimulatedGateway, tmp_path: Path) -> None:
    ended = gateway.sim(*RUN)
    kept = tmp_path / "simulator.json"

    assert kept.stat().st_mode & 0o777 == 0o600
    assert not any(user.password in ended.out + ended.err + kept.read_text() for user in gateway.users.values())


def test_a_server_that_is_gone_for_too_long_ends_the_run_with_what_is_known(gateway: SimulatedGateway) -> None:
    recorded = threading.Event()

    def be_gone(request: httpx.Request) -> httpx.Response | None:
        if recorded.is_set():
            raise httpx.ConnectError("refused")
        return None

    gateway.meddler = be_gone
    gateway.after = lambda _: recorded.set()
    with mock.patch.object(http_run.HttpRun.__init__, "__defaults__", (0.05,)):
        ended = gateway.sim(*RUN)

    assert ended.code == ExitCode.UNREACHABLE
    assert "given up: " in ended.err
    assert "does not answer" in ended.err
    told = ended.json
    assert told["verdict"]["all_accounted_for"] is False
    assert told["verdict"]["people"] == 0
    assert told["steps"]["recorded"]["unknown"] >= 1
    assert sum(told["steps"]["recorded"][each] for each in ("new", "unknown", "not_sent")) == 15


@pytest.mark.parametrize(
    ("step", "method", "path"),
    [
        ("arriving", "POST", "/verify"),
        ("recording", "POST", "/transactions"),
        ("reading back", "GET", "/transactions"),
    ],
)
def test_ctrl_c_ends_with_the_summary_and_the_verdict_of_what_was_accepted(
    gateway: SimulatedGateway, step: str, method: str, path: str
) -> None:
    pressed = threading.Event()
    heard: list[threading.Event] = []

    def press(request: httpx.Request) -> httpx.Response | None:
        if request.method == method and request.url.path.endswith(path) and not pressed.is_set():
            pressed.set()
            os.kill(os.getpid(), signal.SIGINT)
            # Python tells the main thread when it comes to it.
            assert heard[-1].wait(10)
        return None

    def patience(stopping: threading.Event, give_up_s: float) -> Patience:
        heard.append(stopping)
        return Patience(stopping, give_up_s)

    gateway.meddler = press
    with mock.patch.object(http_run, "Patience", patience):
        ended = gateway.sim("-u", "3", "-t", "1", "-x", "5", "--json")

    assert ended.code == ExitCode.INTERRUPTED
    assert "interrupted; the summary is of what was done until then" in ended.err
    told = ended.json
    assert told["interrupted"] is True
    assert told["verdict"]["differences"] == []
    recorded = sum(len(user.books) for user in gateway.users.values())
    assert told["steps"]["recorded"]["new"] == recorded
    assert (recorded < 15) == (step != "reading back")


def test_a_second_ctrl_c_leaves_at_once(gateway: SimulatedGateway) -> None:
    pressed = threading.Event()

    def press(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and request.url.path.endswith("/transactions") and not pressed.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            pressed.wait(10)
        return None

    gateway.meddler = press
    try:
        ended = gateway.sim("-u", "3", "-t", "1", "-x", "5")
    finally:
        pressed.set()

    assert ended.code == ExitCode.INTERRUPTED
    assert ended.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-u", "0"), "'-u'"),
        (("-t", "x"), "'-t'"),
        (("--seed", "a b"), "is not a seed"),
        (("--rate", "5"), "--rate goes with --via kafka"),
        (("--via", "kafka", "-x", "3"), "--transactions goes with --via http"),
        (("--via", "pigeon"), "'--via'"),
    ],
)
def test_what_is_typed_wrongly_is_said_before_anything_begins(
    gateway: SimulatedGateway, words: tuple[str, ...], said: str
) -> None:
    ended = gateway.sim(*words)

    assert ended.code == ExitCode.USAGE
    assert said in ended.err
    assert gateway.asked == []


def test_without_a_server_nothing_is_waited_for(gateway: SimulatedGateway) -> None:
    ended = gateway.terminal.cash("sim")

    assert ended.code == ExitCode.UNREACHABLE
    assert ended.out == ""


def test_without_a_mailbox_nobody_is_registered(gateway: SimulatedGateway) -> None:
    def no_mailbox(request: httpx.Request) -> httpx.Response | None:
        if request.url.port == 8:
            raise httpx.ConnectError("refused")
        return None

    gateway.meddler = no_mailbox
    ended = gateway.sim(*RUN)

    assert ended.code == ExitCode.UNREACHABLE
    assert gateway.sent("/registrations") == 0


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_the_summary_fits_the_terminal_and_says_how_to_repeat_it(gateway: SimulatedGateway, columns: int) -> None:
    with gateway.answering():
        ended = gateway.terminal.cash("sim", *RUN[:-1], "--seed", SEED, COLUMNS=str(columns))

    *lines, again = ended.out.splitlines()
    assert again.strip() == f"cash sim -u 3 -t 2 -x 5 --seed {SEED}"
    assert max(map(len, lines)) <= columns
    assert any("all accounted for" in line for line in lines)
