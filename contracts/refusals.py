"""Refusals: the named ways a consumer says no. Codes are part of the API; texts may change."""

from dataclasses import dataclass
from enum import StrEnum


class RefusalCode(StrEnum):
    """Why a submission was not taken. Stable: clients branch on it."""

    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_NOT_FOUND = "account_not_found"
    ACCOUNT_KIND_MISMATCH = "account_kind_mismatch"
    ADDRESS_VERIFIED = "address_verified"
    AMOUNT_INVALID = "amount_invalid"
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    AMOUNT_TOO_LARGE = "amount_too_large"
    AMOUNT_TOO_PRECISE = "amount_too_precise"
    CATEGORY_MISSING = "category_missing"
    CATEGORY_NOT_FOUND = "category_not_found"
    CODE_EXPIRED = "code_expired"
    CODE_SPENT = "code_spent"
    CODE_WRONG = "code_wrong"
    CURRENCY_MISMATCH = "currency_mismatch"
    CURRENCY_UNKNOWN = "currency_unknown"
    DATE_OUT_OF_RANGE = "date_out_of_range"
    EMAIL_TAKEN = "email_taken"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    ISSUES_SPENT = "issues_spent"
    LEDGER_NOT_FOUND = "ledger_not_found"
    REFRESH_REUSED = "refresh_reused"
    REGISTRATION_COMPLETED = "registration_completed"
    REGISTRATION_EXPIRED = "registration_expired"
    REGISTRATION_NOT_FOUND = "registration_not_found"
    REGISTRATION_NOT_VERIFIED = "registration_not_verified"
    ROLE_INSUFFICIENT = "role_insufficient"
    SESSION_ENDED = "session_ended"
    SESSION_ID_TAKEN = "session_id_taken"
    SESSION_NOT_FOUND = "session_not_found"
    TIME_ZONE_UNKNOWN = "time_zone_unknown"
    TRANSACTION_ID_TAKEN = "transaction_id_taken"
    USER_NOT_FOUND = "user_not_found"
    USERNAME_TAKEN = "username_taken"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no, as a value: the code, a sentence that says what to do, and the field it is about, if it is one."""

    code: RefusalCode
    detail: str
    field: str | None = None
