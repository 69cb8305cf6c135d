"""Ledgers: how a person's own ledger opens, with the account their cash is in."""

from functools import lru_cache
from uuid import uuid5
from zoneinfo import ZoneInfo

from consumers.domain.books import Books
from consumers.domain.decisions import Asked
from contracts.accounts import AccountKind, AccountOpened
from contracts.ledgers import LedgerOpened, personal_ledger_id
from contracts.messages import LedgerEntry, Submission
from contracts.money import UnknownCurrency, exponent_of

DEFAULT_ACCOUNT_NAME = "Cash"


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
    if currency is None or zone is None or not _is_known(currency, zone):
        return ()
    account_id = uuid5(asked.operation_id, "default account")
    ledger = LedgerOpened(
        **books.stamp(asked),
        owner_id=asked.user_id,
        base_currency=currency,
        time_zone=zone,
        default_account_id=account_id,
    )
    account = AccountOpened(
        **books.stamp(asked, ahead=2),
        account_id=account_id,
        kind=AccountKind.ASSET,
        name=DEFAULT_ACCOUNT_NAME,
        currency=currency,
    )
    return ledger, account


@lru_cache(maxsize=1024)
def _is_known(currency: str, zone: str) -> bool:
    try:
        exponent_of(currency)
        ZoneInfo(zone)
    # A zone is a file's name: besides "not found" (KeyError) it can be no path (ValueError) or a folder (OSError).
    except (UnknownCurrency, KeyError, ValueError, OSError):
        return False
    return True
