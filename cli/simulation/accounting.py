"""What became of every event of a run: each must meet one end, once, and the right one.

Nothing here asks anybody: whoever follows the topics and asks the API tells it, and the verdict follows from that.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from cli.simulation.events import FLAWS, PURPOSES, Ending, Flaw
from cli.simulation.schedules import LATE, RECORDABLE, REPEATS, Kind, Schedule
from contracts.ledgers import DEFAULT_ACCOUNT_NAME
from contracts.messages import OperationState
from contracts.money import format_minor

#: Of each kind of problem so many are told one by one; all are counted.
TOLD_MAX = 10


class Sending(IntEnum):
    """How far an event has come on its way to Kafka."""

    NOT_SENT = 0
    UNKNOWN = 1
    """Handed to the producer, and not acknowledged: it may be there or not."""
    ACCEPTED = 2


class End(IntEnum):
    """What became of it, as seen from outside. A repeat is seen by what it does not do."""

    OPEN = 0
    RECORDED = 1
    REFUSED = 2
    DEAD = 3


class Entry:
    """What the journal says of a transaction: of which ledger (by its place), operation, amount and day."""

    __slots__ = ("amount_minor", "day", "ledger", "operation_id")

    def __init__(self, ledger: int, operation_id: str, amount_minor: int, day: int) -> None:
        self.ledger = ledger
        self.operation_id = operation_id
        self.amount_minor = amount_minor
        self.day = day


@dataclass(slots=True)
class Counts:
    """How many events met which end; together they are all that were sent."""

    sent: int = 0
    not_sent: int = 0
    recorded: int = 0
    late_recorded: int = 0
    repeats: int = 0
    refused: int = 0
    dead: int = 0
    never_arrived: int = 0
    open: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    """Without an acknowledgement in time; they are among the others, by what became of them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether every event is accounted for exactly once; the problems are sentences."""

    counts: Counts
    problems: Sequence[str]
    problem_count: int

    @property
    def is_good(self) -> bool:
        """Return true where all is accounted for."""
        return not self.problem_count


class Accounting:
    """Knows the events of a run by their numbers, and what became of each."""

    def __init__(self, ledgers: int) -> None:
        """Begin with no events, for so many ledgers."""
        self._kinds = bytearray()
        self._sending = bytearray()
        self._ends = bytearray()
        self._ledgers = array("H")
        self._amounts = array("I")
        self._purposes = bytearray()
        self._days = array("I")
        self._originals: dict[int, int] = {}
        self._changed: dict[int, list[int]] = defaultdict(list)
        #: By operation: what waits to be recorded or refused.
        self._flying: dict[str, int] = {}
        self._waiting = 0
        self._recorded = 0
        self._queued = 0
        self._accepted = 0
        self._letters_due = 0
        self._sequences: list[int | None] = [None] * ledgers
        self._why_dead: dict[int, str] = {}
        self._letters: dict[int, tuple[str, int, int]] = {}
        self._codes: dict[int, str] = {}
        self._problems: dict[str, list[str]] = defaultdict(list)
        self._problem_counts: Counter[str] = Counter()
        #: Journal entries and dead letters that came again, which is harmless.
        self.journal_repeats = 0
        self.letter_repeats = 0

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def sent(self) -> int:
        """How many events were handed to the producer."""
        return self._queued

    @property
    def accepted(self) -> int:
        """How many of them Kafka has."""
        return self._accepted

    @property
    def recorded(self) -> int:
        """How many are in the journal."""
        return self._recorded

    @property
    def waiting(self) -> int:
        """How many were sent, ought to be recorded, and are not yet."""
        return self._waiting

    @property
    def letters(self) -> int:
        """How many are dead letters."""
        return len(self._letters)

    @property
    def letters_due(self) -> int:
        """How many of those that Kafka has are to become dead letters, and have not yet."""
        return self._letters_due

    def add(self, schedule: Schedule) -> int:
        """Take in what is going to be sent; return the number of its first event."""
        first = len(self)
        self._kinds += schedule.kinds
        self._sending += bytes(len(schedule))
        self._ends += bytes(len(schedule))
        self._ledgers.extend(schedule.ledgers)
        self._amounts.extend(schedule.amounts_minor)
        self._days.extend(array("I", bytes(4 * len(schedule))))
        self._purposes += schedule.purposes
        for place, original in schedule.originals.items():
            self._originals[first + place] = first + original
            if schedule.kinds[place] == Kind.CHANGED_REPEAT:
                self._changed[first + original].append(first + place)
        return first

    def queued(self, number: int, operation_id: str, day: int) -> None:
        """Note that an event is on its way; ``day`` is the one it is to be booked on."""
        self._sending[number] = Sending.UNKNOWN
        self._queued += 1
        self._days[number] = day
        kind = self._kinds[number]
        if kind in RECORDABLE:
            self._waiting += 1
            self._flying[operation_id] = number
        elif kind >= Kind.FLAWED and _flaw(kind).ending is Ending.REFUSED:
            self._flying[operation_id] = number

    def unqueued(self, number: int, operation_id: str) -> None:
        """Take that back: it could not be handed over."""
        self._sending[number] = Sending.NOT_SENT
        self._queued -= 1
        if self._kinds[number] in RECORDABLE:
            self._waiting -= 1
        if self._kinds[number] not in REPEATS:
            self._flying.pop(operation_id, None)

    def acknowledged(self, number: int) -> None:
        """Note that Kafka has an event."""
        self._sending[number] = Sending.ACCEPTED
        self._accepted += 1
        self._letters_due += self._is_letter(number) and self._ends[number] == End.OPEN

    def entry(self, ledger: int, sequence: int) -> bool:
        """Note an entry of a ledger's journal by its number; return whether it is new."""
        last = self._sequences[ledger]
        if last is not None and sequence <= last:
            self.journal_repeats += 1
            return False
        if last is not None and sequence > last + 1:
            self._complain("journal gaps", f"the journal of ledger {ledger} goes from {last} to {sequence}")
        self._sequences[ledger] = sequence
        return True

    def record(self, entry: Entry) -> int | None:
        """Note a new transaction of the journal; return the event's number where it waited for that."""
        number = self._flying.pop(entry.operation_id, None)
        if number is None:
            self._complain(
                "recorded twice, or by nobody known",
                f"operation {entry.operation_id} of ledger {entry.ledger} was recorded again, or was never sent",
            )
            return None
        kind = self._kinds[number]
        self._ends[number] = End.RECORDED
        if kind >= Kind.FLAWED:
            self._complain("recorded though bad", f"event {number} ({_flaw(kind).name}) was recorded")
            return None
        self._waiting -= 1
        self._recorded += 1
        if entry.ledger != self._ledgers[number]:
            self._complain("recorded elsewhere", f"event {number} was recorded in ledger {entry.ledger}")
        if entry.day != self._days[number]:
            self._complain("booked on another day", f"event {number} was booked on another day than it said")
        if entry.amount_minor != self._amounts[number]:
            self._take_amount(number, entry.amount_minor)
        return number

    def _take_amount(self, number: int, amount_minor: int) -> None:
        """Take an amount that is not the event's own: that of a changed repeat, where the event itself got lost."""
        is_lost = self._sending[number] != Sending.ACCEPTED
        amounts = {self._amounts[number] + self._amounts[repeat] for repeat in self._changed.get(number, ())}
        if not (is_lost and amount_minor in amounts):
            self._complain("recorded with another amount", f"event {number} was recorded with another amount")
        self._amounts[number] = amount_minor

    def dead_letter(self, number: int, source: tuple[str, int, int], cause: str, reason: str) -> None:
        """Note a dead letter of an event; ``source`` is where the record stood: topic, partition, offset."""
        if number >= len(self) or self._sending[number] == Sending.NOT_SENT:
            self._complain("dead letters of nobody known", f"a dead letter names event {number}, which was never sent")
            return
        known = self._letters.get(number)
        if known == source:
            self.letter_repeats += 1
            return
        if known is not None:
            self._complain("dead-lettered twice", f"event {number} is among the dead letters of two places")
            return
        self._letters_due -= self._is_letter(number) and self._sending[number] == Sending.ACCEPTED
        self._letters[number] = source
        # Where in a text the JSON breaks off is another place each time, and the same reason.
        self._why_dead[number] = f"{cause}: {reason.partition(' at line ')[0]}"
        if self._ends[number] != End.OPEN:
            self._complain("two ends", f"event {number} was {End(self._ends[number]).name.lower()} and dead-lettered")
        self._ends[number] = End.DEAD
        if self._kinds[number] in RECORDABLE:
            self._waiting -= 1

    def refusal(self, operation_id: str, code: str) -> None:
        """Note that an operation was refused."""
        number = self._flying.pop(operation_id, None)
        if number is None:
            self._complain("refusals of nobody known", f"operation {operation_id} was refused, and was never sent")
            return
        self._ends[number] = End.REFUSED
        self._codes[number] = code
        if self._kinds[number] in RECORDABLE:
            self._waiting -= 1

    def unheard(self) -> list[tuple[str, int]]:
        """Return the operations of which nothing was heard, each with its ledger's place."""
        return [(operation_id, self._ledgers[number]) for operation_id, number in self._flying.items()]

    def unknown_waiting(self) -> int:
        """Return how many of those that wait to be recorded may never have arrived."""
        return sum(
            self._sending[number] == Sending.UNKNOWN and self._kinds[number] in RECORDABLE
            for number in self._flying.values()
        )

    def decided(self, operation_id: str, state: str) -> None:
        """Note how an operation ended of which neither journal nor dead letters said anything."""
        number = self._flying[operation_id]
        if state == OperationState.RECORDED:
            self._complain("missing in the journal", f"event {number} was recorded, and is not in the journal")
            self._ends[number] = End.RECORDED
        elif state == OperationState.FAILED:
            self._complain("failed without a dead letter", f"event {number} failed, and is no dead letter")

    def sums(self) -> list[dict[str, int]]:
        """Return what each ledger's accounts and categories must hold by what was recorded, in minor units."""
        sums: list[dict[str, int]] = [defaultdict(int) for _ in self._sequences]
        for number, end in enumerate(self._ends):
            if end == End.RECORDED:
                held, amount_minor = sums[self._ledgers[number]], self._amounts[number]
                held[PURPOSES[self._purposes[number]].category] += amount_minor
                held[DEFAULT_ACCOUNT_NAME] -= amount_minor
        return sums

    def verdict(self, *, is_drained: bool, balances: Sequence[Mapping[str, int]] | None, currency: str) -> Verdict:
        """Judge the run.

        Args:
            is_drained: every record of the topic was taken by the consumer, so that what is open stays so.
            balances: by ledger, what each account and category holds as the API says, in minor units; ``None`` where it
                could not be asked.
            currency: of all ledgers.
        """
        counts = Counts(sent=self._queued, not_sent=len(self) - self._queued)
        problems = {kind: list(told) for kind, told in self._problems.items()}
        problem_counts = Counter(self._problem_counts)

        def complain(kind: str, sentence: str) -> None:
            problem_counts[kind] += 1
            if problem_counts[kind] <= TOLD_MAX:
                problems.setdefault(kind, []).append(sentence)

        for number, sending in enumerate(self._sending):
            if sending != Sending.NOT_SENT:
                self._judge(number, Sending(sending), counts, complain, is_drained=is_drained)
        ends = (counts.recorded, counts.repeats, counts.refused, counts.dead, counts.never_arrived, counts.open)
        if sum(ends) != counts.sent:
            complain("counts", f"{counts.sent:,} events were sent, and {sum(ends):,} met an end")
        if balances is None:
            complain("balances", "the balances could not be read, so the sums were not compared")
        else:
            for sentence in _compare(self.sums(), balances, currency):
                complain("balances", sentence)
        return Verdict(counts, list(_told(problems, problem_counts)), problem_counts.total())

    def _judge(
        self,
        number: int,
        sending: Sending,
        counts: Counts,
        complain: Callable[[str, str], None],
        *,
        is_drained: bool,
    ) -> None:
        kind, end = self._kinds[number], End(self._ends[number])
        counts.unknown += sending == Sending.UNKNOWN
        if end is End.RECORDED:
            counts.recorded += 1
            counts.late_recorded += kind in LATE
        elif end is End.REFUSED:
            counts.refused += 1
            code = self._codes[number]
            counts.refusals[code] += 1
            expected = _flaw(kind).expected if kind >= Kind.FLAWED else None
            if code != expected:
                complain("refused otherwise", f"event {number} ({_name(kind)}) was refused as {code}")
        elif end is End.DEAD:
            counts.dead += 1
            why = self._why_dead[number]
            counts.dead_letters[why] += 1
            flaw = _flaw(kind) if kind >= Kind.FLAWED else None
            if flaw is None or flaw.ending is not Ending.DEAD_LETTER or flaw.expected not in why:
                complain("dead-lettered otherwise", f"event {number} ({_name(kind)}) is a dead letter: {why}")
        elif not is_drained:
            counts.open += 1
            complain("not decided", f"event {number} ({_name(kind)}) was not decided when the run ended")
        elif sending == Sending.UNKNOWN:
            # Never acknowledged, and whoever reads the topic to its end does not find it.
            counts.never_arrived += 1
        elif kind in REPEATS:
            self._judge_repeat(number, counts, complain)
        else:
            counts.open += 1
            complain("lost", f"event {number} ({_name(kind)}) was accepted and met no end")

    def _judge_repeat(self, number: int, counts: Counts, complain: Callable[[str, str], None]) -> None:
        """Count a repeat as one that added nothing where its operation was recorded, which can be once only."""
        counts.repeats += 1
        if self._ends[self._originals[number]] != End.RECORDED:
            complain("repeats", f"event {number} repeats {self._originals[number]}, which was not recorded")

    def _is_letter(self, number: int) -> bool:
        """Return whether an event is to become a dead letter."""
        kind = self._kinds[number]
        return kind >= Kind.FLAWED and _flaw(kind).ending is Ending.DEAD_LETTER

    def _complain(self, kind: str, sentence: str) -> None:
        self._problem_counts[kind] += 1
        if self._problem_counts[kind] <= TOLD_MAX:
            self._problems[kind].append(sentence)


def _flaw(kind: int) -> Flaw:
    return FLAWS[kind - Kind.FLAWED]


def _name(kind: int) -> str:
    return _flaw(kind).name if kind >= Kind.FLAWED else Kind(kind).name.lower().replace("_", " ")


def _told(problems: Mapping[str, Sequence[str]], counts: Counter[str]) -> Iterable[str]:
    for kind, told in problems.items():
        yield from told
        if counts[kind] > len(told):
            yield f"{kind}: {counts[kind] - len(told):,} more"


def _compare(sums: Sequence[Mapping[str, int]], balances: Sequence[Mapping[str, int]], currency: str) -> Iterable[str]:
    for ledger, (expected, held) in enumerate(zip(sums, balances, strict=True)):
        for category in sorted({*expected, *held}):
            sent, found = expected.get(category, 0), held.get(category, 0)
            if sent != found:
                yield (
                    f"{category} of ledger {ledger} holds {format_minor(found, currency)} {currency}, and "
                    f"{format_minor(sent, currency)} {currency} were recorded"
                )
