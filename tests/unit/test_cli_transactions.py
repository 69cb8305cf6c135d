"""Commands of transactions without a server: what they ask, and what they show."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.books.filters import filter_word
from cli.books.transaction_entry import read_splits
from cli.terminal.output import ExitCode, Failure
from tests.builders.api import LEDGER, TRANSACTION, Api, a_change, a_page, a_problem, a_transaction, an_api, cells

OTHER = "3f2a91bc-0000-4000-8000-000000000002"
GROCERIES, HOUSEHOLD = {"id": OTHER, "name": "Groceries"}, {"id": OTHER, "name": "Household"}
SPLITS = [{"amount": "30.00", "category": GROCERIES}, {"amount": "12.30", "category": HOUSEHOLD}]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("24.47", "Food"), {"category": "Food"}),
        (("24.47", "Food", "milk", "--date", "2026-03-31"), {"description": "milk", "date": "2026-03-31"}),
        (("24.47", "Salary", "--income"), {"kind": "income"}),
        (("24.47", "Clothes", "--refund"), {"kind": "refund"}),
        (("24.47", "Food", "--account", "Bank", "--currency", "eur"), {"account": "Bank", "currency": "EUR"}),
        (
            ("24.47", "Food", "--payee", "Rewe", "--tag", "trip", "--tag", "sea", "--note", "a\nb"),
            {"payee": "Rewe", "tags": ["trip", "sea"], "note": "a\nb"},
        ),
        (("24.47", "Food", "--status", "cleared", "--external-id", "x-1"), {"status": "cleared", "external_id": "x-1"}),
        (
            ("24.47", "--split", "4.47 Household", "--split", "Eating out"),
            {"splits": [{"amount": "4.47", "category": "Household"}, {"amount": "20.00", "category": "Eating out"}]},
        ),
        (("24.47", "Shop", "--split", "24.47 Food"), {"description": "Shop"}),
        (("24.47", "Food", "--note", "-5 degrees", "--", "-5 off"), {"note": "-5 degrees", "description": "-5 off"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_typed_is_what_is_asked(api: Api, words: tuple[str, ...], body: dict[str, Any]) -> None:
    api.on("POST", "transactions", a_transaction())

    ended = api.cash("tx", "add", *words)

    assert ended.code == ExitCode.OK, ended.err
    [sent] = api.sent("POST")
    assert sent["amount"] == "24.47"
    assert {name: sent.get(name) for name in body} == body
    assert None not in sent.values()
    assert ("category" in sent) is ("splits" not in sent)


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("100", "--to", "Savings"), {"amount": "100", "to_account": "Savings"}),
        (("100", "aside", "--from", "Bank", "--to", "Savings"), {"account": "Bank", "description": "aside"}),
        (("100", "--to", "Dollars", "--to-amount", "108.42"), {"to_amount": "108.42"}),
        (("100", "--to", "Dollars", "--rate", "1.0842"), {"rate": "1.0842"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_transfer_names_where_it_goes(api: Api, words: tuple[str, ...], body: dict[str, Any]) -> None:
    moved = a_transaction(kind="transfer", category=None, to_account={"id": OTHER, "name": "Savings"})
    api.on("POST", "transactions", moved)

    ended = api.cash("tx", "transfer", *words)

    assert ended.code == ExitCode.OK, ended.err
    assert "→ Savings" in ended.out
    [sent] = api.sent("POST")
    assert {name: sent.get(name) for name in body} == body
    assert "kind" not in sent


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "5", "Food", "--income", "--refund"), "an income is no refund"),
        (("add", "5", "Food", "milk", "--split", "5 Food"), "with --split there is no CATEGORY: leave out 'Food'"),
        (("add", "5", "--split", "-5 Food"), "'-5' is not above zero"),
        (("add", "--income", "-5", "Food"), "'-5' is not above zero"),
        (("add", "5", "Food", "--status", "reconciled"), "--status"),
        (("add", "5"), "Missing argument 'CATEGORY'"),
        (("transfer", "5"), "Missing option '--to'"),
        (("transfer", "-5", "--to", "A"), "'-5' is not above zero"),
        (("transfer", "5", "--to", "A", "--rate", "1", "--to-amount", "5"), "one of --to-amount and --rate"),
        (("transfer", "5", "--to", "A", "--rate", "0.00"), "'0.00' is not a rate"),
        (("transfer", "5", "--to", "A", "--rate", "1,08"), "'1,08' is not a rate"),
        (("edit", TRANSACTION), "say what to change"),
        (("edit", TRANSACTION, "--amount", "-5"), "'-5' is not above zero"),
        (("edit", TRANSACTION, "--version", "0"), "--version"),
        (("edit", "nonsense", "--note", "x"), "is not the id of a transaction"),
        (("delete", "nonsense"), "is not the id of a transaction"),
        (("history", "nonsense"), "is not the id of a transaction"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_typed_wrongly_is_explained_before_anything_is_asked(
    api: Api, words: tuple[str, ...], said: str
) -> None:
    ended = api.cash("tx", *words)

    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert api.requests == []


@pytest.mark.parametrize(
    ("parts", "splits"),
    [
        (["12.30 Groceries"], [("12.30", "Groceries")]),
        (["12.30  Eating out ", "30 Groceries"], [("12.30", "Eating out"), ("30", "Groceries")]),
        (["Groceries", "12.30 Household"], [("30.00", "Groceries"), ("12.30", "Household")]),
        (["12.305 Household", "2nd hand"], [("12.305", "Household"), ("29.995", "2nd hand")]),
    ],
)
def test_parts_have_an_amount_and_one_may_get_the_rest(parts: list[str], splits: list[tuple[str, str]]) -> None:
    assert read_splits(parts, "42.30") == [{"amount": amount, "category": category} for amount, category in splits]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["Groceries", "Household"], "only one --split may leave out its amount"),
        (["42.30 Household", "Groceries"], "nothing of 42.30 is left for 'Groceries'"),
        (["50 Household", "Groceries"], "nothing of 42.30 is left for 'Groceries'"),
        (["1,230 Groceries"], "can be read in two ways"),
        (["12.30"], "names no category"),
        (["-1 Groceries"], "is not above zero"),
    ],
)
def test_parts_that_say_too_little_are_refused(parts: list[str], said: str) -> None:
    with pytest.raises(Failure, match=said) as refusal:
        read_splits(parts, "42.30")
    assert refusal.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("milk", "milk"),
        ("category:Groceries", "category:Groceries"),
        ("category:Eating out", 'category:"Eating out"'),
        ('category:"Eating out"', 'category:"Eating out"'),
        ("Payee:a\\b c", 'Payee:"a\\\\b c"'),
        ("-tag:trip", "NOT tag:trip"),
        ("-category:Eating out", 'NOT category:"Eating out"'),
        ("category:Food OR category:Rent", "category:Food OR category:Rent"),
        ("category:Food -tag:trip", "category:Food -tag:trip"),
        ("(category:Food OR tag:a b)", "(category:Food OR tag:a b)"),
        ("amount:>10", "amount:>10"),
        ("http://a b", "http://a b"),
    ],
)
def test_words_get_back_the_quotation_marks_that_the_shell_took(typed: str, asked: str) -> None:
    assert filter_word(typed) == asked


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), {"limit": "20"}),
        (("category:Eating out", "-tag:trip"), {"filter": 'category:"Eating out" NOT tag:trip'}),
        (("--filter", "category:Eating out"), {"filter": "category:Eating out"}),
        (("milk", "--filter", "tag:a OR tag:b"), {"filter": "(tag:a OR tag:b) (milk)"}),
        (("--sort", "-amount", "--limit", "3"), {"sort": "-amount", "limit": "3"}),
    ],
)
def test_a_list_asks_for_what_fits(api: Api, words: tuple[str, ...], asked: dict[str, str]) -> None:
    api.on("GET", "transactions", a_page(a_transaction()))

    assert api.cash("tx", "list", *words).code == ExitCode.OK
    assert {name: api.asked().get(name) for name in asked} == asked


def test_a_wrong_filter_is_pointed_at(api: Api) -> None:
    problem = {"field": "filter", "detail": "An amount is a number.", "position": 7}
    api.on("GET", "transactions", a_problem(400, "Correct filter.", errors=[problem]))

    ended = api.cash("tx", "list", "amount:>x")

    assert ended.code == ExitCode.REFUSED
    assert ended.err == "amount:>x\n       ^\nerror: filter: An amount is a number\n"


def test_nothing_that_fits_is_not_nothing_at_all(api: Api) -> None:
    api.on("GET", "transactions", a_page())

    assert "No transactions yet" in api.cash("tx", "list").out
    assert "No transaction fits" in api.cash("tx", "list", "milk").out


def test_pages_that_are_empty_are_passed_by(api: Api) -> None:
    api.on("GET", "transactions", a_page(next_cursor="b"), a_page(a_transaction()))

    assert "Weekly shop" in api.cash("tx", "list").out
    assert api.asked()["cursor"] == "b"


def test_a_table_tells_splits_transfers_tags_and_payees(api: Api) -> None:
    savings, dollars = ({"id": OTHER, "name": name} for name in ("Savings", "Dollars"))
    exchange = {"to_account": dollars, "to_amount": "108.42", "to_currency": "USD"}
    api.on(
        "GET",
        "transactions",
        a_page(
            a_transaction(category=None, splits=SPLITS, amount="42.30", payee="Rewe", tags=["trip", "sea"]),
            a_transaction(kind="transfer", category=None, to_account=savings, amount="100.00", description=""),
            a_transaction(kind="exchange", category=None, **exchange, amount="100.00", status="reconciled"),
        ),
    )

    rows = cells(api.cash("tx", "list").out)

    assert rows[0] == ["Date", "Category", "Description", "Account", "Status", "Amount", "ID"]
    assert rows[1][1:4] == ["Groceries, Household", "Rewe · Weekly shop #trip #sea", "Cash"]
    assert rows[2][1:] == ["→ Savings", "Cash", "100.00 EUR", "3f2a91bc"]
    assert rows[3][1:] == ["→ Dollars 108.42 USD", "Weekly shop", "Cash", "reconciled", "100.00 EUR", "3f2a91bc"]


@pytest.mark.parametrize("columns", [28, 40, 63, 64, 80, 200])
def test_dates_and_amounts_are_whole_in_every_terminal(api: Api, columns: int) -> None:
    api.on("GET", "transactions", a_page(a_transaction(status="cleared", tags=["a" * 50])))

    shown = api.cash("tx", "list", COLUMNS=str(columns)).out

    assert max(len(line.rstrip()) for line in shown.splitlines()) <= columns
    assert "2026-03-31" in shown
    assert "-24.47 EUR" in shown


def test_one_is_shown_whole(api: Api) -> None:
    api.on("GET", f"transactions/{TRANSACTION}", a_transaction(category=None, splits=SPLITS, note="a\nb", payee="Rewe"))

    rows = {row[0]: row[1:] for row in cells(api.cash("tx", "show", TRANSACTION).out)}

    assert rows["Splits"] == ["30.00 Groceries"]
    assert rows["Version"] == ["57"]
    assert rows["Payee"] == ["Rewe"]
    assert "Category" not in rows


def test_an_edit_asks_for_what_is_named_only_and_of_the_version_it_saw(api: Api) -> None:
    path = f"transactions/{TRANSACTION}"
    api.on("GET", path, a_transaction()).on("PATCH", path, a_transaction(version=58, amount="25.00", note="hi"))

    ended = api.cash("tx", "edit", TRANSACTION, "--amount", "25", "--note", "hi", "--payee", "", "--tag", "")

    assert ended.code == ExitCode.OK, ended.err
    assert api.sent("PATCH") == [{"amount": "25", "note": "hi", "payee": None, "tags": []}]
    assert api.requests[-1].headers["If-Match"] == '"57"'
    assert cells(ended.out)[1:] == [["Amount", "24.47 EUR → 25.00 EUR"], ["Note", "— → hi"]]
    assert "Take it back: cash undo" in ended.err


def test_an_edit_may_name_the_version_and_split_the_amount_anew(api: Api) -> None:
    path = f"transactions/{TRANSACTION}"
    api.on("GET", path, a_transaction()).on("PATCH", path, a_transaction())

    ended = api.cash("tx", "edit", TRANSACTION, "--split", "4.47 Household", "--split", "Food", "--version", "50")

    assert api.sent("PATCH")[0]["splits"][1] == {"amount": "20.00", "category": "Food"}
    assert api.requests[-1].headers["If-Match"] == '"50"'
    assert "It stood so already" in ended.out


@pytest.mark.parametrize(
    ("command", "method"), [(("edit", "--amount", "30", "--tag", "trip"), "PATCH"), (("delete",), "DELETE")]
)
def test_what_somebody_changed_meanwhile_is_shown_beside_what_was_asked(
    api: Api, command: tuple[str, ...], method: str
) -> None:
    path = f"transactions/{TRANSACTION}"
    stale = a_problem(412, "It was changed.", code="version_stale")
    api.on("GET", path, a_transaction(), a_transaction(version=60, amount="26.00")).on(method, path, stale)

    ended = api.cash("tx", command[0], TRANSACTION, *command[1:])

    assert ended.code == ExitCode.REFUSED
    assert "nothing was done: it was changed since version 57" in ended.err
    assert ended.err.count("\n") == 1
    rows = cells(ended.out)
    assert rows[0] == ["As it stands", "As you asked"]
    assert ["Amount", "26.00 EUR", "30"] in rows or ["Deleted", "—", "yes"] in rows


def test_a_conflict_is_json_for_programs(api: Api) -> None:
    path = f"transactions/{TRANSACTION}"
    api.on("GET", path, a_transaction()).on("PATCH", path, a_problem(412, "It was changed.", code="version_stale"))

    ended = api.cash("tx", "edit", TRANSACTION, "--amount", "30", "--json")

    assert ended.code == ExitCode.REFUSED
    assert ended.json == {"asked": {"amount": "30"}, "stands": a_transaction()}


def test_a_deletion_says_what_it_was_and_how_to_take_it_back(api: Api) -> None:
    path = f"transactions/{TRANSACTION}"
    api.on("GET", path, a_transaction()).on("DELETE", path, None)

    ended = api.cash("tx", "delete", TRANSACTION)

    assert ended.out == "Deleted: -24.47 EUR Groceries (Weekly shop) of 2026-03-31.\n"
    assert ended.err == "Take it back: cash undo\n"
    assert api.requests[-1].headers["If-Match"] == '"57"'
    assert api.cash("tx", "delete", TRANSACTION, "--json").json == {"id": TRANSACTION, "deleted": True}


def test_a_beginning_that_fits_two_is_asked_for_again(api: Api) -> None:
    api.on("GET", "transactions", a_page(a_transaction(), a_transaction(id=OTHER)))

    ended = api.cash("tx", "show", "3f2a91bc")

    assert ended.code == ExitCode.USAGE
    assert "2 ids begin with '3f2a91bc'" in ended.err


def test_a_deleted_one_is_found_among_the_changes(api: Api) -> None:
    changes = [a_change(9, "transaction.reversed"), a_change(8), a_change(7, "account.changed", subject_id=OTHER)]
    api.on("GET", "transactions", a_page()).on("GET", "changes", a_page(*changes))
    api.on("GET", f"transactions/{TRANSACTION}", a_transaction(deleted=True))

    assert ["Deleted", "yes, as it was before"] in cells(api.cash("tx", "show", "3f2a91bc").out)
    ended = api.cash("tx", "show", "ffffffff")
    assert ended.code == ExitCode.NOT_FOUND
    assert "none of your newest 1000 transactions" in ended.err


def test_a_history_says_who_changed_what(api: Api) -> None:
    versions = [
        {"version": 50, "type": "transaction.recorded", "user_id": OTHER, "username": "ann", "changed": {}},
        {
            "version": 57,
            "type": "transaction.recorded",
            "user_id": OTHER,
            "username": None,
            "undone_by": 60,
            "changed": {"amount": ["24.47", "25.00"], "category": [GROCERIES, HOUSEHOLD], "tags": [[], ["a", "b"]]},
        },
        {"version": 60, "type": "transaction.annotated", "user_id": OTHER, "username": "ben", "undoes": 57},
    ]
    for number, version in enumerate(versions):
        version |= {"at": "2026-03-31T10:00:01Z", "state": a_transaction(revision=min(number + 1, 2))}
    api.on("GET", f"transactions/{TRANSACTION}/history", a_page(*versions))
    api.on("GET", f"transactions/{TRANSACTION}", a_transaction())

    shown = api.cash("tx", "history", TRANSACTION).out

    assert shown.startswith("-24.47 EUR Groceries (Weekly shop) of 2026-03-31:\n")
    rows = cells(shown)[1:]
    assert rows[1] == ["50", "2026-03-31 10:00:01 UTC", "ann", "recorded expense 24.47 EUR Weekly shop"]
    assert rows[2][2:] == ["3f2a91bc", "changed to 24.47 EUR Weekly shop (undone by 60)"]
    assert rows[3:6] == [["Amount: 24.47 → 25.00"], ["Category: Groceries → Household"], ["Tags: — → a, b"]]
    assert rows[6][2:] == ["ben", "changed 24.47 EUR Weekly shop (takes back 57)"]


@pytest.mark.parametrize(
    ("lost", "code", "said"),
    [
        (httpx.ReadTimeout("slow"), ExitCode.UNREACHABLE, "whether it was done is not known: look with `cash tx show"),
        (
            httpx.Response(202, json={"operation_id": "o"}),
            ExitCode.PENDING,
            "see it later with `cash tx show 3f2a91bc`",
        ),
        (a_problem(422, "It is reconciled.", code="transaction_reconciled"), ExitCode.REFUSED, "It is reconciled"),
    ],
    ids=["lost", "late", "refused"],
)
def test_an_outcome_that_is_not_a_success_is_one_sentence(api: Api, lost: Any, code: ExitCode, said: str) -> None:
    path = f"transactions/{TRANSACTION}"
    api.on("GET", path, a_transaction()).on("PATCH", path, lost)

    ended = api.cash("tx", "edit", TRANSACTION, "--note", "x")

    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_another_ledger_is_named_in_what_is_proposed(api: Api) -> None:
    ours = {"id": OTHER, "name": "Our home", "base_currency": "EUR", "time_zone": "UTC"}
    api.on("GET", "/ledgers", {"items": [ours]}).on("GET", f"/ledgers/{OTHER}/transactions", a_page())

    assert "cash tx add --ledger 'our home' 24.47" in api.cash("tx", "list", "--ledger", "our home").out
    assert "cash tx add 24.47" in api.cash("tx", "list", CASH_LEDGER="Our home").out
    assert LEDGER not in str(api.requests[-1].url)
