"""Text and amounts as people type them, and the keys that make two spellings one name."""

import re
import unicodedata
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

_CONTROL = r"\x00-\x1f\x7f-\x9f"
#: One line with something on it: no control characters, and at least one character that is not a space.
_LINE_PATTERN = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"

NAME_LENGTH_MAX = 100
DESCRIPTION_LENGTH_MAX = 500
PAYEE_LENGTH_MAX = 100
TAG_LENGTH_MAX = 50
TAGS_MAX = 20
NOTE_LENGTH_MAX = 2000
EXTERNAL_ID_LENGTH_MAX = 255
IDEMPOTENCY_KEY_LENGTH_MAX = 255
#: Of a line whose own limit the ledger judges, so that what is too long is refused by name.
LINE_LENGTH_MAX = 1000

Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH_MAX, pattern=_LINE_PATTERN)]
"""The name of an account or category: one line of 1 to 100 characters."""

#: No control characters: no second line in a mail header or a log, no NUL that PostgreSQL would refuse.
ONE_LINE_PATTERN = rf"^[^{_CONTROL}]*$"

Description = Annotated[str, StringConstraints(max_length=DESCRIPTION_LENGTH_MAX, pattern=ONE_LINE_PATTERN)]
"""What a transaction was about: one line of up to 500 characters, possibly empty."""

DecimalText = Annotated[
    str,
    StringConstraints(pattern=r"^-?[0-9]{1,20}(\.[0-9]{1,8})?$", max_length=30),
    Field(examples=["24.47"]),
]
"""An amount as typed: up to 20 digits and 8 decimals with a point, a minus before them if it is below zero; no exponent
or separator. The ledger judges whether it may be."""

RateText = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$", max_length=25),
    Field(examples=["1.0842"]),
]
"""An exchange rate as typed: up to 12 digits and 12 decimals, with a point."""

Line = Annotated[str, StringConstraints(max_length=LINE_LENGTH_MAX, pattern=ONE_LINE_PATTERN)]
"""A payee or a tag as typed: one line, possibly empty. The ledger judges whether it is too long."""

Note = Annotated[str, StringConstraints(max_length=NOTE_LENGTH_MAX, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$")]
"""Some lines about something: up to 2,000 characters, no control characters but line feeds."""

ExternalId = Annotated[
    str, StringConstraints(min_length=1, max_length=EXTERNAL_ID_LENGTH_MAX, pattern=rf"^[^{_CONTROL}]+$")
]
"""What another system calls it: one line of 1 to 255 characters."""

CurrencyCode = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{3}$"),
    Field(description="ISO 4217 code, upper case.", examples=["EUR"]),
]

#: Printable ASCII, so that it survives an HTTP header, a Kafka header and a log line unchanged.
IDEMPOTENCY_KEY_PATTERN = rf"^[\x21-\x7e]([\x20-\x7e]{{0,{IDEMPOTENCY_KEY_LENGTH_MAX - 2}}}[\x21-\x7e])?$"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)

#: What IDNA leaves; no brackets, quotes or second ``@``, which NFKC can make of other characters.
_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


_SPECIAL = frozenset(' ,:;<>()[]"\\@')
#: Sharp s, final sigma and the two joiners: IDNA 2003, which Python has, makes other names of them (RFC 5894, 7.2).
_DEVIATIONS = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")


def _read_day_or_moment(value: object) -> object:
    if isinstance(value, str):
        # Pydantic would take other digits for seconds since 1970: 20240919 for a day of that August.
        try:
            if _DAY.fullmatch(value):
                return date.fromisoformat(value)
            if _MOMENT.fullmatch(value):
                return datetime.fromisoformat(value.upper())
        except ValueError:
            raise PydanticCustomError("day_or_moment", "Input should be a day and time that exist") from None
    elif isinstance(value, datetime):
        if value.tzinfo is not None:
            return value
    elif isinstance(value, date):
        return value
    raise PydanticCustomError(
        "day_or_moment", "Input should be a day as YYYY-MM-DD, or a moment with its offset as in RFC 3339"
    )


def _read_day(value: object) -> object:
    # "86400" would be the second day of 1970.
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise PydanticCustomError("day", "Input should be a day that exists") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise PydanticCustomError("day", "Input should be a day as YYYY-MM-DD")


def _within_the_calendar(value: datetime | date) -> datetime | date:
    if isinstance(value, datetime):
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise PydanticCustomError(
                "day_or_moment", "Input should be within the years 1 to 9999, in UTC too"
            ) from None
    return value


DayOrMoment = Annotated[
    AwareDatetime | date, BeforeValidator(_read_day_or_moment), AfterValidator(_within_the_calendar)
]
"""When something was booked, as typed: a calendar day, or a moment with its offset; never a count of seconds."""

Day = Annotated[date, BeforeValidator(_read_day)]
"""A calendar day as typed; never a count of seconds."""


def name_key(name: str) -> str:
    """Return the key under which a name is unique: NFKC, inner spaces folded, trimmed, case-folded (Unicode TR 15).

    Case folding can undo a composition, so normalisation runs on both sides of it.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


@cache
def time_zones() -> frozenset[str]:
    """Return the time zones people may choose, by their IANA names: those of the ``tzdata`` this version ships.

    Not whatever this machine has beside them (``localtime``): a ledger's days must be the same wherever it is served.
    """
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split()) - {"Factory"}


def email_key(address: str) -> str:
    """Return the key under which an e-mail address is one person's: trimmed, NFC, case-folded, its domain as mail goes.

    RFC 5321 lets a mail server tell ``Ann@`` from ``ann@``; none in use does, and people type both.
    """
    local, at, domain = unicodedata.normalize("NFC", address.strip()).rpartition("@")
    local = unicodedata.normalize("NFC", local.casefold())
    try:
        return f"{local}@{mail_domain(domain)}" if at else domain.casefold()
    except UnicodeError:
        # No mail ever goes there. Lower case, because case folding would make a host's name of "ß".
        return f"{local}@{unicodedata.normalize('NFC', domain.lower())}"


def is_mailbox(typed: str) -> bool:
    """Return whether mail can go to what stands before the ``@``: printable, and without what would need quoting.

    RFC 5322 allows the latter; people do not have it in their addresses, and mail servers read it differently.
    """
    return bool(typed) and typed.isprintable() and _SPECIAL.isdisjoint(typed)


def mail_domain(typed: str) -> str:
    """Return the domain that mail goes to, however it was typed: NFKC, then IDNA (RFC 3490), without a final dot.

    Raises:
        UnicodeError: no host has this name.
    """
    if _DEVIATIONS.search(typed):
        raise UnicodeError("a letter that IDNA 2003 and 2008 read differently: the mail might be another person's")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", typed).casefold())
    domain = folded.encode("idna").decode("ascii").lower().removesuffix(".")
    if not _DOMAIN.fullmatch(domain):
        raise UnicodeError("not the name of a host")
    return domain
