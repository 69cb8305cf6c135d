"""From the form people fill in to postings: which accounts, how much of which currency, moved which way."""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from uuid import UUID, uuid5

from consumers.domain.accounts import (
    Account,
    cleaned,
    exchange_account_id,
    id_in,
    open_equity,
    refuse_category,
    refuse_money_account,
)
from consumers.domain.books import Books, Stamps
from contracts.accounts import EXCHANGE_ACCOUNT_NAME, AccountKind, AccountOpened
from contracts.money import (
    AMOUNT_MINOR_MAX,
    AmountRefused,
    Money,
    UnknownCurrency,
    convert_minor,
    exponent_of,
    format_minor,
    to_minor,
)
from contracts.refusals import Refusal, RefusalCode
from contracts.text import name_key
from contracts.transactions import SPLITS_MAX, Posting, Split, TransactionKind

#: Kinds of one account and one or more categories, and what a category is that a new name opens.
_CATEGORY_OPENED = {
    TransactionKind.EXPENSE: AccountKind.EXPENSE,
    TransactionKind.INCOME: AccountKind.INCOME,
    TransactionKind.REFUND: AccountKind.EXPENSE,
}
#: Kinds that move money between two accounts, without a category.
MOVING = frozenset({TransactionKind.TRANSFER, TransactionKind.EXCHANGE})
_RATE_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Form:
    """What a transaction's money is, as people say it; names may be ids. ``None``: not said."""

    kind: TransactionKind | None
    amount: str | None
    currency: str | None
    account: str | UUID | None
    category: str | None
    splits: tuple[Split, ...] | None
    to_account: str | None
    to_amount: str | None
    rate: str | None


@dataclass(frozen=True, slots=True)
class Moved:
    """The postings of a form, the categories and accounts they open, and the rate of an exchange."""

    kind: TransactionKind
    postings: tuple[Posting, ...]
    opened: tuple[AccountOpened, ...] = ()
    rate: str | None = None


def move(form: Form, books: Books, stamps: Stamps, operation_id: UUID) -> Moved | Refusal:
    """Return the postings that a form asks for, or the first reason why there are none."""
    kind = form.kind or (TransactionKind.TRANSFER if form.to_account is not None else TransactionKind.EXPENSE)
    if refusal := _refuse_fields(form, kind):
        return refusal
    account = books.find_account(form.account or books.default_account_id)
    if refusal := refuse_money_account(account):
        return refusal
    assert account is not None
    if kind in MOVING:
        return _move_between(form, account, books, stamps)
    return _move_categories(form, kind, account, books, stamps, operation_id)


def _refuse_fields(form: Form, kind: TransactionKind) -> Refusal | None:
    """Say which fields do not go together."""
    conflict = RefusalCode.FIELDS_CONFLICT
    if kind is TransactionKind.OPENING:
        return Refusal(conflict, "An opening balance is given when its account is opened.", "kind")
    if kind in MOVING:
        if form.category is not None or form.splits is not None:
            return Refusal(conflict, "A transfer has no category; leave it out, or leave out to_account.", "category")
        if form.to_account is None:
            return Refusal(conflict, "Name the account that the transfer goes to.", "to_account")
        if form.to_amount is not None and form.rate is not None:
            return Refusal(conflict, "Say what arrives, or the rate; not both.", "rate")
        return None
    for name, value in (("to_account", form.to_account), ("to_amount", form.to_amount), ("rate", form.rate)):
        if value is not None:
            return Refusal(conflict, f"That belongs to a transfer, and this is of kind {kind}; leave it out.", name)
    if form.category is not None and form.splits is not None:
        return Refusal(conflict, "Name one category, or several as splits; not both.", "splits")
    return None


def _move_categories(
    form: Form, kind: TransactionKind, account: Account, books: Books, stamps: Stamps, operation_id: UUID
) -> Moved | Refusal:
    money = _splits(form, account)
    if isinstance(money, Refusal):
        return money
    opened: dict[str, AccountOpened] = {}
    postings: list[Posting] = []
    for typed, amount_minor in money:
        category_id = _category_id(typed, kind, books, stamps, operation_id, opened)
        if isinstance(category_id, Refusal):
            return category_id
        into_category = kind is TransactionKind.EXPENSE
        postings.append(
            Posting(
                source_account_id=account.id if into_category else category_id,
                destination_account_id=category_id if into_category else account.id,
                amount_minor=amount_minor,
                currency=account.currency or "",
            )
        )
    return Moved(kind, tuple(postings), tuple(opened.values()))


def _splits(form: Form, account: Account) -> list[tuple[str, int]] | Refusal:
    """Return each category as typed with its amount in minor units of the account's currency."""
    if form.splits is None:
        if form.amount is None:
            return Refusal(RefusalCode.AMOUNT_MISSING, "Say how much it was.", "amount")
        money = money_in(form.amount, form.currency, account)
        if isinstance(money, Refusal):
            return money
        if form.category is None:
            return Refusal(RefusalCode.CATEGORY_MISSING, "Say which category the money belongs to.", "category")
        return [(form.category, money.minor)]
    if not form.splits:
        return Refusal(RefusalCode.SPLIT_EMPTY, "Give at least one split, or a category instead.", "splits")
    if len(form.splits) > SPLITS_MAX:
        return Refusal(
            RefusalCode.SPLITS_TOO_MANY, f"A transaction has at most {SPLITS_MAX} splits; make several of it.", "splits"
        )
    parts: list[tuple[str, int]] = []
    for each in form.splits:
        money = money_in(each.amount, form.currency, account, "splits")
        if isinstance(money, Refusal):
            return money
        parts.append((each.category, money.minor))
    if form.amount is not None:
        whole = money_in(form.amount, form.currency, account)
        if isinstance(whole, Refusal):
            return whole
        total = sum(minor for _, minor in parts)
        if whole.minor != total:
            return Refusal(
                RefusalCode.SPLIT_SUM_MISMATCH,
                f"The splits add up to {format_minor(total, whole.currency)}, not to {whole}; correct one of them, or "
                "leave out the amount.",
                "splits",
            )
    return parts


