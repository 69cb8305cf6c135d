"""Undo, redo and the audit log without a server: which change is taken back, and in which words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.terminal.output import ExitCode
from tests.builders.api import (
    ACCOUNT,
    TRANSACTION,
    USER,
    Api,
    a_change,
    a_page,
    a_problem,
    a_transaction,
    an_api,
    cells,
)

BEN = "88888888-8888-8888-8888-888888888888"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api


def undone(number: int, undoes: int, **fields: Any) -> Any:
    return a_change(number, "transaction.recorded", undoes=undoes, **fields)


@pytest.mark.parametrize(
    ("history", "undo", "redo"),
    [
        ([], None, None),
        ([a_change(1), a_change(2)], 2, None),
        ([a_change(1), a_change(2), undone(3, 2)], 1, 3),
        ([a_change(1), a_change(2), undone(3, 2), undone(4, 1)], None, 4),
        ([a_change(1), a_change(2), undone(3, 2), undone(4, 1), undone(5, 4)], 1, 3),
        ([a_change(1), a_change(2), undone(3, 2), undone(4, 1), undone(5, 4), undone(6, 3)], 2, None),
        # A redo that is undone is an undo again, whichever of the two numbers was named.
        ([a_change(1), undone(2, 1), undone(3, 2), undone(4, 3)], None, 4),
        ([a_change(1), undone(2, 1), undone(3, 2), undone(4, 1)], None, 4),
        # Nobody redoes what something else happened to since.
        ([a_change(1), undone(2, 1, undoable=False), a_change(3)], 3, None),
        # What others did is theirs, also where they took something of mine back.
        ([a_change(1), a_change(2, user_id=BEN)], 1, None),
        ([a_change(1), a_change(2), undone(3, 2, user_id=BEN)], 1, None),
        # These have commands of their own.
        ([a_change(1), a_change(2, "member.invited"), a_change(3, "rates.recorded")], 1, None),
        ([a_change(1), a_change(2, "account.changed")], 2, None),
    ],
)
def test_without_a_number_the_newest_of_mine_that_stands_is_taken_back(
    api: Api, history: list[Any], undo: int | None, redo: int | None
) -> None:
    api.on("GET", "changes", a_page(*reversed(history)))
    for number in range(1, 7):
        api.on("POST", f"changes/{number}/undo", a_change(9, undoes=number))

    for command, wanted in (("undo", undo), ("redo", redo)):
        ended = api.cash(command, "--json")
        if wanted is None:
            assert (ended.code, ended.err.count("\n")) == (ExitCode.NOT_FOUND, 1)
        else:
            assert ended.json["undoes"] == wanted


def test_it_is_looked_for_on_later_pages(api: Api) -> None:
    pages = a_page(a_change(9, user_id=BEN), next_cursor="b"), a_page(a_change(8))
    api.on("GET", "changes", *pages).on("POST", "changes/8/undo", a_change(10, undoes=8))

    assert api.cash("undo", "--json").json["undoes"] == 8


def test_what_was_undone_is_said_in_words(api: Api) -> None:
    before, after = a_transaction(amount="25.00"), a_transaction()
    versions = [
        {"version": 57, "state": before, "changed": {}},
        {"version": 58, "state": after, "changed": {"amount": ["25.00", "24.47"]}},
    ]
    api.on("POST", "changes/57/undo", a_change(58, "transaction.recorded", undoes=57))
    api.on("GET", f"transactions/{TRANSACTION}/history", a_page(*versions))

    ended = api.cash("undo", "57")

    assert ended.out.startswith("Undone: change 57, -24.47 EUR Groceries (Weekly shop) of 2026-03-31.\n")
    assert cells(ended.out)[1:] == [["Amount", "25.00 → 24.47"]]
    assert ended.err == "Take this back: cash redo 58\n"


def test_undoing_a_new_transaction_deletes_it(api: Api) -> None:
    api.on("POST", "changes/57/undo", a_change(58, "transaction.reversed", undoes=57))
    version = {"version": 58, "state": a_transaction(), "changed": {"deleted": [False, True]}}
    api.on("GET", f"transactions/{TRANSACTION}/history", a_page(version))

    ended = api.cash("undo", "57")

    assert ended.out == "Undone: change 57, -24.47 EUR Groceries (Weekly shop) of 2026-03-31, which is deleted now.\n"


def test_undoing_a_change_of_an_account_shows_how_it_stands(api: Api) -> None:
    api.on("POST", "changes/7/undo", a_change(8, "account.changed", subject_id=ACCOUNT, undoes=7))
    states = [{"name": "Bank", "closed": False}, {"name": "Sparkasse", "closed": True, "group": "Old"}]
    changes = [a_change(8 - number, "account.changed", detail=state) for number, state in enumerate(states)]
    api.on("GET", "changes", a_page(*changes))

    ended = api.cash("redo", "7")

    assert cells(ended.out) == [
        ["Redone: change 7, account Bank."],
        ["Name", "Sparkasse → Bank"],
        ["Closed", "yes → no"],
        ["Group", "Old → —"],
    ]
    assert api.asked()["subject"] == ACCOUNT


def test_what_cannot_be_undone_is_refused_in_the_ledgers_words(api: Api) -> None:
    problem = a_problem(422, "It was changed again since (change 60); undo that first.", code="changed_since")
    api.on("POST", "changes/57/undo", problem)

    ended = api.cash("undo", "57")

    assert ended.code == ExitCode.REFUSED
    assert ended.err == "error: It was changed again since (change 60); undo that first\n"
    assert api.cash("undo", "0").code == ExitCode.USAGE


def test_the_log_says_who_did_what(api: Api) -> None:
    money = {"amount": "24.47", "currency": "EUR", "description": "Weekly shop"}
    changes = [
        a_change(30, "transaction.reversed", detail=money, undoes=29, username=None, user_id=BEN),
        a_change(29, "transaction.recorded", detail={**money, "revision": 1, "kind": "expense"}, undone_by=30),
        a_change(28, "transaction.recorded", detail={**money, "revision": 2, "payee": "Rewe"}),
        a_change(27, "transaction.annotated", detail=money),
        a_change(26, "account.opened", detail={"kind": "asset", "name": "Bank"}),
        a_change(25, "account.changed", detail={"name": "Bank", "closed": True}),
        a_change(24, "account.changed", detail={"name": "Food", "closed": True, "merged_into": ACCOUNT}),
        a_change(23, "rates.recorded", detail={"rates": [1, 2]}),
        a_change(22, "balance.asserted", detail={"asserted_on": "2026-03-31"}),
        a_change(21, "assertion.lifted"),
        a_change(20, "member.invited", detail={"role": "editor"}),
        a_change(19, "invitation.ended", detail={"ending": "declined"}),
        a_change(18, "member.joined", detail={"role": "viewer"}),
        a_change(17, "member.changed", detail={"role": "owner"}),
        a_change(16, "member.removed"),
        a_change(15, "ledger.opened", detail={"name": "Home"}),
        a_change(14, "something.new"),
    ]
    api.on("GET", "changes", a_page(*changes, next_cursor="more"))

    ended = api.cash("changes", "--mine", "--subject", TRANSACTION, "--limit", "17")

    rows = cells(ended.out)[1:]
    assert rows[0] == ["30", "2026-03-31 10:00", "88888888", "deleted 24.47 EUR Weekly shop (takes back 29)"]
    assert rows[1][3] == "recorded expense 24.47 EUR Weekly shop (undone by 30)"
    assert [row[3] for row in rows[2:]] == [
        "changed to 24.47 EUR Rewe · Weekly shop",
        "changed 24.47 EUR Weekly shop",
        "opened asset Bank",
        "changed account Bank (closed)",
        "merged Food",
        "entered 2 exchange rates",
        "asserted a balance on 2026-03-31",
        "lifted an assertion",
        "invited somebody as editor",
        "declined an invitation",
        "joined as viewer",
        "made a member owner",
        "removed a member",
        "opened the ledger Home",
        "something.new",
    ]
    assert api.asked() == {"by": "me", "subject": TRANSACTION, "limit": "17"}
    assert "--cursor more" in ended.err
    assert api.cash("changes", "--subject", "Bank").code == ExitCode.USAGE
    api.on("GET", "transactions", a_page(a_transaction()))
    assert api.cash("changes", "--subject", "3f2a91bc", "--limit", "17").code == ExitCode.OK
    assert api.asked()["subject"] == TRANSACTION


def test_the_log_fits_into_narrow_terminals(api: Api) -> None:
    detail = {"amount": "24.47", "currency": "EUR", "description": "A weekly shop with a long description"}
    api.on("GET", "changes", a_page(a_change(30, detail=detail)))

    shown = api.cash("changes", COLUMNS="40").out

    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 40
    assert USER[:8] not in shown
