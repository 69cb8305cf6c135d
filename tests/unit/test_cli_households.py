"""Commands of ledgers, members and invitations without a server: what they ask, and what they show."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.terminal.output import ExitCode
from tests.builders.api import LEDGER, USER, Api, a_page, a_problem, an_api, cells

HOME = "dddddddd-0000-4000-8000-000000000001"
BEN = "88888888-8888-8888-8888-888888888888"
INVITATION = "eeeeeeee-0000-4000-8000-000000000001"
BELOW = f"/ledgers/{HOME}"


def a_ledger(identifier: str, name: str, **fields: Any) -> dict[str, Any]:
    ledger = {"id": identifier, "name": name, "role": "owner", "base_currency": "EUR", "time_zone": "Europe/Berlin"}
    return {**ledger, "default_account": {"id": USER, "name": "Cash"}, **fields}


def a_member(user_id: str, username: str, role: str) -> dict[str, Any]:
    return {"user_id": user_id, "username": username, "role": role, "joined_at": "2026-03-31T10:00:00Z"}


def an_invitation(**fields: Any) -> dict[str, Any]:
    moments = {"invited_at": "2026-03-31T10:00:00Z", "expires_at": "2026-04-14T10:00:00Z"}
    return {"id": INVITATION, "role": "editor", "status": "open", "invited_by": "ann", **moments, **fields}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        api.on("GET", "/ledgers", {"items": [a_ledger(LEDGER, "Personal"), a_ledger(HOME, "Our home")]})
        api.on("GET", f"{BELOW}/members", {"items": [a_member(USER, "ann", "owner"), a_member(BEN, "ben", "viewer")]})
        api.on("PATCH", f"{BELOW}/members/{BEN}", a_member(BEN, "ben", "editor"))
        api.on("DELETE", f"{BELOW}/members/{BEN}", None).on("DELETE", f"{BELOW}/members/{USER}", None)
        own = {"items": [an_invitation(ledger_id=HOME, ledger_name="Our home")]}
        api.on("GET", "/invitations", own).on("GET", f"{BELOW}/invitations", {"items": [an_invitation()]})
        api.on("POST", f"{BELOW}/invitations", an_invitation())
        api.on("POST", f"{BELOW}/invitations/{INVITATION}/accept", a_ledger(HOME, "Our home"))
        api.on("POST", f"{BELOW}/invitations/{INVITATION}/decline", None)
        api.on("DELETE", f"{BELOW}/invitations/{INVITATION}", None)
        yield api


def test_ledgers_are_listed_and_opened(api: Api) -> None:
    api.on("POST", "/ledgers", a_ledger(HOME, "Our home"))

    assert cells(api.cash("ledger", "list").out)[2] == ["Our home", "owner", "EUR", "Europe/Berlin", "dddddddd"]
    assert "Opened the ledger Our home; name it with --ledger" in api.cash("ledger", "create", "Our home").out
    api.cash("ledger", "create", "Trip", "--currency", "usd", "--time-zone", "UTC")
    assert api.sent("POST") == [
        {"name": "Our home"},
        {"name": "Trip", "base_currency": "USD", "time_zone": "UTC"},
    ]


@pytest.mark.parametrize("named", ["our  HOME", HOME, HOME.upper(), "dddddddd"])
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_ledger_is_named_by_name_id_or_its_beginning(api: Api, named: str, by: str) -> None:
    api.on("PATCH", BELOW, a_ledger(HOME, "Home"))
    words = ("ledger", "rename", "Home", "--default-account", "Bank")

    ended = api.cash(*words, "--ledger", named) if by == "option" else api.cash(*words, CASH_LEDGER=named)

    assert ended.out == "The ledger is called Home; its default account is Cash.\n", ended.err
    assert api.sent("PATCH") == [{"name": "Home", "default_account": "Bank"}]


def test_a_ledger_nobody_has_is_not_found(api: Api) -> None:
    ended = api.cash("tx", "list", "--ledger", "our hoem")

    assert ended.code == ExitCode.NOT_FOUND
    assert ended.err == "error: there is no ledger 'our hoem'; did you mean 'Our home'? `cash ledger list` lists them\n"
    assert api.cash("tx", "list", "--ledger", "x").err.endswith("no ledger 'x'; `cash ledger list` lists them\n")


def test_two_ledgers_of_one_name_are_told_apart_by_their_ids(api: Api) -> None:
    api.on("GET", "/ledgers", {"items": [a_ledger(LEDGER, "Home"), a_ledger(HOME, "home")]})
    api.on("GET", f"{BELOW}/transactions", a_page())

    assert "2 are called 'home'" in api.cash("tx", "list", "--ledger", "home").err
    assert api.cash("tx", "list", "--ledger", "dddddddd").code == ExitCode.OK


def test_the_personal_ledger_is_there_before_it_is_open(api: Api) -> None:
    api.on("GET", "/ledgers", {"items": []}).on("GET", "transactions", a_page())

    for named in ("", LEDGER, "personal"):
        assert api.cash("tx", "list", "--ledger", named).code == ExitCode.OK
    assert "opens with your first transaction" in api.cash("ledger", "list").out


@pytest.mark.parametrize(
    ("words", "method", "path", "body", "said"),
    [
        (("role", "BEN", "editor"), "PATCH", f"members/{BEN}", {"role": "editor"}, "ben is editor now."),
        (("role", BEN, "viewer"), "PATCH", f"members/{BEN}", {"role": "viewer"}, "ben is viewer now."),
        (("remove", "ben"), "DELETE", f"members/{BEN}", None, "ben is no member any more."),
        (("leave", "--yes"), "DELETE", f"members/{USER}", None, "You left the ledger Our home."),
        (("hand-over", "ben", "--yes"), "PATCH", f"members/{BEN}", {"role": "owner"}, "ben owns the ledger Our home"),
        (
            ("invite", "b@example.org"),
            "POST",
            "invitations",
            {"email": "b@example.org", "role": "editor"},
            "Invited as",
        ),
        (("withdraw", "eeeeeeee"), "DELETE", f"invitations/{INVITATION}", None, "Withdrawn;"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_members_and_invitations_are_changed_as_typed(
    api: Api, words: tuple[str, ...], method: str, path: str, body: Any, said: str
) -> None:
    ended = api.cash("ledger", *words, "--ledger", "Our home")

    assert ended.out.startswith(said), ended.err
    assert api.requests[-1].url.path == f"/api/v1{BELOW}/{path}"
    assert api.sent(method) == [body]
    assert api.cash("ledger", *words, "--ledger", "Our home", "--json").json


@pytest.mark.parametrize("named", ["our home", "eeeeeeee", INVITATION])
def test_an_invitation_is_answered_by_the_ledgers_name_or_its_id(api: Api, named: str) -> None:
    assert api.cash("ledger", "accept", named).out == (
        "You are editor of Our home now: cash tx list --ledger dddddddd\n"
    )
    assert api.cash("ledger", "decline", named).out == "Declined the invitation into Our home.\n"
    assert api.cash("ledger", "accept", "Elsewhere").code == ExitCode.NOT_FOUND


def test_invitations_for_me_and_by_me_are_two_lists(api: Api) -> None:
    mine = cells(api.cash("ledger", "invitations").out)
    sent = cells(api.cash("ledger", "invitations", "--sent", "--ledger", "Our home").out)

    assert mine[1] == ["Our home", "editor", "ann", "2026-04-14 10:00:00 UTC", "eeeeeeee"]
    assert sent[1] == ["2026-03-31 10:00:00 UTC", "editor", "open", "eeeeeeee"]
    api.on("GET", "/invitations", {"items": []}).on("GET", f"{BELOW}/invitations", {"items": []})
    assert "You have no open invitation" in api.cash("ledger", "invitations").out
    assert "Nobody was invited" in api.cash("ledger", "invitations", "--sent", "--ledger", "Our home").out


def test_members_are_listed(api: Api) -> None:
    shown = cells(api.cash("ledger", "members", "--ledger", "Our home").out)

    assert shown[2] == ["ben", "viewer", "2026-03-31 10:00:00 UTC", "88888888"]


@pytest.mark.parametrize("command", [("leave",), ("hand-over", "ben")])
@pytest.mark.parametrize(("lines", "code"), [("", ExitCode.USAGE), ("n\n", ExitCode.FAILED), ("yes\n", ExitCode.OK)])
def test_what_only_others_can_give_back_is_asked_first(
    api: Api, command: tuple[str, ...], lines: str, code: ExitCode
) -> None:
    ended = api.cash("ledger", *command, "--ledger", "Our home", lines=lines)

    assert ended.code == code
    assert {request.method for request in api.requests} == ({"GET"} if code else {"GET", api.requests[-1].method})
    assert (api.requests[-1].method == "GET") is bool(code)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("role", "ben", "owner"), ExitCode.USAGE, "hand it over with"),
        (("role", "ben", "boss"), ExitCode.USAGE, "ROLE"),
        (("role", "bem", "editor"), ExitCode.NOT_FOUND, "there is no member 'bem'; did you mean 'ben'?"),
        (("invite", "b@example.org", "--role", "owner"), ExitCode.USAGE, "invite as editor or viewer"),
        (("rename",), ExitCode.USAGE, "say what to change"),
    ],
)
def test_what_is_typed_wrongly_is_one_sentence(api: Api, words: tuple[str, ...], code: ExitCode, said: str) -> None:
    ended = api.cash("ledger", *words, "--ledger", "Our home")

    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_what_only_the_owner_may_is_refused_in_the_ledgers_words(api: Api) -> None:
    problem = a_problem(422, "Only the owner changes members; everybody may leave.", code="role_insufficient")
    api.on("DELETE", f"{BELOW}/members/{BEN}", problem)

    ended = api.cash("ledger", "remove", "ben", "--ledger", "Our home")

    assert ended.code == ExitCode.REFUSED
    assert ended.err == "error: Only the owner changes members; everybody may leave\n"
