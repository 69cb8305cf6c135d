"""Handing mail to servers that lack what is asked of them, and to servers that want to be spoken to in private."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import SecretStr, ValidationError

from infra.deployment.certificates import certify, make_authority
from infra.errors import Unavailable
from infra.mail.letters import already_registered_letter, compose
from infra.mail.smtp import Mailer, MailRefused
from infra.settings import SmtpSettings


class Nobody:
    """Takes no mail."""

    async def handle_DATA(self, *_: object) -> str:  # aiosmtpd's name
        return "554 no"


class Everybody:
    """Takes every mail."""

    async def handle_DATA(self, *_: object) -> str:  # aiosmtpd's name
        return "250 taken"


@contextmanager
def a_server(handler: object, **arguments: Any) -> Iterator[int]:
    """Give the port of a mail server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port, **arguments)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def a_bare_server() -> Any:
    """Give the port of a server without STARTTLS, AUTH and SMTPUTF8."""
    return a_server(Nobody(), enable_SMTPUTF8=False)


def send_at(port: int, to: str = "ann@example.org", **settings: Any) -> None:
    mailer = Mailer(SmtpSettings(host="127.0.0.1", port=port, sender="no-reply@cash.example", **settings))
    letter = already_registered_letter()
    mailer.send(compose(letter, sender=mailer.sender, to=to, message_id="m", now=datetime.now(UTC)))


def send(to: str, **settings: Any) -> None:
    with a_bare_server() as port:
        send_at(port, to, **settings)


def test_a_server_that_lacks_what_the_settings_ask_for_is_tried_again() -> None:
    with pytest.raises(Unavailable, match="STARTTLS"):
        send("ann@example.org", security="starttls")


@pytest.fixture
def private(tmp_path: Path) -> dict[str, Any]:
    """What a server that speaks TLS is made with; its authority lies beside it."""
    authority = make_authority()
    server = certify(authority, ["127.0.0.1"])
    (tmp_path / "ca.crt").write_text(authority.certificate)
    (tmp_path / "tls.pem").write_text(server.key + server.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    return {"context": context, "ssl_cafile": tmp_path / "ca.crt"}


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_is_handed_over_in_private_by_who_signs_in(security: str, private: dict[str, Any]) -> None:
    signed_in = []

    def authenticate(_: object, session: Any, __: object, ___: object, data: Any) -> AuthResult:
        signed_in.append((data.login, data.password, session.ssl is not None or security == "tls"))
        return AuthResult(success=True)

    how = {"tls_context" if security == "starttls" else "ssl_context": private["context"]}
    # It does not count TLS from the first byte as TLS.
    demanded = security == "starttls"
    signing_in = {"authenticator": authenticate, "auth_required": demanded, "auth_require_tls": demanded}
    with a_server(Everybody(), **how, **signing_in) as port:
        send_at(
            port,
            security=security,
            ssl_cafile=private["ssl_cafile"],
            username="cash",
            password=SecretStr("secret"),
        )

    assert signed_in == [(b"cash", b"secret", True)]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_of_another_authority_gets_no_password(security: str, private: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "other.crt").write_text(make_authority().certificate)
    how = {"tls_context" if security == "starttls" else "ssl_context": private["context"]}
    with a_server(Everybody(), **how) as port, pytest.raises(Unavailable, match=r"(?i)certificate.?verif"):
        send_at(port, security=security, ssl_cafile=tmp_path / "other.crt")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"username": "cash", "password": SecretStr("secret")}, "would travel in clear"),
        ({"username": "cash", "security": "tls"}, "needed together"),
        ({"password": SecretStr("secret"), "security": "tls"}, "needed together"),
    ],
)
def test_settings_that_would_sign_in_badly_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SmtpSettings(host="127.0.0.1", sender="no-reply@cash.example", **settings)


def test_an_address_the_server_cannot_write_to_is_refused_for_good() -> None:
    with pytest.raises(MailRefused, match="SMTPUTF8"):
        send("änn@example.org")
