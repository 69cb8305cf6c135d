"""What our mail says, and that nobody can put a header into it."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.mail.letters import (
    AddressRefused,
    already_registered_letter,
    compose,
    invitation_letter,
    password_changed_letter,
    sender_address,
    verification_letter,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SENDER = sender_address("cash-flow <no-reply@cash.example>")
LETTER = ("Hello", "A text.\n")


def test_the_code_stands_alone_on_a_line_and_not_in_the_subject() -> None:
    subject, text = verification_letter("QWERTZ", NOON, "Europe/Berlin")

    assert "    QWERTZ" in text.splitlines()
    assert "QWERTZ" not in subject
    assert "cash verify" in text
    assert "13:00 (Europe/Berlin)" in text
    assert max(map(len, text.splitlines())) <= 78


def test_a_known_address_is_told_to_sign_in_and_gets_no_code() -> None:
    subject, text = already_registered_letter()

    assert "already" in subject
    assert "cash login" in text
    assert "cash verify" not in text


def test_a_changed_password_is_told_with_the_moment_and_what_to_do() -> None:
    subject, text = password_changed_letter("ann", NOON, "Asia/Tokyo")

    assert "password was changed" in subject
    assert "of ann was changed on 2026-03-01, 21:00" in text
    assert "(Asia/Tokyo)" in text
    assert "If it was not you" in text
    assert max(map(len, text.splitlines())) <= 78


def test_a_message_has_the_headers_that_matter() -> None:
    message = compose(LETTER, sender=SENDER, to="Ann@Example.org", message_id="abc", now=NOON)

    assert message["From"] == "cash-flow <no-reply@cash.example>"
    assert message["To"] == "Ann@example.org"
    assert message["Message-ID"] == "<abc@cash.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"


@pytest.mark.parametrize(
    ("typed", "header"),
    [
        (" ann@example.org ", "ann@example.org"),
        ("ann@exämple.org", "ann@xn--exmple-cua.org"),
        ("o'ann+cash=x@example.org", "o'ann+cash=x@example.org"),
        ("ann@ｅxample.ORG。", "ann@example.org"),  # what people with a Japanese keyboard type
    ],
)
def test_odd_addresses_are_one_address(typed: str, header: str) -> None:
    message = compose(LETTER, sender=SENDER, to=typed, message_id="abc", now=NOON)

    assert message["To"] == header
    assert len(message["To"].addresses) == 1


@pytest.mark.parametrize(
    "typed",
    [
        "", "ann", "@example.org", "ann@", "ann@a b.org", "ann@a,b@c.org", "ann@x>, <bob@y.org",
        "ann@[a.b", "ann@[192.0.2.1]", "ann@example.org]", "[ann@example.org", "ann@a\uff3bb.org",
        "ann,bob@example.org", "ann bob@example.org",
        "ann@example.org\r\nBcc: bob@example.org", "ann\nBcc: bob@example.org@example.org", "ann\0@example.org",
        "ann@ex..ämple.org", "ann\ud800@example.org", "ann@example.org\u2028Bcc: x@y", "a" * 250 + "@x.org",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(AddressRefused):
        compose(LETTER, sender=SENDER, to=typed, message_id="abc", now=NOON)


@given(
    typed=st.one_of(
        st.text(max_size=60), st.builds(lambda a, b: f"{a}@{b}", st.text(max_size=20), st.text(max_size=20))
    )
)
def test_no_text_becomes_a_second_address_or_header(typed: str) -> None:
    try:
        message = compose(LETTER, sender=SENDER, to=typed, message_id="abc", now=NOON)
    except AddressRefused:
        return
    read = message_from_bytes(message.as_bytes(policy=SMTP.clone(utf8=True)), policy=SMTP)

    assert len(read["To"].addresses) == 1
    assert sorted(read.keys()) == sorted(message.keys())


def test_an_invitation_says_who_invites_to_what_as_what_and_until_when() -> None:
    subject, text = invitation_letter("bob", "Holiday house", "editor", NOON, "Europe/Berlin")

    assert subject == "bob invites you to a cash-flow ledger"
    assert "    Holiday house" in text.splitlines()
    assert "as editor" in text
    assert "cash ledger invitations" in text
    assert "2026-03-01, 13:00 (Europe/Berlin)" in text
    assert max(map(len, text.splitlines())) <= 78


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Dr. Smith's house, No. 7", "Dr. Smith's house, No. 7"),
        ("Pay at https://evil.example/now", "Pay at https: / / evil. example/ now"),
        ("www.evil.example", "www. evil. example"),
        ("mail evil@evil.example", "mail evil@ evil. example"),
        ("gn\u202eidaelsim", "gnidaelsim"),
        ("Straße 5\u200b.example", "Straße 5. example"),
    ],
)
def test_the_name_of_a_ledger_becomes_no_link_in_a_letter(name: str, shown: str) -> None:
    _, text = invitation_letter("bob", name, "viewer", NOON, "UTC")

    assert f"    {shown}" in text.splitlines()
