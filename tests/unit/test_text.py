"""Text as people type it: what is a name, an amount, a day; and the keys that make two spellings one."""

import sys
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import StringConstraints, TypeAdapter, ValidationError

from contracts.text import (
    IDEMPOTENCY_KEY_PATTERN,
    CurrencyCode,
    Day,
    DayOrMoment,
    DecimalText,
    Description,
    ExternalId,
    Line,
    Name,
    Note,
    RateText,
    email_key,
    mail_domain,
    name_key,
    time_zones,
)

NAME = TypeAdapter[str](Name)
DESCRIPTION = TypeAdapter[str](Description)
DECIMAL = TypeAdapter[str](DecimalText)
CURRENCY = TypeAdapter[str](CurrencyCode)
CHOSEN_KEY = TypeAdapter[str](Annotated[str, StringConstraints(pattern=IDEMPOTENCY_KEY_PATTERN)])
BOOKED = TypeAdapter[Any](DayOrMoment)
DAY = TypeAdapter[Any](Day)
RATE = TypeAdapter[str](RateText)
LINE = TypeAdapter[str](Line)
NOTE = TypeAdapter[str](Note)
EXTERNAL_ID = TypeAdapter[str](ExternalId)
ASSIGNED = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]


def accepts(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", ["Food", "a", "x" * 100, "食費", " Rent ", "Café & Bar", "🍕" * 100, "a\u00a0b"])
def test_name_is_one_line_with_something_on_it(name: str) -> None:
    assert accepts(NAME, name)


@pytest.mark.parametrize(
    "name",
    ["", " ", "\u00a0\u3000", "x" * 101, "a\nb", "a\n", "\n", "a\tb", "a\x00b", "a\x7f", "\x85", "\ud800", 5, None],
)
def test_what_is_no_name_is_refused(name: object) -> None:
    assert not accepts(NAME, name)


def test_description_may_be_empty_but_has_no_second_line() -> None:
    assert accepts(DESCRIPTION, "")
    assert accepts(DESCRIPTION, "x" * 500)
    assert not accepts(DESCRIPTION, "x" * 501)
    assert not accepts(DESCRIPTION, "a\r\nBcc: b")
    assert not accepts(DESCRIPTION, "a\n")


@pytest.mark.parametrize("line", ["", " ", "Café Müller", "東京", "x" * 1000, "a\u00a0b", "🍕" * 1000])
def test_line_of_one_line_is_taken_as_typed(line: str) -> None:
    assert accepts(LINE, line)


@pytest.mark.parametrize("line", ["x" * 1001, "a\nb", "a\n", "\t", "a\x00b", "\x7f", "\x85", "\ud800", 5, None])
def test_what_is_more_than_a_line_is_refused(line: object) -> None:
    assert not accepts(LINE, line)


@pytest.mark.parametrize("note", ["", "First line\nsecond line\n", "\n", "x" * 2000, "“東京” 🍕"])
def test_note_is_some_lines(note: str) -> None:
    assert accepts(NOTE, note)


@pytest.mark.parametrize("note", ["x" * 2001, "a\r\nb", "a\tb", "a\x00b", "\x1b[0m", "\x7f", "\x85", "\ud800", 5, None])
def test_what_is_no_note_is_refused(note: object) -> None:
    assert not accepts(NOTE, note)


@pytest.mark.parametrize("external_id", ["1", " ", "bank-2024-09-19/17", "x" * 255, "Nº 17"])
def test_external_id_is_whatever_another_system_calls_it(external_id: str) -> None:
    assert accepts(EXTERNAL_ID, external_id)


@pytest.mark.parametrize("external_id", ["", "x" * 256, "a\nb", "a\n", "a\x00", "\ud800", 17, None])
def test_what_is_no_external_id_is_refused(external_id: object) -> None:
    assert not accepts(EXTERNAL_ID, external_id)


@pytest.mark.parametrize(
    "amount",
    ["0", "5", "24.47", "007.10", "-1", "-0", "-24.47", "9" * 20 + "." + "9" * 8, "-" + "9" * 20 + "." + "9" * 8],
)
def test_amount_is_plain_digits(amount: str) -> None:
    assert accepts(DECIMAL, amount)


@pytest.mark.parametrize("rate", ["0", "1", "1.0842", "0.000000000001", "9" * 12 + "." + "9" * 12])
def test_rate_is_plain_digits(rate: str) -> None:
    assert accepts(RATE, rate)


@pytest.mark.parametrize(
    "rate",
    ["", "-1", "+1", "1e3", "NaN", "1,5", "1.", ".5", "1.5\n", "9" * 13, "1." + "0" * 13, "1/3", "１", 5, 1.5, None],
)
def test_other_ways_to_write_a_rate_are_refused(rate: object) -> None:
    assert not accepts(RATE, rate)


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "-",
        "--1",
        "-+1",
        "1-",
        "−1",
        "- 1",
        "+1",
        "1e3",
        "NaN",
        "1,5",
        "1.",
        ".5",
        "-.5",
        "1.5\n",
        " 1",
        "9" * 21,
        "9" * 400,
        "1." + "0" * 9,
        "１",
        "١",
        5,
        1.5,
    ],
)
def test_other_ways_to_write_an_amount_are_refused(amount: object) -> None:
    assert not accepts(DECIMAL, amount)


