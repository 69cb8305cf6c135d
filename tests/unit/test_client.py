"""The HTTP client of the commands: retries, tokens, and problems as sentences. No network in between."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.connection import client as client_module
from cli.connection.client import Client, Refused, Unanswered
from cli.connection.credentials import Credentials, PrivateFile, Session
from cli.connection.servers import Server
from cli.terminal.output import ExitCode, Failure

URL = "http://cash.test"
Step = httpx.Response | Exception


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(client_module, "_LONGEST_PAUSE_S", 0.0)


class Script:
    """Answers requests one by one as told and keeps them; the last answer is given for ever."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return httpx.Response(step.status_code, headers=step.headers, content=step.content)


ClientOf = Callable[..., tuple[Client, Script]]


@pytest.fixture
def client_of(tmp_path: Path) -> ClientOf:
    def make(*steps: Step, local: bool = False, session: Session | None = None) -> tuple[Client, Script]:
        script = Script(steps)
        file = PrivateFile(tmp_path / "credentials.json")
        with file.changing(Credentials) as credentials:
            credentials.at(URL).session = session
        return Client(Server(URL, local=local), file, transport=httpx.MockTransport(script)), script

    return make


def a_session(*, expires_in_s: float = 900, access: str = "access-1", refresh: str = "refresh-1") -> Session:
    return Session(
        session_id="s",
        user_id="u",
        username="ann",
        ledger_id="l",
        base_currency="EUR",
        time_zone="UTC",
        access_token=access,
        access_expires_at=datetime.now(UTC) + timedelta(seconds=expires_in_s),
        refresh_token=refresh,
    )


def a_refresh(number: int) -> httpx.Response:
    return httpx.Response(
        200,
        json={
            "access_token": f"access-{number}",
            "token_type": "Bearer",
            "expires_in": 900,
            "refresh_token": f"refresh-{number}",
            "session_id": "s",
            "user": {"id": "u", "username": "ann", "ledger_id": "l", "base_currency": "EUR", "time_zone": "UTC"},
        },
    )


def a_problem(status: int, *, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    problem = {"type": "about:blank", "title": "A title", "status": status, **members}
    return httpx.Response(status, headers={"content-type": "application/problem+json", **(headers or {})}, json=problem)


OK = httpx.Response(200, json={"done": True})


@pytest.mark.parametrize(
    "lost",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
        a_problem(503, headers={"Retry-After": "2"}),
        httpx.Response(502, text="<html>"),
    ],
    ids=["refused", "timeout", "cut", "unavailable", "proxy"],
)
def test_a_lost_answer_is_asked_for_again_under_the_same_key(client_of: ClientOf, lost: Step) -> None:
    client, script = client_of(lost, lost, OK)

    assert client.call("POST", "/registrations", body={}, signed_in=False).body == {"done": True}
    keys = {request.headers["Idempotency-Key"] for request in script.requests}
    assert len(script.requests) == 3
    assert len(keys) == 1


def test_a_chosen_key_is_sent(client_of: ClientOf) -> None:
    client, script = client_of(OK)

    client.call("POST", "/transactions", body={}, key="mine", signed_in=False, wait=True)
    assert script.requests[0].headers["Idempotency-Key"] == "mine"
    assert script.requests[0].headers["Prefer"] == "wait=10"


@pytest.mark.parametrize("lost", [httpx.ReadTimeout("slow"), a_problem(503, detail="Try again in a moment.")])
def test_tries_are_bounded_and_the_outcome_is_then_unknown(client_of: ClientOf, lost: Step) -> None:
    client, script = client_of(lost)

    with pytest.raises(Unanswered) as unanswered:
        client.call("POST", "/transactions", body={}, signed_in=False)
    assert unanswered.value.code is ExitCode.UNREACHABLE
    assert len(script.requests) == 4


def test_a_request_that_may_have_arrived_before_the_server_died_has_an_unknown_outcome(client_of: ClientOf) -> None:
    client, _ = client_of(httpx.ReadError("cut"), httpx.ConnectError("refused"), local=True)

    with pytest.raises(Unanswered):
        client.call("POST", "/transactions", body={}, signed_in=False)


@pytest.mark.parametrize(("local", "code"), [(True, ExitCode.NOT_READY), (False, ExitCode.UNREACHABLE)])
def test_a_server_that_is_not_there_says_what_to_do(client_of: ClientOf, local: bool, code: ExitCode) -> None:
    client, _ = client_of(httpx.ConnectError("refused"), local=local)

    with pytest.raises(Failure, match="cash up" if local else "check the address") as failure:
        client.call("GET", "/accounts", signed_in=False)
    assert failure.value.code is code


