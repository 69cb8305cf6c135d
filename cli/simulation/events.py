"""Events as an importer would write them, cheaply, and flawed ones, each with the end it is to meet."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import msgspec

from cli.simulation.kafka_options import Road
from cli.simulation.schedules import REPEATS, Kind, Schedule
from contracts.envelope import CONTENT_TYPE, SPEC_VERSION, Headers, request_hash
from contracts.messages import utc_text
from contracts.money import format_minor
from contracts.refusals import RefusalCode
from contracts.transactions import TransactionSubmitted
from infra.kafka.producer import Record

SOURCE = "cashflow/simulator"
#: So long after it was made, a grant of the shortest life there is has expired.
GRANT_LIFETIME_S_MIN = 60
GRANT_EXPIRED_S = 70.0


class Purpose(NamedTuple):
    """What money is spent for. Plain ASCII without a quote, so that it stands in JSON as it is."""

    category: str
    payee: str
    description: str


PURPOSES = (
    Purpose("Groceries", "Market hall", "Weekly shopping"),
    Purpose("Groceries", "Corner shop", "Milk and bread"),
    Purpose("Rent", "Landlord", "Rent of the month"),
    Purpose("Energy", "City works", "Electricity and gas"),
    Purpose("Transport", "City transit", "Ticket of the month"),
    Purpose("Eating out", "Trattoria", "Dinner for two"),
    Purpose("Books", "Old town books", "A novel"),
    Purpose("Health", "Pharmacy", "Drops and plasters"),
    Purpose("Clothes", "Second hand", "A winter coat"),
    Purpose("Leisure", "Cinema", "Two tickets"),
    Purpose("Household", "Hardware store", "Screws and paint"),
    Purpose("Gifts", "Flower shop", "A bunch for mother"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A ledger that events are for, who writes them, and by what leave."""

    ledger_id: UUID
    user_id: UUID
    currency: str
    time_zone: str
    grant: str | None = None
    expired_grant: str | None = None


class Event(NamedTuple):
    """An event to be sent. ``day`` is the one it is to be booked on, as a proleptic ordinal."""

    record: Record
    operation_id: str
    day: int


class Writer:
    """Writes the events of a run from prepared parts; what a record costs, the system under test does not get."""

    def __init__(self, run: str, road: Road, targets: Sequence[Target], today: date) -> None:
        """Prepare. Events of one ``run`` are told from those of others by it."""
        self._run = run
        self._road = road
        self._targets = targets
        self._today = today.toordinal()
        self._parts = [_Parts(target, road) for target in targets]
        self._days: dict[int, bytes] = {}

    def event_id(self, number: int) -> str:
        """Return the CloudEvents id of an event by its number in the run."""
        return f"{self._run}-{number}"

    def number_of(self, event_id: str) -> int | None:
        """Return an event's number by its id; ``None`` where it is not of this run."""
        run, _, number = event_id.rpartition("-")
        return int(number) if run == self._run and number.isdigit() else None

    def write(self, schedule: Schedule, place: int, first: int, moment: datetime) -> Event:
        """Write one event.

        Args:
            schedule: what is sent when.
            place: which of its events.
            first: the number in the run of the schedule's first event.
            moment: what its sender's clock says (aware UTC).
        """
        kind = schedule.kinds[place]
        # A repeat says what its original said, under its original's key, but for an amount that is to differ.
        said = schedule.originals[place] if kind in REPEATS else place
        amount_minor = schedule.amounts_minor[said]
        if kind == Kind.CHANGED_REPEAT:
            amount_minor += schedule.amounts_minor[place]
        parts = self._parts[schedule.ledgers[place]]
        day = self._today - schedule.days_back[said]
        booked: bytes | None = self._day_text(day)
        if kind == Kind.LATE_CLOCK:
            moment -= timedelta(days=schedule.days_back[place])
            day, booked = moment.astimezone(parts.zone).toordinal(), None
        value = parts.value(amount_minor, booked, schedule.purposes[said])
        # An event's own id is its key too; a repeat has its original's.
        key = self.event_id(first + said).encode()
        operation_id = parts.operation_id(key)
        headers: Headers = [
            *parts.headers,
            ("ce_id", self.event_id(first + place).encode()),
            ("ce_time", utc_text(moment).encode()),
            ("ce_idempotencykey", key),
            ("ce_operationid", operation_id.encode()),
            ("ce_requesthash", hashlib.sha256(value).hexdigest().encode()),
        ]
        record = Record(self._road.value, parts.key, value, headers)
        if kind >= Kind.FLAWED:
            target = self._targets[schedule.ledgers[place]]
            other = self._targets[(schedule.ledgers[place] + 1) % len(self._targets)]
            record = FLAWS[kind - Kind.FLAWED].spoiled(record, target, other)
        return Event(record, operation_id, day)

    def _day_text(self, day: int) -> bytes:
        text = self._days.get(day)
        if text is None:
            text = self._days[day] = date.fromordinal(day).isoformat().encode()
        return text


