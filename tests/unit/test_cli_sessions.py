"""Sessions and the password without a server: what is listed, which one is meant, what is asked again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.connection.credentials import Credentials, PrivateFile
from cli.terminal.output import ExitCode
from tests.builders.api import URL, Api, a_problem, an_api, cells

PHONE, LAPTOP = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaab-0000-4000-8000-000000000002"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api


def a_session(identifier: str, client: str, *, current: bool = False) -> dict[str, Any]:
    return {
        "id": identifier,
        "client": client,
        "started_at": "2026-03-30T08:00:00Z",
        "refreshed_at": "2026-03-31T18:30:59Z",
        "expires_at": "2026-04-30T18:30:59Z",
        "current": current,
    }


SESSIONS = {"items": [a_session(PHONE, "cash on phone\x1b[2J"), a_session(LAPTOP, "cash on laptop", current=True)]}


def is_remembered(folder: Path) -> bool:
    file = PrivateFile(folder / "credentials.json")
    return file.read(Credentials).at(URL).session is not None


def test_sessions_are_listed_with_this_one_marked(api: Api) -> None:
    api.on("GET", "/sessions", SESSIONS)

    shown = cells(api.cash("sessions").out)

    assert shown[1:] == [
        ["cash on phone\\x1b[2J", "2026-03-30 08:00", "2026-03-31 18:30", PHONE[:8]],
        ["cash on laptop", "2026-03-30 08:00", "2026-03-31 18:30", "this one", LAPTOP[:8]],
    ]
    assert api.cash("sessions", "--json").json == SESSIONS


@pytest.mark.parametrize("typed", [PHONE, PHONE[:8], PHONE[:8].upper(), "cash on phone\x1b[2J"])
def test_a_session_is_named_by_its_id_or_the_beginning_of_it(api: Api, tmp_path: Path, typed: str) -> None:
    api.on("GET", "/sessions", SESSIONS).on("DELETE", f"/sessions/{PHONE}", None)

    ended = api.cash("session", "end", typed)

    assert (ended.code, ended.out) == (ExitCode.OK, "Ended the session of cash on phone\\x1b[2J.\n")
    assert is_remembered(tmp_path)


def test_ending_this_one_forgets_its_tokens(api: Api, tmp_path: Path) -> None:
    api.on("GET", "/sessions", SESSIONS).on("DELETE", f"/sessions/{LAPTOP}", None)

    assert "signed out here" in api.cash("session", "end", LAPTOP).out
    assert not is_remembered(tmp_path)


def test_all_others_are_ended_until_none_is_listed(api: Api) -> None:
    left = {"items": [SESSIONS["items"][1]]}
    api.on("GET", "/sessions", SESSIONS, left).on("DELETE", f"/sessions/{PHONE}", None)

    assert api.cash("session", "end", "--others").out == "Ended 1 other session.\n"
    assert [request.url.path for request in api.requests if request.method == "DELETE"] == [f"/api/v1/sessions/{PHONE}"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), ExitCode.USAGE, "which session"),
        ((PHONE, "--others"), ExitCode.USAGE, "which session"),
        (("aaaaaaa",), ExitCode.NOT_FOUND, "there is no session"),
        (("bbbbbbbb",), ExitCode.NOT_FOUND, "there is no session"),
    ],
)
def test_what_names_no_session_ends_none(api: Api, words: tuple[str, ...], code: ExitCode, says: str) -> None:
    api.on("GET", "/sessions", SESSIONS)

    ended = api.cash("session", "end", *words)

    assert (ended.code, says in ended.err, ended.err.count("\n")) == (code, True, 1)


def test_the_password_is_changed_by_two_lines(api: Api) -> None:
    api.on("PUT", "/auth/password", None)

    ended = api.cash("password", lines="the old one\nthe new one\n")

    assert (ended.code, ended.err) == (ExitCode.OK, "")
    assert "all others have ended" in ended.out
    assert api.sent("PUT") == [{"current_password": "the old one", "new_password": "the new one"}]
    assert api.cash("password", "--json", lines="the old one\nthe new one\n").json == {
        "username": "ann",
        "changed": True,
    }


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("", ExitCode.USAGE),
        ("the old one\n", ExitCode.USAGE),
        ("the old one\nshort\n", ExitCode.USAGE),
        ("the old one\nthe new one\n", ExitCode.REFUSED),
    ],
)
def test_a_password_that_is_not_changed_is_not_repeated_on_the_screen(api: Api, lines: str, code: ExitCode) -> None:
    api.on("PUT", "/auth/password", a_problem(403, "That is not your current password.", code="password_wrong"))

    ended = api.cash("password", lines=lines)

    assert ended.code == code
    assert ended.err.count("\n") == 1
    assert "the old one" not in ended.err + ended.out
