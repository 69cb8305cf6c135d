"""Ledgers: how a person's own opens, with the account their cash is in, and further ones; how they are renamed."""

from functools import lru_cache
from uuid import uuid5
from zoneinfo import ZoneInfo

from consumers.domain.accounts import cleaned, refuse_money_account
from consumers.domain.books import Books, Stamps
from consumers.domain.decisions import Asked, Decision
from contracts.accounts import AccountKind, AccountOpened
from contracts.ledgers import (
    DEFAULT_ACCOUNT_NAME,
    PERSONAL_LEDGER_NAME,
    LedgerChanged,
    LedgerChangeSubmitted,
    LedgerOpened,
    LedgerSubmitted,
    further_ledger_id,
    personal_ledger_id,
)
from contracts.messages import LedgerEntry, Submission
from contracts.money import UnknownCurrency, exponent_of
from contracts.refusals import Refusal, RefusalCode


def open_personal_ledger(asked: Asked[Submission], books: Books) -> tuple[LedgerEntry, ...]:
    """Return the entries that open the sender's own ledger; none where it is open, or where it is another ledger.

    The first record for it opens it, whether that record itself is refused or not. Home currency and zone are the
    record's (``ce_homecurrency``, ``ce_homezone``, or the grant's). Without both, or with ones unknown to ISO 4217 or
    the IANA database, nothing is opened, the record is refused as for any ledger that does not exist, and the next one
    with a home opens it. A decision like any other, it falls to the same record however a history is cut into batches.
    """
    if books.sequence > 0 or asked.user_id is None or asked.message.subject_id != personal_ledger_id(asked.user_id):
        return ()
    currency, zone = asked.home_currency, asked.home_zone
    if currency is None or zone is None or not (_is_currency(currency) and _is_zone(zone)):
        return ()
    return _open(asked, books, PERSONAL_LEDGER_NAME, currency, zone)


def decide_ledger(asked: Asked[LedgerSubmitted], books: Books) -> Decision:
    """Decide whether a person gets another ledger; they are its owner."""
    message = asked.message
    is_derived = asked.user_id and message.ledger_id == further_ledger_id(asked.user_id, asked.idempotency_key)
    if books.sequence > 0 or not is_derived:
        detail = "There is a ledger with this id already; ask again with another idempotency key."
        return Decision(refusal=Refusal(RefusalCode.LEDGER_ID_TAKEN, detail))
    currency, zone = message.base_currency or asked.home_currency or "", message.time_zone or asked.home_zone or ""
    if not _is_currency(currency):
        detail = f"{currency or 'Nothing'} is not a currency of ISO 4217 with minor units. Use a code such as EUR."
        return Decision(refusal=Refusal(RefusalCode.CURRENCY_UNKNOWN, detail, "base_currency"))
    if not _is_zone(zone):
        detail = "That is not a time zone of the IANA database; give a name such as Europe/Berlin."
        return Decision(refusal=Refusal(RefusalCode.TIME_ZONE_UNKNOWN, detail, "time_zone"))
    return Decision(journal=_open(asked, books, cleaned(message.name), currency, zone))


def change_ledger(
    asked: Asked[LedgerChangeSubmitted], books: Books, stamps: Stamps
) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether a ledger gets another name or default account."""
    message = asked.message
    name = cleaned(message.name) if message.name is not None else books.name or PERSONAL_LEDGER_NAME
    account_id = books.default_account_id
    if message.default_account is not None:
        account = books.find_account(message.default_account)
        if refusal := refuse_money_account(account, "default_account"):
            return refusal
        assert account is not None
        account_id = account.id
    if (name, account_id) == (books.name, books.default_account_id):
        return ()
    assert account_id is not None
    return (LedgerChanged(**stamps.next(), name=name, default_account_id=account_id),)


def _open(
    asked: Asked[Submission], books: Books, name: str, currency: str, zone: str
) -> tuple[LedgerOpened, AccountOpened]:
    assert asked.user_id is not None
    stamps = Stamps(asked, books)
    account_id = uuid5(asked.operation_id, "default account")
    ledger = LedgerOpened(
        **stamps.next(),
        owner_id=asked.user_id,
        name=name,
        base_currency=currency,
        time_zone=zone,
        default_account_id=account_id,
    )
    account = AccountOpened(
        **stamps.next(), account_id=account_id, kind=AccountKind.ASSET, name=DEFAULT_ACCOUNT_NAME, currency=currency
    )
    return ledger, account


@lru_cache(maxsize=1024)
def _is_currency(code: str) -> bool:
    try:
        exponent_of(code)
    except UnknownCurrency:
        return False
    return True


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    # A zone is a file's name: besides "not found" (KeyError) it can be no path (ValueError) or a folder (OSError).
    except (KeyError, ValueError, OSError):
        return False
    return True