class _Parts:
    """What all events for one ledger have in common."""

    def __init__(self, target: Target, road: Road) -> None:
        self.key = str(target.ledger_id).encode()
        self.zone = ZoneInfo(target.time_zone)
        self.currency = target.currency
        headers = {
            "ce_specversion": SPEC_VERSION,
            "ce_type": TransactionSubmitted.type,
            "ce_source": SOURCE,
            "content-type": CONTENT_TYPE,
            "ce_subject": str(target.ledger_id),
            "ce_userid": str(target.user_id),
        }
        if road is Road.BULK and target.grant:
            headers["ce_grant"] = target.grant
        self.headers: Headers = [(name, text.encode()) for name, text in headers.items()]
        # As contracts.envelope.operation_id makes it: a UUIDv5 is a SHA-1 whose beginning is the same for a ledger.
        self._named = hashlib.sha1(
            target.ledger_id.bytes + f"{target.user_id}:{TransactionSubmitted.noun}:".encode(), usedforsecurity=False
        )
        # Keys in order and no spaces, so that the value is its own canonical form, of which the hash is taken.
        self._ends = [
            f'"category":"{purpose.category}","description":"{purpose.description}",'
            f'"ledger_id":"{target.ledger_id}","payee":"{purpose.payee}"}}'.encode()
            for purpose in PURPOSES
        ]

    def value(self, amount_minor: int, booked: bytes | None, purpose: int) -> bytes:
        day = b'"booked":"%b",' % booked if booked else b""
        amount = format_minor(amount_minor, self.currency).encode()
        return b'{"amount":"%b",%b%b' % (amount, day, self._ends[purpose])

    def operation_id(self, key: bytes) -> str:
        named = self._named.copy()
        named.update(key)
        return str(UUID(bytes=named.digest()[:16], version=5))


class Ending(StrEnum):
    """How a flawed event is to end."""

    REFUSED = "refused"
    DEAD_LETTER = "dead letter"


class Draft:
    """A record while it is spoiled."""

    def __init__(self, record: Record, target: Target, other: Target) -> None:
        self.topic = record.topic
        self.key = record.key
        self.value = record.value or b""
        self.headers: dict[str, bytes | None] = dict(record.headers)
        self.target = target
        self.other = other

    def rewrite(self, **fields: object) -> None:
        """Change fields of the message, ``None`` leaves one out; the hash follows."""
        message = {**msgspec.json.decode(self.value), **fields}
        kept = {name: value for name, value in message.items() if value is not None}
        self.value = msgspec.json.encode(kept, order="sorted")
        self.headers["ce_requesthash"] = request_hash(self.value).encode()


@dataclass(frozen=True, slots=True)
class Flaw:
    """One way to be bad: what it does to a record, and what becomes of it.

    ``expected`` is the refusal's code, or a part of the dead letter's reason.
    """

    name: str
    ending: Ending
    expected: str
    spoil: Callable[[Draft], None]
    with_grants: bool = False
    """Where there are grants only: on ``ledger.bulk``."""
    from_s: float = 0.0
    """Not before so many seconds of the run."""

    def spoiled(self, record: Record, target: Target, other: Target) -> Record:
        """Return a record with this flaw; ``other`` is another ledger of the run."""
        draft = Draft(record, target, other)
        self.spoil(draft)
        return Record(draft.topic, draft.key, draft.value, list(draft.headers.items()))


def _set_header(name: str, value: bytes) -> Callable[[Draft], None]:
    return lambda draft: draft.headers.update({name: value})


def _drop_header(name: str) -> Callable[[Draft], None]:
    def drop(draft: Draft) -> None:
        del draft.headers[name]

    return drop


def _say(**fields: object) -> Callable[[Draft], None]:
    return lambda draft: draft.rewrite(**fields)


