"""Refusals: the named ways a consumer says no. Codes are part of the API; texts may change."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class RefusalCode(StrEnum):
    """Why a submission was not taken. Stable: clients branch on it."""

    ACCOUNTS_EQUAL = "accounts_equal"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_IS_DEFAULT = "account_is_default"
    ACCOUNT_KIND_MISMATCH = "account_kind_mismatch"
    ACCOUNT_NOT_EMPTY = "account_not_empty"
    ACCOUNT_NOT_FOUND = "account_not_found"
    ADDRESS_VERIFIED = "address_verified"
    AMOUNT_INVALID = "amount_invalid"
    AMOUNT_MISSING = "amount_missing"
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    AMOUNT_TOO_LARGE = "amount_too_large"
    AMOUNT_TOO_PRECISE = "amount_too_precise"
    ASSERTION_NOT_FOUND = "assertion_not_found"
    CATEGORY_MISSING = "category_missing"
    CATEGORY_NOT_FOUND = "category_not_found"
    CHANGED_SINCE = "changed_since"
    CHANGE_NOT_FOUND = "change_not_found"
    CHANGE_NOT_UNDOABLE = "change_not_undoable"
    CODE_EXPIRED = "code_expired"
    CODE_SPENT = "code_spent"
    CODE_WRONG = "code_wrong"
    CURRENCY_MISMATCH = "currency_mismatch"
    CURRENCY_UNKNOWN = "currency_unknown"
    DATE_OUT_OF_RANGE = "date_out_of_range"
    EMAIL_TAKEN = "email_taken"
    EXCHANGE_INCOMPLETE = "exchange_incomplete"
    FIELDS_CONFLICT = "fields_conflict"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    INVITATION_NOT_FOUND = "invitation_not_found"
    INVITATION_OVER = "invitation_over"
    ISSUES_SPENT = "issues_spent"
    LEDGER_ID_TAKEN = "ledger_id_taken"
    LEDGER_NOT_FOUND = "ledger_not_found"
    MEMBERS_TOO_MANY = "members_too_many"
    MEMBER_ALREADY = "member_already"
    MEMBER_NOT_FOUND = "member_not_found"
    NAME_TAKEN = "name_taken"
    OWNER_NEEDED = "owner_needed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a name, not a secret
    PAYEE_TOO_LONG = "payee_too_long"
    RATE_INVALID = "rate_invalid"
    REFRESH_REUSED = "refresh_reused"
    REGISTRATION_COMPLETED = "registration_completed"
    REGISTRATION_EXPIRED = "registration_expired"
    REGISTRATION_NOT_FOUND = "registration_not_found"
    REGISTRATION_NOT_VERIFIED = "registration_not_verified"
    ROLE_INSUFFICIENT = "role_insufficient"
    SESSION_ENDED = "session_ended"
    SESSION_ID_TAKEN = "session_id_taken"
    SESSION_NOT_FOUND = "session_not_found"
    SPLITS_TOO_MANY = "splits_too_many"
    SPLIT_EMPTY = "split_empty"
    SPLIT_SUM_MISMATCH = "split_sum_mismatch"
    TAGS_TOO_MANY = "tags_too_many"
    TAG_INVALID = "tag_invalid"
    TIME_ZONE_UNKNOWN = "time_zone_unknown"
    TRANSACTION_DELETED = "transaction_deleted"
    TRANSACTION_ID_TAKEN = "transaction_id_taken"
    TRANSACTION_NOT_FOUND = "transaction_not_found"
    TRANSACTION_RECONCILED = "transaction_reconciled"
    USERNAME_TAKEN = "username_taken"
    USER_NOT_FOUND = "user_not_found"
    VERSION_STALE = "version_stale"


#: When each code is given, for people who read about it; the refusal itself says what to do.
MEANINGS: Mapping[RefusalCode, str] = {
    RefusalCode.ACCOUNTS_EQUAL: "Two different accounts are needed, and one was named twice.",
    RefusalCode.ACCOUNT_CLOSED: "An account or category that is closed was named, or money of one would move.",
    RefusalCode.ACCOUNT_IS_DEFAULT: "An account the ledger itself needs was to be closed.",
    RefusalCode.ACCOUNT_KIND_MISMATCH: "An account of another kind is needed there.",
    RefusalCode.ACCOUNT_NOT_EMPTY: "An account that holds money was to be closed.",
    RefusalCode.ACCOUNT_NOT_FOUND: "The ledger has no such account.",
    RefusalCode.ADDRESS_VERIFIED: "The address is verified already.",
    RefusalCode.AMOUNT_INVALID: "The amount is not a decimal number.",
    RefusalCode.AMOUNT_MISSING: "No amount was given.",
    RefusalCode.AMOUNT_NOT_POSITIVE: "The amount is zero or below.",
    RefusalCode.AMOUNT_TOO_LARGE: "The amount is above 10^15 minor units.",
    RefusalCode.AMOUNT_TOO_PRECISE: "The amount has more decimals than its currency.",
    RefusalCode.ASSERTION_NOT_FOUND: "No such balance assertion stands in the ledger.",
    RefusalCode.CATEGORY_MISSING: "No category was named.",
    RefusalCode.CATEGORY_NOT_FOUND: "The ledger has no category with this id, or none of this name to merge into.",
    RefusalCode.CHANGED_SINCE: "Undo: a later change to the same thing stands upon this one.",
    RefusalCode.CHANGE_NOT_FOUND: "The ledger has no change with this number.",
    RefusalCode.CHANGE_NOT_UNDOABLE: "Changes of this kind have a command of their own to take them back.",
    RefusalCode.CODE_EXPIRED: "The code is older than ten minutes.",
    RefusalCode.CODE_SPENT: "The code was tried too often.",
    RefusalCode.CODE_WRONG: "The code is not the one that was mailed.",
    RefusalCode.CURRENCY_MISMATCH: "The account is kept in another currency.",
    RefusalCode.CURRENCY_UNKNOWN: "The code is not a currency of ISO 4217 with minor units.",
    RefusalCode.DATE_OUT_OF_RANGE: "The date is outside 1900 to 2200.",
    RefusalCode.EMAIL_TAKEN: "The address has a user already.",
    RefusalCode.EXCHANGE_INCOMPLETE: "Neither what arrives nor the rate was given.",
    RefusalCode.FIELDS_CONFLICT: "Two fields were given, or left out, that do not go together.",
    RefusalCode.IDEMPOTENCY_KEY_REUSED: "The idempotency key was used for other content.",
    RefusalCode.INVITATION_NOT_FOUND: "There is no such invitation for this person.",
    RefusalCode.INVITATION_OVER: "The invitation was answered, withdrawn, or is too old.",
    RefusalCode.ISSUES_SPENT: "As many codes were mailed as one registration gets.",
    RefusalCode.LEDGER_ID_TAKEN: "There is a ledger with this id already.",
    RefusalCode.LEDGER_NOT_FOUND: "There is no such ledger, or the person is no member of it.",
    RefusalCode.MEMBERS_TOO_MANY: "The ledger has as many members and open invitations as it may.",
    RefusalCode.MEMBER_ALREADY: "Who accepts an invitation is a member already.",
    RefusalCode.MEMBER_NOT_FOUND: "That is no member of the ledger.",
    RefusalCode.NAME_TAKEN: "Another account or category of the ledger has this name.",
    RefusalCode.OWNER_NEEDED: "The ledger would be without its one owner, or get a second.",
    RefusalCode.PASSWORD_CHANGED: "The password was changed after the one that was typed had been checked.",
    RefusalCode.PAYEE_TOO_LONG: "The payee has more than 100 characters.",
    RefusalCode.RATE_INVALID: "The rate is zero, between equal currencies, or moves an impossible amount.",
    RefusalCode.REFRESH_REUSED: "The refresh token was used before.",
    RefusalCode.REGISTRATION_COMPLETED: "The registration is finished.",
    RefusalCode.REGISTRATION_EXPIRED: "The registration was not finished in time.",
    RefusalCode.REGISTRATION_NOT_FOUND: "There is no such registration.",
    RefusalCode.REGISTRATION_NOT_VERIFIED: "The mailed code was not typed yet.",
    RefusalCode.ROLE_INSUFFICIENT: "The person's role in the ledger does not allow it.",
    RefusalCode.SESSION_ENDED: "The session is over.",
    RefusalCode.SESSION_ID_TAKEN: "There is a session with this id already.",
    RefusalCode.SESSION_NOT_FOUND: "The person has no such session.",
    RefusalCode.SPLITS_TOO_MANY: "There are more than 200 splits.",
    RefusalCode.SPLIT_EMPTY: "Splits were given, but none is in them.",
    RefusalCode.SPLIT_SUM_MISMATCH: "The splits do not add up to the amount.",
    RefusalCode.TAGS_TOO_MANY: "There are more than 20 tags.",
    RefusalCode.TAG_INVALID: "A tag is empty or has more than 50 characters.",
    RefusalCode.TIME_ZONE_UNKNOWN: "The name is no time zone of the IANA database.",
    RefusalCode.TRANSACTION_DELETED: "The transaction was deleted.",
    RefusalCode.TRANSACTION_ID_TAKEN: "Another transaction of the ledger has this id.",
    RefusalCode.TRANSACTION_NOT_FOUND: "The ledger has no such transaction.",
    RefusalCode.TRANSACTION_RECONCILED: "A statement has confirmed the transaction, so its money stays as it is.",
    RefusalCode.USERNAME_TAKEN: "Somebody has this username.",
    RefusalCode.USER_NOT_FOUND: "There is no such user.",
    RefusalCode.VERSION_STALE: "If-Match: it was changed since it was seen.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no, as a value: the code, a sentence that says what to do, and the field it is about, if it is one."""

    code: RefusalCode
    detail: str
    field: str | None = None
