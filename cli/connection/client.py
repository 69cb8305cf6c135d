"""The HTTP API as the commands use it: one call, retried under one idempotency key, errors as one sentence."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import httpx

from cli.connection.credentials import Credentials, PrivateFile, Session, credentials_file
from cli.connection.servers import Server, find_server
from cli.preferences import is_verbose
from cli.terminal.output import ExitCode, Failure, aside, fail, note
from infra.telemetry.traces import new_traceparent, trace_id_of
from infra.version import VERSION_HEADER, own_version

API = "/api/v1"
#: What the gateway is asked to wait for a decision, and how long the client itself waits for any answer.
WAIT_S = 10
_TIMEOUT = httpx.Timeout(WAIT_S + 5.0, connect=3.0)
_HASTY_S = 2.0
_PAUSES_S = (0.2, 0.5, 1.0)
#: No further try is started when this long has passed since the first.
_PATIENCE_S = 8.0
_LONGEST_PAUSE_S = 5.0
_RENEW_BEFORE = timedelta(seconds=30)
_TRY_AGAIN = frozenset({502, 503, 504})
#: What a server says to a request that another version would understand.
_NOT_UNDERSTOOD = frozenset({400, 404, 405, 406, 415})
#: By so much this machine's clock may be wrong before days such as "today" are.
_SKEW_MAX = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered; ``body`` is its JSON, ``None`` where there is none."""

    status: int
    body: Any
    replayed: bool
    location: str | None

    @property
    def pending(self) -> bool:
        """Whether the request was accepted and its outcome is not known yet."""
        return self.status == httpx.codes.ACCEPTED


class Refused(Failure):
    """The server answered with a problem (RFC 9457).

    ``refusal`` is its code where a rule said no; ``position`` where in a text it is, in characters from its beginning;
    ``retry_after_s`` how long to wait before asking again, where the server said so.
    """

    def __init__(
        self,
        message: str,
        code: ExitCode,
        *,
        status: int,
        refusal: str | None = None,
        position: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code)
        self.status = status
        self.refusal = refusal
        self.position = position
        self.retry_after_s = retry_after_s


class Unanswered(Failure):
    """No answer came, so the outcome is unknown; the same request under the same key is safe."""


@dataclass(frozen=True, slots=True)
class Try:
    """One request as it went over the network; ``response`` is ``None`` where none came."""

    request: httpx.Request
    response: httpx.Response | None
    took_s: float