def _be_no_json(draft: Draft) -> None:
    draft.value = draft.value[:-1]


def _be_keyed_otherwise(draft: Draft) -> None:
    draft.key = str(uuid5(draft.target.ledger_id, "another")).encode()


def _forge(draft: Draft) -> None:
    grant = draft.headers["ce_grant"] or b""
    # Not the last letter, of which not every bit counts.
    place = grant.rindex(b".") + 10
    draft.headers["ce_grant"] = (
        grant[:place] + (b"A" if grant[place : place + 1] != b"A" else b"B") + grant[place + 1 :]
    )


def _take_anothers_grant(draft: Draft) -> None:
    draft.headers["ce_grant"] = (draft.other.grant or "").encode()


def _take_an_old_grant(draft: Draft) -> None:
    draft.headers["ce_grant"] = (draft.target.expired_grant or "").encode()


def _dead(name: str, reason: str, spoil: Callable[[Draft], None], *, grants: bool = False, from_s: float = 0) -> Flaw:
    return Flaw(name, Ending.DEAD_LETTER, reason, spoil, grants, from_s)


def _refused(name: str, code: RefusalCode, **fields: object) -> Flaw:
    return Flaw(name, Ending.REFUSED, code, _say(**fields))


FOREIGN_GRANT, EXPIRED_GRANT = "foreign grant", "expired grant"
_NOBODY = b"00000000-0000-4000-8000-000000000000"
FLAWS: Sequence[Flaw] = (
    _dead("unknown type", "is not a submission", _set_header("ce_type", b"cashflow.transaction.imagined.v1")),
    _refused("unknown account", RefusalCode.ACCOUNT_NOT_FOUND, account="Nobody knows this account"),
    _dead("not JSON", "Invalid JSON", _be_no_json),
    _refused("absurd amount", RefusalCode.AMOUNT_TOO_LARGE, amount="99999999999999999999"),
    _dead("wrong hash", "ce_requesthash is not the hash", _set_header("ce_requesthash", b"0" * 64)),
    _refused("too many decimals", RefusalCode.AMOUNT_TOO_PRECISE, amount="24.47119"),
    _dead("forged grant", "signature is wrong", _forge, grants=True),
    _refused("nothing", RefusalCode.AMOUNT_NOT_POSITIVE, amount="0.00"),
    _dead(FOREIGN_GRANT, "for another ledger", _take_anothers_grant, grants=True),
    _refused("another currency", RefusalCode.CURRENCY_MISMATCH, currency="JPY"),
    _dead("no grant", "ce_grant is missing", _drop_header("ce_grant"), grants=True),
    _refused("no currency of this world", RefusalCode.CURRENCY_UNKNOWN, currency="ZZZ"),
    _dead(EXPIRED_GRANT, "had expired", _take_an_old_grant, grants=True, from_s=GRANT_EXPIRED_S),
    _refused("no category", RefusalCode.CATEGORY_MISSING, category=None),
    _dead("another user", "not the grant's user", _set_header("ce_userid", _NOBODY), grants=True),
    _refused("day of another age", RefusalCode.DATE_OUT_OF_RANGE, booked="1492-10-12"),
    _dead("key of another ledger", "key is not the id", _be_keyed_otherwise),
    _refused("fields that conflict", RefusalCode.FIELDS_CONFLICT, to_account="Cash"),
    _dead("no idempotency key", "ce_idempotencykey is missing", _drop_header("ce_idempotencykey")),
    _refused("empty splits", RefusalCode.SPLIT_EMPTY, category=None, splits=[]),
    _dead("foreign operation id", "ce_operationid does not follow", _set_header("ce_operationid", _NOBODY)),
    _dead("amount as a number", "amount:", _say(amount=24.47)),
    _dead("header that is no text", "ce_subject is not UTF-8", _set_header("ce_subject", b"\xff\xfe")),
)


def flaws_on(road: Road, targets: Sequence[Target]) -> list[tuple[int, float]]:
    """Return which flaws can be had on a road to these ledgers: the place of each, and the second it may come from."""
    return [
        (place, flaw.from_s)
        for place, flaw in enumerate(FLAWS)
        if (road is Road.BULK or not flaw.with_grants)
        and (flaw.name != FOREIGN_GRANT or len(targets) > 1)
        and (flaw.name != EXPIRED_GRANT or all(target.expired_grant for target in targets))
    ]
