"""The verdict over Kafka: each way in which an event could be lost, doubled or meet a wrong end is found."""

from collections.abc import Callable

import pytest

from cli.simulation.accounting import Accounting, Entry, Verdict
from cli.simulation.events import FLAWS, PURPOSES, Ending
from cli.simulation.schedules import Kind, Schedule

DAY = 739_000
CASH, GROCERIES, RENT = "Cash", PURPOSES[0].category, PURPOSES[2].category
REFUSED = next(place for place, flaw in enumerate(FLAWS) if flaw.ending is Ending.REFUSED)
DEAD = next(place for place, flaw in enumerate(FLAWS) if flaw.ending is Ending.DEAD_LETTER)
PLAIN, LATE, REPEAT, CHANGED, TO_BE_REFUSED, TO_BE_DEAD, LAST = range(7)


class Run:
    """Seven events for two ledgers, one of each sort, which all go well unless a test says otherwise."""

    def __init__(self) -> None:
        kinds: list[int] = [Kind.PLAIN, Kind.LATE_DAY, Kind.REPEAT, Kind.CHANGED_REPEAT]
        kinds += [Kind.FLAWED + REFUSED, Kind.FLAWED + DEAD, Kind.PLAIN]
        schedule = Schedule(
            at_s=[number / 10 for number in range(7)],
            ledgers=[0, 1, 0, 0, 1, 1, 0],
            kinds=bytearray(kinds),
            amounts_minor=[500, 700, 1, 20, 1, 1, 900],
            days_back=[1] * 7,
            purposes=bytes([0, 2, 0, 0, 0, 0, 2]),
            originals={REPEAT: PLAIN, CHANGED: PLAIN},
        )
        self.accounting = Accounting(2)
        self.accounting.add(schedule)
        self.balances = [{CASH: -1400, GROCERIES: 500, RENT: 900}, {CASH: -700, RENT: 700}]
        self.is_drained = True

    def send(self, *, lose: int | None = None, unknown: int | None = None) -> "Run":
        for number in range(7):
            self.accounting.queued(number, operation(number), DAY)
            if number not in (lose, unknown):
                self.accounting.acknowledged(number)
        return self

    def record(
        self, number: int, *, sequence: int | None = None, amount_minor: int | None = None, day: int = DAY
    ) -> None:
        ledger = 1 if number == LATE else 0
        if self.accounting.entry(ledger, sequence or 10 + number):
            amounts = {PLAIN: 500, LATE: 700, LAST: 900}
            amount = amount_minor or amounts.get(number, 1)
            self.accounting.record(Entry(ledger, operation(number), amount, day))

    def record_all(self, *numbers: int) -> "Run":
        for sequence, number in enumerate(numbers or (PLAIN, LATE, LAST), 1):
            self.record(number, sequence=1 if number == LATE else sequence if number == PLAIN else 2)
        return self

    def refuse(self, code: str = FLAWS[REFUSED].expected, number: int = TO_BE_REFUSED) -> "Run":
        self.accounting.refusal(operation(number), code)
        return self

    def bury(
        self, number: int = TO_BE_DEAD, *, offset: int = 7, reason: str = FLAWS[DEAD].expected, cause: str = "malformed"
    ) -> "Run":
        self.accounting.dead_letter(number, ("ledger.bulk", 3, offset), cause, f"It {reason} at all.")
        return self

    def verdict(self) -> Verdict:
        return self.accounting.verdict(is_drained=self.is_drained, balances=self.balances, currency="EUR")


def operation(number: int) -> str:
    return f"operation {PLAIN if number in (REPEAT, CHANGED) else number}"


def a_good_run() -> Run:
    return Run().send().record_all().refuse().bury()


def test_a_run_in_which_all_met_their_ends_is_good() -> None:
    verdict = a_good_run().verdict()

    assert verdict.problems == []
    assert verdict.is_good
    counts = verdict.counts
    assert (counts.sent, counts.recorded, counts.late_recorded) == (7, 3, 1)
    assert (counts.repeats, counts.refused, counts.dead, counts.open, counts.never_arrived) == (2, 1, 1, 0, 0)
    assert dict(counts.refusals) == {FLAWS[REFUSED].expected: 1}


