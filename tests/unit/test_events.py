"""A stream of events: in order, every entry once, whatever the journal repeats and whenever it is cut."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.assertions import BalanceAsserted
from contracts.members import MemberInvited
from gateway import events as events_module
from gateway.events import LedgerEvents, Stream, event_of, name_of
from gateway.queries.events import Reader, Standing
from gateway.tokens import Principal
from infra.errors import Unavailable
from tests.builders.journal import (
    ANN,
    LEDGER,
    MONDAY_NOON,
    JournalInMemory,
    a_recorded,
    a_removal,
    a_renaming,
    as_record,
    stamped,
)


class Books:
    """What the ledger database says."""

    def __init__(self) -> None:
        self.sequence = 0
        self.is_member = True
        self.away = False
        self.asked = 0

    async def find_standings(self, _: object, readers: Sequence[Reader]) -> dict[Reader, Standing]:
        self.asked += 1
        if self.away:
            raise Unavailable("find who may read")
        return {reader: Standing(self.sequence, self.is_member) for reader in readers}

    async def find_recorded_at(self, *_: object) -> datetime:
        return MONDAY_NOON


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Books:
    return books_for(monkeypatch)


def books_for(monkeypatch: pytest.MonkeyPatch) -> Books:
    books = Books()
    monkeypatch.setattr(events_module, "find_standings", books.find_standings)
    monkeypatch.setattr(events_module, "find_recorded_at", books.find_recorded_at)
    monkeypatch.setattr(events_module, "AGAIN_S", 0)
    return books


def a_principal(user_id: UUID = ANN, ledger_id: UUID = LEDGER, expires_in_s: int = 900) -> Principal:
    return Principal(user_id, uuid4(), "ann", ledger_id, "EUR", "UTC", int(time.time()) + expires_in_s)


def a_stream(journal: JournalInMemory, last: int = 0, user_id: UUID = ANN) -> Stream:
    return Stream(journal, None, LEDGER, a_principal(user_id), last)  # type: ignore[arg-type]  # stand in


class Reading:
    """A reader of a stream: what it got until now. ``may_go_on`` is cleared where it takes nothing for a while."""

    def __init__(self, stream: Stream) -> None:
        self.chunks: list[bytes] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._task = asyncio.create_task(self._read(stream.chunks()))

    async def _read(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            self.chunks.append(chunk)
            await self.may_go_on.wait()

    @property
    def ids(self) -> list[int]:
        blocks = b"".join(self.chunks).split(b"\n\n")
        return [int(block.split(b"\n")[0][4:]) for block in blocks if b"data: " in block]

    async def until(self, last: int) -> list[int]:
        async with asyncio.timeout(5):
            while not self.ids or self.ids[-1] < last:
                assert not self._task.done(), self._task
                await asyncio.sleep(0)
        return self.ids

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


@contextlib.asynccontextmanager
async def reading(stream: Stream) -> AsyncIterator[Reading]:
    reader = Reading(stream)
    try:
        yield reader
    finally:
        await reader.end()


async def a_moment() -> None:
    """Let everything happen that can."""
    await asyncio.sleep(0.05)


def test_an_event_is_the_entry_as_the_api_shows_things() -> None:
    event = event_of(as_record(a_recorded(57), 3), 57)

    first, second, third, *rest = event.decode().split("\n")
    assert (first, second, rest) == ("id: 57", "event: transaction.recorded", ["", ""])
    data = msgspec.json.decode(third.removeprefix("data: "))
    assert data["type"] == "transaction.recorded"
    assert (data["sequence"], data["ledger_id"], data["user_id"]) == (57, str(LEDGER), str(ANN))
    assert data["postings"] == [
        {
            "source_account_id": str(UUID(int=71)),
            "destination_account_id": str(UUID(int=72)),
            "amount": "24.47",
            "currency": "EUR",
        }
    ]
    assert not {"source", "request_hash"} & data.keys()
    assert data["description"] == "Weekly shop"
    # What the journal leaves out because it is as usual.
    assert (data["payee"], data["tags"], data["status"]) == (None, [], "pending")


def test_every_amount_is_decimal_text_however_large() -> None:
    asserted = {
        **stamped(3),
        "assertion_id": uuid4(),
        "account_id": uuid4(),
        "asserted_on": MONDAY_NOON.date(),
        "currency": "BHD",
        "stated_minor": -(10**37),
        "computed_minor": 5,
    }
    data = data_of(event_of(as_record(BalanceAsserted.model_validate(asserted), 0), 3))

    assert (data["stated"], data["computed"]) == (f"-1{'0' * 34}.000", "0.005")
    assert not [name for name in data if name.endswith("_minor")]


def test_who_was_invited_stays_with_who_invited() -> None:
    invited = {
        **stamped(3),
        "invitation_id": uuid4(),
        "invited_user_id": uuid4(),
        "role": "editor",
        "expires_at": MONDAY_NOON,
    }
    data = data_of(event_of(as_record(MemberInvited.model_validate(invited), 0), 3))

    assert "invited_user_id" not in data
    assert data["role"] == "editor"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("cashflow.transaction.recorded.v1", "transaction.recorded"),
        ("cashflow.verification-code.requested.v12", "verification-code.requested"),
        ("cashflow.a.v1\ndata: x", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_name_of_an_event_is_its_type_without_prefix_and_version(kind: str, name: str) -> None:
    assert name_of(kind) == name


def data_of(event: bytes) -> Any:
    return msgspec.json.decode(event.partition(b"data: ")[2])


async def test_it_begins_with_an_id_so_that_a_cut_before_the_first_event_loses_nothing(books: Books) -> None:
    async with reading(a_stream(JournalInMemory(), last=57)) as reader:
        await a_moment()
        assert reader.chunks == [b"retry: 2000\nid: 57\n\n"]


async def test_without_an_id_it_is_what_comes_from_now_on(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1), a_recorded(2)])
    books.sequence = 2
    async with reading(a_stream(journal, last=2)) as reader:
        await a_moment()
        assert (reader.ids, journal.found) == ([], [])
        journal.append(a_recorded(3), a_recorded(4))

        assert await reader.until(4) == [3, 4]


async def test_what_was_recorded_meanwhile_comes_first(books: Books) -> None:
    journal = JournalInMemory([a_recorded(number) for number in range(1, 12)])
    books.sequence = 11
    async with reading(a_stream(journal, last=4)) as reader:
        assert await reader.until(11) == list(range(5, 12))
        journal.append(a_recorded(12))
        assert await reader.until(12) == list(range(5, 13))
    assert len(journal.found) == 1
    assert journal.found[0] is not None
    assert journal.found[0] < MONDAY_NOON
    assert not journal.listening


async def test_what_the_journal_repeats_is_sent_once(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1), a_recorded(2), a_recorded(1), a_recorded(2), a_recorded(3)])
    books.sequence = 3
    async with reading(a_stream(journal)) as reader:
        assert await reader.until(3) == [1, 2, 3]
        journal.append(a_recorded(2), a_recorded(3), a_recorded(4), a_recorded(3), a_recorded(4), a_recorded(5))

        assert await reader.until(5) == [1, 2, 3, 4, 5]


async def test_what_the_relay_has_not_sent_yet_is_waited_for(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1)])
    books.sequence = 3
    async with reading(a_stream(journal)) as reader:
        assert await reader.until(1) == [1]
        journal.append(a_recorded(2), a_recorded(3))
        assert await reader.until(3) == [1, 2, 3]


async def test_a_listening_that_breaks_off_leaves_no_gap(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1)])
    books.sequence = 1
    async with reading(a_stream(journal)) as reader:
        await reader.until(1)
        journal.lose()
        journal.append(a_recorded(2), a_recorded(3))
        books.sequence = 3

        assert await reader.until(3) == [1, 2, 3]
    # It knew where it was.
    assert len(journal.found) == 1


async def test_a_reader_that_is_slower_than_the_journal_misses_nothing(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.kafka.journal.LISTENING_BYTES_MAX", 2000)
    journal = JournalInMemory([a_recorded(1)])
    books.sequence = 1
    async with reading(a_stream(journal)) as reader:
        await reader.until(1)
        (listening,) = journal.listening
        reader.may_go_on.clear()
        for number in range(2, 41):
            journal.append(a_recorded(number))
            books.sequence = number
            assert listening._bytes <= 2000

            await asyncio.sleep(0)
        assert listening.lost
        reader.may_go_on.set()

        assert await reader.until(40) == list(range(1, 41))


async def test_while_kafka_is_away_it_stays_open_and_goes_on_afterwards(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1)])
    books.sequence = 1
    journal.away = True
    async with reading(a_stream(journal)) as reader:
        await a_moment()
        journal.append(a_recorded(2))
        books.sequence = 2
        journal.away = False

        assert await reader.until(2) == [1, 2]


async def test_a_place_that_was_found_too_late_is_looked_for_again(books: Books) -> None:
    journal = JournalInMemory([a_recorded(number) for number in range(1, 9)])
    books.sequence, journal.find_at = 8, 5
    async with reading(a_stream(journal, last=1)) as reader:
        assert await reader.until(8) == list(range(2, 9))
    assert journal.found[-1] is None


async def test_a_gap_in_what_is_heard_is_read_from_where_it_was(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1)])
    books.sequence = 1
    async with reading(a_stream(journal)) as reader:
        await reader.until(1)
        (listening,) = journal.listening
        journal.listening.clear()
        journal.append(a_recorded(2))
        journal.listening.add(listening)
        journal.append(a_recorded(3))
        books.sequence = 3

        assert await reader.until(3) == [1, 2, 3]
    assert len(journal.found) == 1


async def test_a_gap_that_is_in_the_journal_ends_it(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1), a_recorded(3)])
    books.sequence = 3
    stream = a_stream(journal)
    async with reading(stream) as reader:
        await asyncio.wait_for(asyncio.shield(stream.ended), 5)

    assert reader.ids == [1]
    assert stream.ended.result().reason == "journal_broken"
    assert b'event: end\ndata: {"reason":"journal_broken"' in stream.ended.result().text()


async def test_nothing_is_sent_before_it_is_known_that_the_reader_may_have_it(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = JournalInMemory([a_recorded(1)])
    books.sequence = 1
    stream = a_stream(journal)
    async with reading(stream) as reader:
        await reader.until(1)
        monkeypatch.setattr(events_module, "CHECK_AGE_S_MAX", 0.0)
        journal.append(a_recorded(2))
        await a_moment()
        assert reader.ids == [1]
        monkeypatch.setattr(events_module, "CHECK_AGE_S_MAX", 5.0)
        stream.check(Standing(2, is_member=True), asyncio.get_running_loop().time())

        assert await reader.until(2) == [1, 2]


async def test_ones_own_removal_is_not_told_before_the_ledger_says_one_is_back(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1), a_removal(2, ANN), a_recorded(3)])
    books.sequence = 3
    stream = a_stream(journal)
    async with reading(stream) as reader:
        assert await reader.until(1) == [1]
        await a_moment()
        assert reader.ids == [1]
        stream.check(Standing(3, is_member=True), asyncio.get_running_loop().time())

        assert await reader.until(3) == [1, 2, 3]


async def test_somebody_elses_removal_is_an_event_like_any_other(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1), a_removal(2, uuid4()), a_recorded(3)])
    books.sequence = 3
    async with reading(a_stream(journal)) as reader:
        assert await reader.until(3) == [1, 2, 3]


async def test_a_stream_behind_its_ledger_looks_for_itself(books: Books) -> None:
    journal = JournalInMemory([a_recorded(1)])
    books.sequence = 1
    stream = a_stream(journal)
    async with reading(stream) as reader:
        await reader.until(1)
        await a_moment()
        journal.listening.clear()  # nothing is heard, for whatever reason
        journal.append(a_recorded(2))
        books.sequence = 2
        now = asyncio.get_running_loop().time()
        for later_s in (0, 10, 19):
            stream.check(Standing(2, is_member=True), now + later_s)
        await a_moment()
        assert reader.ids == [1]
        stream.check(Standing(2, is_member=True), now + 21)

        assert await reader.until(2) == [1, 2]


@given(
    blocks=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 5)), min_size=1, max_size=30),
    cuts=st.lists(st.sampled_from(["read", "lose", "cut", "away"]), max_size=60),
    page=st.integers(1, 7),
)
def test_whatever_is_repeated_lost_or_cut_every_entry_comes_once_and_in_order(
    blocks: list[tuple[int, int]], cuts: list[str], page: int
) -> None:
    """``blocks``: how many entries the relay sends again, and how many new ones behind them."""

    async def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            books = books_for(patch)
            journal = JournalInMemory(page=page)
            got: list[int] = []
            reader = Reading(a_stream(journal))
            steps = iter(cuts)
            for again, new in blocks:
                last = books.sequence
                journal.append(*(a_renaming(number) for number in range(max(1, last - again + 1), last + new + 1)))
                books.sequence = last + new
                match next(steps, "read"):
                    case "read":
                        await reader.until(books.sequence)
                    case "lose":
                        journal.lose()
                    case "away":
                        journal.away = True
                        journal.lose()
                        await asyncio.sleep(0)
                        journal.away = False
                    case _:
                        await reader.end()
                        got += reader.ids
                        reader = Reading(a_stream(journal, last=got[-1] if got else 0))
            got += await reader.until(books.sequence) if not got or got[-1] < books.sequence else []
            await reader.end()
            assert got == list(range(1, books.sequence + 1))

    asyncio.run(run())


class Sessions(set[UUID]):
    """Ended sessions."""


async def test_the_check_ends_what_may_not_go_on(books: Books) -> None:
    journal, ended = JournalInMemory(), Sessions()
    events = LedgerEvents(journal, None, ended)  # type: ignore[arg-type]  # stand in
    with contextlib.ExitStack() as stack:
        gone = a_principal()
        streams = {
            "open": await events.open(LEDGER, a_principal(), None),
            "session_ended": await events.open(LEDGER, gone, None),
            "token_expired": await events.open(LEDGER, a_principal(expires_in_s=-1), None),
        }
        for stream in streams.values():
            stack.enter_context(events.watching(stream))
        ended.add(gone.session_id)
        await events.check()

        assert {name: stream.ended.result().reason for name, stream in streams.items() if stream.ended.done()} == {
            "session_ended": "session_ended",
            "token_expired": "token_expired",
        }

        books.sequence, books.is_member = 1, False
        await events.check()
        assert streams["open"].ended.result().reason == "not_a_member"


async def test_without_an_answer_of_the_ledger_streams_stay_open(books: Books) -> None:
    events = LedgerEvents(JournalInMemory(), None, Sessions())  # type: ignore[arg-type]
    stream = await events.open(LEDGER, a_principal(), None)
    with events.watching(stream):
        books.away = True
        await events.check()
        assert not stream.ended.done()


async def test_one_query_checks_all_streams_and_none_is_asked_where_nobody_reads(books: Books) -> None:
    events = LedgerEvents(JournalInMemory(), None, Sessions())  # type: ignore[arg-type]
    await events.check()
    assert books.asked == 0
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(events.watching(await events.open(LEDGER, a_principal(), None)))
        books.asked = 0
        await events.check()
        assert books.asked == 1


def test_what_an_entry_says_is_never_taken_for_a_line_of_the_stream() -> None:
    event = event_of(as_record(a_renaming(2, name="a\u2028b"), 0), 2)

    assert event.count(b"\n") == 4
    assert data_of(event)["name"] == "a\u2028b"