class Client:
    """Calls one server; signed-in calls carry the remembered session's token, renewed when it has expired."""

    def __init__(
        self,
        server: Server,
        file: PrivateFile,
        *,
        session: Session | None = None,
        transport: httpx.BaseTransport | None = None,
        told: Callable[[Try], None] | None = None,
        hasty: bool = False,
    ) -> None:
        """Prepare a client.

        Args:
            server: where the API answers.
            file: where sessions are remembered.
            session: a session that lives in memory only, used instead of the remembered one.
            transport: how requests travel, where not by network.
            told: called after each try of a request, whatever came of it.
            hasty: for who would rather have no answer than a late one: one short try.
        """
        self.server = server
        self.file = file
        self.session = session
        self.answered = False
        self.server_version: str | None = None
        self.skew = timedelta(0)
        self._told = told
        self._pauses_s = () if hasty else _PAUSES_S
        self._renewing = threading.Lock()
        self._http = httpx.Client(
            base_url=server.url,
            timeout=_HASTY_S if hasty else _TIMEOUT,
            headers={"User-Agent": "cash"},
            transport=transport,
            trust_env=server.proxied,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def greet(self) -> None:
        """See whether a gateway answers there, by its public keys; raises as ``call`` does."""
        headers = {"traceparent": new_traceparent()}
        request = self._http.build_request("GET", "/.well-known/jwks.json", headers=headers)
        response = self._send(request, patient=True)
        answer = self._read(response, signed_in=False)
        if not isinstance(answer.body, dict) or "keys" not in answer.body:
            self._not_ours(response)

    def find_session(self) -> Session | None:
        """Return who is signed in here."""
        return self.session or self.file.read(Credentials).at(self.server.url).session

    def remembered_session(self) -> Session:
        """Return who is signed in here; refuses when nobody is."""
        session = self.find_session()
        if session is None:
            option = self.server.option()
            fail(
                f"you are not signed in at {self.server.url}; sign in with `cash login{option}`, "
                f"or make a user first with `cash register{option}`",
                ExitCode.NOT_SIGNED_IN,
            )
        return session

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        parameters: Mapping[str, str | int] | None = None,
        key: str | None = None,
        version: int | None = None,
        wait: bool = False,
        signed_in: bool = True,
        patient: bool = True,
    ) -> Answer:
        """Make one call and return its answer.

        A lost connection, a timeout or a 503 is tried again a few times. A writing call carries the same
        ``Idempotency-Key`` each time, so however often it arrives it takes effect once.

        Args:
            method: HTTP method.
            path: below ``/api/v1``, or a ``Location`` the server gave.
            body: JSON to send.
            parameters: of the query.
            key: idempotency key; a fresh one where absent.
            version: of the thing to change, as it was seen; one that is not so any more is refused.
            wait: ask the server to answer with the outcome instead of "accepted".
            signed_in: send the session's token.
            patient: before another try, wait for as long as the server says.

        Raises:
            Refused: the server said no.
            Unanswered: nothing came back, or only "try later"; the outcome is unknown.
        """
        headers: dict[str, str] = {"Accept": "application/json", "traceparent": new_traceparent()}
        if method != "GET":
            headers["Idempotency-Key"] = key or str(uuid4())
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        if wait:
            headers["Prefer"] = f"wait={WAIT_S}"
        if signed_in:
            headers["Authorization"] = f"Bearer {self._access_token()}"
        address = path if path.startswith(API) else API + path
        request = self._http.build_request(method, address, json=body, params=parameters, headers=headers)
        response = self._send(request, patient=patient)
        if response.status_code == httpx.codes.UNAUTHORIZED and signed_in:
            request.headers["Authorization"] = f"Bearer {self._access_token(spent=request.headers['Authorization'])}"
            response = self._send(request, patient=patient)
        return self._read(response, signed_in=signed_in)

    @contextlib.contextmanager
    def stream(self, path: str, *, headers: Mapping[str, str], silent_s: float) -> Iterator[Iterator[bytes]]:
        """Open an answer that goes on (``text/event-stream``) and lend its parts as they come.

        Args:
            path: below ``/api/v1``.
            headers: to send besides the session's token.
            silent_s: without a sign for so long, the server counts as gone.

        Raises:
            Refused: the server said no.
            Unanswered: nothing came, or no more.
        """
        request = self._http.build_request(
            "GET",
            API + path,
            headers={
                "Accept": "text/event-stream",
                "traceparent": new_traceparent(),
                "Authorization": f"Bearer {self._access_token()}",
                **headers,
            },
            timeout=httpx.Timeout(silent_s, connect=3.0),
        )
        response = self._send(request, patient=True, stream=True)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            response.close()
            request.headers["Authorization"] = f"Bearer {self._access_token(spent=request.headers['Authorization'])}"
            response = self._send(request, patient=True, stream=True)
        try:
            if not response.is_success:
                response.read()
                self._read(response, signed_in=True)
            yield response.iter_bytes()
        except httpx.TransportError:
            raise Unanswered(f"the connection to {self.server.url} was lost", ExitCode.UNREACHABLE) from None
        finally:
            response.close()

    def _send(self, request: httpx.Request, *, patient: bool, stream: bool = False) -> httpx.Response:
        begun = time.monotonic()
        arrived = False
        response = None
        for pause_s in (*self._pauses_s, None):
            response, retry_after_s = None, 0.0
            sent_at = time.monotonic()
            try:
                response = self._http.send(request, stream=stream)
                if response.status_code in _TRY_AGAIN:
                    response.read()
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                self._refuse_wrong_encryption(error)
            except httpx.TransportError:
                arrived = True
            else:
                if response.status_code not in _TRY_AGAIN:
                    return response
                arrived = True
                retry_after_s = min(_retry_after_s(response), _LONGEST_PAUSE_S) if patient else 0.0
            finally:
                self._tell(Try(request, response, time.monotonic() - sent_at))
            if pause_s is None or time.monotonic() - begun > _PATIENCE_S:
                break
            time.sleep(max(pause_s, retry_after_s))
        if response is not None:
            return response
        if not arrived:
            raise self.server.unreachable()
        # One of the tries may have arrived: whoever asked must not take this for "nothing happened".
        raise Unanswered(f"{self.server.url} does not answer any more", ExitCode.UNREACHABLE)

    def _tell(self, made: Try) -> None:
        """Take note of a try, and tell about it whom it concerns."""
        if made.response is not None:
            self.answered = True
            self.server_version = made.response.headers.get(VERSION_HEADER)
            self.skew = _skew(made.response)
        if is_verbose():
            aside(_line(made))
        if self._told:
            self._told(made)

    def _refuse_wrong_encryption(self, error: httpx.TransportError) -> None:
        """Say so where trying again is of no use, because the other side is not whom or what the address says."""
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            reason = str(error).rpartition("verify failed: ")[2].partition(" (_ssl")[0]
            fail(
                f"the certificate of {self.server.url} is not good for this machine ({reason}); check the address, "
                "and this machine's clock",
                ExitCode.UNREACHABLE,
            )
        if "SSL" in str(error):
            fail(f"{self.server.url} does not speak https; check the address (http://?)", ExitCode.UNREACHABLE)

    def _read(self, response: httpx.Response, *, signed_in: bool) -> Answer:
        body: Any = None
        if response.content:
            try:
                body = response.json()
            except ValueError:
                self._not_ours(response)
        if response.is_success:
            replayed = response.headers.get("Idempotency-Replayed", "").lower() == "true"
            return Answer(response.status_code, body, replayed, response.headers.get("Location"))
        if not isinstance(body, dict) or not response.is_error or not (self.server_version or "title" in body):
            self._not_ours(response)
        raise _problem(response, body, over=self._over() if signed_in else None)

    def _not_ours(self, response: httpx.Response) -> None:
        if response.status_code in _TRY_AGAIN:
            raise Unanswered(f"nothing answers behind {self.server.url}", ExitCode.UNREACHABLE)
        elsewhere = response.headers.get("Location") if response.has_redirect_location else None
        hint = f"it sends us to {elsewhere}: " if elsewhere else ""
        fail(
            f"{self.server.url} does not answer like cash-flow (HTTP {response.status_code}); {hint}"
            "check the address (--url, CASH_URL, the profile)"
        )

    def _over(self) -> str:
        return f"the session is over; sign in again with `cash login{self.server.option()}`"

    def _access_token(self, *, spent: str | None = None) -> str:
        """Return a token that is good for a while; ``spent`` is the header of one the server has just refused."""
        session = self.remembered_session()
        if _is_good(session, spent):
            return session.access_token
        if self.session is not None:
            return self._renewed_in_memory(spent).access_token
        with self.file.changing(Credentials) as credentials:
            # Another cash command may have renewed it while this one waited for its turn.
            known = credentials.at(self.server.url)
            if known.session is not None and not _is_good(known.session, spent):
                known.session = self._renew(known.session)
            renewed = known.session
        if renewed is None:
            fail(self._over(), ExitCode.NOT_SIGNED_IN)
        return renewed.access_token

    def _renewed_in_memory(self, spent: str | None) -> Session:
        # Each refresh token works once, however many threads have seen that the access token is spent.
        with self._renewing:
            session = self.remembered_session()
            if not _is_good(session, spent):
                renewed = self._renew(session)
                if renewed is None:
                    fail(self._over(), ExitCode.NOT_SIGNED_IN)
                self.session = session = renewed
        return session

    def _renew(self, session: Session) -> Session | None:
        """Trade the refresh token for new tokens; ``None`` when the server says the session is over."""
        try:
            # Impatient: a token that was traded unseen may be presented again only for a few seconds.
            answer = self.call(
                "POST",
                "/sessions/refresh",
                body={"refresh_token": session.refresh_token},
                signed_in=False,
                patient=False,
            )
        except Refused as refused:
            if refused.status not in (httpx.codes.UNAUTHORIZED, httpx.codes.UNPROCESSABLE_ENTITY):
                raise
            return None
        return read_session(answer.body)