def test_what_waits_is_counted_while_it_goes_on() -> None:
    run = Run().send()
    assert (run.accounting.waiting, run.accounting.letters_due) == (3, 1)

    run.record_all().bury()
    assert (run.accounting.waiting, run.accounting.letters_due, run.accounting.recorded) == (0, 0, 3)


def _forget_the_last(run: Run) -> None:
    run.send().record_all(PLAIN, LATE).refuse().bury()
    run.balances = [{CASH: -500, GROCERIES: 500}, {CASH: -700, RENT: 700}]


def _record_one_twice(run: Run) -> None:
    run.send().record_all().refuse().bury()
    run.record(PLAIN, sequence=3)


def _record_a_repeat_under_its_own_operation(run: Run) -> None:
    run.send().record_all().refuse().bury()
    run.accounting.entry(0, 3)
    run.accounting.record(Entry(0, "operation of a repeat", 1, DAY))


def _skip_an_entry(run: Run) -> None:
    run.send().record_all(PLAIN, LATE).refuse().bury()
    run.record(LAST, sequence=4)


def _record_another_amount(run: Run) -> None:
    run.send().record_all(LATE, LAST).refuse().bury()
    run.record(PLAIN, sequence=3, amount_minor=520)
    run.balances[0] |= {CASH: -1420, GROCERIES: 520}


def _record_another_day(run: Run) -> None:
    run.send().record_all(PLAIN, LAST).refuse().bury()
    run.record(LATE, sequence=1, day=DAY + 1)


def _record_what_is_bad(run: Run) -> None:
    run.send().record_all().bury()
    run.record(TO_BE_REFUSED, sequence=3)
    run.balances[1] |= {CASH: -701, GROCERIES: 1}


def _refuse_a_good_one(run: Run) -> None:
    run.send().record_all(PLAIN, LATE).refuse().bury().refuse("account_closed", LAST)
    run.balances = [{CASH: -500, GROCERIES: 500}, {CASH: -700, RENT: 700}]


def _refuse_for_another_reason(run: Run) -> None:
    run.send().record_all().refuse("account_closed").bury()


def _refuse_nothing_known(run: Run) -> None:
    run.send().record_all().refuse().bury()
    run.accounting.refusal("operation of nobody", "account_closed")


def _bury_a_good_one(run: Run) -> None:
    run.send().record_all(PLAIN, LATE).refuse().bury().bury(LAST, offset=9, cause="defect", reason="KeyError")
    run.balances = [{CASH: -500, GROCERIES: 500}, {CASH: -700, RENT: 700}]


def _bury_and_record(run: Run) -> None:
    run.send().record_all().refuse().bury().bury(LAST, offset=9, cause="defect", reason="KeyError")


def _bury_for_another_reason(run: Run) -> None:
    run.send().record_all().refuse().bury(reason="something else")


def _bury_twice(run: Run) -> None:
    run.send().record_all().refuse().bury().bury(offset=8)


def _bury_nothing_known(run: Run) -> None:
    run.send().record_all().refuse().bury().bury(99)


def _never_bury(run: Run) -> None:
    run.send().record_all().refuse()


def _never_refuse(run: Run) -> None:
    run.send().record_all().bury()


def _lose_in_the_balances(run: Run) -> None:
    run.send().record_all().refuse().bury()
    run.balances[1] = {CASH: -600, RENT: 600}


def _cannot_read_balances(run: Run) -> None:
    run.send().record_all().refuse().bury()
    run.balances = None  # type: ignore[assignment]


def _not_drained(run: Run) -> None:
    run.send().record_all().refuse().bury()
    run.is_drained = False


def _record_without_the_journal(run: Run) -> None:
    run.send().record_all(PLAIN, LATE).refuse().bury()
    run.accounting.decided(operation(LAST), "recorded")


