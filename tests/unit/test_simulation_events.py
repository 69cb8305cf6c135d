"""What the simulator writes is what the contract says, and what is bad is bad in one way only."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from cli.simulation.events import FLAWS, PURPOSES, Ending, Event, Flaw, Target, Writer, flaws_on
from cli.simulation.kafka_options import Road, Shape
from cli.simulation.schedules import LATE, Kind, Schedule, Shares, plan
from consumers.records import receive
from contracts.errors import MalformedMessage
from contracts.refusals import RefusalCode
from infra.grants import Grant
from tests.builders.submissions import WRITTEN_AT, as_consumed

NOW = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
USER = UUID(int=1)
TARGETS = [
    Target(UUID(int=number), USER, "EUR", "Europe/Berlin", f"header.claims{number}.signature-of-it", f"a.old{number}.b")
    for number in (10, 11, 12)
]

PLAIN = Shares()
DEAD, REFUSED = ([flaw for flaw in FLAWS if flaw.ending is ending] for ending in (Ending.DEAD_LETTER, Ending.REFUSED))


def read_grant(token: str) -> Grant:
    """Read a grant as these tests write them; what is old is over, what is not known is forged."""
    for target in TARGETS:
        if token in (target.grant, target.expired_grant):
            over = timedelta(hours=1 if token == target.grant else -1)
            return Grant(USER, target.ledger_id, "EUR", "Europe/Berlin", WRITTEN_AT + over)
    raise MalformedMessage("The grant's signature is wrong.")


def a_schedule(shares: Shares = PLAIN, targets: int = len(TARGETS)) -> Schedule:
    chance = random.Random("a seed")
    return plan(Shape.STEADY, 100, 10, ledgers=targets, purposes=len(PURPOSES), shares=shares, chance=chance)


def written(schedule: Schedule, road: Road = Road.BULK) -> list[Event]:
    writer = Writer("run", road, TARGETS, date(2026, 3, 2))
    return [writer.write(schedule, place, 0, NOW) for place in range(len(schedule))]


def received(event: Event) -> Any:
    return receive(as_consumed(event.record), read_grant)


@pytest.mark.parametrize("road", Road)
def test_the_consumer_reads_every_event_as_it_was_meant(road: Road) -> None:
    schedule = a_schedule(Shares(duplicates=10, late=10))

    for place, event in enumerate(written(schedule, road)):
        # It compares key, user, grant, operation id and hash with what follows from the content.
        read = received(event)
        target = TARGETS[schedule.ledgers[place]]
        assert read.message.ledger_id == target.ledger_id
        assert str(read.operation_id) == event.operation_id
        assert read.envelope.user_id == USER


def test_only_what_goes_to_bulk_carries_a_grant() -> None:
    (bulk, *_), (other, *_) = written(a_schedule()), written(a_schedule(), Road.SUBMISSIONS)

    assert "ce_grant" in dict(bulk.record.headers)
    assert "ce_grant" not in dict(other.record.headers)


def test_each_event_has_an_id_and_a_key_of_its_own() -> None:
    events = [dict(event.record.headers) for event in written(a_schedule())]

    assert len({headers["ce_id"] for headers in events}) == len(events)
    assert len({headers["ce_idempotencykey"] for headers in events}) == len(events)


def test_an_event_is_found_again_by_its_id() -> None:
    writer = Writer("sim-1f", Road.BULK, TARGETS, date(2026, 3, 2))

    assert writer.number_of(writer.event_id(42)) == 42
    assert [writer.number_of(other) for other in ("sim-2a-42", "", "42", "sim-1f-x", "sim-1f-")] == [None] * 5


def test_a_repeat_says_the_same_under_the_same_key_or_another_amount() -> None:
    schedule = a_schedule(Shares(duplicates=20))
    events = written(schedule)

    assert schedule.originals
    for repeat, original in schedule.originals.items():
        first, again = received(events[original]), received(events[repeat])
        assert first.operation_id == again.operation_id
        assert first.envelope.id != again.envelope.id
        same = schedule.kinds[repeat] == Kind.REPEAT
        assert (first.request_hash == again.request_hash) is same
        assert (first.message.amount == again.message.amount) is same


def test_a_late_event_says_its_day_or_comes_with_a_clock_of_long_ago() -> None:
    schedule = a_schedule(Shares(late=20))

    for place, event in enumerate(written(schedule)):
        read = received(event)
        day = date.fromordinal(event.day)
        if schedule.kinds[place] == Kind.LATE_CLOCK:
            assert read.message.booked is None
            # 23:30 in UTC is the next day where the ledger is.
            assert day == (read.envelope.time + timedelta(hours=2)).date()
        else:
            assert read.message.booked == day
            assert read.envelope.time == NOW
        assert (schedule.kinds[place] in LATE) is (date(2026, 3, 2) - day > timedelta(days=365))


@pytest.mark.parametrize("flaw", DEAD, ids=lambda flaw: flaw.name)
def test_what_is_to_be_a_dead_letter_is_refused_for_the_reason_it_names(flaw: Flaw) -> None:
    with pytest.raises(MalformedMessage) as refused:
        received(spoiled(flaw))

    assert flaw.expected in str(refused.value)


@pytest.mark.parametrize("flaw", REFUSED, ids=lambda flaw: flaw.name)
def test_what_is_to_be_refused_is_read_without_a_complaint(flaw: Flaw) -> None:
    assert str(received(spoiled(flaw)).operation_id) == spoiled(flaw).operation_id
    assert RefusalCode(flaw.expected)


def test_a_forged_grant_differs_from_the_real_one() -> None:
    flaw = next(flaw for flaw in FLAWS if flaw.name == "forged grant")

    assert dict(spoiled(flaw).record.headers)["ce_grant"] not in [str(target.grant).encode() for target in TARGETS]


@pytest.mark.parametrize(
    ("road", "targets", "lacks"),
    [
        pytest.param(Road.BULK, TARGETS, set(), id="all of them"),
        pytest.param(Road.BULK, TARGETS[:1], {"foreign grant"}, id="with one ledger there is no other's grant"),
        pytest.param(
            Road.BULK,
            [Target(UUID(int=number), USER, "EUR", "UTC", "a.b.c") for number in (1, 2)],
            {"expired grant"},
            id="a short run has no grant that is over",
        ),
        pytest.param(
            Road.SUBMISSIONS, TARGETS, {flaw.name for flaw in FLAWS if flaw.with_grants}, id="no grants, no bad ones"
        ),
    ],
)
def test_a_run_has_the_flaws_it_can_have(road: Road, targets: list[Target], lacks: set[str]) -> None:
    assert {flaw.name for flaw in FLAWS} - {FLAWS[place].name for place, _ in flaws_on(road, targets)} == lacks


def spoiled(flaw: Flaw) -> Event:
    schedule = a_schedule()
    schedule.kinds[5] = Kind.FLAWED + FLAWS.index(flaw)
    return written(schedule)[5]
