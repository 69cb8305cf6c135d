"""The filter grammar: how people say which transactions they mean, read into a tree that queries and rules are made of.

``category:"Eating out" amount:>10 (tag:holiday OR payee:Rossi) -status:pending``: terms beside each other must all be
true; ``OR`` binds less than that, ``NOT`` or a minus before a term more, parentheses most. ``AND`` may be written.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NoReturn, TypeAlias

from contracts.money import UnknownCurrency, exponent_of
from contracts.text import name_key
from contracts.transactions import TransactionKind

#: In characters, terms, and parentheses or ``NOT`` within each other.
LENGTH_MAX = 1000
TERMS_MAX = 50
DEPTH_MAX = 20
#: A longer word is found by its beginning: PostgreSQL keeps none of more than 2 kB.
WORD_LENGTH_MAX = 100


class FilterError(ValueError):
    """A text that is no filter: ``position`` counts characters from 0, ``sentence`` says what to do."""

    def __init__(self, position: int, sentence: str) -> None:
        super().__init__(sentence)
        self.position = position
        self.sentence = sentence


class Field(StrEnum):
    """What has one value, which it is compared with."""

    ACCOUNT = "account"
    CATEGORY = "category"
    PAYEE = "payee"
    TAG = "tag"
    STATUS = "status"
    CURRENCY = "currency"
    KIND = "kind"
    EXTERNAL = "external"


class Status(StrEnum):
    """What a transaction's status is to its readers; ``reconciled`` is one that a balance assertion has covered."""

    PENDING = "pending"
    CLEARED = "cleared"
    RECONCILED = "reconciled"


@dataclass(frozen=True, slots=True)
class Is:
    """A field has this value. Names are as typed: whether there is such an account, only the ledger knows."""

    what: Field
    value: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Says:
    """Description, payee and note together have every word of ``text``, or words that begin so."""

    text: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amount is from ``low`` to ``high``, in units of its currency, whichever that is; ``None`` is without end.

    ``beyond`` leaves out the one end there is.
    """

    low: Decimal | None
    high: Decimal | None
    beyond: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Days:
    """The day is one from ``first`` to ``last``, both included; ``None`` is without end."""

    first: date | None
    last: date | None
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All of its parts, at least two, are true."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """One of its parts, at least two, is true."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Its part is not true."""

    part: "Filter"


