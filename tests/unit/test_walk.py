"""The walk (``cash test``) without a server: what is asked again, what a lost answer means, where it ends."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.connection.client import Client
from cli.terminal.output import ExitCode
from tests.builders.api import LEDGER, USER, Api, a_change, a_page, a_problem, a_transaction, an_api

SIGNED_IN = {
    "access_token": "a",
    "expires_in": 900,
    "refresh_token": "r",
    "session_id": "memory",
    "user": {
        "id": USER,
        "username": "ann",
        "ledger_id": LEDGER,
        "base_currency": "EUR",
        "time_zone": "Europe/Berlin",
    },
}
LOG_IN = "1\nann\ncorrect horse\n"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(Client, "greet", lambda _: None)
    with an_api(tmp_path) as api:
        api.on("POST", "/sessions", SIGNED_IN).on("DELETE", "/sessions/memory", None)
        yield api


def test_a_wrong_choice_is_explained_and_asked_again(api: Api) -> None:
    ended = api.cash("test", lines="\n7\nlogin\n3\n")

    assert ended.code == ExitCode.OK
    assert ended.out.count("Enter your choice [1/2/3]: ") == 4
    assert "type one of 1, 2, 3" in ended.err
    assert "'7' is none of 1, 2, 3" in ended.err
    assert "Good-bye." in ended.out


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("-5", "'-5' is not above zero"),
        ("0", "'0' is not above zero"),
        ("1,234", "two ways"),
        ("much", "not an amount"),
        ("5 XXX", "is not one currency"),
    ],
)
def test_a_bad_amount_is_asked_again(api: Api, typed: str, reason: str) -> None:
    api.on("POST", "transactions", a_transaction())
    ended = api.cash("test", lines=f"{LOG_IN}2\n1\n{typed}\n1,234.50 usd\nFood\n\nyesterday\n")

    assert reason in ended.err
    assert "Transaction created successfully" in ended.out
    (_, body) = api.sent("POST")
    assert (body["amount"], body["currency"], body["category"]) == ("1234.50", "USD", "Food")
    assert "description" not in body


def test_nothing_typed_goes_back_to_the_menu_and_now_is_left_to_the_server(api: Api) -> None:
    api.on("POST", "transactions", a_transaction())
    ended = api.cash("test", lines=f"{LOG_IN}2\n1\n\n1\n5\nFood\nmilk\n\n")

    assert "Back to the menu." in ended.out
    (_, body) = api.sent("POST")
    assert body == {"amount": "5", "category": "Food", "description": "milk"}


def test_a_lost_answer_is_asked_for_again_under_the_same_key(api: Api) -> None:
    api.on("POST", "transactions", httpx.ReadTimeout(""), a_transaction())
    ended = api.cash("test", lines=f"{LOG_IN}2\n1\n5\nFood\n\n\ny\n")

    keys = [request.headers["Idempotency-Key"] for request in api.requests if request.url.path.endswith("transactions")]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert "whether it was recorded is not known" in ended.err
    assert "Transaction created successfully" in ended.out


def test_a_refused_transaction_is_corrected_with_what_was_typed_before(api: Api) -> None:
    api.on("POST", "transactions", a_problem(422, "Dates are from 1900 to 2200."), a_transaction())
    ended = api.cash("test", lines=f"{LOG_IN}2\n1\n5\nFood\nmilk\n1800-01-01\ny\n\n\n\n2026-01-01\n")

    assert "Dates are from 1900 to 2200." in ended.err
    assert "Enter the amount (5): " in ended.out
    (_, _, body) = api.sent("POST")
    assert body == {"amount": "5", "category": "Food", "description": "milk", "date": "2026-01-01"}


def test_only_what_was_changed_is_sent(api: Api) -> None:
    found = a_transaction()
    api.on("GET", f"transactions/{found['id']}", found).on("PATCH", f"transactions/{found['id']}", a_transaction())
    ended = api.cash("test", lines=f"{LOG_IN}2\n4\n{found['id']}\n25\n\n\n\n4\n{found['id']}\n\n\n\n\n")

    assert api.sent("PATCH") == [{"amount": "25"}]
    assert "Nothing was changed." in ended.out


def test_pages_are_turned_forth_and_back(api: Api) -> None:
    first, second = a_page(*[a_transaction()] * 10, next_cursor="c2"), a_page(a_transaction())
    api.on("GET", "transactions", first, second, first)
    ended = api.cash("test", lines=f"{LOG_IN}2\n2\nn\np\nb\n")

    cursors = [request.url.params.get("cursor") for request in api.requests if request.method == "GET"]
    assert cursors == [None, "c2", None]
    assert "Page 2: p = previous, b = back [p/b] (b): p" in ended.out


def test_a_session_that_is_over_leads_back_to_the_start(api: Api) -> None:
    api.on("GET", "/sessions", a_problem(401, "The session is over.")).on(
        "POST", "/sessions/refresh", a_problem(401, "")
    )
    ended = api.cash("test", lines=f"{LOG_IN}1\n3\n3\n")

    assert ended.code == ExitCode.OK
    assert "the session is over" in ended.err
    assert ended.out.count("Please choose an option:") == 2
    assert "Signed out" not in ended.out


def test_leaving_ends_the_session_of_the_walk_and_no_other(api: Api) -> None:
    ended = api.cash("test", lines=f"{LOG_IN}5\n3\n")

    assert [request.url.path for request in api.requests] == ["/api/v1/sessions", "/api/v1/sessions/memory"]
    assert "Signed out; ann's session is over." in ended.out
    assert api.terminal.cash("whoami").code != ExitCode.NOT_SIGNED_IN


def test_a_server_that_cannot_be_told_of_the_end_is_said_to_keep_the_session(api: Api) -> None:
    api.on("DELETE", "/sessions/memory", httpx.ConnectError(""))
    ended = api.cash("test", lines=LOG_IN)

    assert ended.code == ExitCode.OK
    assert "could not be told" in ended.err
    assert ended.out.endswith("Good-bye.\n")


def test_what_others_wrote_does_not_steer_the_terminal(api: Api) -> None:
    api.on("GET", "transactions", a_page(a_transaction(description="\x1b[31mred")))
    ended = api.cash("test", lines=f"{LOG_IN}2\n2\n")

    assert "\\x1b[31mred" in ended.out


def test_without_a_stack_or_a_server_it_says_what_to_do(tmp_path: Path) -> None:
    with an_api(tmp_path) as api:
        away = api.terminal.cash("test")
        none = api.terminal.cash("test", "-e", "local")

    assert (away.code, none.code) == (ExitCode.UNREACHABLE, ExitCode.NOT_READY)
    assert "does not answer" in away.err
    assert "cash up -d" in none.err


def test_servers_behind_another_address_are_not_taken_for_the_local_ones(api: Api) -> None:
    ended = api.cash("test", lines=f"{LOG_IN}4\n1\n2\n3\n4\n6\n")

    assert ended.err.count("are not reached from here") == 4


@pytest.mark.parametrize(
    ("written", "newest", "said"),
    [
        (1, 1, "Your journal comes to exactly what is stored. Entries: 1;"),
        (1, 2, "entry 2 is stored, and the journal does not bring it"),
        (0, 0, "Your books are empty"),
    ],
)
def test_the_journal_is_held_against_what_is_stored(api: Api, written: int, newest: int, said: str) -> None:
    entry = {"type": "ledger.opened", "sequence": 1, "user_id": USER}
    event = f"id: 1\nevent: ledger.opened\ndata: {json.dumps(entry)}\n\n" * written
    api.on("GET", "events", httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=event))
    api.on("GET", "changes", a_page(*[a_change(newest)] * bool(newest))).on("GET", "transactions", a_page())
    api.on("GET", "balances", a_page()).on("GET", "members", a_page({"user_id": USER}))

    ended = api.cash("test", lines=f"{LOG_IN}3\n3\n")

    assert said in ended.out + ended.err
    assert ("Stored and journal agree" in ended.out) is (written == newest)


def test_a_token_that_has_expired_is_renewed_in_memory_and_what_is_remembered_stays(api: Api) -> None:
    remembered = (Path(api.terminal.environment["CASH_CONFIG_HOME"]) / "credentials.json").read_text()
    renewed = {**SIGNED_IN, "access_token": "b", "refresh_token": "s"}
    api.on("POST", "/sessions", {**SIGNED_IN, "expires_in": 0}).on("POST", "/sessions/refresh", renewed)
    api.on("GET", "/sessions", {"items": []})
    ended = api.cash("test", lines=f"{LOG_IN}1\n3\n3\n")

    assert ended.code == ExitCode.OK
    bearers = [request.headers.get("Authorization") for request in api.requests if request.method != "POST"]
    assert bearers == ["Bearer b"] * 3
    assert [request.url.path.rpartition("/")[2] for request in api.requests].count("refresh") == 1
    assert (Path(api.terminal.environment["CASH_CONFIG_HOME"]) / "credentials.json").read_text() == remembered
