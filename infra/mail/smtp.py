"""SMTP: hands one message to the mail server, within a deadline whatever the server does."""

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from email.headerregistry import Address
from email.message import EmailMessage

from infra.errors import Unavailable
from infra.mail.letters import sender_address
from infra.settings import SmtpSettings, tls_context


class MailRefused(Exception):
    """The server will never take this message for this address; trying again is of no use. The text has no address."""


class Mailer:
    """Sends by the server of the settings; a connection for each message, since they are few and far between."""

    def __init__(self, settings: SmtpSettings) -> None:
        """Keep the settings; nothing is connected yet.

        Raises:
            AddressRefused: the sender has no e-mail address.
        """
        self._settings = settings
        self.sender: Address = sender_address(settings.sender)

    @property
    def timeout_s(self) -> float:
        """How long :meth:`send` takes at most."""
        return self._settings.timeout_s

    def send(self, message: EmailMessage) -> None:
        """Send a message; blocks until the server has it, for ``timeout_s`` at most.

        Raises:
            MailRefused: the server refuses the address for good (5xx), or cannot write to an international one.
            Unavailable: anything else: it does not answer, is busy, or is not set up yet. It may even have taken the
                message; a second try has the same Message-ID.
        """
        try:
            with self._connected() as server:
                _hand_over(message, server)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            listed = ", ".join(str(code) for code in sorted(codes))
            if min(codes) >= 500:
                raise MailRefused(f"the server refused the address with {listed}") from None
            raise Unavailable(f"send mail: the server put the address off with {listed}") from None
        except smtplib.SMTPNotSupportedError as error:
            # Of the server, not of the address: it lacks what the settings ask for (STARTTLS, AUTH).
            raise Unavailable(f"send mail: {error}") from error
        except smtplib.SMTPResponseException as error:
            raise Unavailable(f"send mail: the server answered {error.smtp_code}") from error
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            raise Unavailable(f"send mail: {error or type(error).__name__}") from error
        except smtplib.SMTPException as error:
            raise Unavailable(f"send mail: {type(error).__name__}") from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        settings = self._settings
        tls = None if settings.security == "none" else tls_context(settings.ssl_cafile)
        server = _Server(settings.host, settings.timeout_s, tls if settings.security == "tls" else None)
        # smtplib's time-out is for each read, so a server that trickles could hold us for ever; this ends it all.
        watchdog = threading.Timer(settings.timeout_s, server.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            server.connect(settings.host, settings.port)
            if server.sock is not None:
                server.sock.settimeout(settings.timeout_s)
            if settings.security == "starttls":
                server.starttls(context=tls)
            if settings.username and settings.password:
                server.login(settings.username, settings.password.get_secret_value())
            yield server
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            watchdog.cancel()
            server.close()


def _hand_over(message: EmailMessage, server: smtplib.SMTP) -> None:
    try:
        server.send_message(message)
    except smtplib.SMTPNotSupportedError:
        raise MailRefused("the server cannot write to an international address (no SMTPUTF8)") from None


class _Server(smtplib.SMTP):
    """An SMTP connection that is made after it is constructed, so that a watchdog can hold it from the first byte."""

    def __init__(self, host: str, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        # A name of our own: smtplib would ask the DNS for it, which can take longer than all the rest. Half the time to
        # connect, because a host can have two addresses (IPv6 and 4) of which the first swallows everything.
        super().__init__(local_hostname=socket.gethostname(), timeout=timeout_s / 2)
        self._host = host  # the certificate is checked against it; only the constructor would have set it
        self._tls = tls

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Return the connection that smtplib goes on with; it shakes hands with the first read, which can be cut."""
        made: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]  # as SMTP_SSL does
        if self._tls is None:
            return made
        return self._tls.wrap_socket(made, server_hostname=host, do_handshake_on_connect=False)

    def cut(self) -> None:
        """End the connection from another thread; whoever reads from it gets an error."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
