"""Request bodies: what is wrong is named, and nothing that is wrong gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.fields import Body
from gateway.requests import read_body
from gateway.routes.registrations import NewRegistration, NewUser, TypedCode
from gateway.routes.sessions import Credentials
from gateway.routes.transactions import NewTransaction

OWN_LEDGER = "01a20786-d0a8-77a0-99c3-609e52de6193"


def wrong_fields(model: type[Body], raw: str | bytes) -> list[str]:
    with pytest.raises(Invalid) as refused:
        read_body(model, raw if isinstance(raw, bytes) else raw.encode())
    assert refused.value.shown().status == 400
    return [problem.field for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        ("", [""]),
        ("{", [""]),
        ("nope", [""]),
        ("[]", [""]),
        ("null", [""]),
        ('"text"', [""]),
        (b"\xff\xfe", [""]),
        ("[" * 20_000, [""]),
        ('{"amount": 24.47, "category": "x"}', ["amount"]),
        ('{"amount": 24, "category": "x"}', ["amount"]),
        ('{"amount": NaN, "category": "x"}', ["amount"]),
        ('{"amount": Infinity, "category": "x"}', ["amount"]),
        ('{"amount": "NaN", "category": "x"}', ["amount"]),
        ('{"amount": "1e3", "category": "x"}', ["amount"]),
        ('{"amount": "--1", "category": "x"}', ["amount"]),
        ('{"amount": "+1", "category": "x"}', ["amount"]),
        ('{"amount": " 1", "category": "x"}', ["amount"]),
        ('{"amount": "1\\n", "category": "x"}', ["amount"]),
        ('{"amount": "1,00", "category": "x"}', ["amount"]),
        ('{"amount": "٣", "category": "x"}', ["amount"]),
        ('{"amount": {}, "category": "x"}', ["amount"]),
        ('{"amount": true, "category": "x"}', ["amount"]),
        ('{"amount": ["1"], "category": "x"}', ["amount"]),
        ('{"amount": "%s", "category": "x"}' % ("9" * 400), ["amount"]),
        ('{"amount": %s, "category": "x"}' % ("9" * 400), ["amount"]),
        ('{"amount": "%s", "category": "x"}' % ("9" * 21), ["amount"]),
        ('{"amount": "1", "category": ""}', ["category"]),
        ('{"amount": "1", "category": "   "}', ["category"]),
        ('{"amount": "1", "category": "%s"}' % ("x" * 10_000), ["category"]),
        ('{"amount": "1", "category": "a\\u0000b"}', ["category"]),
        ('{"amount": "1", "category": "a\\u0007b"}', ["category"]),
        ('{"amount": "1", "category": "a\\u0085b"}', ["category"]),
        ('{"amount": "1", "category": "a\\nb"}', ["category"]),
        ('{"amount": "1", "category": "a\\ud800b"}', ["category"]),
        ('{"amount": "1", "category": "x", "description": "\\udfff"}', ["description"]),
        ('{"amount": "1", "category": "x", "description": "a\\u0000"}', ["description"]),
        ('{"amount": "1", "category": "x", "notes": "y"}', ["notes"]),
        ('{"amount": "1", "category": "x", "note": "a\\u0000"}', ["note"]),
        ('{"amount": "1", "category": "x", "tags": [7]}', ["tags"]),
        ('{"splits": [{"amount": "1", "category": "x", "note": "y"}]}', ["splits.0.note"]),
        ('{"amount": "1", "category": "x", "user_id": "y"}', ["user_id"]),
        ('{"amount": "1", "category": "x", "kind": "gift"}', ["kind"]),
        ('{"amount": "1", "category": "x", "kind": 1}', ["kind"]),
        ('{"amount": "1", "category": "x", "currency": "eur"}', ["currency"]),
        ('{"amount": "1", "category": "x", "date": 20240919}', ["date"]),
        ('{"amount": "1", "category": "x", "date": "1726700000"}', ["date"]),
        ('{"amount": "1", "category": "x", "date": "2024-02-30"}', ["date"]),
        ('{"amount": "1", "category": "x", "date": "2024-09-19T10:00:00"}', ["date"]),
        ('{"amount": "1", "category": "x", "id": "7"}', ["id"]),
        ('{"amount": 1, "category": "", "extra": 1}', ["amount", "category", "extra"]),
    ],
)
def test_a_transaction_that_is_wrong_names_its_fields(raw: str | bytes, fields: list[str]) -> None:
    assert wrong_fields(NewTransaction, raw) == fields


def test_a_json_number_for_an_amount_is_told_to_be_a_string() -> None:
    with pytest.raises(Invalid) as refused:
        read_body(NewTransaction, b'{"amount": 24.47, "category": "x"}')

    assert "decimal string" in refused.value.problems[0].detail


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        ('{"email": "ann", "base_currency": "EUR", "time_zone": "UTC"}', ["email"]),
        ('{"email": "ann@example", "base_currency": "EUR", "time_zone": "UTC"}', ["email"]),
        ('{"email": "a b@example.org", "base_currency": "EUR", "time_zone": "UTC"}', ["email"]),
        ('{"email": "a@b@example.org", "base_currency": "EUR", "time_zone": "UTC"}', ["email"]),
        ('{"email": "%s@example.org", "base_currency": "EUR", "time_zone": "UTC"}' % ("a" * 300), ["email"]),
        ('{"email": "ann@example.org\\n", "base_currency": "EUR", "time_zone": "UTC"}', ["email"]),
        ('{"email": "ann@example.org", "base_currency": "XXX", "time_zone": "UTC"}', ["base_currency"]),
        ('{"email": "ann@example.org", "base_currency": "EUQ", "time_zone": "UTC"}', ["base_currency"]),
        ('{"email": "ann@example.org", "base_currency": "EUR", "time_zone": "Europe/Atlantis"}', ["time_zone"]),
        ('{"email": "ann@example.org", "base_currency": "EUR", "time_zone": "../../etc/passwd"}', ["time_zone"]),
    ],
)
def test_a_registration_that_is_wrong_names_its_fields(raw: str, fields: list[str]) -> None:
    assert wrong_fields(NewRegistration, raw) == fields


@pytest.mark.parametrize("code", ["", "ABCDE", "ABCDEFG", "ABC DEF", "ABCDE1", "ÄBCDEF"])
def test_a_code_has_six_letters(code: str) -> None:
    assert wrong_fields(TypedCode, f'{{"code": "{code}"}}') == ["code"]


@pytest.mark.parametrize("password", ["", "short77", "x" * 257, "ﬁ" * 129, "tab\\tinside it", "a\\u0000bcdefgh"])
def test_a_password_has_8_to_256_characters_and_none_that_controls(password: str) -> None:
    assert wrong_fields(NewUser, f'{{"code": "KTRWXZ", "username": "ann", "password": "{password}"}}') == ["password"]


@pytest.mark.parametrize("password", ["x" * 8, "x" * 256, "ﬁﬁﬁﬁ", "pass phrase with spaces", "пароль-пароль"])
def test_a_password_is_counted_in_its_normal_form(password: str) -> None:
    body = read_body(NewUser, f'{{"code": "KTRWXZ", "username": "ann", "password": "{password}"}}'.encode())

    assert isinstance(body, NewUser)


@pytest.mark.parametrize("username", ["", "an", "-ann", "ann-", "a nn", "ann@example.org", "x" * 33, "änn"])
def test_a_username_is_never_an_address(username: str) -> None:
    assert wrong_fields(NewUser, f'{{"code": "KTRWXZ", "username": "{username}", "password": "long enough"}}') == [
        "username"
    ]


def test_what_a_person_typed_is_never_repeated_in_a_problem() -> None:
    with pytest.raises(Invalid) as refused:
        read_body(Credentials, b'{"username": "ann", "password": ["hunter2hunter2"], "client": 5}')

    assert "hunter2" not in repr(refused.value.problems)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_no_bytes_do_worse_than_being_refused(raw: bytes) -> None:
    with pytest.raises(Invalid):
        read_body(NewTransaction, raw)


def test_what_was_not_sent_stays_absent_in_the_message() -> None:
    body = read_body(NewTransaction, f'{{"amount": "1", "category": "x", "id": "{OWN_LEDGER}"}}'.encode())
    assert isinstance(body, NewTransaction)
    assert body.id

    event = body.to_event(body.id)

    assert event.model_dump_json(exclude_unset=True) == (
        f'{{"ledger_id":"{OWN_LEDGER}","transaction_id":"{OWN_LEDGER}","amount":"1","category":"x"}}'
    )


@pytest.mark.parametrize(
    "email",
    [
        *(
            "ann@[a.b",
            "ann@example.org]",
            "[ann@example.org",
            "ann@[192.0.2.1]",
            "<ann>@y.org",
            "a;b@y.org",
            "a,b@y.org",
        ),
        *(
            "a(b)@y.org",
            "a:b@y.org",
            "a\\\\b@y.org",
            "a\u200b@y.org",
            "a\u202e@y.org",
            "a\u00ad@y.org",
            "ann@straße.de",
        ),
    ],
)
def test_an_address_no_mail_can_go_to_is_refused(email: str) -> None:
    raw = f'{{"email": "{email}", "base_currency": "EUR", "time_zone": "Europe/Berlin"}}'

    assert wrong_fields(NewRegistration, raw) == ["email"]


def test_a_body_of_unknown_fields_does_not_make_a_large_answer() -> None:
    raw = "{" + ", ".join(f'"field{number}": 1' for number in range(1000)) + "}"

    assert len(wrong_fields(NewRegistration, raw)) == 20


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        ('{"amount": "1", "category": "x", "amount": "2"}', ["amount"]),
        ('{"amount": "1", "category": "x", "amount" : "1"}', ["amount"]),
        (r'{"amount": "1", "category": "x", "am\u006funt": "2", "category": "y"}', ["amount", "category"]),
        ('{"amount": "2", "splits": [{"amount": "1", "category": "x", "category": "y"}]}', ["category"]),
    ],
)
def test_of_a_field_that_is_sent_twice_neither_wins(raw: str, fields: list[str]) -> None:
    assert wrong_fields(NewTransaction, raw) == fields


@pytest.mark.parametrize(
    "raw",
    [
        '{"amount": "1", "category": "a : b {"}',
        '{"amount": "1", "category": "x", "date": "2024-09-19T18:30:00+02:00"}',
        '{"amount": "3", "splits": [{"amount": "1", "category": "x"}, {"amount": "2", "category": "x"}]}',
    ],
)
def test_colons_and_braces_in_texts_are_no_fields(raw: str) -> None:
    assert read_body(NewTransaction, raw.encode())