Term: TypeAlias = Is | Says | Amounts | Days
Filter: TypeAlias = And | Or | Not | Term


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: it is none; nothing else is ever raised.
    """
    if len(text) > LENGTH_MAX:
        raise FilterError(LENGTH_MAX, f"A filter has at most {LENGTH_MAX} characters; leave something out.")
    for position, letter in enumerate(text):
        if unicodedata.category(letter) in ("Cc", "Cs"):
            raise FilterError(position, "A filter is one line without control characters; leave this one out.")
    return _Reading(text).whole()


def filter_text(what: Filter) -> str:
    """Write a filter so that :func:`parse_filter` reads the same one; two texts of one filter come out alike."""
    match what:
        case And(parts):
            return " ".join(_enclosed(part, And, Or) for part in parts)
        case Or(parts):
            return " OR ".join(_enclosed(part, Or) for part in parts)
        case Not(part):
            return f"NOT {_enclosed(part, And, Or)}"
        case Is(name, value):
            return f"{name}:{_quoted(value)}"
        case Says(text):
            return _quoted(text, alone=True)
        case Amounts(low, high, beyond):
            return f"amount:{_range_text(_number(low), _number(high), beyond)}"
        case Days(first, last):
            return f"date:{_range_text(_day(first), _day(last), beyond=False)}"


def terms_of(what: Filter) -> Iterator[Term]:
    """Yield every term of a filter, from left to right."""
    match what:
        case And(parts) | Or(parts):
            for part in parts:
                yield from terms_of(part)
        case Not(part):
            yield from terms_of(part)
        case _:
            yield what


def search_words(*texts: str | None) -> list[str]:
    """Return the words of some texts as they are looked for: folded, and cut at all but letters, marks and digits.

    What is stored and what is looked for are cut by this alone. PostgreSQL's own parser makes one word of
    ``milk/bread`` or ``ann@example.org``, which nobody finds by its second half.
    """
    words = []
    for text in texts:
        if text:
            folded = name_key(text)
            if folded.isascii():
                words += _ASCII_WORDS.findall(folded)
            else:
                words += "".join(each if unicodedata.category(each)[0] in "LMN" else " " for each in folded).split()
    return [word[:WORD_LENGTH_MAX] for word in words]


_ASCII_WORDS = re.compile("[a-z0-9]+")
_KEYWORD = re.compile(r'(AND|OR|NOT)(?=[\s()"]|$)', re.IGNORECASE)
_FIELD = re.compile("([A-Za-z_]+):")
_OPERATOR = re.compile("(>=|<=|>|<)(.*)", re.DOTALL)
_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,8})?")
_PERIOD = re.compile("([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")

_AMOUNT_SENTENCE = "Write an amount as 10, >10, <=10.50 or 10..20: digits with a point, no sign and no currency."
_DAY_SENTENCE = (
    "Write a day as 2026-03-31, a month as 2026-03 or a year as 2026; >=2026-03 is from then on, "
    "2026-01..2026-03 a range."
)
_MISSING = "Something to look for is missing here, such as category:Groceries."


class _Reading:
    """One text being read, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._terms = 0

    def whole(self) -> Filter:
        found = self._any_of(depth=0)
        if self._next():
            self._fail("This parenthesis closes none; leave it out, or put it in quotes.")
        return found

    def _any_of(self, depth: int) -> Filter:
        parts = [self._all_of(depth)]
        while self._keyword() == "OR":
            self._at += len("OR")
            parts.append(self._all_of(depth))
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def _all_of(self, depth: int) -> Filter:
        parts = [self._one(depth)]
        while (letter := self._next()) and letter != ")":
            keyword = self._keyword()
            if keyword == "OR":
                break
            if keyword == "AND":
                self._at += len("AND")
            parts.append(self._one(depth))
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def _one(self, depth: int) -> Filter:
        letter, keyword = self._next(), self._keyword()
        if letter in ("", ")"):
            self._fail(_MISSING)
        if letter in ("(", "-") or keyword == "NOT":
            if depth == DEPTH_MAX:
                self._fail(f"Parentheses and NOT within each other end here: {DEPTH_MAX} are the most.")
            if letter == "(":
                return self._enclosed(depth + 1)
            self._at += len(keyword or letter)
            if letter == "-" and (self._text[self._at :] or " ")[0].isspace():
                self._fail("Write a minus right before what it leaves out, or put it in quotes.", self._at - 1)
            return Not(self._one(depth + 1))
        if keyword:
            self._fail(f"{keyword} stands between two terms, and one is missing; to look for the word, quote it.")
        return self._term()

    def _enclosed(self, depth: int) -> Filter:
        opened = self._at
        self._at += 1
        found = self._any_of(depth)
        if self._next() != ")":
            self._fail("This parenthesis is never closed.", opened)
        self._at += 1
        return found

    def _term(self) -> Term:
        self._terms += 1
        if self._terms > TERMS_MAX:
            self._fail(f"A filter has at most {TERMS_MAX} terms; this is one more.")
        begin = self._at
        named = _FIELD.match(self._text, begin)
        if named is None:
            return _words(self._value(), begin)
        name = named[1].lower()
        make = _TERMS.get(name)
        if make is None:
            *all_but_last, last = _TERMS
            fields = f"{', '.join(all_but_last)} and {last}"
            self._fail(f"There is no field {named[1]}. Fields are {fields}; to look for this as text, quote it.")
        self._at = begin = named.end()
        if self._at == len(self._text) or self._text[self._at].isspace() or self._text[self._at] in "()":
            self._fail(f"Nothing stands after {name}: here; write the value right behind the colon.")
        return make(self._value(), begin)

    def _value(self) -> str:
        if self._text[self._at] == '"':
            return self._quotation()
        begin = self._at
        while self._at < len(self._text) and not (self._text[self._at].isspace() or self._text[self._at] in '()"'):
            self._at += 1
        if self._text[self._at : self._at + 1] in ("(", '"'):
            self._fail("Leave a space before this, or put all of it in quotes.")
        return self._text[begin : self._at]

    def _quotation(self) -> str:
        opened = self._at
        letters: list[str] = []
        while True:
            self._at += 1
            if self._at == len(self._text):
                self._fail("This quotation mark is never closed.", opened)
            letter = self._text[self._at]
            if letter == '"':
                break
            if letter == "\\":
                self._at += 1
                letter = self._text[self._at : self._at + 1]
                if letter not in ('"', "\\"):
                    self._fail(r"Within quotes write a backslash as \\ and a quotation mark as \".", self._at - 1)
            letters.append(letter)
        self._at += 1
        if self._at < len(self._text) and not (self._text[self._at].isspace() or self._text[self._at] in "()"):
            self._fail("Leave a space behind the quotation mark.")
        value = "".join(letters)
        if not value or value.isspace():
            self._fail("Nothing stands between these quotation marks.", opened)
        return value

    def _next(self) -> str:
        """Pass over spaces; return the character that follows, or nothing at the end."""
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _keyword(self) -> str | None:
        found = _KEYWORD.match(self._text, self._at)
        return found[1].upper() if found else None

    def _fail(self, sentence: str, position: int | None = None) -> NoReturn:
        raise FilterError(self._at if position is None else position, sentence)


def _words(value: str, position: int) -> Term:
    if not search_words(value):
        raise FilterError(position, "Give at least one letter or digit to look for.")
    return Says(value, position)


