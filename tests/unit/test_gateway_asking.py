"""How the sender of a write wants to be answered."""

import time
from uuid import uuid4

import pytest

from gateway.observing import _joined
from gateway.requests import Asking, uuid7, wait_of


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=5", 5),
        ("wait = 5", 5),
        ('wait="5"', 5),
        ("WAIT=5", 5),
        ("respond-async, wait=5", 5),
        ("respond-async;x=1, wait=5; y", 5),
        ("wait=0", 0),
        ("wait=10", 10),
        ("wait=999999999", 10),
        ("wait=99999999999999999999", 10),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait", 0),
        ("await=5", 0),
        ("handling=lenient", 0),
    ],
)
def test_a_preference_is_at_most_ten_seconds_and_never_an_error(prefer: str | None, seconds: int) -> None:
    assert wait_of(prefer) == seconds


def test_a_key_the_sender_gave_wins_over_the_id_in_the_body() -> None:
    given, chosen = Asking("mine"), uuid4()
    given.prefer_key(chosen)
    made = Asking()
    made.prefer_key(chosen)

    assert (given.key, made.key) == ("mine", str(chosen))
    assert given.key_given
    assert made.key_given


def test_a_key_is_made_where_none_is_given() -> None:
    first, second = Asking(), Asking()

    assert first.key != second.key
    assert not first.key_given


def test_made_keys_are_uuids_of_version_7_in_the_order_of_time() -> None:
    before = uuid7()
    time.sleep(0.002)
    after = uuid7()

    assert before.version == after.version == 7
    assert before.variant == uuid4().variant
    assert before < after
    assert abs((after.int >> 80) / 1000 - time.time()) < 60


def test_a_header_sent_twice_is_a_list_and_neither_wins_in_silence() -> None:
    sent = _joined([(b"prefer", b"wait=10"), (b"accept", b"*/*"), (b"prefer", b"return=minimal")])

    assert sent == {b"prefer": b"wait=10, return=minimal", b"accept": b"*/*"}
    assert wait_of(sent[b"prefer"].decode()) == 10
    assert wait_of("wait=9999999999") == 10
