"""The fields people send: the base of every request body, and a sentence for each field that is not as it should be."""

import re
import unicodedata
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from contracts import accounts, text, users
from contracts.money import UnknownCurrency, exponent_of
from contracts.transactions import TransactionKind, TransactionStatus

_UNPRINTED = r"\s\x00-\x1f\x7f-\x9f"
#: Brackets are for addresses without a name (RFC 5321), to which no mail goes.
_NOT_MAILED = _UNPRINTED + r"\[\]"
_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"


class Body(BaseModel):
    """Base of request bodies: unknown fields refused, nothing converted, no input repeated in an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Query(BaseModel):
    """Base of what is asked for behind the ``?``: unknown and repeated parameters refused, each value read from text.

    Fields are called as the parameters are; give each a sentence with :func:`saying`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def saying(sentence: str) -> WrapValidator:
    """Put one sentence a person can act on in place of what pydantic says about a field."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("field", "{sentence}", {"sentence": sentence}) from None

    return WrapValidator(check)


def _known_currency(code: str) -> str:
    try:
        exponent_of(code)
    except UnknownCurrency as error:
        raise ValueError(str(error)) from None
    return code


def _known_zone(name: str) -> str:
    if name not in text.time_zones():
        raise ValueError("not a zone of the IANA database")
    return name


def _mailable(address: str) -> str:
    mailbox, _, domain = address.rpartition("@")
    if not text.is_mailbox(mailbox):
        raise ValueError("no mailbox")
    text.mail_domain(domain)
    return address


def _password(password: str) -> str:
    length = len(unicodedata.normalize("NFKC", password))
    if not users.PASSWORD_LENGTH_MIN <= length <= users.PASSWORD_LENGTH_MAX:
        raise ValueError("length")
    return password


Amount = Annotated[
    text.DecimalText,
    saying(
        'Send the amount as a decimal string such as "24.47": digits with a point, no separators, no exponent, not a '
        "JSON number."
    ),
]
CategoryName = Annotated[
    text.Name,
    saying("Name a category, or give its id: one line of 1 to 100 characters, without control characters."),
    Field(description="Name or id of a category; a new name opens one.", examples=["Groceries"]),
]
AccountName = Annotated[
    text.Name,
    saying("Name an account, or give its id: one line of 1 to 100 characters, without control characters."),
    Field(description="Name or id of an account; absent: the ledger's default account.", examples=["Cash"]),
]
LedgerName = Annotated[
    text.Name,
    saying("Name the ledger in one line of 1 to 100 characters, without control characters."),
    Field(examples=["Holiday house"]),
]
Description = Annotated[
    text.Description,
    saying("Describe it in one line of up to 500 characters, without control characters."),
    Field(description="What it was about, one line.", examples=["Milk and bread"]),
]
Kind = Annotated[TransactionKind, saying("Send one of expense, income, refund, transfer or exchange, or leave it out.")]
TargetName = Annotated[
    text.Name,
    saying("Name an account, or give its id: one line of 1 to 100 characters, without control characters."),
    Field(description="Name or id of the account that a transfer goes to.", examples=["Savings"]),
]
ArrivingAmount = Annotated[Amount, Field(description="What arrives of an exchange, in the currency of to_account.")]
Payee = Annotated[
    text.Line,
    saying("Name who was paid, or who paid, in one line without control characters."),
    Field(description="Who was paid, or who paid.", examples=["Market hall"]),
]
Tags = Annotated[
    list[text.Line],
    Field(max_length=1000, description="Words to find it by.", examples=[["holiday"]]),
    saying("Send tags as a list of strings, each one line without control characters."),
]
Note = Annotated[
    text.Note,
    saying("Write a note of up to 2,000 characters, without control characters but line feeds."),
]
ExternalId = Annotated[
    text.ExternalId,
    saying("Send the id as one line of 1 to 255 characters, without control characters."),
    Field(description="What another system calls it."),
]
Status = Annotated[
    TransactionStatus, saying("Send pending or cleared; what a balance assertion covers is reconciled by itself.")
]
Currency = Annotated[
    text.CurrencyCode,
    saying("Send a currency as three capital letters of ISO 4217, such as EUR."),
]
HomeCurrency = Annotated[
    text.CurrencyCode,
    AfterValidator(_known_currency),
    saying("Send a currency of ISO 4217 that has minor units, as three capital letters, such as EUR."),
]
HomeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$"),
    AfterValidator(_known_zone),
    saying("Send a time zone by its IANA name, such as Europe/Berlin."),
    Field(description="IANA name; days without an offset are this zone's.", examples=["Europe/Berlin"]),
]
Booked = Annotated[
    text.DayOrMoment,
    saying("Send the day as 2024-09-19, or a moment with its offset as 2024-09-19T18:30:00+02:00."),
    Field(description="A calendar day, or a moment with an offset; absent: now.", examples=["2024-09-19"]),
]
Email = Annotated[
    str,
    StringConstraints(
        max_length=254, pattern=rf"^[^@{_NOT_MAILED}]{{1,64}}@[^@.{_NOT_MAILED}]+(\.[^@.{_NOT_MAILED}]+)+$"
    ),
    AfterValidator(_mailable),
    saying("Send an e-mail address, such as ann@example.org, of up to 254 characters."),
    Field(examples=["ann@example.org"]),
]
Code = Annotated[
    str,
    StringConstraints(pattern=r"^ {0,4}[A-Za-z]{6} {0,4}$"),
    saying("Send the six letters from the mail."),
    Field(description="Six letters; capital or small.", examples=["KTRWXZ"]),
]
Username = Annotated[
    str,
    StringConstraints(pattern=users.USERNAME_PATTERN),
    saying("Choose 3 to 32 letters, digits, dots, dashes or underscores, beginning and ending with a letter or digit."),
    Field(examples=["ann"]),
]
NewPassword = Annotated[
    str,
    StringConstraints(max_length=1024, pattern=_LINE),
    AfterValidator(_password),
    saying(
        f"Choose a password of {users.PASSWORD_LENGTH_MIN} to {users.PASSWORD_LENGTH_MAX} characters, "
        "without control characters; a sentence is fine."
    ),
    Field(
        description="Counted in code points after NFKC.",
        json_schema_extra={
            "format": "password",
            "minLength": users.PASSWORD_LENGTH_MIN,
            "maxLength": users.PASSWORD_LENGTH_MAX,
        },
    ),
]
TypedPassword = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    saying("Send the password as a string of 1 to 1024 characters."),
    Field(json_schema_extra={"format": "password"}),
]
TypedUsername = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=_LINE),
    saying("Send the username as one line of 1 to 64 characters."),
    Field(examples=["ann"]),
]
ClientName = Annotated[
    str,
    StringConstraints(max_length=200, pattern=_LINE),
    saying("Name the client in one line of up to 200 characters."),
    Field(description="What the client calls itself, for the list of sessions.", examples=["cash on laptop"]),
]
RefreshToken = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$"),
    saying("Send the refresh token as it was given."),
]


def _whole_number(value: object) -> object:
    # Pydantic would read 5_0, +5 and 5.0 too.
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError("not a whole number")
    return value


def _true_or_false(value: object) -> object:
    if value not in ("true", "false", True, False):
        raise ValueError("neither true nor false")
    return value


_DAY_OR_MOMENT: TypeAdapter[datetime | date] = TypeAdapter(text.DayOrMoment)


def _moment(value: object) -> object:
    found = _DAY_OR_MOMENT.validate_python(value)
    if not isinstance(found, datetime):
        raise ValueError("a day, not a moment")
    return found


LIMIT_MAX = 200

Limit = Annotated[
    int,
    Field(ge=1, le=LIMIT_MAX, description="How many at most."),
    BeforeValidator(_whole_number),
    saying(f"Send a whole number from 1 to {LIMIT_MAX}."),
]
CursorText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$"),
    saying("This is not a cursor of ours. Send `next_cursor` of an earlier page, or none."),
    Field(description="`next_cursor` of the page before; opaque."),
]
Flag = Annotated[bool, BeforeValidator(_true_or_false), saying("Send true or false.")]
Day = Annotated[
    text.Day,
    saying("Send a day that exists, as 2024-09-19."),
    Field(examples=["2024-09-19"]),
]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment),
    saying("Send a moment with its offset as in RFC 3339, such as 2024-09-19T18:30:00Z; in a URL a + is %2B."),
    Field(examples=["2024-09-19T18:30:00Z"]),
]
AccountTitle = Annotated[
    text.Name,
    saying("Call it something: one line of 1 to 100 characters, without control characters."),
    Field(examples=["Savings"]),
]
GroupName = Annotated[
    text.Name,
    saying("Send a heading: one line of 1 to 100 characters, without control characters; or null for none."),
    Field(description="A heading to list it under.", examples=["Retirement"]),
]
Position = Annotated[
    int,
    Field(ge=0, le=accounts.POSITION_MAX, description="Smaller numbers are listed first."),
    saying(f"Send a whole number from 0 to {accounts.POSITION_MAX}, or null for none."),
]
AnyAccount = Annotated[
    text.Name,
    saying("Name an account or category, or give its id: one line of 1 to 100 characters."),
    Field(description="Name or id of an account or category.", examples=["Cash"]),
]
SignedAmount = Annotated[
    text.DecimalText,
    saying(
        'Send the amount as a decimal string such as "-24.47": a minus where it is owed, up to 16 digits, a point and '
        "up to 8 decimals; no plus, no exponent, not a JSON number."
    ),
]
Rate = Annotated[
    text.RateText,
    saying('Send the rate as a decimal string such as "1.0842": up to 12 digits, a point and up to 12 decimals.'),
]
FilterText = Annotated[
    str,
    Field(
        description=(
            'Terms such as `category:"Eating out"`, `payee:Rossi`, `tag:holiday`, `amount:>10`, `date:2026-03`, '
            "`status:pending`, or words of the description, payee or note; all of them, but with `OR`, `NOT` and "
            "parentheses. A 400 names the character that is wrong."
        ),
        examples=["category:Groceries amount:>10 -tag:holiday"],
    ),
]

#: Fields of messages that are called otherwise in HTTP.
_HTTP_NAMES = {
    "address_proof": "email",
    "booked": "date",
    "change": "sequence",
    "member_id": "user_id",
    "on": "date",
    "opened": "date",
    "proof": "code",
    "transaction_id": "id",
    "version": "If-Match",
}


def field_of(message_field: str) -> str:
    """Return what people call a field of a message."""
    return _HTTP_NAMES.get(message_field, message_field)
