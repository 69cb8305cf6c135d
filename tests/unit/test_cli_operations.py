"""Operations without a server: what was asked, in which words, and what became of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.terminal.output import ExitCode
from tests.builders.api import LEDGER, TRANSACTION, Api, a_page, a_transaction, an_api, cells

OPERATION = "0b5e0000-0000-4000-8000-000000000001"
PERSONAL = {"id": LEDGER, "name": "Personal", "role": "owner", "base_currency": "EUR", "time_zone": "Europe/Berlin"}
LEDGERS = {"items": [PERSONAL]}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api.on("GET", "/ledgers", LEDGERS)


def an_operation(**fields: Any) -> dict[str, Any]:
    operation = {
        "id": OPERATION,
        "at": "2026-03-31T18:30:59Z",
        "noun": "transaction",
        "ledger_id": LEDGER,
        "status": "recorded",
        "resource_id": TRANSACTION,
        "code": None,
        "detail": None,
        "field": None,
        "idempotency_key": "once",
    }
    return {**operation, **fields}


REFUSED = an_operation(
    status="refused", noun="transaction-change", code="version_stale", detail="It was changed.", field="If-Match"
)


def test_operations_are_listed_with_why_they_were_refused(api: Api) -> None:
    api.on("GET", "/operations", a_page(an_operation(), REFUSED))

    assert cells(api.cash("operations").out) == [
        ["When (UTC)", "What", "Ledger", "State", "Why", "ID"],
        ["2026-03-31 18:30", "transaction", "Personal", "recorded", "0b5e0000"],
        ["2026-03-31 18:30", "transaction change", "Personal", "refused", "It was changed.", "0b5e0000"],
    ]


def test_without_a_refusal_there_is_no_column_for_it(api: Api) -> None:
    api.on("GET", "/operations", a_page(an_operation(), next_cursor="more"))

    ended = api.cash("operations")

    assert cells(ended.out)[0] == ["When (UTC)", "What", "Ledger", "State", "ID"]
    assert "--cursor more" in ended.err


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), {"limit": "20"}),
        (("--state", "refused"), {"limit": "20", "state": "refused"}),
        (("--ledger", "personal", "--limit", "3"), {"limit": "3", "ledger": LEDGER}),
        (("--all", "--cursor", "more"), {"limit": "100", "cursor": "more"}),
    ],
)
def test_what_is_asked_for_goes_to_the_server(api: Api, words: tuple[str, ...], asked: dict[str, str]) -> None:
    api.on("GET", "/operations", a_page())

    assert api.cash("operations", *words, "--json").json == {"items": [], "next_cursor": None}
    assert api.asked() == asked


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "You have asked for nothing in the last 45 days.\n"),
        (("--state", "failed"), "Nothing you asked for failed.\n"),
        (("--state", "refused"), "Nothing you asked for was refused.\n"),
    ],
)
def test_an_empty_list_says_what_is_not_there(api: Api, words: tuple[str, ...], says: str) -> None:
    api.on("GET", "/operations", a_page())

    assert api.cash("operations", *words).out == says


def test_one_is_shown_as_it_was_sent_with_what_became_of_it(api: Api) -> None:
    request = {"amount": "24.47", "tags": ["a", "b"], "splits": [{"amount": "1", "category": "\x1b[1m"}], "note": None}
    whole = {**an_operation(), "transaction": a_transaction(), "request": request}
    api.on("GET", "/operations", a_page(an_operation())).on("GET", f"/operations/{OPERATION}", whole)

    shown = api.cash("operation", "show", OPERATION[:8]).out

    assert "Became           -24.47 EUR Groceries (Weekly shop) of 2026-03-31" in shown
    told, _, sent = shown.partition("As it was sent\n")
    assert cells(sent) == [
        ["amount", "24.47"],
        ["tags", "a, b"],
        ["splits", "amount=1 category=\\x1b[1m"],
        ["note", "null"],
    ]
    assert "once" in told
    assert api.cash("operation", "show", OPERATION, "--json").json == whole


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("0b5e", ExitCode.USAGE),
        ("nonsense", ExitCode.USAGE),
        ("ffffffff", ExitCode.NOT_FOUND),
        (OPERATION, ExitCode.PENDING),
    ],
)
def test_what_is_none_of_mine_is_said_so(api: Api, typed: str, code: ExitCode) -> None:
    api.on("GET", "/operations", a_page(an_operation()))
    api.on("GET", f"/operations/{OPERATION}", {"id": OPERATION, "status": "pending"})

    ended = api.cash("operation", "show", typed)

    assert (ended.code, ended.err.count("\n")) == (code, 1)