@pytest.mark.parametrize("currency", ["eur", "EU", "EURO", "EUR\n", "ＥＵＲ", "", "E R", None])
def test_what_does_not_look_like_a_currency_is_refused(currency: object) -> None:
    assert not accepts(CURRENCY, currency)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("2024-09-19", date(2024, 9, 19)),
        ("2024-02-29", date(2024, 2, 29)),
        ("0001-01-01", date(1, 1, 1)),
        ("9999-12-31", date(9999, 12, 31)),
        ("2024-09-19T18:30:12Z", datetime(2024, 9, 19, 18, 30, 12, tzinfo=UTC)),
        ("2024-09-19t18:30:12z", datetime(2024, 9, 19, 18, 30, 12, tzinfo=UTC)),
        ("2024-09-19T18:30Z", datetime(2024, 9, 19, 18, 30, tzinfo=UTC)),
        (
            "2024-09-19 18:30:12.5+02:00",
            datetime(2024, 9, 19, 18, 30, 12, 500_000, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("2024-09-19T18:30:12.123456-11:30", datetime(2024, 9, 20, 6, 0, 12, 123_456, tzinfo=UTC)),
    ],
)
def test_day_or_moment_is_read_as_typed(typed: str, read: date) -> None:
    assert BOOKED.validate_python(typed) == read
    assert BOOKED.validate_json(f'"{typed}"', strict=True) == read
    assert type(BOOKED.validate_python(typed)) is type(read)


@pytest.mark.parametrize(
    "typed",
    [
        "20240919",
        "1700000000",
        1700000000,
        1700000000.5,
        "2024-9-19",
        "2024-02-30",
        "2023-02-29",
        "2024-13-01",
        "0000-01-01",
        "10000-01-01",
        "2024-09-19T18:30:12",
        "2024-09-19T24:00:01Z",
        "2024-09-19T18:30:12+25:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-01:00",
        "2024-W38-4",
        "２０２４-09-19",
        "2024-09-19\n",
        " 2024-09-19",
        "today",
        "",
        True,
        [],
        datetime(2024, 9, 19),
    ],
)
def test_what_is_neither_day_nor_moment_is_refused(typed: object) -> None:
    assert not accepts(BOOKED, typed)


@pytest.mark.parametrize(
    ("typed", "read"),
    [("2024-09-19", date(2024, 9, 19)), ("2024-02-29", date(2024, 2, 29)), ("9999-12-31", date(9999, 12, 31))],
)
def test_day_is_read_as_typed(typed: str, read: date) -> None:
    assert DAY.validate_python(typed) == DAY.validate_python(read) == read
    assert DAY.validate_json(f'"{typed}"', strict=True) == read


@pytest.mark.parametrize(
    "typed",
    [
        "86400",
        "1700000000",
        1700000000,
        0,
        "20240919",
        "2024-9-19",
        "2023-02-29",
        "0000-01-01",
        "10000-01-01",
        "2024-09-19T00:00:00",
        "2024-09-19T00:00:00Z",
        "２０２４-09-19",
        "2024-09-19\n",
        "today",
        "",
        True,
        None,
        datetime(2024, 9, 19),
        datetime(2024, 9, 19, tzinfo=UTC),
    ],
)
def test_what_is_no_day_is_refused(typed: object) -> None:
    assert not accepts(DAY, typed)


@given(text=st.text(max_size=40))
def test_any_text_for_a_day_is_read_or_refused(text: str) -> None:
    accepts(BOOKED, text)
    accepts(DAY, text)


