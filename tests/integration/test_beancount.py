"""An independent oracle: beancount finds no error in a generated ledger, and the balances that we give."""

import os
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from contracts.accounts import AccountKind
from contracts.money import exponent_of, format_minor
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.settings import LedgerDatabaseSettings
from tests.builders.beancount import PostedBooks, StatedBalance, converted, load, read_books
from tests.builders.gateway import Person, a_person
from tests.builders.settings import settings_from

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

STEPS = 250
FIRST_DAY = date(2023, 12, 25)
DAYS = 500
CENT = Decimal("0.01")
ACCOUNTS = {"Cash": "EUR", "Checking": "EUR", "Card": "EUR", "Dollars": "USD", "Yen": "JPY", "Dinars": "BHD"}
EXPENSES = ["Groceries", "Rent", "Eating out", "GROCERIES", "食費", 'The "rest" \\ so far', "Fees"]
INCOMES = ["Salary", "Interest"]


class Generated:
    """A ledger that somebody fills over HTTP by chance: the same seed does the same again."""

    def __init__(self, person: Person, seed: int) -> None:
        self.person = person
        self.chance = random.Random(seed)
        self.transactions: list[str] = []
        self.done: dict[str, int] = {}

    def write(self, method: str, path: str, body: Any = None) -> Any:
        """Ask for something and wait for it."""
        answer = self.person.http.request(
            method, f"/ledgers/{self.person.ledger_id}{path}", json=body, headers={"Prefer": "wait=10"}
        )
        assert answer.status_code in (200, 201, 204), (method, path, body, answer.text)
        return answer.json() if answer.content else None

    def read(self, path: str, **params: Any) -> Any:
        answer = self.person.get(f"/ledgers/{self.person.ledger_id}{path}", **params)
        assert answer.status_code == 200, (path, params, answer.text)
        return answer.json()

    def open_accounts(self) -> None:
        # The first record opens the personal ledger with the account Cash.
        self.record()
        for name, currency in ACCOUNTS.items():
            if name != "Cash":
                kind = "liability" if name == "Card" else "asset"
                opening = self.amount(currency) if name != "Card" else f"-{self.amount(currency)}"
                body = {"name": name, "kind": kind, "currency": currency, "opening_balance": opening}
                self.write("POST", "/accounts", body | {"date": self.day()})

    def day(self) -> str:
        return (FIRST_DAY + timedelta(days=self.chance.randrange(DAYS))).isoformat()

    def amount(self, currency: str) -> str:
        largest = self.chance.choice([10, 10**3, 10**5, 10**5, 10**7, 10**13])
        return format_minor(self.chance.randint(1, largest), currency)

    def account(self, *, but: str | None = None, currency: str | None = None) -> str:
        names = [name for name, its in ACCOUNTS.items() if name != but and currency in (None, its)]
        return self.chance.choice(names)

    def record(self) -> None:
        kind = self.chance.choice(["expense", "expense", "splits", "income", "refund", "transfer", "exchange"])
        if not self.transactions:
            kind = "expense"
        transaction = self.write("POST", "/transactions", self.a_transaction(kind) | {"date": self.day()})
        self.transactions.append(transaction["id"])
        self.count(kind)

    def a_transaction(self, kind: str) -> dict[str, Any]:
        name = self.account() if self.transactions else "Cash"
        currency = ACCOUNTS[name]
        body: dict[str, Any] = {"account": name, "description": self.chance.choice(["", 'A "shop" \\', "Café — 東京"])}
        if kind == "splits":
            categories = self.chance.sample(["Groceries", "Rent", "Eating out", "食費", "Fees"], 3)
            return body | {"splits": [{"amount": self.amount(currency), "category": each} for each in categories]}
        if kind == "transfer":
            name = self.account(currency="EUR")
            other = self.account(but=name, currency="EUR")
            return body | {"kind": kind, "account": name, "to_account": other, "amount": self.amount("EUR")}
        if kind == "exchange":
            other = next(each for each in self.chance.sample(list(ACCOUNTS), 6) if ACCOUNTS[each] != currency)
            body |= {"kind": kind, "to_account": other, "amount": self.amount(currency)}
            return body | {"to_amount": self.amount(ACCOUNTS[other])}
        category = self.chance.choice(INCOMES if kind == "income" else EXPENSES)
        return body | {"kind": kind, "category": category, "amount": self.amount(currency)}

    def edit(self) -> None:
        transaction = self.read(f"/transactions/{self.chance.choice(self.standing())}")
        currency = transaction["currency"]
        change: dict[str, Any] = {"date": self.day()}
        if not transaction.get("splits") and self.chance.random() < 0.6:
            change["amount"] = self.amount(currency)
            if transaction["kind"] == "exchange":
                change["to_amount"] = self.amount(transaction["to_currency"])
        if transaction["category"] and transaction["kind"] == "expense" and self.chance.random() < 0.4:
            change["category"] = self.chance.choice(EXPENSES)
        if self.chance.random() < 0.3:
            change = {"payee": self.chance.choice(["Market hall", 'The "Café"', None]), "status": "cleared"}
        self.write("PATCH", f"/transactions/{transaction['id']}", change)
        self.count("edit")

    def delete(self) -> None:
        self.write("DELETE", f"/transactions/{self.chance.choice(self.standing())}")
        self.count("delete")

    def undo(self) -> None:
        # To take back an account that holds money is refused.
        changes = [change for change in self.read("/changes", limit=50)["items"] if change["type"] != "account.opened"]
        change = self.chance.choice([change for change in changes if change["undoable"]])
        self.write("POST", f"/changes/{change['sequence']}/undo", {})
        self.count("redo" if change["undoes"] else "undo")

    def merge(self) -> None:
        accounts = {account["name"]: account for account in self.read("/accounts")["items"]}
        self.write("PATCH", f"/accounts/{accounts['Eating out']['id']}", {"merge_into": "Groceries"})
        self.count("merge")

    def standing(self) -> list[str]:
        listed = {item["id"] for item in self.read("/transactions", limit=200)["items"] if item["kind"] != "opening"}
        return [each for each in self.transactions if each in listed]

    def count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def fill(self) -> None:
        self.open_accounts()
        for step in range(STEPS):
            if step == STEPS // 2:
                self.merge()
            acts = [self.record] * 6 + [self.edit] * 3 + [self.delete, self.undo, self.undo]
            # Undone and deleted, all there was may be gone, and nothing left to choose from.
            self.chance.choice(acts if len(self.standing()) > 2 else [self.record])()

    def balances(self, **params: Any) -> Mapping[tuple[UUID, str], Decimal]:
        """What our API says, without what is zero."""
        return {
            (UUID(item["account"]["id"]), item["currency"]): Decimal(item["amount"])
            for item in self.read("/balances", **params)["items"]
            if Decimal(item["amount"])
        }


