"""Recording a transaction: an expense, an income, a refund, one over several categories, or a transfer."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated
from uuid import uuid4

import typer

from cli.books.amounts import checked_amount, checked_rate, is_currency, one_currency, read_amount
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.transaction_questions import ask_transaction
from cli.books.transaction_tables import show_transactions
from cli.completion import account_names
from cli.connection.client import Answer, Client, Unanswered, connect
from cli.connection.servers import UrlOption
from cli.terminal.days import read_day
from cli.terminal.output import ExitCode, Json, fail, say, show_json
from cli.terminal.prompts import is_interactive
from contracts.text import IDEMPOTENCY_KEY_LENGTH_MAX, IDEMPOTENCY_KEY_PATTERN
from contracts.transactions import TransactionKind, TransactionStatus

Amount = Annotated[
    str, typer.Argument(metavar="AMOUNT", help='Above zero: 24.47, or with its currency "1,234.50 EUR".')
]
Day = Annotated[
    str | None,
    typer.Option("--date", metavar="DAY", help="2026-03-31, yesterday, last friday, -3d; now when left out."),
]
Splits = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        metavar="PART",
        help='Instead of CATEGORY, once for each: "12.30 Groceries"; one may leave out its amount and gets the rest.',
    ),
]
Payee = Annotated[str | None, typer.Option("--payee", help="Who was paid, or who paid.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")]
Note = Annotated[str | None, typer.Option("--note", help="Some lines about it.")]
Status = Annotated[TransactionStatus | None, typer.Option("--status", help="Whether the bank has it too.")]
ExternalId = Annotated[str | None, typer.Option("--external-id", metavar="ID", help="What another system calls it.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return once it is accepted, not yet recorded.")]
Key = Annotated[
    str | None,
    typer.Option("--key", help="Idempotency key: however often a command is repeated with it, it is recorded once."),
]


def add(
    amount: Annotated[
        str | None,
        typer.Argument(
            metavar="AMOUNT",
            help='Above zero: 24.47, or with its currency "1,234.50 EUR". Without any words, all is asked for.',
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Argument(
            metavar="CATEGORY", autocompletion=account_names, help="A category's name; a new name opens one."
        ),
    ] = None,
    description: Annotated[str | None, typer.Argument(metavar="DESCRIPTION", help="What it was about.")] = None,
    day: Day = None,
    income: Annotated[bool, typer.Option("--income", help="Money that came in; an expense otherwise.")] = False,
    refund: Annotated[bool, typer.Option("--refund", help="Money that came back from a category of expenses.")] = False,
    split: Splits = None,
    account: Annotated[
        str | None, typer.Option(autocompletion=account_names, help="Account it came from or went to; the default one.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code; the account's own when left out.")] = None,
    payee: Payee = None,
    tag: Tags = None,
    about: Note = None,
    status: Status = None,
    external_id: ExternalId = None,
    no_wait: NoWait = False,
    key: Key = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Record an expense, an income or a refund.

    An expense, where nothing else is said. At a terminal all is asked for where nothing is typed.

    Lost answers are asked for again by the command itself, without recording anything twice. If the outcome stays
    unknown it says so, with the --key to repeat it under.

    Examples:
        cash tx add 24.47 Groceries "Weekly shop" --date yesterday
        cash tx add "1,234.50 EUR" Salary --income
        cash tx add 42.30 --split "12.30 Household" --split Groceries
    """
    if income and refund:
        fail("an income is no refund; say one of --income and --refund", ExitCode.USAGE)
    if amount is None:
        if split or not is_interactive():
            fail("Missing argument 'AMOUNT'; see 'cash tx add --help'", ExitCode.USAGE)
        with connect(url) as client:
            answers = ask_transaction(client, chosen_ledger(client, ledger), day=day, account=account)
        total, category, description = answers.amount, answers.category, answers.description
        day, account = answers.day, answers.account
    else:
        total = read_amount(amount)
    if category and is_currency(category) and not split:
        fail(
            f"'{category}' is a currency; type it with the amount, in quotation marks: cash tx add "
            f'"{amount} {category}" CATEGORY',
            ExitCode.USAGE,
        )
    if split:
        if description is not None:
            fail(f"with --split there is no CATEGORY: leave out '{category}', or make it a --split", ExitCode.USAGE)
        category, description = None, category
    elif category is None:
        fail("Missing argument 'CATEGORY'; see 'cash tx add --help'", ExitCode.USAGE)
    wanted = {
        "amount": total.amount,
        "category": category,
        "splits": read_splits(split, total.amount) if split else None,
        "kind": TransactionKind.INCOME if income else TransactionKind.REFUND if refund else None,
        "description": description,
        "account": account,
        "currency": one_currency(total, currency),
        "payee": payee,
        "tags": tag or None,
        "note": about,
        "status": status,
        "external_id": external_id,
    }
    _record(wanted, day, key=key, no_wait=no_wait, ledger=ledger, url=url, json=json)