def _named(of: Field) -> Callable[[str, int], Term]:
    return lambda value, position: Is(of, value, position)


def _chosen(of: Field, choices: type[StrEnum]) -> Callable[[str, int], Term]:
    def make(value: str, position: int) -> Term:
        chosen = value.lower()
        if chosen not in (each.value for each in choices):
            *all_but_last, last = choices
            raise FilterError(position, f"Write {of}: with one of {', '.join(all_but_last)} or {last}.")
        return Is(of, chosen, position)

    return make


def _currency(value: str, position: int) -> Term:
    code = value.upper()
    try:
        if not re.fullmatch("[A-Z]{3}", code):
            raise UnknownCurrency
        exponent_of(code)
    except UnknownCurrency:
        raise FilterError(position, "Write a currency as its three letters of ISO 4217, such as EUR.") from None
    return Is(Field.CURRENCY, code, position)


def _amounts(value: str, position: int) -> Term:
    operator, ends = _ends(value)
    for end in ends:
        if end is not None and not _AMOUNT.fullmatch(end):
            raise FilterError(position, _AMOUNT_SENTENCE)
    low, high = (None if end is None else Decimal(end) for end in ends)
    if low is None and high is None:
        raise FilterError(position, _AMOUNT_SENTENCE)
    if low is not None and high is not None and low > high:
        raise FilterError(position, "This range ends before it begins; write the smaller amount first.")
    return Amounts(low, high, operator in (">", "<"), position)


def _days(value: str, position: int) -> Term:
    operator, ends = _ends(value)
    first, last = (None if end is None else _period(end, position) for end in ends)
    match operator:
        case ">" if first:
            return Days(_neighbour(first[1], 1, position), None, position)
        case "<" if last:
            return Days(None, _neighbour(last[0], -1, position), position)
    days = Days(first and first[0], last and last[1], position)
    if days.first is None and days.last is None:
        raise FilterError(position, _DAY_SENTENCE)
    if days.first and days.last and days.first > days.last:
        raise FilterError(position, "This range ends before it begins; write the earlier day first.")
    return days


def _ends(value: str) -> tuple[str, Sequence[str | None]]:
    """Return the operator of a range, and its two ends as typed: ``10``, ``>10``, ``10..20``, ``..20``."""
    if operator := _OPERATOR.fullmatch(value):
        sign, end = operator.groups()
        return sign, (end, None) if sign.startswith(">") else (None, end)
    low, dots, high = value.partition("..")
    return "", (low or None, high or None) if dots else (value, value)


def _period(typed: str, position: int) -> tuple[date, date]:
    """Return the first and the last day of a day, a month or a year."""
    found = _PERIOD.fullmatch(typed)
    if found is None:
        raise FilterError(position, _DAY_SENTENCE)
    year, month, day = (None if part is None else int(part) for part in found.groups())
    assert year is not None  # the pattern's one part that is always there
    try:
        if day is not None:
            only = date(year, month or 1, day)
            return only, only
        first = date(year, month or 1, 1)
        # Day 28 and four more is always in the next month; the last month of the calendar has 31 days.
        last = date(year, month or 12, 28)
        last = last.replace(day=31) if last.month == 12 else (last + timedelta(4)).replace(day=1) - timedelta(1)
    except ValueError:
        raise FilterError(position, "There is no such day; write one of the calendar, such as 2026-02-28.") from None
    return first, last


def _neighbour(day: date, step: int, position: int) -> date:
    try:
        return day + timedelta(step)
    except OverflowError:
        raise FilterError(position, "The calendar has no day beyond this one.") from None


_TERMS: Mapping[str, Callable[[str, int], Term]] = {
    "account": _named(Field.ACCOUNT),
    "category": _named(Field.CATEGORY),
    "payee": _named(Field.PAYEE),
    "tag": _named(Field.TAG),
    "text": _words,
    "amount": _amounts,
    "date": _days,
    "status": _chosen(Field.STATUS, Status),
    "currency": _currency,
    "kind": _chosen(Field.KIND, TransactionKind),
    "external": _named(Field.EXTERNAL),
}


def _enclosed(part: Filter, *kinds: type[And | Or]) -> str:
    text = filter_text(part)
    return f"({text})" if isinstance(part, kinds) else text


def _quoted(value: str, *, alone: bool = False) -> str:
    """Return a value in quotes where it needs them; ``alone`` is one without a field before it."""
    is_plain = not any(letter.isspace() or letter in '()"' for letter in value)
    if is_plain and not (alone and (value.startswith("-") or _KEYWORD.match(value) or _FIELD.match(value))):
        return value
    escaped = value.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


def _number(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount.normalize(), "f")


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _range_text(low: str | None, high: str | None, beyond: bool) -> str:
    if low is not None and high is not None:
        return low if low == high else f"{low}..{high}"
    sign = ("<" if low is None else ">") + ("" if beyond else "=")
    return f"{sign}{high if low is None else low}"
