"""Whether a submitted transaction may enter the ledger, and as what."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from consumers.domain.books import Books
from contracts.accounts import AccountKind, AccountOpened
from contracts.ledgers import LedgerOpened, personal_ledger_id
from contracts.members import Role
from contracts.refusals import RefusalCode
from contracts.transactions import Posting, TransactionKind, TransactionRecorded
from tests.builders.books import ANN, BOB, MONDAY_NOON, asked_of, decide, some_books, take, with_account, with_member
from tests.builders.submissions import a_submission


def recorded(books: Books, **fields: Any) -> TransactionRecorded:
    """Let Ann submit and return the transaction that entered her books."""
    (decision,) = take(books, asked_of(a_submission(ANN, **fields)))
    assert decision.refusal is None, decision.refusal
    entry = decision.journal[-1]
    assert isinstance(entry, TransactionRecorded)
    return entry


def refused(
    books: Books, *, user_id: UUID = ANN, asked: dict[str, Any] | None = None, **fields: Any
) -> tuple[str, str | None]:
    """Return the code and the field a submission was refused with; nothing must have changed."""
    before = books.sequence
    (decision,) = take(books, asked_of(a_submission(ANN, **fields), user_id=user_id, **asked or {}))
    assert decision.refusal is not None
    assert decision.refusal.detail.endswith(".")
    assert books.sequence == before
    return decision.refusal.code, decision.refusal.field


def test_an_expense_moves_money_from_cash_to_its_category() -> None:
    books = some_books()
    groceries = books.find_account("groceries")
    assert groceries is not None
    assert books.default_account_id is not None

    entry = recorded(books, amount="24.47", description="Milk and bread")

    assert entry.postings == (
        Posting(
            source_account_id=books.default_account_id,
            destination_account_id=groceries.id,
            amount_minor=2447,
            currency="EUR",
        ),
    )
    assert (entry.kind, entry.revision, entry.user_id, entry.description) == (
        TransactionKind.EXPENSE,
        1,
        ANN,
        "Milk and bread",
    )


def test_income_moves_money_from_its_category_to_cash() -> None:
    books = some_books()

    (posting,) = recorded(books, kind="income", category="Salary").postings

    salary = books.find_account("Salary")
    assert salary is not None
    assert salary.kind is AccountKind.INCOME
    assert (posting.source_account_id, posting.destination_account_id) == (salary.id, books.default_account_id)


def test_a_new_category_is_opened_once_and_seen_by_the_next_record_of_the_batch() -> None:
    books = some_books()

    take(
        books,
        asked_of(a_submission(ANN, category="Eating out"), number=1),
        asked_of(a_submission(ANN, category="  EATING   out "), number=2),
    )

    assert [entry.type for entry in books.journal] == [
        AccountOpened.type,
        TransactionRecorded.type,
        TransactionRecorded.type,
    ]
    opened, first, second = books.journal
    assert isinstance(opened, AccountOpened)
    assert isinstance(first, TransactionRecorded)
    assert isinstance(second, TransactionRecorded)
    assert first.postings[0].destination_account_id == second.postings[0].destination_account_id == opened.account_id


def test_a_category_is_named_as_it_was_typed_less_needless_spaces() -> None:
    books = some_books()

    (decision,) = take(books, asked_of(a_submission(ANN, category="  Eating   Out ")))

    opened = decision.journal[0]
    assert isinstance(opened, AccountOpened)
    assert (opened.name, opened.kind, opened.currency) == ("Eating Out", AccountKind.EXPENSE, None)


def test_a_refund_is_income_into_an_expense_category() -> None:
    books = some_books()
    groceries = books.find_account("Groceries")
    assert groceries is not None

    assert recorded(books, kind="income", category="Groceries").postings[0].source_account_id == groceries.id


@pytest.mark.parametrize("upper", [False, True])
def test_accounts_are_found_by_id_as_well_as_by_name(upper: bool) -> None:
    books = some_books()
    bank = with_account(books, "Bank", AccountKind.ASSET)
    rent = with_account(books, "Rent", AccountKind.EXPENSE)
    named = [str(each).upper() if upper else str(each) for each in (bank, rent)]

    (posting,) = recorded(books, account=named[0], category=named[1]).postings

    assert (posting.source_account_id, posting.destination_account_id) == (bank, rent)


def test_what_was_merged_into_another_account_stands_for_it() -> None:
    books = some_books()
    food = with_account(books, "Food", AccountKind.EXPENSE)
    meals = with_account(books, "Meals", AccountKind.EXPENSE, merged_into=food, closed=True)
    with_account(books, "Lunch", AccountKind.EXPENSE, merged_into=meals, closed=True)

    assert recorded(books, category="Lunch").postings[0].destination_account_id == food


def test_accounts_merged_in_a_circle_are_not_found_rather_than_searched_for_ever() -> None:
    books = some_books()
    this, other = uuid4(), uuid4()
    with_account(books, "This", AccountKind.ASSET, account_id=this, merged_into=other)
    with_account(books, "Other", AccountKind.ASSET, account_id=other, merged_into=this)

    assert refused(books, account="This") == (RefusalCode.ACCOUNT_NOT_FOUND, "account")


def test_the_client_may_choose_the_transactions_id() -> None:
    chosen = uuid4()

    assert recorded(some_books(), transaction_id=chosen).transaction_id == chosen


def test_without_a_chosen_id_it_follows_from_the_operation() -> None:
    assert recorded(some_books()).transaction_id == uuid5(asked_of().operation_id, "transaction")


@pytest.mark.parametrize(
    ("booked", "day", "moment"),
    [
        # 23:30 in New York is the next day in Berlin and UTC; the day the person typed counts.
        (
            datetime(2026, 2, 28, 23, 30, tzinfo=timezone(timedelta(hours=-5))),
            date(2026, 2, 28),
            datetime(2026, 3, 1, 4, 30, tzinfo=UTC),
        ),
        # A bare day has no time: it gets the time of day it was sent at (noon UTC, 13:00 in Berlin in winter).
        (date(2026, 2, 10), date(2026, 2, 10), datetime(2026, 2, 10, 12, tzinfo=UTC)),
        # The same in summer time, which is an hour ahead.
        (date(2025, 7, 10), date(2025, 7, 10), datetime(2025, 7, 10, 11, tzinfo=UTC)),
        (None, date(2026, 3, 2), MONDAY_NOON),
        (date(1900, 1, 1), date(1900, 1, 1), None),
        (date(2200, 12, 31), date(2200, 12, 31), None),
    ],
)
def test_the_day_is_the_one_typed_or_the_one_it_was_sent_on(
    booked: datetime | date | None, day: date, moment: datetime | None
) -> None:
    entry = recorded(some_books(), booked=booked)

    assert entry.booked_on == day
    assert moment is None or entry.booked_at == moment


def test_without_a_date_the_day_is_the_ledgers_zones() -> None:
    books = some_books()
    late = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)  # half past midnight in Berlin

    (decision,) = take(books, asked_of(submitted_at=late, recorded_at=late))

    entry = decision.journal[-1]
    assert isinstance(entry, TransactionRecorded)
    assert entry.booked_on == date(2026, 3, 3)


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [("24.47", "EUR", 2447), ("24.4", "EUR", 2440), ("7", "JPY", 7), ("1.234", "KWD", 1234)],
)
def test_amounts_become_minor_units_of_the_accounts_currency(typed: str, currency: str, minor: int) -> None:
    books = some_books()
    with_account(books, "Purse", AccountKind.ASSET, currency=currency)

    (posting,) = recorded(books, amount=typed, account="Purse").postings

    assert (posting.amount_minor, posting.currency) == (minor, currency)


@pytest.mark.parametrize(
    ("code", "field", "fields"),
    [
        (RefusalCode.AMOUNT_TOO_PRECISE, "amount", {"amount": "24.475"}),
        (RefusalCode.AMOUNT_NOT_POSITIVE, "amount", {"amount": "0.00"}),
        (RefusalCode.AMOUNT_TOO_LARGE, "amount", {"amount": "9999999999999999"}),
        (RefusalCode.CATEGORY_MISSING, "category", {"category": None}),
        (RefusalCode.CATEGORY_NOT_FOUND, "category", {"category": str(uuid4())}),
        (RefusalCode.ACCOUNT_KIND_MISMATCH, "category", {"category": "cash"}),
        (RefusalCode.ACCOUNT_NOT_FOUND, "account", {"account": "Bank"}),
        (RefusalCode.ACCOUNT_NOT_FOUND, "account", {"account": str(uuid4())}),
        (RefusalCode.ACCOUNT_KIND_MISMATCH, "account", {"account": "Groceries"}),
        (RefusalCode.CURRENCY_MISMATCH, "currency", {"currency": "USD"}),
        (RefusalCode.CURRENCY_UNKNOWN, "currency", {"currency": "ZZZ"}),
        (RefusalCode.CURRENCY_UNKNOWN, "currency", {"currency": "XAU"}),
        (RefusalCode.DATE_OUT_OF_RANGE, "booked", {"booked": date(1899, 12, 31)}),
        (RefusalCode.DATE_OUT_OF_RANGE, "booked", {"booked": date(2201, 1, 1)}),
        (RefusalCode.DATE_OUT_OF_RANGE, "booked", {"booked": datetime(9999, 12, 31, 23, tzinfo=UTC)}),
        (RefusalCode.DATE_OUT_OF_RANGE, "booked", {"booked": datetime(1, 1, 2, tzinfo=UTC)}),
    ],
)
def test_a_submission_is_refused_by_name_and_nothing_changes(
    code: RefusalCode, field: str, fields: dict[str, Any]
) -> None:
    assert refused(some_books(), **fields) == (code, field)


def test_an_amount_that_is_no_number_is_refused() -> None:
    # The message's own pattern keeps such an amount out; a newer sender's pattern may not.
    asked = asked_of(a_submission(ANN).model_copy(update={"amount": "NaN"}))

    decision = decide(asked, some_books())

    assert decision.refusal is not None
    assert decision.refusal.code is RefusalCode.AMOUNT_INVALID


@pytest.mark.parametrize("year", [1, 1899, 2201, 9999])
def test_a_senders_clock_that_cannot_be_right_is_refused(year: int) -> None:
    wrong = datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=14)))

    assert refused(some_books(), asked={"submitted_at": wrong}) == (RefusalCode.DATE_OUT_OF_RANGE, None)
    assert refused(some_books(), asked={"submitted_at": wrong}, booked=date(2026, 3, 1)) == (
        RefusalCode.DATE_OUT_OF_RANGE,
        None,
    )


@pytest.mark.parametrize(
    ("name", "kind", "field"), [("Old", AccountKind.ASSET, "account"), ("Old", AccountKind.EXPENSE, "category")]
)
def test_a_closed_account_or_category_takes_nothing(name: str, kind: AccountKind, field: str) -> None:
    books = some_books()
    with_account(books, name, kind, closed=True)

    fields: dict[str, Any] = {field: name}
    assert refused(books, **fields) == (RefusalCode.ACCOUNT_CLOSED, field)


def test_money_cannot_be_paid_from_an_equity_account_nor_for_one() -> None:
    books = some_books()
    with_account(books, "Exchange", AccountKind.EQUITY)

    assert refused(books, account="Exchange") == (RefusalCode.ACCOUNT_KIND_MISMATCH, "account")
    assert refused(books, category="Exchange") == (RefusalCode.ACCOUNT_KIND_MISMATCH, "category")


def test_a_transaction_id_that_another_operation_used_is_taken_also_within_the_batch() -> None:
    books, chosen = some_books(), uuid4()

    _, second = take(
        books,
        asked_of(a_submission(ANN, transaction_id=chosen), number=1),
        asked_of(a_submission(ANN, transaction_id=chosen), number=2),
    )

    assert second.refusal is not None
    assert (second.refusal.code, second.refusal.field) == (RefusalCode.TRANSACTION_ID_TAKEN, "transaction_id")


def test_a_viewer_may_not_record_and_an_editor_may() -> None:
    books = with_member(some_books(), BOB, Role.VIEWER)
    assert refused(books, user_id=BOB) == (RefusalCode.ROLE_INSUFFICIENT, None)

    with_member(books, BOB, Role.EDITOR)
    (decision,) = take(books, asked_of(a_submission(ANN), user_id=BOB))

    assert decision.refusal is None


def test_a_strangers_ledger_and_one_that_does_not_exist_are_refused_in_the_same_words() -> None:
    (strangers,) = take(some_books(), asked_of(a_submission(ANN), user_id=BOB))
    nowhere = Books(uuid4())
    (missing,) = take(nowhere, asked_of(a_submission(ANN, ledger_id=nowhere.ledger_id), user_id=BOB))

    assert strangers.refusal is not None
    assert strangers.refusal == missing.refusal
    assert strangers.refusal.code is RefusalCode.LEDGER_NOT_FOUND


def test_the_first_record_opens_the_senders_own_ledger_with_an_account_for_cash() -> None:
    books = Books(personal_ledger_id(ANN))

    take(books, asked_of(a_submission(ANN, amount="24"), home_currency="JPY", home_zone="Asia/Tokyo"))

    assert [entry.type for entry in books.journal] == [
        LedgerOpened.type,
        AccountOpened.type,
        AccountOpened.type,
        TransactionRecorded.type,
    ]
    opened, cash = books.journal[:2]
    assert isinstance(opened, LedgerOpened)
    assert isinstance(cash, AccountOpened)
    assert (opened.owner_id, opened.base_currency, opened.time_zone) == (ANN, "JPY", "Asia/Tokyo")
    assert (cash.account_id, cash.name, cash.kind, cash.currency) == (
        opened.default_account_id,
        "Cash",
        AccountKind.ASSET,
        "JPY",
    )
    assert books.roles == {ANN: Role.OWNER}


def test_the_first_record_opens_the_ledger_also_when_it_is_refused_itself() -> None:
    books = Books(personal_ledger_id(ANN))

    (decision,) = take(books, asked_of(a_submission(ANN, amount="0")))

    assert decision.refusal is not None
    assert [entry.type for entry in books.journal] == [LedgerOpened.type, AccountOpened.type]


@pytest.mark.parametrize(
    "home",
    [
        {"home_currency": None},
        {"home_zone": None},
        {"home_currency": "ZZZ"},
        {"home_currency": "XAU"},
        {"home_zone": "Mars/Olympus"},
        {"home_zone": "../../etc/passwd"},
        {"home_zone": "America"},
        {"home_zone": "Z" * 5000},
    ],
)
def test_a_ledger_is_not_opened_without_a_home_that_exists_and_the_next_record_opens_it(home: dict[str, Any]) -> None:
    books = Books(personal_ledger_id(ANN))

    first, second = take(books, asked_of(number=1, **home), asked_of(number=2))

    assert first.refusal is not None
    assert first.refusal.code is RefusalCode.LEDGER_NOT_FOUND
    assert first.journal == ()
    assert second.refusal is None


def test_nobody_opens_somebody_elses_ledger() -> None:
    books = Books(personal_ledger_id(ANN))

    (decision,) = take(books, asked_of(a_submission(ANN), user_id=BOB))

    assert decision.refusal is not None
    assert books.journal == []


def test_entries_carry_what_a_rebuild_needs_and_never_go_back_in_time() -> None:
    books = some_books()
    later, earlier = MONDAY_NOON + timedelta(hours=1), MONDAY_NOON

    take(books, asked_of(number=1, recorded_at=later), asked_of(number=2, recorded_at=earlier))

    first, second = books.journal
    assert isinstance(first, TransactionRecorded)
    assert isinstance(second, TransactionRecorded)
    assert second.recorded_at == first.recorded_at == later
    assert second.sequence == first.sequence + 1
    assert (second.operation_id, second.request_hash) == (asked_of(number=2).operation_id, f"{2:064x}")
    assert second.source == asked_of(number=2).source


def test_deciding_changes_nothing_until_it_is_applied() -> None:
    books = Books(personal_ledger_id(ANN))

    first, again = (decide(asked_of(), books) for _ in range(2))

    assert first == again
    assert books == Books(personal_ledger_id(ANN))


def test_books_refuse_an_entry_out_of_order() -> None:
    books = some_books()
    decision = decide(asked_of(), books)
    books.apply(asked_of(), decision)

    with pytest.raises(ValueError, match="is not entry"):
        books.apply(asked_of(), decision)
