"""The HTTP API as the commands use it: one call, retried under one idempotency key, errors as one sentence."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from cli.credentials import Credentials, PrivateFile, Session, credentials_file
from cli.output import ExitCode, Failure, fail
from cli.servers import Server, find_server

API = "/api/v1"
#: What the gateway is asked to wait for a decision, and how long the client itself waits for any answer.
WAIT_S = 10
_TIMEOUT = httpx.Timeout(WAIT_S + 5.0, connect=3.0)
_PAUSES_S = (0.2, 0.5, 1.0)
#: No further try is started when this long has passed since the first.
_PATIENCE_S = 8.0
_LONGEST_PAUSE_S = 5.0
_RENEW_BEFORE = timedelta(seconds=30)
_TRY_AGAIN = frozenset({502, 503, 504})
_OVER = "the session is over; sign in again with `cash login`"


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

    ``refusal`` is its code where a rule said no; ``position`` where in a text it is, in characters from its beginning.
    """

    def __init__(
        self, message: str, code: ExitCode, *, status: int, refusal: str | None = None, position: int | None = None
    ) -> None:
        super().__init__(message, code)
        self.status = status
        self.refusal = refusal
        self.position = position


class Unanswered(Failure):
    """No answer came, so the outcome is unknown; the same request under the same key is safe."""


class Client:
    """Calls one server; signed-in calls carry the remembered session's token, renewed when it has expired."""

    def __init__(
        self,
        server: Server,
        file: PrivateFile,
        *,
        session: Session | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare a client.

        Args:
            server: where the API answers.
            file: where sessions are remembered.
            session: a session that lives in memory only, used instead of the remembered one.
            transport: how requests travel, where not by network.
        """
        self.server = server
        self.file = file
        self.session = session
        self._http = httpx.Client(
            base_url=server.url,
            timeout=_TIMEOUT,
            headers={"User-Agent": "cash"},
            transport=transport,
            trust_env=server.proxied,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

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
        headers: dict[str, str] = {"Accept": "application/json"}
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
            headers={"Accept": "text/event-stream", "Authorization": f"Bearer {self._access_token()}", **headers},
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
        for pause_s in (*_PAUSES_S, None):
            response, retry_after_s = None, 0.0
            try:
                response = self._http.send(request, stream=stream)
                if response.status_code in _TRY_AGAIN:
                    response.read()
            except (httpx.ConnectError, httpx.ConnectTimeout):
                pass
            except httpx.TransportError:
                arrived = True
            else:
                if response.status_code not in _TRY_AGAIN:
                    return response
                arrived = True
                retry_after_s = min(_retry_after_s(response), _LONGEST_PAUSE_S) if patient else 0.0
            if pause_s is None or time.monotonic() - begun > _PATIENCE_S:
                break
            time.sleep(max(pause_s, retry_after_s))
        if response is not None:
            return response
        if not arrived:
            raise self.server.unreachable()
        # One of the tries may have arrived: whoever asked must not take this for "nothing happened".
        raise Unanswered(f"{self.server.url} does not answer any more", ExitCode.UNREACHABLE)

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
        if not isinstance(body, dict) or not response.is_error:
            self._not_ours(response)
        raise _problem(response, body, signed_in=signed_in)

    def _not_ours(self, response: httpx.Response) -> None:
        if response.status_code in _TRY_AGAIN:
            raise Unanswered(f"nothing answers behind {self.server.url}", ExitCode.UNREACHABLE)
        fail(f"{self.server.url} does not answer like cash-flow (HTTP {response.status_code}); check --url or CASH_URL")

    def _access_token(self, *, spent: str | None = None) -> str:
        """Return a token that is good for a while; ``spent`` is the header of one the server has just refused."""
        session = self.remembered_session()
        if self.session is not None or _is_good(session, spent):
            return session.access_token
        with self.file.changing(Credentials) as credentials:
            # Another cash command may have renewed it while this one waited for its turn.
            known = credentials.at(self.server.url)
            if known.session is not None and not _is_good(known.session, spent):
                known.session = self._renew(known.session)
            renewed = known.session
        if renewed is None:
            fail(_OVER, ExitCode.NOT_SIGNED_IN)
        return renewed.access_token

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


@contextlib.contextmanager
def connect(url: str | None) -> Iterator[Client]:
    """Open a client for a command; ``url`` is what ``--url`` said."""
    client = Client(find_server(url), credentials_file())
    try:
        yield client
    finally:
        client.close()


def _problem(response: httpx.Response, problem: Mapping[str, Any], *, signed_in: bool) -> Failure:
    """Turn a problem (RFC 9457) into the sentence and the exit code a person gets."""
    status = response.status_code
    sentence = str(problem.get("detail") or problem.get("title") or f"the server answered HTTP {status}")
    if status == httpx.codes.BAD_REQUEST and (errors := problem.get("errors")):
        sentence = " ".join(f"{error['field']}: {error['detail']}" for error in errors)
    sentence = sentence.removeprefix(": ").rstrip(".")
    position = next((error["position"] for error in problem.get("errors") or () if "position" in error), None)
    code = ExitCode.REFUSED
    match status:
        case 401:
            code, sentence = ExitCode.NOT_SIGNED_IN, _OVER if signed_in else sentence
        case 404:
            code = ExitCode.NOT_FOUND
        case _ if status in _TRY_AGAIN:
            return Unanswered("the server cannot do this right now; try again in a moment", ExitCode.UNREACHABLE)
        case _ if status >= 500:
            code = ExitCode.FAILED
            sentence += f"; report it with trace {problem.get('trace_id', 'unknown')}"
    return Refused(sentence, code, status=status, refusal=problem.get("code"), position=position)


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0
