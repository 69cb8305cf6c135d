"""Handing mail to servers that lack what is asked of them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from pydantic import SecretStr

from infra.errors import Unavailable
from infra.mail.letters import already_registered_letter, compose
from infra.mail.smtp import Mailer, MailRefused
from infra.settings import SmtpSettings


class Nobody:
    """Takes no mail."""

    async def handle_DATA(self, *_: object) -> str:  # aiosmtpd's name
        return "554 no"


@contextmanager
def a_bare_server() -> Iterator[int]:
    """Give the port of a server without STARTTLS, AUTH and SMTPUTF8."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    controller = Controller(Nobody(), hostname="127.0.0.1", port=port, enable_SMTPUTF8=False)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def send(to: str, **settings: Any) -> None:
    with a_bare_server() as port:
        mailer = Mailer(SmtpSettings(host="127.0.0.1", port=port, sender="no-reply@cash.example", **settings))
        letter = already_registered_letter()
        mailer.send(compose(letter, sender=mailer.sender, to=to, message_id="m", now=datetime.now(UTC)))


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [({"starttls": True}, "STARTTLS"), ({"username": "cash", "password": SecretStr("secret")}, "AUTH")],
)
def test_a_server_that_lacks_what_the_settings_ask_for_is_tried_again(settings: dict[str, Any], lacking: str) -> None:
    with pytest.raises(Unavailable, match=lacking):
        send("ann@example.org", **settings)


def test_an_address_the_server_cannot_write_to_is_refused_for_good() -> None:
    with pytest.raises(MailRefused, match="SMTPUTF8"):
        send("änn@example.org")
