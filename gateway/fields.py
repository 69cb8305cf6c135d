"""The fields people send: the base of every request body, and a sentence for each field that is not as it should be."""

import unicodedata
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from contracts import text, users
from contracts.money import UnknownCurrency, exponent_of

_UNPRINTED = r"\s\x00-\x1f\x7f-\x9f"
#: Brackets are for addresses without a name (RFC 5321), to which no mail goes.
_NOT_MAILED = _UNPRINTED + r"\[\]"
_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"


class Body(BaseModel):
    """Base of request bodies: unknown fields refused, nothing converted, no input repeated in an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


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
        'Send the amount as a decimal string such as "24.47": up to 16 digits, a point and up to 8 decimals; '
        "no sign, no exponent, not a JSON number."
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
Description = Annotated[
    text.Description,
    saying("Describe it in one line of up to 500 characters, without control characters."),
    Field(description="What it was about, one line.", examples=["Milk and bread"]),
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

#: Fields of messages that are called otherwise in HTTP.
_HTTP_NAMES = {"booked": "date", "transaction_id": "id", "proof": "code"}


def field_of(message_field: str) -> str:
    """Return what people call a field of a message."""
    return _HTTP_NAMES.get(message_field, message_field)