@pytest.mark.parametrize(
    ("go", "says"),
    [
        (_forget_the_last, "event 6 (plain) was accepted and met no end"),
        (_record_one_twice, "operation operation 0 of ledger 0 was recorded again, or was never sent"),
        (_record_a_repeat_under_its_own_operation, "was recorded again, or was never sent"),
        (_skip_an_entry, "the journal of ledger 0 goes from 1 to 4"),
        (_record_another_amount, "event 0 was recorded with another amount"),
        (_record_another_day, "event 1 was booked on another day than it said"),
        (_record_what_is_bad, f"event 4 ({FLAWS[REFUSED].name}) was recorded"),
        (_refuse_a_good_one, "event 6 (plain) was refused as account_closed"),
        (_refuse_for_another_reason, f"event 4 ({FLAWS[REFUSED].name}) was refused as account_closed"),
        (_refuse_nothing_known, "operation operation of nobody was refused, and was never sent"),
        (_bury_a_good_one, "event 6 (plain) is a dead letter: defect: It KeyError"),
        (_bury_and_record, "event 6 was recorded and dead-lettered"),
        (_bury_for_another_reason, f"event 5 ({FLAWS[DEAD].name}) is a dead letter: malformed: It something else"),
        (_bury_twice, "event 5 is among the dead letters of two places"),
        (_bury_nothing_known, "a dead letter names event 99, which was never sent"),
        (_never_bury, f"event 5 ({FLAWS[DEAD].name}) was accepted and met no end"),
        (_never_refuse, f"event 4 ({FLAWS[REFUSED].name}) was accepted and met no end"),
        (_lose_in_the_balances, f"{RENT} of ledger 1 holds 6.00 EUR, and 7.00 EUR were recorded"),
        (_cannot_read_balances, "the balances could not be read"),
        (_not_drained, "was not decided when the run ended"),
        (_record_without_the_journal, "event 6 was recorded, and is not in the journal"),
    ],
)
def test_whatever_goes_wrong_is_found_and_said(go: Callable[[Run], None], says: str) -> None:
    run = Run()
    go(run)
    verdict = run.verdict()

    assert not verdict.is_good
    assert any(says in problem for problem in verdict.problems), verdict.problems


def test_an_entry_that_the_relay_sends_again_is_no_second_one() -> None:
    run = a_good_run()
    run.record(PLAIN, sequence=1)

    assert run.verdict().is_good
    assert run.accounting.journal_repeats == 1


def test_a_dead_letter_that_is_sent_again_is_no_second_one() -> None:
    run = a_good_run().bury()

    assert run.verdict().is_good
    assert run.accounting.letter_repeats == 1


def test_what_was_never_acknowledged_and_never_came_is_accounted_for() -> None:
    run = Run().send(unknown=LAST).record_all(PLAIN, LATE).refuse().bury()
    run.balances = [{CASH: -500, GROCERIES: 500}, {CASH: -700, RENT: 700}]
    verdict = run.verdict()

    assert verdict.problems == []
    assert (verdict.counts.never_arrived, verdict.counts.unknown, verdict.counts.recorded) == (1, 1, 2)
    assert run.accounting.unknown_waiting() == 1


def test_what_was_never_acknowledged_and_came_all_the_same_is_recorded() -> None:
    verdict = Run().send(unknown=LAST).record_all().refuse().bury().verdict()

    assert verdict.problems == []
    assert (verdict.counts.never_arrived, verdict.counts.unknown, verdict.counts.recorded) == (0, 1, 3)


def test_a_changed_repeat_takes_the_place_of_an_original_that_got_lost() -> None:
    run = Run().send(unknown=PLAIN).record_all(LATE, LAST).refuse().bury()
    run.record(PLAIN, sequence=3, amount_minor=520)
    run.balances[0] = {CASH: -1420, GROCERIES: 520, RENT: 900}

    assert run.verdict().problems == []


def test_what_could_not_be_handed_over_was_not_sent() -> None:
    run = Run().send().record_all(PLAIN, LATE).refuse().bury()
    run.accounting.unqueued(LAST, operation(LAST))
    run.balances = [{CASH: -500, GROCERIES: 500}, {CASH: -700, RENT: 700}]
    verdict = run.verdict()

    assert verdict.problems == []
    assert (verdict.counts.sent, verdict.counts.not_sent) == (6, 1)
    assert run.accounting.waiting == 0


def test_of_many_problems_of_a_kind_some_are_told_and_all_are_counted() -> None:
    run = a_good_run()
    for _ in range(50):
        run.accounting.refusal("operation of nobody", "account_closed")
    verdict = run.verdict()

    assert verdict.problem_count == 50
    assert len(verdict.problems) == 11
    assert verdict.problems[-1] == "refusals of nobody known: 40 more"