@pytest.fixture(scope="module")
def generated(stack: LocalStack) -> Iterator[Generated]:
    seed = int(os.environ.get("CASH_BEANCOUNT_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CASH_BEANCOUNT_SEED={seed}")
    with a_person(stack) as person:
        ledger = Generated(person, seed)
        ledger.fill()
        print(f"What was done: {ledger.done}")
        yield ledger


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(stack: LocalStack) -> AsyncIterator[Database]:
    opened = Database(settings_from(stack.environment("ledger-consumer"), LedgerDatabaseSettings), application="tests")
    await opened.start()
    yield opened
    await opened.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def books(generated: Generated, database: Database) -> PostedBooks:
    async with database.connection("read a ledger") as connection:
        return await read_books(connection, generated.person.ledger_id)


def test_the_ledger_has_seen_everything(generated: Generated, books: PostedBooks) -> None:
    assert set(generated.done) >= {"expense", "splits", "income", "refund", "transfer", "exchange", "edit", "delete"}
    assert set(generated.done) >= {"undo", "redo", "merge"}
    assert {posting.currency for posting in books.postings} == set(ACCOUNTS.values())
    assert {exponent_of(posting.currency) for posting in books.postings} == {0, 2, 3}
    assert {posting.standing for posting in books.postings} == {True, False}


@pytest.mark.parametrize("standing_only", [False, True], ids=["with reversals", "what stands"])
async def test_beancount_finds_no_error_and_the_balances_of_our_table(
    books: PostedBooks, generated: Generated, database: Database, standing_only: bool
) -> None:
    directives, errors = load(books.to_text(standing_only=standing_only))

    async with database.connection("read balances") as connection:
        found = await connection.fetch(
            "SELECT account_id, currency, balance_minor FROM balances WHERE ledger_id = $1",
            generated.person.ledger_id,
        )
    ours = {
        (row["account_id"], row["currency"]): Decimal(format_minor(int(row["balance_minor"]), row["currency"]))
        for row in found
    }
    assert errors == []
    assert books.balances_in(directives) == books.by_root(ours)


def test_beancount_finds_the_balances_of_our_api(books: PostedBooks, generated: Generated) -> None:
    directives, _ = load(books.to_text())

    assert books.balances_in(directives) == generated.balances()


def test_beancount_finds_the_balances_of_every_day(books: PostedBooks, generated: Generated) -> None:
    directives, _ = load(books.to_text())
    days = {FIRST_DAY - timedelta(days=1), FIRST_DAY + timedelta(days=DAYS)}
    days |= {date(2024, 1, 1), date(2024, 1, 31), date(2024, 2, 29), date(2024, 12, 31)}
    days |= set(generated.chance.sample([posting.booked_on for posting in books.postings], 12))

    stated = []
    for day in sorted(days):
        ours = generated.balances(on=day.isoformat())
        assert books.balances_in(directives, day) == ours, day
        stated += [StatedBalance(account, day, amount, currency) for (account, currency), amount in ours.items()]

    assert load(books.to_text(stated))[1] == []


def test_beancount_finds_our_net_worth(books: PostedBooks, generated: Generated) -> None:
    """By the rates that were entered until that day, one of them from the other side."""
    pairs = [("USD", "EUR", (0.8, 1)), ("JPY", "EUR", (0.005, 0.007)), ("EUR", "BHD", (0.3, 0.5))]
    days = [FIRST_DAY + timedelta(days=each) for each in generated.chance.sample(range(DAYS), 12)]
    rates = []
    for day, (currency, quote, around) in zip(days, pairs * 4, strict=True):
        rate = f"{generated.chance.uniform(*around):.6f}"
        rates.append({"currency": currency, "quote": quote, "date": day.isoformat(), "rate": rate})
    generated.write("POST", "/rates", {"rates": rates})
    prices = "".join(f"{each['date']} price {each['currency']} {each['rate']} {each['quote']}\n" for each in rates)
    directives, errors = load(books.to_text() + prices)

    assert errors == []
    for day in [FIRST_DAY - timedelta(days=1), *sorted(days)]:
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for (account_id, currency), amount in books.balances_in(directives, day).items():
            if books.accounts[account_id].kind in (AccountKind.ASSET, AccountKind.LIABILITY):
                totals[currency] += amount
        worth = converted(directives, totals, "EUR", day)
        in_euro = [amount.quantize(CENT, ROUND_HALF_EVEN) for amount, currency in worth if currency == "EUR"]

        ours = generated.read("/net-worth", on=day.isoformat(), currency="EUR")
        assert as_amounts(ours["totals"]) == {currency: amount for currency, amount in totals.items() if amount}
        assert as_amounts(ours["unconverted"]) == {
            currency: amount for amount, currency in worth if currency != "EUR" and amount
        }
        assert Decimal(ours["total"]["amount"] if ours["total"] else 0) == sum(in_euro)


def as_amounts(items: list[Any]) -> dict[str, Decimal]:
    return {item["currency"]: Decimal(item["amount"]) for item in items}


def test_what_our_assertions_say_holds_for_beancount(books: PostedBooks, generated: Generated) -> None:
    """And where they do not hold, beancount says so of exactly those."""
    day = date(2024, 6, 30)
    held: list[StatedBalance] = []
    missed: list[StatedBalance] = []
    for (account_id, currency), amount in generated.balances(on=day.isoformat()).items():
        if books.accounts[account_id].currency is None:
            continue
        for stated, expected in ((amount, held), (amount + Decimal(1), missed)):
            body = {"account": str(account_id), "balance": f"{stated:f}", "date": day.isoformat()}
            assertion = generated.write("POST", "/assertions", body)
            assert assertion["holds"] is (expected is held)
            expected.append(StatedBalance(account_id, day, Decimal(assertion["stated"]), currency))

    assert held
    assert load(books.to_text(held))[1] == []
    assert len(load(books.to_text(missed))[1]) == len(missed)