def _category_id(
    typed: str,
    kind: TransactionKind,
    books: Books,
    stamps: Stamps,
    operation_id: UUID,
    opened: dict[str, AccountOpened],
) -> UUID | Refusal:
    """Return the id of a category as typed; a new name is opened, once."""
    category = books.find_account(typed)
    if category is not None:
        return refuse_category(category) or category.id
    if id_in(typed):
        return Refusal(
            RefusalCode.CATEGORY_NOT_FOUND,
            "This ledger has no category with this id; give its name instead.",
            "category",
        )
    key = name_key(typed)
    if key not in opened:
        opened[key] = AccountOpened(
            **stamps.next(),
            account_id=uuid5(operation_id, f"category {key}"),
            kind=_CATEGORY_OPENED[kind],
            name=cleaned(typed),
        )
    return opened[key].account_id


def _move_between(form: Form, account: Account, books: Books, stamps: Stamps) -> Moved | Refusal:
    """Return the posting of a transfer, or the two of an exchange."""
    target = books.find_account(form.to_account)
    if refusal := refuse_money_account(target, "to_account"):
        return refusal
    assert target is not None
    assert target.currency is not None
    if target.id == account.id:
        return Refusal(RefusalCode.ACCOUNTS_EQUAL, "A transfer goes to another account; name one.", "to_account")
    if form.amount is None:
        return Refusal(RefusalCode.AMOUNT_MISSING, "Say how much it was.", "amount")
    money = money_in(form.amount, form.currency, account)
    if isinstance(money, Refusal):
        return money
    if target.currency == account.currency:
        if form.to_amount is not None or form.rate is not None:
            return Refusal(
                RefusalCode.FIELDS_CONFLICT,
                f"Both accounts are kept in {account.currency}: what leaves arrives; leave out to_amount and rate.",
                "to_amount" if form.rate is None else "rate",
            )
        return Moved(TransactionKind.TRANSFER, (_posting(account.id, target.id, money),))
    arriving = _arriving(form, money, target)
    if isinstance(arriving, Refusal):
        return arriving
    exchange_id = exchange_account_id(books.ledger_id)
    return Moved(
        TransactionKind.EXCHANGE,
        (_posting(account.id, exchange_id, money), _posting(exchange_id, target.id, arriving)),
        open_equity(books, stamps, exchange_id, EXCHANGE_ACCOUNT_NAME),
        _rate_text(Decimal(form.rate)) if form.rate is not None else _rate_between(money, arriving),
    )


def _arriving(form: Form, money: Money, target: Account) -> Money | Refusal:
    """Return what arrives of an exchange in the target's currency."""
    assert target.currency is not None
    if form.to_amount is not None:
        return money_in(form.to_amount, None, target, "to_amount")
    if form.rate is None:
        return Refusal(
            RefusalCode.EXCHANGE_INCOMPLETE,
            f"That account is kept in {target.currency}: say how much of it arrives (to_amount), or the rate.",
            "to_amount",
        )
    minor = convert_minor(money.minor, money.currency, Decimal(form.rate), target.currency)
    if not 0 < minor <= AMOUNT_MINOR_MAX:
        return Refusal(
            RefusalCode.RATE_INVALID,
            f"At this rate nothing, or too much, arrives in {target.currency}; correct it, or say what arrives.",
            "rate",
        )
    return Money(minor, target.currency)


def _posting(source_id: UUID, destination_id: UUID, money: Money) -> Posting:
    return Posting(
        source_account_id=source_id,
        destination_account_id=destination_id,
        amount_minor=money.minor,
        currency=money.currency,
    )


def _rate_between(money: Money, arriving: Money) -> str | None:
    with localcontext(prec=60):
        left = Decimal(money.minor).scaleb(-exponent_of(money.currency))
        came = Decimal(arriving.minor).scaleb(-exponent_of(arriving.currency))
        return _rate_text(came / left)


def _rate_text(rate: Decimal) -> str | None:
    """Return a rate as it is kept, to twelve decimals; ``None`` for one too small or too large to say so."""
    with localcontext(prec=60):
        text = f"{rate:.{_RATE_DECIMALS}f}".rstrip("0").rstrip(".")
    return text if text != "0" and len(text.partition(".")[0]) <= _RATE_DECIMALS else None


def money_in(amount: str, currency: str | None, account: Account, field: str = "amount") -> Money | Refusal:
    """Return a typed amount in an account's currency."""
    kept_in = account.currency or ""
    try:
        if currency not in (None, kept_in):
            exponent_of(currency)
            return Refusal(
                RefusalCode.CURRENCY_MISMATCH,
                f"That account is kept in {kept_in}: give the amount in it, or name an account in {currency}.",
                "currency",
            )
        return Money(to_minor(amount, kept_in), kept_in)
    except UnknownCurrency as error:
        return Refusal(RefusalCode.CURRENCY_UNKNOWN, f"{error} Use a code such as EUR.", "currency")
    except AmountRefused as error:
        return Refusal(RefusalCode(error.code), str(error), field)
