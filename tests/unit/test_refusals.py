"""Every refusal of the catalogue can happen, and no other can."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import consumers.domain
import contracts.money
import gateway.publishing
from consumers.domain.books import Invitation
from consumers.domain.sessions import Sessions
from contracts.accounts import AccountChangeSubmitted, AccountKind, AccountSubmitted
from contracts.assertions import AssertionLiftSubmitted, AssertionSubmitted
from contracts.changes import UndoSubmitted
from contracts.ledgers import LedgerChangeSubmitted, LedgerSubmitted, further_ledger_id
from contracts.members import (
    MEMBERS_MAX,
    InvitationAnswerSubmitted,
    InvitationEnding,
    InvitationSubmitted,
    MemberChangeSubmitted,
    Role,
)
from contracts.rates import Rate, RatesSubmitted
from contracts.refusals import MEANINGS, RefusalCode
from contracts.registrations import ATTEMPTS_PER_ISSUE_MAX, ISSUES_MAX
from contracts.sessions import REFRESH_GRACE_S
from contracts.transactions import (
    ReversalSubmitted,
    Split,
    TransactionChangeSubmitted,
    TransactionRecorded,
    TransactionSubmitted,
)
from tests.builders.books import ANN, BOB, MONDAY_NOON, OpenLedger, asked_of, decide
from tests.builders.histories import invited
from tests.builders.identity import Applicant, code_of, verified, wrong
from tests.unit.test_sessions import Device

NOBODY = UUID(int=99)
Case = Callable[[OpenLedger], str | None]


def spend(ledger: OpenLedger, **fields: object) -> str:
    return ledger.refused(TransactionSubmitted, **{"amount": "24.47", "category": "Groceries", **fields})


def spent(ledger: OpenLedger, **fields: object) -> UUID:
    entry = ledger.done(TransactionSubmitted, **{"amount": "24.47", "category": "Groceries", **fields})
    transaction_id: UUID = entry.transaction_id
    return transaction_id


def opened(ledger: OpenLedger, name: str, **fields: object) -> UUID:
    ledger.done(AccountSubmitted, name=name, **{"kind": AccountKind.ASSET, **fields})
    return ledger.account_id(name)


def closed_savings(ledger: OpenLedger) -> str:
    account_id = opened(ledger, "Savings")
    ledger.done(AccountChangeSubmitted, account_id=account_id, closed=True)
    return spend(ledger, account="Savings")


def not_empty(ledger: OpenLedger) -> str:
    account_id = opened(ledger, "Savings", opening_balance="1")
    return ledger.refused(AccountChangeSubmitted, account_id=account_id, closed=True)


def changed_since(ledger: OpenLedger) -> str:
    spent(ledger)
    change = ledger.books.sequence
    ledger.done(TransactionChangeSubmitted, transaction_id=spent_last(ledger), note="later")
    return ledger.refused(UndoSubmitted, change=change)


def spent_last(ledger: OpenLedger) -> UUID:
    return next(entry.transaction_id for entry in reversed(ledger.journal) if isinstance(entry, TransactionRecorded))


def stale(ledger: OpenLedger) -> str:
    transaction_id = spent(ledger)
    return ledger.refused(TransactionChangeSubmitted, transaction_id=transaction_id, version=1, amount="3")


def deleted(ledger: OpenLedger) -> str:
    transaction_id = spent(ledger)
    ledger.done(ReversalSubmitted, transaction_id=transaction_id)
    return ledger.refused(TransactionChangeSubmitted, transaction_id=transaction_id, amount="3")


def reconciled(ledger: OpenLedger) -> str:
    transaction_id = spent(ledger)
    minor = -ledger.balance("Cash")
    ledger.done(AssertionSubmitted, account="Cash", balance=f"-{minor // 100}.{minor % 100:02d}", on=date(2026, 3, 31))
    return ledger.refused(ReversalSubmitted, transaction_id=transaction_id)


def invite(ledger: OpenLedger, user_id: UUID = BOB) -> UUID:
    entry = ledger.done(InvitationSubmitted, **invited(user_id), role=Role.EDITOR)
    invitation_id: UUID = entry.invitation_id
    return invitation_id


def answer(ledger: OpenLedger, invitation_id: UUID, user_id: UUID = BOB) -> str:
    return ledger.refused(
        InvitationAnswerSubmitted, invitation_id=invitation_id, answer=InvitationEnding.ACCEPTED, user_id=user_id
    )


def join(ledger: OpenLedger) -> None:
    ledger.done(InvitationAnswerSubmitted, invitation_id=invite(ledger), answer=InvitationEnding.ACCEPTED, user_id=BOB)


def invitation_over(ledger: OpenLedger) -> str:
    invitation_id = invite(ledger)
    ledger.done(InvitationAnswerSubmitted, invitation_id=invitation_id, answer=InvitationEnding.WITHDRAWN)
    return answer(ledger, invitation_id)


def member_already(ledger: OpenLedger) -> str:
    join(ledger)
    return answer(ledger, invite(ledger))


def too_many_members(ledger: OpenLedger) -> str:
    for number in range(MEMBERS_MAX - 1):
        invitation_id = UUID(int=1000 + number)
        ledger.books.invitations[invitation_id] = Invitation(
            invitation_id, uuid4(), Role.EDITOR, MONDAY_NOON + timedelta(days=1)
        )
    return ledger.refused(InvitationSubmitted, **invited(BOB), role=Role.EDITOR)


def viewer(ledger: OpenLedger) -> str:
    ledger.books.roles[BOB] = Role.VIEWER
    return spend(ledger, user_id=BOB)


def ledger_taken(ledger: OpenLedger) -> str | None:
    message = LedgerSubmitted(ledger_id=ledger.books.ledger_id, name="Ours")
    return code_of(decide(asked_of(message), ledger.books))


def zone_unknown(ledger: OpenLedger) -> str | None:
    ledger_id = further_ledger_id(ANN, "key-1")
    message = LedgerSubmitted(ledger_id=ledger_id, name="Ours", time_zone="Europe/Nowhere")
    return code_of(decide(asked_of(message), type(ledger.books)(ledger_id)))


def a_rate(ledger: OpenLedger, **fields: object) -> str:
    usual = {"currency": "USD", "quote": "EUR", "valid_on": date(2026, 3, 1), "rate": "0.9"}
    return ledger.refused(RatesSubmitted, rates=(Rate.model_validate(usual | fields),))


#: How each refusal of the books comes about; what is not said is right.
IN_THE_BOOKS: dict[RefusalCode, Case] = {
    RefusalCode.ACCOUNT_CLOSED: closed_savings,
    RefusalCode.ACCOUNT_IS_DEFAULT: lambda ledger: ledger.refused(
        AccountChangeSubmitted, account_id=ledger.account_id("Cash"), closed=True
    ),
    RefusalCode.ACCOUNT_KIND_MISMATCH: lambda ledger: spend(ledger, account="Groceries"),
    RefusalCode.ACCOUNT_NOT_EMPTY: not_empty,
    RefusalCode.ACCOUNT_NOT_FOUND: lambda ledger: spend(ledger, account="Nowhere"),
    RefusalCode.ACCOUNTS_EQUAL: lambda ledger: spend(ledger, category=None, to_account="Cash"),
    RefusalCode.AMOUNT_INVALID: lambda _: _money_refused("1e2"),
    RefusalCode.AMOUNT_MISSING: lambda ledger: spend(ledger, amount=None),
    RefusalCode.AMOUNT_NOT_POSITIVE: lambda ledger: spend(ledger, amount="-24.47"),
    RefusalCode.AMOUNT_TOO_LARGE: lambda ledger: spend(ledger, amount="99999999999999999999"),
    RefusalCode.AMOUNT_TOO_PRECISE: lambda ledger: (
        opened(ledger, "Yen", currency="JPY"),
        spend(ledger, account="Yen", amount="24.47"),
    )[1],
    RefusalCode.ASSERTION_NOT_FOUND: lambda ledger: ledger.refused(AssertionLiftSubmitted, assertion_id=NOBODY),
    RefusalCode.CATEGORY_MISSING: lambda ledger: spend(ledger, category=None),
    RefusalCode.CATEGORY_NOT_FOUND: lambda ledger: spend(ledger, category=str(NOBODY)),
    RefusalCode.CHANGE_NOT_FOUND: lambda ledger: ledger.refused(UndoSubmitted, change=10**6),
    RefusalCode.CHANGE_NOT_UNDOABLE: lambda ledger: (
        invite(ledger),
        ledger.refused(UndoSubmitted, change=ledger.books.sequence),
    )[1],
    RefusalCode.CHANGED_SINCE: changed_since,
    RefusalCode.CURRENCY_MISMATCH: lambda ledger: spend(ledger, currency="USD"),
    RefusalCode.CURRENCY_UNKNOWN: lambda ledger: spend(ledger, currency="XXX"),
    RefusalCode.DATE_OUT_OF_RANGE: lambda ledger: spend(ledger, booked=date(1899, 12, 31)),
    RefusalCode.EXCHANGE_INCOMPLETE: lambda ledger: (
        opened(ledger, "Yen", currency="JPY"),
        spend(ledger, category=None, to_account="Yen"),
    )[1],
    RefusalCode.FIELDS_CONFLICT: lambda ledger: spend(ledger, to_account="Cash"),
    RefusalCode.INVITATION_NOT_FOUND: lambda ledger: answer(ledger, NOBODY),
    RefusalCode.INVITATION_OVER: invitation_over,
    RefusalCode.LEDGER_ID_TAKEN: ledger_taken,
    RefusalCode.LEDGER_NOT_FOUND: lambda ledger: spend(ledger, user_id=BOB),
    RefusalCode.MEMBER_ALREADY: member_already,
    RefusalCode.MEMBER_NOT_FOUND: lambda ledger: ledger.refused(MemberChangeSubmitted, member_id=BOB, role=None),
    RefusalCode.MEMBERS_TOO_MANY: too_many_members,
    RefusalCode.NAME_TAKEN: lambda ledger: ledger.refused(
        AccountSubmitted, name=" groceries", kind=AccountKind.EXPENSE
    ),
    RefusalCode.OWNER_NEEDED: lambda ledger: ledger.refused(MemberChangeSubmitted, member_id=ANN, role=None),
    RefusalCode.PAYEE_TOO_LONG: lambda ledger: spend(ledger, payee="p" * 101),
    RefusalCode.RATE_INVALID: lambda ledger: a_rate(ledger, rate="0"),
    RefusalCode.ROLE_INSUFFICIENT: viewer,
    RefusalCode.SPLIT_EMPTY: lambda ledger: spend(ledger, category=None, splits=()),
    RefusalCode.SPLIT_SUM_MISMATCH: lambda ledger: spend(
        ledger, category=None, splits=(Split(amount="1", category="Groceries"),)
    ),
    RefusalCode.SPLITS_TOO_MANY: lambda ledger: spend(
        ledger, category=None, amount=None, splits=(Split(amount="1", category="Groceries"),) * 201
    ),
    RefusalCode.TAG_INVALID: lambda ledger: spend(ledger, tags=("t" * 51,)),
    RefusalCode.TAGS_TOO_MANY: lambda ledger: spend(ledger, tags=tuple(map(str, range(21)))),
    RefusalCode.TIME_ZONE_UNKNOWN: zone_unknown,
    RefusalCode.TRANSACTION_DELETED: deleted,
    RefusalCode.TRANSACTION_ID_TAKEN: lambda ledger: spend(ledger, transaction_id=spent(ledger)),
    RefusalCode.TRANSACTION_NOT_FOUND: lambda ledger: ledger.refused(ReversalSubmitted, transaction_id=NOBODY),
    RefusalCode.TRANSACTION_RECONCILED: reconciled,
    RefusalCode.VERSION_STALE: stale,
}


def _money_refused(amount: str) -> str:
    with pytest.raises(contracts.money.AmountRefused) as refused:
        contracts.money.to_minor(amount, "EUR")
    return refused.value.code


def spent_code() -> RefusalCode | None:
    applicant = Applicant()
    applicant.request()
    answers = [code_of(applicant.type(wrong(applicant.code()))) for _ in range(ATTEMPTS_PER_ISSUE_MAX + 1)]
    return answers[-1]


def spent_issues() -> RefusalCode | None:
    applicant = Applicant()
    applicant.request()
    return [code_of(applicant.resend()) for _ in range(ISSUES_MAX)][-1]


def requested() -> Applicant:
    applicant = Applicant()
    applicant.request()
    return applicant


def completed() -> Applicant:
    applicant = verified()
    applicant.choose()
    return applicant


def reused_refresh() -> RefusalCode | None:
    device = Device()
    device.sign_in()
    device.refresh(0)
    return code_of(device.later(REFRESH_GRACE_S + 1).refresh(0))


def signed_out() -> Device:
    device = Device()
    device.sign_in()
    device.leave()
    return device


def signed_in() -> Device:
    device = Device()
    device.sign_in()
    return device


IN_IDENTITY: dict[RefusalCode, Callable[[], RefusalCode | None]] = {
    RefusalCode.ADDRESS_VERIFIED: lambda: code_of(verified().resend()),
    RefusalCode.CODE_EXPIRED: lambda: code_of((late := requested().later(minutes=11)).type(late.code())),
    RefusalCode.CODE_SPENT: spent_code,
    RefusalCode.CODE_WRONG: lambda: code_of((one := requested()).type(wrong(one.code()))),
    RefusalCode.EMAIL_TAKEN: lambda: code_of(taken_email().choose("somebody")),
    RefusalCode.ISSUES_SPENT: spent_issues,
    RefusalCode.REFRESH_REUSED: reused_refresh,
    RefusalCode.PASSWORD_CHANGED: lambda: code_of(password_replaced().sign_in()),
    RefusalCode.REGISTRATION_COMPLETED: lambda: code_of(completed().choose("another")),
    RefusalCode.REGISTRATION_EXPIRED: lambda: code_of(verified().later(days=30).choose()),
    RefusalCode.REGISTRATION_NOT_FOUND: lambda: code_of(Applicant().type("AAAAAA")),
    RefusalCode.REGISTRATION_NOT_VERIFIED: lambda: code_of(requested().choose()),
    RefusalCode.SESSION_ENDED: lambda: code_of(signed_out().refresh(0)),
    RefusalCode.SESSION_ID_TAKEN: lambda: code_of(signed_in().sign_in()),
    RefusalCode.SESSION_NOT_FOUND: lambda: code_of(Device().leave()),
    RefusalCode.USER_NOT_FOUND: lambda: code_of(Device(Sessions(user_id=uuid4(), registered=False)).sign_in()),
    RefusalCode.USERNAME_TAKEN: lambda: code_of(taken_name().choose("ann")),
}


def password_replaced() -> Device:
    """Somebody whose password was changed while they signed in with it."""
    return Device(Sessions(user_id=uuid4(), registered=True, password_version=2), password_version=1)


def taken_email() -> Applicant:
    applicant = verified()
    applicant.names.taken.add(("email", "ann@example.org"))
    return applicant


def taken_name() -> Applicant:
    applicant = verified()
    applicant.names.taken.add(("username", "ann"))
    return applicant


@pytest.mark.parametrize("code", IN_THE_BOOKS)
def test_the_books_refuse(code: RefusalCode) -> None:
    assert IN_THE_BOOKS[code](OpenLedger()) == code


@pytest.mark.parametrize("code", IN_IDENTITY)
def test_identity_refuses(code: RefusalCode) -> None:
    assert IN_IDENTITY[code]() is code


def test_only_an_owner_changes_the_ledger() -> None:
    ledger = OpenLedger()
    ledger.books.roles[BOB] = Role.EDITOR

    assert ledger.refused(LedgerChangeSubmitted, name="Ours", user_id=BOB) == RefusalCode.ROLE_INSUFFICIENT


def test_the_catalogue_has_every_refusal_and_no_other_can_happen() -> None:
    """Every code has a meaning and a case above; one that decides nothing anywhere would be a promise nobody keeps."""
    by_the_gateway = {RefusalCode.IDEMPOTENCY_KEY_REUSED}
    places = [*Path(consumers.domain.__path__[0]).glob("*.py"), Path(gateway.publishing.__file__)]
    named = {name for place in places for name in re.findall(r"RefusalCode\.([A-Z_]+)", place.read_text("utf-8"))}
    of_amounts = set(re.findall(r'"(amount_[a-z_]+)"', Path(contracts.money.__file__).read_text("utf-8")))

    assert set(MEANINGS) == set(RefusalCode)
    assert {*IN_THE_BOOKS, *IN_IDENTITY, *by_the_gateway} == set(RefusalCode)
    assert {code for code in RefusalCode if code.name in named or code in of_amounts} == set(RefusalCode)