@given(day=st.dates())
def test_every_day_is_read_back(day: date) -> None:
    assert DAY.validate_python(day.isoformat()) == BOOKED.validate_python(day.isoformat()) == day


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Food", "food"),
        ("Food", "  FOOD "),
        ("Eating  out", "eating out"),
        ("Eating\u00a0out", "Eating out"),
        ("Straße", "STRASSE"),
        ("Café", "Cafe\u0301"),
        ("ﬁne", "FINE"),
        ("Ⅷ", "viii"),
        ("ＡＢＣ", "abc"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
    ],
)
def test_two_spellings_are_one_name(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(("one", "other"), [("Food", "Foods"), ("Cafe", "Café"), ("a b", "ab"), ("I", "ı")])
def test_two_names_stay_two(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


def test_keys_are_idempotent_for_every_character() -> None:
    for key in (name_key, email_key):
        changed = [character for character in ASSIGNED if key(key(character)) != key(character)]
        assert changed == [], key


@given(name=st.text(max_size=40))
def test_name_key_is_idempotent(name: str) -> None:
    assert name_key(name_key(name)) == name_key(name)


@given(name=st.text(max_size=40))
def test_name_key_does_not_depend_on_case_or_space_around(name: str) -> None:
    assert name_key(f"  {name}\t") == name_key(name)
    assert name_key(name.casefold()) == name_key(name)


@given(name=st.text(max_size=40).filter(lambda name: accepts(NAME, name)))
def test_every_name_has_a_key(name: str) -> None:
    assert name_key(name)


@given(address=st.text(max_size=40))
def test_email_key_is_idempotent(address: str) -> None:
    assert email_key(email_key(address)) == email_key(address)


def test_one_person_types_an_address_in_two_ways() -> None:
    assert email_key(" Ann@Example.ORG\n") == email_key("ann@example.org")
    assert email_key("Jo\u0308rg@example.org") == email_key("jörg@EXAMPLE.org")
    assert email_key("ann@example.org") != email_key("anne@example.org")


@pytest.mark.parametrize(
    "typed",
    [
        "ann@b\u00fccher.example",
        "ann@B\u00dcCHER.example",
        "ann@bu\u0308cher.example",
        "ann@xn--bcher-kva.example",
        "ann@XN--BCHER-KVA.EXAMPLE",
        "ann@b\u00fccher\u3002example",
        "ann@b\u00fccher.\uff45xample",
        "ann@b\u00fccher.example\u3002",
        "ann@b\u00fc\u00adcher.example",
    ],
)
def test_every_spelling_of_a_domain_is_the_one_mail_goes_to(typed: str) -> None:
    assert email_key(typed) == "ann@xn--bcher-kva.example"


@pytest.mark.parametrize(
    "typed",
    ["ann@example.org]", "ann@a..b", "ann@a\uff20b.org", "ann@\ud800.org", "ann@", "Ann", "Ann@¡ß", "ann@ΑΣ..org"],
)
def test_an_address_no_mail_reaches_keeps_its_spelling(typed: str) -> None:
    assert email_key(typed) == email_key(email_key(typed)) == typed.lower()


@given(address=st.builds(lambda local, domain: f"{local}@{domain}", st.text(max_size=10), st.text(max_size=30)))
def test_key_of_any_domain_is_idempotent(address: str) -> None:
    assert email_key(email_key(address)) == email_key(address)


@pytest.mark.parametrize("key", ["a", "my key", "~" * 255, "0192f0c5-2b4d-7a90-8c1e-3f5a7b9c0d03"])
def test_idempotency_key_is_printable_ascii(key: str) -> None:
    assert accepts(CHOSEN_KEY, key)


@pytest.mark.parametrize("key", ["", " ", " a", "a ", "~" * 256, "a\n", "a\tb", "é", "\x00", "\x7f"])
def test_what_is_no_idempotency_key_is_refused(key: str) -> None:
    assert not accepts(CHOSEN_KEY, key)


@pytest.mark.parametrize("domain", ["straße.de", "STRAẞE.de", "νίκος.gr", "a\u200db.example", "a\u200cb.example"])
def test_a_domain_that_two_versions_of_idna_read_differently_gets_no_mail(domain: str) -> None:
    with pytest.raises(UnicodeError):
        mail_domain(domain)


def test_time_zones_are_those_we_ship_and_not_what_a_machine_calls_its_own() -> None:
    assert {"Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC"} <= time_zones()
    assert not {"localtime", "posixrules", "Factory", "right/UTC"} & time_zones()
