"""Live events: a ledger's journal as server-sent events (WHATWG HTML), in order, without a gap or a repeat.

``id:`` is the ledger's sequence, ``event:`` the entry's type (``transaction.recorded``), ``data:`` type and entry as
JSON. The entry is shown as the API shows things: amounts are decimal text (``amount`` for ``amount_minor``), and what
only says where the entry came from is left out.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
import prometheus_client

from contracts.catalog import JOURNAL_ENTRIES
from contracts.members import MemberRemoved
from contracts.money import UnknownCurrency, format_minor
from gateway.ended_sessions import EndedSessions
from gateway.errors import Declined, FieldProblem, Invalid, NotFound, Shown
from gateway.queries.events import Reader, Standing, find_recorded_at, find_standings
from gateway.tokens import Principal
from infra.errors import Unavailable
from infra.kafka.journal import Journal, JournalRecord, Listening
from infra.postgres.engine import Database
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

#: How often it is asked who may still read, and how old the answer may be when something is sent.
CHECK_EVERY_S = 1.0
CHECK_AGE_S_MAX = 5.0
CHECK_WITHIN_S = 2.0
#: A stream that is behind its ledger for so long, and nothing came, looks for itself.
LOOK_AGAIN_S = 20.0
AGAIN_S = 1.0
#: How long a client is asked to wait before it connects again.
RETRY_MS = 2000
STREAMS_PER_PERSON = 20
STREAMS_MAX = 500
#: The relay's clock, which stamps records, may be this much behind the ledger database's. More costs time, not entries.
_CLOCKS_APART = timedelta(seconds=30)

OPEN = prometheus_client.Gauge("cash_event_streams", "Streams of events that are open.")
ENDED = prometheus_client.Counter("cash_event_streams_ended_total", "Streams of events that ended.", ["reason"])
SENT = prometheus_client.Counter("cash_events_sent_total", "Events sent to readers.")


@dataclass(frozen=True)
class End:
    """Why a stream ends. ``final``: an event says so, since to connect again would not help; else a comment."""

    reason: str
    sentence: str
    final: bool = False

    def text(self) -> bytes:
        """Return the last thing that is sent."""
        if not self.final:
            return f": {self.sentence}\n\n".encode()
        data = msgspec.json.encode({"reason": self.reason, "detail": self.sentence})
        return b"event: end\ndata: %s\n\n" % data


NOT_A_MEMBER = End("not_a_member", "You are not a member of this ledger any more.", final=True)
SESSION_ENDED = End("session_ended", "This session has ended. Sign in again.", final=True)
TOKEN_EXPIRED = End("token_expired", "The access token has expired. Connect again with a fresh one.", final=True)
JOURNAL_BROKEN = End("journal_broken", "The journal has a gap. Its operators have to repair it.", final=True)
STOPPING = End("stopping", "This gateway stops. Connect again.")
TOO_SLOW = End("too_slow", "You did not read what was sent. Connect again.")
DEFECT = End("defect", "Something went wrong on our side. Connect again.")
CLIENT_GONE = End("client_gone", "")


class TooManyStreams(Declined):
    """Somebody has as many streams open as one person may."""

    def shown(self) -> Shown:
        """Say so."""
        detail = f"You have {STREAMS_PER_PERSON} streams open already. Close one, then try again."
        return Shown(HTTPStatus.TOO_MANY_REQUESTS, "too-many-streams", detail, headers={"Retry-After": "5"})


class _Gap(Exception):
    """An entry came without the one before it."""


class _Head(msgspec.Struct):
    """What a stream needs to know of an entry before it shows it."""

    sequence: int
    member_id: UUID | None = None


_HEAD = msgspec.json.Decoder(_Head)
_NAME = re.compile(r"cashflow\.([a-z0-9.-]+)\.v[0-9]+")
#: Where an entry came from, which is the journal's own business; and an id by which an invited person's address could
#: be known from another ledger.
_LEFT_OUT = ("request_hash", "source", "invited_user_id")
_DEFAULTS: dict[str, dict[str, Any]] = {
    entry.type: {
        name: field.get_default(call_default_factory=True)
        for name, field in entry.model_fields.items()
        if not field.is_required()
    }
    for entry in JOURNAL_ENTRIES
}


@lru_cache(maxsize=256)
def name_of(kind: str) -> str:
    """Return what an entry's type is called in events: without prefix and version."""
    found = _NAME.fullmatch(kind)
    return found[1] if found else "unknown"


def event_of(record: JournalRecord, sequence: int) -> bytes:
    """Return an entry as an event, whatever its type: one that is newer than this gateway is passed on too.

    The journal leaves out what has its default; an event has every field.
    """
    entry = _DEFAULTS.get(record.type, {}) | msgspec.json.decode(record.value)
    for name in _LEFT_OUT:
        entry.pop(name, None)
    name = name_of(record.type)
    data = msgspec.json.encode({"type": name, **_with_amounts(entry)})
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (sequence, name.encode(), data)


