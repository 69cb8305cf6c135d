"""Commands of accounts, balances, statements and totals without a server: what they ask, and what they show."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cli.books.totals import Period, first_day
from cli.terminal.output import ExitCode
from tests.builders.api import ACCOUNT, TRANSACTION, Api, a_page, a_problem, an_account, an_api, cells

OTHER = "bbbbbbbb-0000-4000-8000-000000000002"
ASSERTION = "cccccccc-0000-4000-8000-000000000003"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api.on("GET", "assertions", a_page())


def household() -> dict[str, Any]:
    return a_page(
        an_account("Bank", "1200.00 EUR"),
        an_account("Dollars", "100.00 USD", id=OTHER, currency="USD"),
        an_account("Empty"),
        an_account("Visa", "-120.50 EUR", kind="liability", closed=True),
        an_account("Salary", "-2846.00 EUR", kind="income"),
        an_account("Groceries", "24.47 EUR", "3.00 USD", kind="expense"),
        an_account("Refunds", "0.00 EUR", kind="expense"),
        an_account("Opening balances", "-1000.00 EUR", kind="equity"),
    )


def test_what_accounts_hold_and_what_categories_took_are_told_apart(api: Api) -> None:
    api.on("GET", "accounts", household())

    money, categories, equity = (cells(table) for table in api.cash("accounts", "--closed").out.split("\n\n"))

    assert api.requests[0].url.params["closed"] == "true"
    assert money[:3] == [
        ["Account", "Balance", "ID"],
        ["Bank", "1200.00 EUR", "aaaaaaaa"],
        ["Dollars", "100.00 USD", "bbbbbbbb"],
    ]
    assert money[3:] == [["Empty", "aaaaaaaa"], ["Visa (closed)", "-120.50 EUR", "aaaaaaaa"]]
    assert [row[:2] for row in categories[1:]] == [
        ["Salary", "2846.00 EUR"],
        ["Refunds", "0.00 EUR"],
        ["Groceries", "-3.00 USD"],
        ["Groceries", "-24.47 EUR"],
    ]
    assert equity[1][:2] == ["Opening balances", "-1000.00 EUR"]


def test_groups_are_shown_where_there_are_any(api: Api) -> None:
    api.on("GET", "accounts", a_page(an_account("Bank", "1.00 EUR", group="Daily"), an_account("Cash", "2.00 EUR")))

    assert cells(api.cash("accounts").out)[:2] == [
        ["Group", "Account", "Balance", "ID"],
        ["Daily", "Bank", "1.00 EUR", "aaaaaaaa"],
    ]


def test_a_statement_that_agrees_no_more_is_reported_with_the_accounts(api: Api) -> None:
    broken = {"account": {"name": "Bank"}, "date": "2026-03-31"}
    api.on("GET", "accounts", household()).on("GET", "assertions", a_page(broken))

    assert api.cash("accounts").err == (
        "Bank agreed with its statement of 2026-03-31 and does not any more: cash assertions --broken\n"
    )


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("Bank",), {"name": "Bank", "kind": "asset"}),
        (("Visa", "--kind", "liability", "--opening-balance", "-120.50"), {"opening_balance": "-120.50"}),
        (("Visa", "--opening-balance=-120.50"), {"opening_balance": "-120.50"}),
        (("B", "--opening-balance", "0", "--date", "2026-03-31"), {"opening_balance": "0", "date": "2026-03-31"}),
        (("D", "--currency", "usd", "--group", "Far", "--position", "3"), {"currency": "USD", "position": 3}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_account_is_opened_as_typed(api: Api, words: tuple[str, ...], body: dict[str, Any]) -> None:
    api.on("POST", "accounts", an_account("Bank", "12.00 EUR"))

    ended = api.cash("account", "open", *words)

    assert ended.out == "Opened asset Bank with 12.00 EUR.\n", ended.err
    [sent] = api.sent("POST")
    assert {name: sent.get(name) for name in body} == body
    assert None not in sent.values()


@pytest.mark.parametrize(
    ("words", "body", "said"),
    [
        (("rename", "bank", "Sparkasse"), {"name": "Sparkasse"}, "Renamed Bank to Sparkasse."),
        (("close", "BANK"), {"closed": True}, "Closed Sparkasse."),
        (("reopen", "Bank"), {"closed": False}, "Reopened Sparkasse."),
        (("merge", "Bank", "dollars"), {"merge_into": OTHER}, "Merged Bank into Dollars."),
        (("merge", "Bank", OTHER[:8]), {"merge_into": OTHER}, "Merged Bank into Dollars."),
        (("arrange", "Bank", "--group", "Daily", "--position", "0"), {"group": "Daily", "position": 0}, "Arranged"),
        (("arrange", "Bank", "--group", "", "--position", "-1"), {"group": None, "position": None}, "Arranged"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_account_is_changed_as_it_was_seen(
    api: Api, words: tuple[str, ...], body: dict[str, Any], said: str
) -> None:
    api.on("GET", "accounts", household()).on("PATCH", f"accounts/{ACCOUNT}", an_account("Sparkasse"))

    ended = api.cash("account", *words)

    assert ended.out.startswith(said), ended.err
    assert api.sent("PATCH") == [body]
    assert api.requests[-1].headers["If-Match"] == '"4"'


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("account", "close", "Bnak"), ExitCode.NOT_FOUND, "there is no account 'Bnak'; did you mean 'Bank'?"),
        (("account", "close", "aaaaaaaa"), ExitCode.USAGE, "7 ids begin with 'aaaaaaaa'"),
        (("account", "close", "ffffffff"), ExitCode.NOT_FOUND, "`cash accounts --closed` lists them"),
        (("account", "arrange", "Bank"), ExitCode.USAGE, "say where it stands"),
        (("account", "open", "B", "--date", "2026-03-31"), ExitCode.USAGE, "--date is the day of"),
        (("account", "open", "B", "--opening-balance", "-1,500"), ExitCode.USAGE, "type 1500 or 1.500"),
        (("account", "open", "B", "--kind", "bank"), ExitCode.USAGE, "--kind"),
        (("balance", "Bank", "--on", "2026-03-31T10:00"), ExitCode.USAGE, "is not a day"),
        (("balance", "--known-at", "then"), ExitCode.USAGE, "is not a day"),
        (("balance", "--known-at", "yesterday noon"), ExitCode.USAGE, "is not a moment; type it as 20"),
        (("reconcile", "Bank", "5 USD"), ExitCode.USAGE, "which is the account's here; type 5"),
        (("reconcile", "Bank", "--1"), ExitCode.USAGE, "No such option"),
        (("assertion", "lift", "Bank"), ExitCode.USAGE, "is not the id of an assertion"),
        (("totals", "--by", "colour"), ExitCode.USAGE, "--by"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_typed_wrongly_is_one_sentence(api: Api, words: tuple[str, ...], code: ExitCode, said: str) -> None:
    api.on("GET", "accounts", household())

    ended = api.cash(*words)

    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert {request.method for request in api.requests} <= {"GET"}


def test_a_register_counts_along(api: Api) -> None:
    line = {
        "transaction_id": TRANSACTION,
        "date": "2026-03-31",
        "description": "Weekly shop",
        "payee": "Rewe",
        "accounts": [{"id": OTHER, "name": "Groceries"}, {"id": OTHER, "name": "Household"}],
        "amount": "-24.47",
        "currency": "EUR",
        "balance": "1200.00",
    }
    api.on("GET", "accounts", household()).on("GET", f"accounts/{ACCOUNT}/register", a_page(line, next_cursor="c"))

    wide = api.cash("account", "register", "Bank", "--limit", "1")
    narrow = api.cash("account", "register", "Bank", "--limit", "1", COLUMNS="60")

    cols = ["2026-03-31", "Groceries, Household", "Rewe · Weekly shop", "-24.47 EUR", "1200.00 EUR", "3f2a91bc"]
    assert cells(wide.out)[2] == cols
    assert max(len(line.rstrip()) for line in narrow.out.splitlines()) <= 60
    assert "1200.00 EUR" in narrow.out
    assert "--cursor c" in wide.err
    api.on("GET", f"accounts/{OTHER}", an_account("Food", id=OTHER, kind="expense"))
    api.on("GET", f"accounts/{OTHER}/register", a_page({**line, "amount": "24.47"}))
    assert cells(api.cash("account", "register", OTHER).out)[2][-3:] == ["-24.47 EUR", "-1200.00 EUR", "3f2a91bc"]


def test_balances_are_asked_for_by_day_and_knowledge(api: Api) -> None:
    bank = {"account": {"id": ACCOUNT, "name": "Bank", "kind": "asset"}, "currency": "EUR"}
    api.on("GET", "accounts", household())
    api.on("GET", "balances", {"items": [{**bank, "amount": "-3.00"}, {**bank, "amount": "1.00", "currency": "USD"}]})

    ended = api.cash("balance", "bank", "--on", "2026-03-31", "--known-at", "2026-02-28")

    assert api.asked() == {"on": "2026-03-31", "known_at": "2026-03-01T00:00:00+01:00", "account": ACCOUNT}
    assert cells(ended.out)[1:] == [["Bank", "-3.00 EUR", "aaaaaaaa"], ["Bank", "1.00 USD", "aaaaaaaa"]]
    api.cash("balance", "--known-at", "2026-03-31T18:30")
    assert api.asked() == {"known_at": "2026-03-31T18:30:00+02:00"}


def test_net_worth_names_rates_and_what_has_none(api: Api) -> None:
    rates = [
        {"currency": "USD", "quote": "EUR", "date": "2026-03-01", "rate": "0.92", "inverted": False},
        {"currency": "EUR", "quote": "GBP", "date": "2026-03-02", "rate": "0.8", "inverted": True},
    ]
    totals = [("1200.00", "EUR"), ("100.00", "USD"), ("8.00", "GBP"), ("5000", "JPY")]
    worth = {
        "on": "2026-03-31",
        "currency": "EUR",
        "totals": [{"amount": amount, "currency": currency} for amount, currency in totals],
        "total": {"amount": "1302.00", "currency": "EUR"},
        "rates": [
            {**rate, "amount": amount, "converted": converted}
            for rate, amount, converted in zip(rates, ("100.00", "8.00"), ("92.00", "10.00"), strict=True)
        ],
        "unconverted": [{"amount": "5000", "currency": "JPY"}],
    }
    api.on("GET", "net-worth", worth)

    ended = api.cash("net-worth", "--in", "eur", "--on", "2026-03-31")

    assert api.asked() == {"on": "2026-03-31", "currency": "EUR"}
    assert cells(ended.out) == [
        ["Amount", "Rate", "In EUR"],
        ["1200.00 EUR", "1200.00 EUR"],
        ["100.00 USD", "1 USD = 0.92 EUR (2026-03-01)", "92.00 EUR"],
        ["8.00 GBP", "1 EUR = 0.8 GBP (2026-03-02)", "10.00 EUR"],
        ["5000 JPY", "no rate"],
        ["Total", "1302.00 EUR"],
    ]
    assert "Not in the total for want of a rate: 5000 JPY; enter one: cash rates add JPY EUR RATE" in ended.err
    api.on("GET", "net-worth", {**worth, "totals": [], "total": {"amount": "0.00", "currency": "EUR"}})
    assert "no account holds or owes anything" in api.cash("net-worth").out


def an_assertion(**fields: Any) -> dict[str, Any]:
    assertion = {
        "id": ASSERTION,
        "account": {"id": ACCOUNT, "name": "Visa"},
        "date": "2026-03-31",
        "currency": "EUR",
        "stated": "-120.50",
        "computed": "-120.50",
        "held": True,
        "balance": "-120.50",
        "difference": "0.00",
        "holds": True,
        "recorded_at": "2026-03-31T10:00:00Z",
        "lifted_at": None,
        "uncleared": [],
        "uncleared_more": False,
    }
    return {**assertion, **fields}


def test_a_statement_that_agrees_reconciles(api: Api) -> None:
    api.on("GET", "accounts", household()).on("POST", "assertions", an_assertion())

    ended = api.cash("reconcile", "visa", "-120.50", "--date", "2026-03-31")

    assert api.sent("POST") == [{"account": ACCOUNT, "balance": "-120.50", "date": "2026-03-31"}]
    assert ended.out == "It holds: Visa has -120.50 EUR on 2026-03-31; what was booked until then is reconciled.\n"


def test_a_statement_that_differs_shows_what_the_bank_may_not_have(api: Api) -> None:
    uncleared = {"transaction_id": TRANSACTION, "date": "2026-03-30", "description": "Shop", "payee": None}
    differs = {"held": False, "holds": False, "balance": "-144.97", "difference": "-24.47"}
    rows = [{**uncleared, "amount": "-24.47", "currency": "EUR"}]
    api.on("GET", "accounts", household()).on("POST", "assertions", an_assertion(**differs, uncleared=rows))

    ended = api.cash("reconcile", "Visa", "-120.50")

    assert "the books have -144.97 EUR in Visa on 2026-03-31, 24.47 EUR less than the statement" in ended.out
    assert cells(ended.out)[1:] == [
        ["Not cleared yet"],
        ["Date", "Description", "Amount", "ID"],
        ["2026-03-30", "Shop", "-24.47 EUR", "3f2a91bc"],
    ]
    api.on("POST", "assertions", an_assertion(**differs))
    assert "something is missing, doubled, or has another amount" in api.cash("reconcile", "Visa", "0").out
    assert api.sent("POST")[-1]["balance"] == "0"


def test_assertions_are_listed_with_how_they_stand(api: Api) -> None:
    api.on(
        "GET",
        "assertions",
        a_page(
            an_assertion(),
            an_assertion(holds=False, balance="-1.00"),
            an_assertion(holds=False, held=False),
            an_assertion(lifted_at="2026-04-01T00:00:00Z"),
        ),
    )

    ended = api.cash("assertions", "--lifted")

    assert api.asked()["lifted"] == "true"
    rows = cells(ended.out)
    assert [row[-2] for row in rows[1:]] == ["holds", "holds no more", "differs", "lifted"]
    assert rows[1] == ["2026-03-31", "Visa", "-120.50 EUR", "-120.50 EUR", "holds", "cccccccc"]


def test_an_assertion_is_found_by_its_beginning_and_lifted(api: Api) -> None:
    api.on("GET", "assertions", a_page(an_assertion())).on("GET", f"assertions/{ASSERTION}", an_assertion(holds=False))
    api.on("DELETE", f"assertions/{ASSERTION}", an_assertion(lifted_at="2026-04-01T00:00:00Z"))

    assert ["State", "holds no more"] in cells(api.cash("assertion", "show", "cccccccc").out)
    assert api.cash("assertion", "lift", ASSERTION).out == "Lifted; what it had reconciled may be changed again.\n"
    assert api.cash("assertion", "lift", "dddddddd").code == ExitCode.NOT_FOUND
    api.on("DELETE", f"assertions/{ASSERTION}", a_problem(422, "No assertion stands.", code="assertion_not_found"))
    assert api.cash("assertion", "lift", ASSERTION).code == ExitCode.REFUSED


def totals_of(*lines: tuple[str | None, str | None, str, str]) -> dict[str, Any]:
    return {
        "items": [
            {"id": None, "name": name, "period": period, "currency": currency, "amount": amount}
            for name, period, currency, amount in lines
        ]
    }


TOTALS = totals_of(
    ("Groceries", "2026-02", "EUR", "84.47"),
    ("Groceries", "2026-03", "EUR", "24.47"),
    ("Salary", "2026-03", "EUR", "-2846.00"),
    ("Hotel", "2026-03", "USD", "300.00"),
)


def test_periods_are_columns_where_they_fit(api: Api) -> None:
    api.on("GET", "totals", TOTALS)

    ended = api.cash("totals", "tag:trip", "--from", "2026-02-01", "--to", "2026-03-31")

    assert api.asked() == {
        "by": "category",
        "period": "month",
        "from": "2026-02-01",
        "to": "2026-03-31",
        "filter": "tag:trip",
    }
    assert cells(ended.out) == [
        ["Category", "2026-02", "2026-03", "Total"],
        ["Salary", "2846.00", "2846.00", "EUR"],
        ["Groceries", "-84.47", "-24.47", "-108.94", "EUR"],
        ["Total", "-84.47", "2821.53", "2737.06", "EUR"],
        ["Hotel", "-300.00", "-300.00", "USD"],
    ]


def test_periods_are_lines_where_they_do_not_fit(api: Api) -> None:
    api.on("GET", "totals", TOTALS)

    shown = api.cash("totals", "--by", "tag", COLUMNS="40").out

    assert cells(shown) == [
        ["Month", "Tag", "Amount"],
        ["2026-02", "Groceries", "-84.47 EUR"],
        ["2026-03", "Salary", "2846.00 EUR"],
        ["2026-03", "Groceries", "-24.47 EUR"],
        ["2026-03", "Hotel", "-300.00 USD"],
    ]
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 40


def test_what_has_no_payee_is_a_line_too(api: Api) -> None:
    api.on("GET", "totals", totals_of((None, None, "EUR", "1.00")))

    assert cells(api.cash("totals", "--by", "payee", "--period", "all").out)[1] == ["(no payee)", "-1.00", "EUR"]
    assert api.asked() == {"by": "payee", "period": "all"}
    api.on("GET", "totals", totals_of(("Bank", "2026-03", "EUR", "1.00")))
    assert cells(api.cash("totals", "--by", "account").out)[1] == ["Bank", "1.00", "EUR"]
    api.on("GET", "totals", totals_of())
    assert "Nothing was recorded then that fits" in api.cash("totals").out


@pytest.mark.parametrize(
    ("period", "today", "first"),
    [
        (Period.MONTH, date(2026, 11, 24), "2026-06-01"),
        (Period.MONTH, date(2026, 3, 1), "2025-10-01"),
        (Period.QUARTER, date(2026, 11, 24), "2026-01-01"),
        (Period.QUARTER, date(2026, 1, 1), "2025-04-01"),
        (Period.YEAR, date(2026, 11, 24), None),
        (Period.ALL, date(2026, 11, 24), None),
    ],
)
def test_a_table_begins_some_months_back(period: Period, today: date, first: str | None) -> None:
    assert first_day(period, today) == first