@pytest.mark.parametrize(
    ("problem", "code", "sentence"),
    [
        (
            a_problem(
                400,
                detail="Correct amount, date and send it again.",
                errors=[
                    {"field": "amount", "detail": "Send a decimal string."},
                    {"field": "date", "detail": "Send a day."},
                ],
            ),
            ExitCode.REFUSED,
            "amount: Send a decimal string. date: Send a day",
        ),
        (a_problem(400, errors=[{"field": "", "detail": "Send JSON."}]), ExitCode.REFUSED, "Send JSON"),
        (
            a_problem(422, code="amount_too_precise", detail="EUR has 2 decimals.", errors=[{"field": "amount"}]),
            ExitCode.REFUSED,
            "EUR has 2 decimals",
        ),
        (a_problem(404, detail="No such transaction."), ExitCode.NOT_FOUND, "No such transaction"),
        (a_problem(401, detail="Wrong username or password."), ExitCode.NOT_SIGNED_IN, "Wrong username or password"),
        (
            a_problem(429, detail="Too many tries. Wait 9 seconds.", headers={"Retry-After": "9"}),
            ExitCode.REFUSED,
            "Too many tries. Wait 9 seconds",
        ),
        (a_problem(500, detail="Our fault.", trace_id="abc"), ExitCode.FAILED, "Our fault; report it with trace abc"),
        (a_problem(405), ExitCode.REFUSED, "A title"),
    ],
)
def test_a_problem_becomes_one_sentence_and_an_exit_code(
    client_of: ClientOf, problem: httpx.Response, code: ExitCode, sentence: str
) -> None:
    client, _ = client_of(problem)

    with pytest.raises(Refused) as refused:
        client.call("GET", "/accounts", signed_in=False)
    assert (str(refused.value), refused.value.code) == (sentence, code)
    assert refused.value.refusal == json.loads(problem.content).get("code")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>hello"),
        httpx.Response(404, text="not here"),
        httpx.Response(302, headers={"Location": "https://login.test"}),
        httpx.Response(400, json=["?"]),
    ],
)
def test_an_answer_of_something_else_names_the_address(client_of: ClientOf, answer: httpx.Response) -> None:
    client, _ = client_of(answer)

    with pytest.raises(Failure, match=f"{URL} does not answer like cash-flow"):
        client.call("GET", "/accounts", signed_in=False)


def test_who_is_not_signed_in_hears_how_to(client_of: ClientOf) -> None:
    client, script = client_of(OK)

    with pytest.raises(Failure, match="cash login") as failure:
        client.call("GET", "/accounts")
    assert failure.value.code is ExitCode.NOT_SIGNED_IN
    assert script.requests == []


def test_a_good_token_is_sent_as_it_is(client_of: ClientOf) -> None:
    client, script = client_of(OK, session=a_session())

    client.call("GET", "/accounts")
    assert [request.headers["Authorization"] for request in script.requests] == ["Bearer access-1"]


def test_an_expired_token_is_renewed_first_and_remembered(client_of: ClientOf) -> None:
    client, script = client_of(a_refresh(2), OK, session=a_session(expires_in_s=5))

    client.call("GET", "/accounts")
    assert json.loads(script.requests[0].content) == {"refresh_token": "refresh-1"}
    assert script.requests[1].headers["Authorization"] == "Bearer access-2"
    assert client.remembered_session().refresh_token == "refresh-2"


def test_a_token_the_server_refuses_is_renewed_once(client_of: ClientOf) -> None:
    client, script = client_of(a_problem(401), a_refresh(2), OK, session=a_session())

    assert client.call("POST", "/transactions", body={"amount": "1"}).status == 200
    assert [request.url.path for request in script.requests] == [
        "/api/v1/transactions",
        "/api/v1/sessions/refresh",
        "/api/v1/transactions",
    ]
    assert script.requests[0].headers["Idempotency-Key"] == script.requests[2].headers["Idempotency-Key"]


def test_a_session_that_is_over_is_forgotten(client_of: ClientOf) -> None:
    client, _ = client_of(a_problem(401), a_problem(401, code="refresh_reused"), session=a_session())

    with pytest.raises(Failure, match="the session is over; sign in again") as failure:
        client.call("GET", "/accounts")
    assert failure.value.code is ExitCode.NOT_SIGNED_IN
    assert client.file.read(Credentials).at(URL).session is None


def test_a_session_is_kept_when_it_only_could_not_be_renewed_now(client_of: ClientOf) -> None:
    client, _ = client_of(a_problem(503), session=a_session(expires_in_s=-5))

    with pytest.raises(Unanswered):
        client.call("GET", "/accounts")
    assert client.remembered_session().refresh_token == "refresh-1"


def test_a_renewal_the_server_could_not_decide_is_tried_again_at_once(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(client_module, "_LONGEST_PAUSE_S", 5.0)
    monkeypatch.setattr("cli.connection.client.time.sleep", pauses.append)
    busy = a_problem(503, headers={"Retry-After": "2"})
    client, _ = client_of(busy, a_refresh(2), OK, session=a_session(expires_in_s=5))

    assert client.call("GET", "/accounts").status == 200
    assert pauses == [0.0]


def test_a_token_another_command_renewed_meanwhile_is_used(client_of: ClientOf) -> None:
    client, script = client_of(a_problem(401), OK, session=a_session())
    refusing = script.steps[0]

    def renew_elsewhere(request: httpx.Request) -> httpx.Response:
        if not script.requests:
            with client.file.changing(Credentials) as credentials:
                credentials.at(URL).session = a_session(access="access-9", refresh="refresh-9")
        return script(request)

    assert isinstance(refusing, httpx.Response)
    client._http = httpx.Client(base_url=URL, transport=httpx.MockTransport(renew_elsewhere))
    client.call("GET", "/accounts")
    assert script.requests[-1].headers["Authorization"] == "Bearer access-9"
    assert all(request.url.path == "/api/v1/accounts" for request in script.requests)
