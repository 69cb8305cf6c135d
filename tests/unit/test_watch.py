"""`cash watch`: what its lines say, and how it connects again. No network in between."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.books import watch as watch_module
from cli.books.ledger_choice import Ledger
from cli.books.watch import follow
from cli.connection import client as client_module
from cli.connection.client import Client
from cli.connection.credentials import Credentials, PrivateFile
from cli.connection.servers import Server
from cli.terminal.output import ExitCode, Failure
from tests.unit.test_client import a_problem, a_refresh, a_session

URL = "http://cash.test"
BOOKS = Ledger("l", "Personal", "EUR", "Europe/Berlin")
CASH, GROCERIES, FOOD = "0000000c-0000", "0000000f-0000", "0000000e-0000"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAUSES_S", ())
    monkeypatch.setattr(watch_module, "_PAUSE_S", 0.0)


class Parts(httpx.SyncByteStream):
    """An answer that goes on, and then ends or breaks."""

    def __init__(self, parts: Sequence[str], error: Exception | None = None) -> None:
        self._parts = parts
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from (part.encode() for part in self._parts)
        if self._error:
            raise self._error


def a_stream(*parts: str, error: Exception | None = None) -> httpx.Response:
    return httpx.Response(
        200, headers={"content-type": "text/event-stream"}, stream=Parts(["retry: 0\n\n", *parts], error)
    )


def an_event(number: int, name: str = "ledger.changed", /, **fields: Any) -> str:
    entry = {"type": name, "sequence": number, "user_id": "u", "recorded_at": "2026-03-02T12:00:00Z", **fields}
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(entry)}\n\n"


def an_end(reason: str) -> str:
    return f"event: end\ndata: {json.dumps({'reason': reason, 'detail': 'You are a member no more.'})}\n\n"


class Gateway:
    """Answers one request for the stream after another as told, and knows accounts and members."""

    def __init__(self, steps: Sequence[httpx.Response | BaseException]) -> None:
        self.steps = list(steps)
        self.asked: list[str | None] = []
        self.tokens: list[str] = []
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        self.paths.append(path)
        match path:
            case "/ledgers/l/accounts":
                accounts = [{"id": CASH, "name": "Cash"}, {"id": GROCERIES, "name": "Groceries"}]
                return httpx.Response(200, json={"items": accounts})
            case "/ledgers/l/members":
                return httpx.Response(200, json={"items": [{"user_id": "b", "username": "bob"}]})
            case "/sessions/refresh":
                return a_refresh(2)
        assert path == "/ledgers/l/events"
        self.asked.append(request.headers.get("Last-Event-ID"))
        self.tokens.append(request.headers["Authorization"])
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step


ClientOf = Callable[..., tuple[Client, Gateway]]


@pytest.fixture
def client_of(tmp_path: Path) -> ClientOf:
    def make(*steps: httpx.Response | BaseException, expires_in_s: float = 900) -> tuple[Client, Gateway]:
        gateway = Gateway(steps)
        file = PrivateFile(tmp_path / "credentials.json")
        with file.changing(Credentials) as credentials:
            credentials.at(URL).session = a_session(expires_in_s=expires_in_s)
        return Client(Server(URL), file, transport=httpx.MockTransport(gateway)), gateway

    return make


def ids(client: Client, count: int, since: int | None = None) -> list[str]:
    following = follow(client, BOOKS, since)
    return [next(following).id for _ in range(count)]


@pytest.mark.parametrize(
    "cut",
    [
        a_stream(an_event(5), an_event(6), ": the gateway stops\n\n"),
        a_stream(an_event(5), an_event(6), an_event(7)[:-1], error=httpx.ReadError("cut")),
        a_stream(an_event(5), an_event(6), error=httpx.ReadTimeout("silent")),
    ],
    ids=["ended", "cut", "silent"],
)
def test_it_connects_again_and_goes_on_where_it_was(client_of: ClientOf, cut: httpx.Response) -> None:
    client, gateway = client_of(cut, a_stream(an_event(7)))

    assert ids(client, 3, since=4) == ["5", "6", "7"]
    assert gateway.asked == ["4", "6"]


def test_cut_before_the_first_event_it_goes_on_from_where_the_stream_began(client_of: ClientOf) -> None:
    client, gateway = client_of(a_stream("id: 57\n\n", error=httpx.ReadError("cut")), a_stream(an_event(58)))

    assert ids(client, 1) == ["58"]
    assert gateway.asked == [None, "57"]


def test_while_nobody_answers_it_tries_again_and_says_so_once(
    client_of: ClientOf, capsys: pytest.CaptureFixture[str]
) -> None:
    away = [httpx.ConnectError("refused"), a_problem(503), httpx.ReadTimeout("slow")]
    client, gateway = client_of(a_stream(an_event(5), error=httpx.ReadError("cut")), *away, a_stream(an_event(6)))

    assert ids(client, 2) == ["5", "6"]
    assert gateway.asked == [None, "5", "5", "5", "5"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0] == "Watching Personal; Ctrl-C ends this."
    assert "lost" in said[1]
    assert said[2] == "Connected again."


def test_what_was_never_there_is_not_waited_for(client_of: ClientOf) -> None:
    client, _ = client_of(httpx.ConnectError("refused"))

    with pytest.raises(Failure) as failed:
        ids(client, 1)
    assert failed.value.code == ExitCode.UNREACHABLE


def test_an_expired_token_is_renewed_at_once(client_of: ClientOf) -> None:
    client, gateway = client_of(a_stream(an_event(5), an_end("token_expired")), a_problem(401), a_stream(an_event(6)))

    assert ids(client, 2) == ["5", "6"]
    assert gateway.tokens == ["Bearer access-1", "Bearer access-1", "Bearer access-2"]
    assert gateway.asked == [None, "5", "5"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("not_a_member", ExitCode.NOT_FOUND),
        ("session_ended", ExitCode.NOT_SIGNED_IN),
        ("journal_broken", ExitCode.FAILED),
        ("something_new", ExitCode.FAILED),
    ],
)
def test_what_is_over_ends_with_what_the_server_says(client_of: ClientOf, reason: str, code: ExitCode) -> None:
    client, gateway = client_of(a_stream(an_event(5), an_end(reason)))

    with pytest.raises(Failure) as failed:
        ids(client, 2)
    assert (str(failed.value), failed.value.code) == ("you are a member no more", code)
    assert gateway.asked == [None]


@pytest.mark.parametrize(("status", "code"), [(404, ExitCode.NOT_FOUND), (400, ExitCode.REFUSED)])
def test_a_refusal_ends_it_also_when_it_connects_again(client_of: ClientOf, status: int, code: ExitCode) -> None:
    client, _ = client_of(a_stream(an_event(5)), a_problem(status, detail="No."))

    with pytest.raises(Failure) as failed:
        ids(client, 2)
    assert failed.value.code == code


@pytest.fixture
def shown(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def show(*events: str, json: bool = False) -> str:
        client, _ = client_of(a_stream(*events), KeyboardInterrupt())  # somebody presses Ctrl-C
        monkeypatch.setattr(watch_module, "connect", lambda _: client_in(client))
        monkeypatch.setattr(watch_module, "chosen_ledger", lambda *_: BOOKS)
        watch_module.watch(json=json)
        return capsys.readouterr().out

    return show


class client_in:  # noqa: N801  # stands in for a function
    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> Client:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()


def a_transaction(number: int, amount: str = "24.47", **fields: Any) -> str:
    posting = {"source_account_id": CASH, "destination_account_id": GROCERIES, "amount": amount, "currency": "EUR"}
    usual = {"kind": "expense", "revision": 1, "description": "Weekly shop", "payee": None, "postings": [posting]}
    return an_event(number, "transaction.recorded", **usual | fields)


def test_a_line_says_when_who_what_and_how_much(shown: Callable[..., str]) -> None:
    out = shown(a_transaction(5), a_transaction(6, user_id="b", payee="Market"))

    assert out.splitlines() == [
        "2026-03-02 13:00:00  ann  recorded expense 24.47 EUR Weekly shop  (Cash → Groceries)",
        "2026-03-02 13:00:00  bob  recorded expense 24.47 EUR Market · Weekly shop  (Cash → Groceries)",
    ]


def test_splits_are_added_up_and_of_an_exchange_both_sides_are_told(shown: Callable[..., str]) -> None:
    def posting(source: str, destination: str, amount: str, currency: str = "EUR") -> dict[str, str]:
        return {
            "source_account_id": source,
            "destination_account_id": destination,
            "amount": amount,
            "currency": currency,
        }

    splits = [posting(CASH, GROCERIES, "4.40"), posting(CASH, FOOD, "5.60")]
    exchange = [posting(CASH, FOOD, "10.00"), posting(FOOD, GROCERIES, "11.50", "USD")]
    out = shown(
        an_event(3, "account.opened", account_id=FOOD, name="Food", kind="expense"),
        a_transaction(5, postings=splits),
        a_transaction(6, kind="exchange", postings=exchange),
    ).splitlines()

    assert out[1].endswith("recorded expense 10.00 EUR Weekly shop  (Cash → Groceries, Food)")
    assert out[2].endswith("recorded exchange 10.00 EUR Weekly shop  (Cash → Groceries 11.50 USD)")


def test_half_of_a_change_is_no_line(shown: Callable[..., str]) -> None:
    posting = {"source_account_id": GROCERIES, "destination_account_id": CASH, "amount": "3.00", "currency": "EUR"}
    out = shown(
        an_event(5, "transaction.reversed", deleted=False, postings=[posting]),
        a_transaction(6, revision=2),
        an_event(7, "transaction.reversed", deleted=True, postings=[posting]),
    ).splitlines()

    assert len(out) == 2
    assert "changed to 24.47 EUR" in out[0]
    assert "deleted 3.00 EUR" in out[1]


def test_what_nobody_knows_the_name_of_is_told_by_its_id(shown: Callable[..., str]) -> None:
    posting = {"source_account_id": CASH, "destination_account_id": "deadbeef-1", "amount": "1.00", "currency": "EUR"}

    assert "(Cash → deadbeef)" in shown(a_transaction(5, user_id="cafecafe-1", postings=[posting]))


def test_an_entry_of_a_kind_this_version_does_not_know_is_a_line_too(shown: Callable[..., str]) -> None:
    assert shown(an_event(5, "budget.exceeded")).splitlines() == ["2026-03-02 13:00:00  ann  budget.exceeded"]


def test_a_stored_text_cannot_steer_the_terminal(shown: Callable[..., str]) -> None:
    assert "\x1b" not in shown(a_transaction(5, description="\x1b[2J"))


def test_for_programs_each_line_is_an_entry(shown: Callable[..., str]) -> None:
    out = shown(a_transaction(5, description="für\u2028mich"), an_event(6), json=True)

    entries = [json.loads(line) for line in out.split("\n") if line]
    assert [entry["sequence"] for entry in entries] == [5, 6]
    assert entries[0]["postings"][0]["amount"] == "24.47"
    assert entries[0]["description"] == "für\u2028mich"