def transfer(
    amount: Amount,
    to: Annotated[
        str, typer.Option("--to", metavar="ACCOUNT", autocompletion=account_names, help="Account it goes to.")
    ],
    description: Annotated[str | None, typer.Argument(metavar="DESCRIPTION", help="What it was about.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="ACCOUNT", autocompletion=account_names, help="Account it comes from; the default one."
        ),
    ] = None,
    to_amount: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="What arrives, where the other account has another currency.")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="Instead of --to-amount: what arrives for one unit of what leaves."),
    ] = None,
    day: Day = None,
    payee: Payee = None,
    tag: Tags = None,
    about: Note = None,
    status: Status = None,
    external_id: ExternalId = None,
    no_wait: NoWait = False,
    key: Key = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Move money from one account to another.

    Into an account of another currency with --to-amount or --rate.

    Examples:
        cash tx transfer 250 --to Savings
        cash tx transfer 100 --to Dollars --to-amount 108.42
    """
    if to_amount and rate:
        fail("say what arrives by one of --to-amount and --rate; the other follows", ExitCode.USAGE)
    total = read_amount(amount)
    wanted = {
        "amount": total.amount,
        "currency": total.currency,
        "account": source,
        "to_account": to,
        "to_amount": checked_amount(to_amount) if to_amount else None,
        "rate": checked_rate(rate) if rate else None,
        "description": description,
        "payee": payee,
        "tags": tag or None,
        "note": about,
        "status": status,
        "external_id": external_id,
    }
    _record(wanted, day, key=key, no_wait=no_wait, ledger=ledger, url=url, json=json)


def submit_transaction(
    client: Client, books: Ledger, wanted: Mapping[str, object], *, key: str | None = None, wait: bool = True
) -> Answer:
    """Send a transaction to a ledger; what is ``None`` is left out."""
    body = {name: value for name, value in wanted.items() if value is not None}
    return client.call("POST", books.path("/transactions"), body=body, key=key, wait=wait)


def read_splits(parts: Sequence[str], total: str) -> list[dict[str, str]]:
    """Return typed parts as the API wants them; the one without an amount gets the rest of ``total``."""
    splits: list[dict[str, str]] = []
    without: list[dict[str, str]] = []
    for part in parts:
        typed, _, category = part.strip().partition(" ")
        if re.fullmatch(r"[0-9.,'+-]*[0-9][0-9.,'+-]*", typed):
            amount = checked_amount(typed)
            if is_currency(category.strip().partition(" ")[0]):
                fail(f"'{part}' names a currency; say it once, with the amount of all", ExitCode.USAGE)
            if category.strip():
                splits.append({"amount": amount, "category": category.strip()})
                continue
            fail(f"'{part}' names no category; type a part as \"12.30 Groceries\"", ExitCode.USAGE)
        else:
            splits.append({"amount": "", "category": part.strip()})
            without.append(splits[-1])
    if len(without) > 1:
        fail("only one --split may leave out its amount; it gets the rest", ExitCode.USAGE)
    if without:
        rest = Decimal(total) - sum(Decimal(split["amount"]) for split in splits if split["amount"])
        if rest <= 0:
            fail(f"nothing of {total} is left for '{without[0]['category']}'; check the amounts", ExitCode.USAGE)
        without[0]["amount"] = f"{rest:f}"
    return splits


def _record(
    wanted: Mapping[str, object],
    day: str | None,
    *,
    key: str | None,
    no_wait: bool,
    ledger: str | None,
    url: str | None,
    json: bool,
) -> None:
    with connect(url) as client:
        client.remembered_session()
        key = _checked_key(key or str(uuid4()))
        books = chosen_ledger(client, ledger)
        wanted = {**wanted, "date": read_day(day, books.now()) if day else None}
        try:
            answer = submit_transaction(client, books, wanted, key=key, wait=not no_wait)
        except Unanswered as unanswered:
            raise Unanswered(
                f"{unanswered}; whether it was recorded is not known: repeat the command with --key {key}, "
                "it is recorded once",
                unanswered.code,
            ) from None
        _show_outcome(answer, books, waited=not no_wait, json=json)


def _checked_key(key: str) -> str:
    if not re.fullmatch(IDEMPOTENCY_KEY_PATTERN, key):
        longest = IDEMPOTENCY_KEY_LENGTH_MAX
        fail(
            f"a --key is 1 to {longest} ASCII letters, digits and signs; leave it out to get a fresh one",
            ExitCode.USAGE,
        )
    return key


def _show_outcome(answer: Answer, books: Ledger, *, waited: bool, json: bool) -> None:
    if json:
        show_json(answer.body)
    if answer.pending:
        look = f"cash tx show{books.option} {answer.body['transaction_id']}"
        if waited:
            fail(f"accepted, but not recorded within the time we wait; see it later with `{look}`", ExitCode.PENDING)
        if not json:
            say(f"Accepted. Next: {look}")
    elif not json:
        replayed = answer.replayed
        say("This was recorded before, nothing was added:" if replayed else "Recorded:")
        show_transactions([answer.body])