def _is_good(session: Session, spent: str | None) -> bool:
    return session.access_expires_at - _RENEW_BEFORE > datetime.now(UTC) and spent != f"Bearer {session.access_token}"


def read_session(body: Mapping[str, Any]) -> Session:
    """Return the session that a sign-in or refresh answered with."""
    user = body["user"]
    return Session(
        session_id=body["session_id"],
        user_id=user["id"],
        username=user["username"],
        ledger_id=user["ledger_id"],
        base_currency=user["base_currency"],
        time_zone=user["time_zone"],
        access_token=body["access_token"],
        access_expires_at=datetime.now(UTC) + timedelta(seconds=body["expires_in"]),
        refresh_token=body["refresh_token"],
    )


#: What reading an answer of another shape raises.
_MISREAD = (LookupError, TypeError, AttributeError, ValueError)
_connected_last: Client | None = None


@contextlib.contextmanager
def connect(url: str | None) -> Iterator[Client]:
    """Open a client for a command; ``url`` is what ``--url`` said."""
    global _connected_last  # noqa: PLW0603 - what is shown after the block was read by it
    client = _connected_last = Client(find_server(url), credentials_file())
    try:
        yield client
    except Refused as refused:
        if refused.status in _NOT_UNDERSTOOD and (differs := _difference(client)):
            raise Refused(f"{refused}; {differs}", refused.code, status=refused.status) from None
        raise
    except _MISREAD as error:
        raise (misread(error, client) or error) from None
    finally:
        client.close()
        if abs(client.skew) > _SKEW_MAX:
            way = "ahead of" if client.skew > timedelta(0) else "behind"
            note(
                f"This machine's clock is {_length(abs(client.skew))} {way} the server's: "
                "today and yesterday are by this machine's."
            )


