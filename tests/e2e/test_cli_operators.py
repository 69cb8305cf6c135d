"""What an operator asks of a running system, as a shell would: dead letters, jobs, what waits."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cli.terminal.output import ExitCode
from contracts import topics
from contracts.messages import Source
from infra.kafka.producer import Record
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings
from tests.builders.dead_letters import a_broken_record, let_fail, send
from tests.builders.kafka import Latin1Name, send_batch
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission
from tests.builders.terminal import WITHIN_S, Ended, Terminal, a_terminal

pytestmark = pytest.mark.stack

GRANT = "eyJhbGciOiJFZERTQSJ9." + "G" * 80
NOWHERE: dict[str, dict[str, str]] = {
    "Redis": {"CASH_REDIS_HOST": "127.0.0.1", "CASH_REDIS_PORT": "1", "CASH_REDIS_PASSWORD": "hush-redis"},
    "Kafka": {
        "CASH_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CASH_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "CASH_KAFKA_SASL_USERNAME": "operator",
        "CASH_KAFKA_SASL_PASSWORD": "hush-kafka",
    },
    "the ledger database": {
        "CASH_LEDGER_DB_HOST": "127.0.0.1",
        "CASH_LEDGER_DB_PORT": "1",
        "CASH_LEDGER_DB_USER": "ledger_consumer",
        "CASH_LEDGER_DB_PASSWORD": "hush-ledger",
    },
}


@pytest.fixture(scope="module")
def terminal(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    return a_terminal(stack, tmp_path_factory.mktemp("config"))


def until(ask: Callable[[], Any]) -> Any:
    """Ask until there is an answer."""
    deadline = time.monotonic() + WITHIN_S
    while not (answer := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return answer


def listed(terminal: Terminal, letter: Source, *options: str) -> list[Any]:
    items = terminal.cash("dead-letters", "list", "--json", "--topic", letter.topic, *options).json["items"]
    return [item for item in items if item["id"] == str(letter)]


def appears(terminal: Terminal, letter: Source) -> Any:
    (item,) = until(lambda: listed(terminal, letter))
    return item


def test_a_mended_defects_dead_letter_is_looked_at_replayed_and_recorded_once(
    terminal: Terminal, stack: LocalStack
) -> None:
    user_id = uuid4()
    letter = asyncio.run(
        let_fail(stack, user_id, a_record(a_submission(user_id, amount="66.60", description="Käse"), user_id))
    )

    item = appears(terminal, letter)
    assert (item["cause"], item["now"], item["attempts"]) == ("defect", "open", 3)
    table = terminal.cash("dead-letters", "list", "--cause", "defect", "--reason", "over 66.60", "--since", "yesterday")
    assert re.search(rf"^{letter} .* defect +open .*ZeroDivisionError: a defect over 66.60", table.out, re.MULTILINE)
    counts = terminal.cash("dead-letters", "list", "--by", "reason", "--json").json["items"]
    assert {"ledger.submissions"} == {each["topic"] for each in counts if "over 66.60" in each["reason"]}
    shown = terminal.cash("dead-letters", "show", str(letter))
    assert '"description": "Käse"' in shown.out
    assert f"cash dead-letters replay {letter}" in shown.out

    asked = terminal.cash("dead-letters", "replay", str(letter), lines="no\n")
    assert (asked.code, asked.err) == (ExitCode.FAILED, "error: nothing was sent\n")
    replayed = terminal.cash("dead-letters", "replay", str(letter), lines="yes\n")
    assert (replayed.code, replayed.out.splitlines()[-1]) == (ExitCode.OK, "1 recorded.")
    again = terminal.cash("dead-letters", "replay", str(letter), "--yes")
    assert (again.code, again.out.splitlines()[-1]) == (ExitCode.OK, "1 left alone: recorded or refused before.")
    assert appears(terminal, letter)["now"] == "recorded"
    assert "Nothing is left to do" in terminal.cash("dead-letters", "show", str(letter)).out


def test_a_replay_of_what_is_still_broken_comes_back_and_says_so(terminal: Terminal, stack: LocalStack) -> None:
    (letter,) = asyncio.run(send(stack, [a_broken_record()]))
    appears(terminal, letter)

    replayed = terminal.cash("dead-letters", "replay", str(letter), "--yes", "--json")

    assert replayed.code == ExitCode.FAILED
    assert replayed.json["outcomes"] == {"came back": 1}
    newer = replayed.json["items"][0]["came_back_as"]
    assert appears(terminal, letter)["now"] == "failed again"
    assert f"cash dead-letters show {newer}" in terminal.cash("dead-letters", "show", str(letter)).out
    shown = terminal.cash("dead-letters", "show", newer, "--json").json
    assert (shown["replay_of"], shown["now"]) == (str(letter), "open")
    assert "deadletter_replayof" not in {header["name"] for header in shown["headers"]}


def test_whatever_is_in_a_dead_letter_is_shown_without_harm_and_without_secrets(
    terminal: Terminal, stack: LocalStack
) -> None:
    user_id = uuid4()
    bulk = a_record(a_submission(user_id), user_id, topic=topics.LEDGER_BULK, grant=GRANT)
    rubbish = [
        a_broken_record(b"\x00\xff\x1b[31m" * 100, key=None, headers=[("x", None), ("authorization", b"Bearer hush")]),
        a_broken_record(b'{"password": "hush", "sealed_password_hash": "hush'),
        a_broken_record(b"x" * (1024 * 1024 - 3000)),
    ]
    letters = [*asyncio.run(send(stack, rubbish)), *asyncio.run(send(stack, [bulk]))]
    foreign = a_record(a_submission(user_id), user_id)
    named = Record(foreign.topic, foreign.key, b"{", [*foreign.headers, (Latin1Name("Straße"), b"1")])
    asyncio.run(send_batch(settings_from(stack.environment("operator"), KafkaSettings), [named]))
    key = str(a_submission(user_id).subject_id)

    for letter in letters:
        appears(terminal, letter)
        for options in ((), ("--json",)):
            shown = terminal.cash("dead-letters", "show", str(letter), *options)
            assert shown.code == ExitCode.OK
            assert "hush" not in shown.out
            assert GRANT not in shown.out
            assert "\x00" not in shown.out
    assert "eyJhbG… (101 letters)" in terminal.cash("dead-letters", "show", str(letters[-1])).out
    newest = terminal.cash("dead-letters", "list", "--topic", "ledger.submissions", "--json").json["items"]
    outputs = [terminal.cash("dead-letters", "show", item["id"]).out for item in newest[:3]]
    assert any(key in each and r"Stra\xdfe" in each for each in outputs)


def test_an_id_that_is_none_is_told_apart_from_one_that_is_not_there(terminal: Terminal) -> None:
    for words, code, sentence in (
        (("show", "three"), ExitCode.USAGE, "it looks like ledger.submissions/3/41"),
        (("show", "ledger.journal/0/1"), ExitCode.USAGE, "ledger.journal has no dead letters"),
        (("show", "ledger.bulk/0/987654321"), ExitCode.NOT_FOUND, "there is no dead letter"),
        (("replay",), ExitCode.USAGE, "or say --all"),
        (("replay", "--all", "ledger.bulk/0/1"), ExitCode.USAGE, "or say --all"),
        (("replay", "ledger.bulk/0/1", "--cause", "defect"), ExitCode.USAGE, "go with --all"),
        (("list", "--since", "someday"), ExitCode.USAGE, "is not a day"),
    ):
        ended = terminal.cash("dead-letters", *words)
        assert (ended.code, sentence in ended.err) == (code, True), ended


def test_jobs_are_listed_with_their_last_runs_and_can_be_run_now(terminal: Terminal) -> None:
    ran = terminal.cash("job", "run", "tidy")
    assert (ran.code, ran.err) == (ExitCode.OK, "")
    assert re.fullmatch(r"tidy: done, in \d+\.\d\d s\.\n", ran.out)

    jobs = {each["name"]: each for each in terminal.cash("jobs", "--json").json["items"]}
    assert set(jobs) == {"check_books", "expire", "send_due_mail", "tidy"}
    assert (jobs["tidy"]["every"], jobs["tidy"]["last"]["outcome"]) == ("60 s", "done")
    assert re.search(r"^tidy +60 s +\d+ s ago +\d\.\d\d s +done +in \d+ s$", terminal.cash("jobs").out, re.MULTILINE)
    assert "done" in terminal.cash("job", "show", "Tidy").out

    unknown = terminal.cash("job", "run", "tydi")
    assert unknown.code == ExitCode.NOT_FOUND
    assert "check_books, expire, send_due_mail, tidy" in unknown.err


def test_what_waits_is_a_line_each_and_so_is_a_server_that_does_not_answer(terminal: Terminal) -> None:
    topic_names = [topic.name for topic in topics.SUBMISSION_TOPICS]
    seen = terminal.cash("queues", "--json").json
    names = ["jobs", *topic_names, "outbox (users)", "mails", "outbox (ledger)"]
    assert [each["name"] for each in seen["items"]] == names
    assert all(isinstance(each["waiting"], int) for each in seen["items"])
    assert len(seen["partitions"]) == 36
    assert re.search(r"^ledger.submissions +11 ", terminal.cash("queues", "--partitions").out, re.MULTILINE)

    for server, settings in NOWHERE.items():
        away = terminal.cash("queues", **settings)
        assert away.code == ExitCode.OK
        assert f"{server} does not answer" in away.out
        assert "hush" not in away.out + away.err


@pytest.mark.parametrize(
    ("words", "server"),
    [(("dead-letters", "list"), "Kafka"), (("jobs",), "Redis"), (("job", "run", "tidy"), "Redis")],
    ids=" ".join,
)
def test_a_server_that_is_away_is_one_sentence_without_a_secret(
    terminal: Terminal, words: tuple[str, ...], server: str
) -> None:
    ended = terminal.cash(*words, **NOWHERE[server])

    assert (ended.code, ended.out) == (ExitCode.UNREACHABLE, "")
    assert ended.err.startswith(f"error: {server} does not answer")
    assert "hush" not in ended.err
    assert ended.err.count("\n") == 1


def test_a_kafka_that_refuses_is_told_from_one_that_is_away(terminal: Terminal, stack: LocalStack) -> None:
    importer = {**stack.environment("importer"), "CASH_KAFKA_SASL_PASSWORD": "hush-kafka"}
    ended = terminal.cash("dead-letters", "list", **importer)
    shown = terminal.cash("queues", **importer)

    assert (ended.code, ended.out) == (ExitCode.REFUSED, "")
    assert ended.err.startswith("error: Kafka refuses the sign-in of the user importer: ")
    assert "Kafka refuses the sign-in of the user importer" in shown.out
    assert "hush" not in ended.err + shown.out + shown.err


def test_a_missing_setting_is_named_and_none_at_all_says_how_to_start(terminal: Terminal, tmp_path: Path) -> None:
    missing = terminal.cash("jobs", CASH_REDIS_HOST="127.0.0.1")
    assert (missing.code, "CASH_REDIS_PASSWORD" in missing.err) == (ExitCode.USAGE, True)
    for words in (("jobs",), ("queues",), ("dead-letters", "list")):
        ended = terminal.cash(*words, CASH_HOME=str(tmp_path / "none"))
        assert (ended.code, "start it with `cash up -d`" in ended.err) == (ExitCode.NOT_READY, True)


def test_what_became_of_dead_letters_is_not_known_without_the_database(terminal: Terminal) -> None:
    ended: Ended = terminal.cash(
        "dead-letters", "list", "--cause", "defect", "--json", **NOWHERE["the ledger database"]
    )

    assert {item["now"] for item in ended.json["items"]} <= {"not known", "failed again"}


def test_watching_goes_on_in_place_until_ctrl_c(terminal: Terminal) -> None:
    with terminal.screen("queues", "--watch", "--every", "0.5", TERM="xterm", COLUMNS="100", LINES="30") as screen:
        shown = screen.wait_for(r"(?s)Ctrl-C ends.*Ctrl-C ends")
        screen.interrupt()
        screen.wait_for_end()

    assert screen.process.returncode == ExitCode.OK
    assert "outbox (ledger)" in shown


def test_watching_for_programs_is_a_line_a_look(terminal: Terminal) -> None:
    with terminal.screen("queues", "--watch", "--every", "0.5", "--json") as screen:
        shown = screen.wait_for(r"(?s)\n\{.*\n")
        screen.interrupt()
        screen.wait_for_end()

    assert len(json.loads(shown.splitlines()[0])["items"]) == 7