def _with_amounts(value: Any) -> Any:
    """Replace every ``x_minor`` that stands beside a currency by ``x``, as decimal text."""
    if isinstance(value, list):
        return [_with_amounts(each) for each in value]
    if not isinstance(value, dict):
        return value
    currency = value.get("currency")
    shown: dict[str, Any] = {}
    for name, each in value.items():
        if name.endswith("_minor") and isinstance(each, int) and isinstance(currency, str):
            try:
                shown[name.removesuffix("_minor")] = format_minor(each, currency)
            except UnknownCurrency:
                shown[name] = each
        else:
            shown[name] = _with_amounts(each)
    return shown


class Stream:
    """One reader's place in one ledger's journal."""

    def __init__(self, journal: Journal, ledger: Database, ledger_id: UUID, principal: Principal, last: int) -> None:
        """Begin behind the entry ``last``; who reads was checked at this moment."""
        self.principal = principal
        self.reader = Reader(ledger_id, principal.user_id)
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._journal = journal
        self._ledger = ledger
        self._key = str(ledger_id).encode()
        self._last = last
        #: Where in the partition the entry after ``last`` is looked for; ``None`` where that is not known.
        self._at: int | None = None
        self._gaps = 0
        self._listening: Listening | None = None
        self._clock = asyncio.get_running_loop().time
        self._checked = asyncio.Event()
        self._checked_at = self._must_be_checked_since = self._clock()
        self._behind: tuple[int, float] | None = None

    def end(self, why: End) -> None:
        """End it; the first reason counts."""
        if not self.ended.done():
            self.ended.set_result(why)

    def check(self, standing: Standing, at: float) -> None:
        """Take note of how reader and ledger stood at a moment of the loop's clock."""
        if not may_read(standing, self.reader.ledger_id, self.principal):
            self.end(NOT_A_MEMBER)
            return
        self._checked_at = at
        self._checked.set()
        if standing.sequence <= self._last:
            self._behind = None
        elif self._behind is None or self._behind[0] != self._last:
            self._behind = self._last, at
        elif at - self._behind[1] > LOOK_AGAIN_S:
            self._behind = None
            if self._listening is not None:
                self._listening.lose()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent, for ever; whatever is away, wait and go on where it was.

        It begins with an id and no event: a client that is cut before the first one knows where to go on.
        """
        yield b"retry: %d\nid: %d\n\n" % (RETRY_MS, self._last)
        while not self.ended.done():
            try:
                with await self._journal.listen(self._key) as self._listening:
                    async for chunk in self._read(self._listening):
                        yield chunk
            except Unavailable:
                await asyncio.sleep(AGAIN_S)
            except _Gap as gap:
                await self._look_for_gap(gap)
            finally:
                self._listening = None

    async def _read(self, listening: Listening) -> AsyncIterator[bytes]:
        """Yield what was before the listening began, then what it brings, until it is lost."""
        async for chunk in self._catch_up(listening.start):
            yield chunk
        while records := await listening.take():
            async for chunk in self._events(records):
                yield chunk
            self._at = records[-1].offset + 1

    async def _catch_up(self, until: int) -> AsyncIterator[bytes]:
        """Yield what stands in the partition before ``until``, where the listening begins.

        The ledger is asked now that somebody listens: what it has not recorded yet will be heard.
        """
        began = self._clock()
        standing = (await find_standings(self._ledger, [self.reader]))[self.reader]
        self.check(standing, began)
        if standing.sequence <= self._last:
            self._at = until
            return
        if self._at is None:
            moment = await find_recorded_at(self._ledger, self.reader, self._last)
            self._at = await self._journal.find_offset(self._key, moment and moment - _CLOCKS_APART)
        while self._at < until:
            page = await self._journal.read(self._key, self._at, until)
            async for chunk in self._events(page.records):
                yield chunk
            self._at = page.next_offset

    async def _events(self, records: Sequence[JournalRecord]) -> AsyncIterator[bytes]:
        """Yield records as events, those left out that were sent before: the journal is written at least once."""
        events: list[bytes] = []
        for record in records:
            head = _HEAD.decode(record.value)
            if head.sequence <= self._last:
                continue
            is_gap = head.sequence > self._last + 1
            is_own_removal = record.type == MemberRemoved.type and head.member_id == self.principal.user_id
            if events and (is_gap or is_own_removal):
                yield await self._checked_chunk(events)
                events = []
            if is_gap:
                raise _Gap(f"{head.sequence} follows {self._last}")
            if is_own_removal:
                # Whether that is long ago and they are back, only the ledger knows.
                self._must_be_checked_since = self._clock()
            events.append(event_of(record, head.sequence))
            self._last = head.sequence
            self._gaps = 0
        if events:
            yield await self._checked_chunk(events)

    async def _checked_chunk(self, events: Sequence[bytes]) -> bytes:
        """Return events as a chunk once it is sure enough that the reader may have them."""
        while self._checked_at < max(self._must_be_checked_since, self._clock() - CHECK_AGE_S_MAX):
            self._checked.clear()
            await self._checked.wait()
        SENT.inc(len(events))
        return b"".join(events)

    async def _look_for_gap(self, gap: _Gap) -> None:
        """Look again from where the last entry was, then from the beginning; then there is none to be found."""
        self._gaps += 1
        if self._gaps == 1:
            return
        if self._gaps == 2:
            log.warning("journal read from its beginning", ledger_id=str(self.reader.ledger_id), gap=str(gap))
            try:
                self._at = await self._journal.find_offset(self._key, None)
            except Unavailable:
                self._gaps = 1
                await asyncio.sleep(AGAIN_S)
            return
        log.error("journal has a gap", ledger_id=str(self.reader.ledger_id), gap=str(gap))
        self.end(JOURNAL_BROKEN)


def may_read(standing: Standing, ledger_id: UUID, principal: Principal) -> bool:
    """Return whether somebody may read a ledger: its members, and the one whose personal ledger is not open yet."""
    return standing.is_member or (standing.sequence == 0 and ledger_id == principal.ledger_id)


class LedgerEvents:
    """All streams of events of this gateway, and the check of who may go on reading."""

    def __init__(self, journal: Journal, ledger: Database, ended_sessions: EndedSessions) -> None:
        """Keep what streams are made of."""
        self._journal = journal
        self._ledger = ledger
        self._ended_sessions = ended_sessions
        self._streams: set[Stream] = set()
        self._persons: Counter[UUID] = Counter()
        OPEN.set_function(lambda: len(self._streams))

    async def open(self, ledger_id: UUID, principal: Principal, after: int | None) -> Stream:
        """Return a stream of what follows the entry ``after``, or of what is recorded from now on.

        Raises:
            NotFound: there is no such ledger for this person.
            Invalid: the ledger is not as far as ``after``.
            TooManyStreams: this person has too many.
            Unavailable: the ledger does not answer, or this gateway has too many.
        """
        reader = Reader(ledger_id, principal.user_id)
        standing = (await find_standings(self._ledger, [reader]))[reader]
        if not may_read(standing, ledger_id, principal):
            raise NotFound("There is no such ledger, or you are not a member of it.", "ledger_id")
        if after is not None and after > standing.sequence:
            sentence = f"The ledger's last event is {standing.sequence}. Send the id of one that you had, or none."
            raise Invalid([FieldProblem("Last-Event-ID", sentence)])
        if self._persons[principal.user_id] >= STREAMS_PER_PERSON:
            raise TooManyStreams
        if len(self._streams) >= STREAMS_MAX:
            raise Unavailable("open another stream of events")
        return Stream(self._journal, self._ledger, ledger_id, principal, standing.sequence if after is None else after)

    @contextmanager
    def watching(self, stream: Stream) -> Iterator[None]:
        """Count a stream, and check it again and again, for as long as the block lasts."""
        user_id = stream.principal.user_id
        self._streams.add(stream)
        self._persons[user_id] += 1
        try:
            yield
        finally:
            self._streams.discard(stream)
            self._persons[user_id] -= 1
            if not self._persons[user_id]:
                del self._persons[user_id]
            stream.end(CLIENT_GONE)
            ENDED.labels(stream.ended.result().reason).inc()

    async def watch(self) -> None:
        """Check all streams every second for as long as the task lives."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            await self.check()

    async def check(self) -> None:
        """End the streams of sessions that ended, of tokens that expired, and of those who are no members any more."""
        now = time.time()
        for stream in self._streams:
            if stream.principal.session_id in self._ended_sessions:
                stream.end(SESSION_ENDED)
            elif stream.principal.expires_at <= now:
                stream.end(TOKEN_EXPIRED)
        streams = [stream for stream in self._streams if not stream.ended.done()]
        if not streams:
            return
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(CHECK_WITHIN_S):
                standings = await find_standings(self._ledger, {stream.reader for stream in streams})
        except (Unavailable, TimeoutError) as error:
            # Nothing is sent then; the streams stay open, and go on when it is known again.
            log.warning("who may read events is not known", error=repr(error))
            return
        for stream in streams:
            stream.check(standings[stream.reader], began)

    def stop(self) -> None:
        """End every stream."""
        for stream in self._streams:
            stream.end(STOPPING)