def misread(error: Exception, client: Client | None = None) -> Failure | None:
    """Return what it means that an answer was not of the shape it has here: another version, or something else.

    ``None`` where that is not why. Without a client the one that was connected last is meant.
    """
    client = client or _connected_last
    if client is None or not isinstance(error, _MISREAD):
        return None
    if differs := _difference(client):
        return Failure(f"the answer of {client.server.url} is not understood; {differs}")
    if client.answered and client.server_version is None:
        return Failure(
            f"{client.server.url} does not answer like cash-flow; check the address (--url, CASH_URL, the profile)"
        )
    return None


def _difference(client: Client) -> str | None:
    """Return how the versions differ, where they do."""
    theirs = client.server_version
    if theirs is None or theirs == own_version():
        return None
    return f"the server is version {theirs} and this cash {own_version()}: use the same for both"


def _skew(response: httpx.Response) -> timedelta:
    """Return by how much this machine's clock is ahead of the server's; nothing where it does not say its time."""
    try:
        theirs = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return timedelta(0)
    return datetime.now(UTC) - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))


def _length(time_between: timedelta) -> str:
    minutes = round(time_between.total_seconds() / 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{round(minutes / 60)} hours" if minutes < 48 * 60 else f"{round(minutes / 1440)} days"


def _line(made: Try) -> str:
    """Return a try as one line: what was asked, what came, how long it took, and where to look it up in the logs."""
    request = made.request
    status = made.response.status_code if made.response is not None else "no answer"
    trace = trace_id_of(request.headers.get("traceparent")) or "-"
    return f"{request.method} {request.url.path} · {status} · {made.took_s * 1000:.0f} ms · trace {trace}"


def _problem(response: httpx.Response, problem: Mapping[str, Any], *, over: str | None) -> Failure:
    """Turn a problem (RFC 9457) into the sentence and the exit code a person gets.

    ``over`` is what to say where the server does not know the session any more.
    """
    status = response.status_code
    sentence = str(problem.get("detail") or problem.get("title") or f"the server answered HTTP {status}")
    if status == httpx.codes.BAD_REQUEST and (errors := problem.get("errors")):
        sentence = " ".join(f"{error['field']}: {error['detail']}" for error in errors)
    sentence = sentence.removeprefix(": ").rstrip(".")
    position = next((error["position"] for error in problem.get("errors") or () if "position" in error), None)
    code = ExitCode.REFUSED
    match status:
        case 401:
            code, sentence = ExitCode.NOT_SIGNED_IN, over or sentence
        case 404:
            code = ExitCode.NOT_FOUND
        case _ if status in _TRY_AGAIN:
            return Unanswered("the server cannot do this right now; try again in a moment", ExitCode.UNREACHABLE)
        case _ if status >= 500:
            code = ExitCode.FAILED
            sentence += f"; report it with trace {problem.get('trace_id', 'unknown')}"
    retry_after_s = _retry_after_s(response) if "Retry-After" in response.headers else None
    return Refused(
        sentence, code, status=status, refusal=problem.get("code"), position=position, retry_after_s=retry_after_s
    )


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0
