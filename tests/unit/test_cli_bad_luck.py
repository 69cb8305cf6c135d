"""What a command says when the server is another one than it should be, or the clocks differ."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.connection.credentials import Credentials, PrivateFile
from cli.terminal.output import ExitCode
from infra.version import own_version
from tests.builders.api import URL, Api, a_page, a_problem, a_transaction, an_api

VERSION = "Cash-Flow-Version"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Give an API at which somebody is signed in."""
    with an_api(tmp_path) as api:
        yield api


def a_renewed_session() -> dict[str, Any]:
    return {
        "access_token": "b",
        "expires_in": 900,
        "refresh_token": "s",
        "session_id": "s",
        "user": {
            "id": "99999999-9999-9999-9999-999999999999",
            "username": "ann",
            "ledger_id": "11111111-1111-1111-1111-111111111111",
            "base_currency": "EUR",
            "time_zone": "Europe/Berlin",
        },
    }


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"hello": "world"}),
        httpx.Response(200, json=["x"]),
        httpx.Response(200, json={"items": [{"unknown": 1}], "next_cursor": None}),
        httpx.Response(200, html="<html>Welcome</html>"),
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(404, text="404 page not found"),
        httpx.Response(405, html="<html>nginx</html>"),
        httpx.Response(204),
    ],
    ids=["an object", "a list", "other items", "a page", "another API", "a router", "a web server", "nothing"],
)
def test_whatever_else_answers_there_is_told_in_a_sentence(api: Api, answer: httpx.Response) -> None:
    api.on("GET", "transactions", answer)

    ended = api.cash("tx", "list")

    assert ended.code == ExitCode.FAILED
    assert f"{URL} does not answer like cash-flow" in ended.err
    assert ended.out == ""


def test_an_address_that_sends_elsewhere_says_where(api: Api) -> None:
    moved = httpx.Response(301, headers={"Location": "https://cash.example.org/api/v1"})
    api.on("GET", "transactions", moved)

    assert "it sends us to https://cash.example.org/api/v1" in api.cash("tx", "list").err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(200, headers={VERSION: "9.9.9"}, json={"things": []}), ExitCode.FAILED),
        (httpx.Response(404, headers={VERSION: "9.9.9"}, json={"title": "Not found"}), ExitCode.NOT_FOUND),
        (httpx.Response(400, headers={VERSION: "9.9.9"}, json={"title": "Unknown field"}), ExitCode.REFUSED),
    ],
    ids=["another shape", "no such path", "no such field"],
)
def test_a_server_of_another_version_is_told_where_it_is_not_understood(
    api: Api, answer: httpx.Response, code: int
) -> None:
    api.on("GET", "transactions", answer)

    ended = api.cash("tx", "list")

    assert ended.code == code
    assert f"the server is version 9.9.9 and this cash {own_version()}: use the same for both" in ended.err


def test_another_version_that_understands_is_no_matter(api: Api) -> None:
    page = httpx.Response(200, headers={VERSION: "9.9.9"}, json=a_page(a_transaction()))
    api.on("GET", "transactions", page)

    assert api.cash("tx", "list").err == ""


def test_a_refusal_has_nothing_to_do_with_the_version(api: Api) -> None:
    problem = a_problem(422, "The account is closed.", code="account_closed")
    problem.headers[VERSION] = "9.9.9"
    api.on("POST", "transactions", problem)

    assert api.cash("tx", "add", "5", "Food").err == "error: The account is closed\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1000)",
            f"the certificate of {URL} is not good for this machine (certificate has expired); check the address, "
            "and this machine's clock",
        ),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1000)", f"{URL} does not speak https"),
    ],
)
def test_a_wrong_encryption_is_told_at_once(api: Api, error: str, said: str) -> None:
    cause = httpx.ConnectError(error)
    cause.__cause__ = ssl.SSLError(error)
    api.on("GET", "transactions", cause)

    ended = api.cash("tx", "list")

    assert ended.code == ExitCode.UNREACHABLE
    assert said in ended.err
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (timedelta(days=1), "24 hours ahead of the server's"),
        (timedelta(days=-3), "3 days behind the server's"),
        (timedelta(minutes=-20), "20 minutes behind the server's"),
        (timedelta(minutes=2), None),
    ],
)
def test_a_clock_that_differs_from_the_servers_is_told(api: Api, ahead: timedelta, told: str | None) -> None:
    theirs = format_datetime(datetime.now(UTC) - ahead, usegmt=True)
    api.on("GET", "transactions", httpx.Response(200, headers={"Date": theirs}, json=a_page(a_transaction())))

    ended = api.cash("tx", "list")

    assert ended.code == ExitCode.OK
    assert (f"This machine's clock is {told}" in ended.err) if told else not ended.err


@pytest.mark.parametrize("by_our_clock", [timedelta(days=-1), timedelta(days=1)], ids=["in the past", "in the future"])
def test_a_token_is_used_whatever_this_machines_clock_says(api: Api, by_our_clock: timedelta, tmp_path: Path) -> None:
    """The clock was set after the sign-in: the token seems spent and is not, or seems good and is spent."""
    file = PrivateFile(tmp_path / "credentials.json")
    with file.changing(Credentials) as credentials:
        session = credentials.at(URL).session
        assert session
        session.access_expires_at = datetime.now(UTC) + by_our_clock
    api.on("POST", "/sessions/refresh", a_renewed_session())
    spent = a_problem(401, "The token is spent.")
    api.on("GET", "transactions", *([spent] if by_our_clock > timedelta(0) else []), a_page(a_transaction()))

    ended = api.cash("tx", "list")

    assert ended.code == ExitCode.OK
    assert api.requests[-1].headers["Authorization"] == "Bearer b"


def test_who_is_signed_out_at_a_server_named_by_hand_hears_the_whole_command(api: Api) -> None:
    other = "http://other.example.org"

    ended = api.cash("tx", "list", "--url", other)

    assert ended.code == ExitCode.NOT_SIGNED_IN
    assert f"`cash login --url {other}`" in ended.err


def test_a_session_that_is_over_says_how_to_sign_in_again(api: Api) -> None:
    api.on("GET", "transactions", a_problem(401, "No."))
    api.on("POST", "/sessions/refresh", a_problem(401, "No."))

    ended = api.cash("tx", "list")

    assert ended.code == ExitCode.NOT_SIGNED_IN
    assert "the session is over; sign in again with `cash login`" in ended.err
