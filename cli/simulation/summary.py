"""What a run over HTTP came to: a table and the verdict for people, one document for programs, an exit code."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from cli.simulation.http_run import Result
from cli.simulation.progress import in_ms
from cli.simulation.tally import Outcome, Step
from cli.simulation.verdict import Difference, Fault, Findings
from cli.terminal.output import ExitCode, Failure, say, show_json, show_record, show_table

ACCOUNTED_FOR = "all accounted for"
#: More differences than this are counted, not listed; ``--json`` has all of them.
_LISTED = 20


def show_summary(result: Result, again: str) -> None:
    """Print what was done, what came of it, and the verdict; ``again`` is the command that repeats the run."""
    tally = result.tally
    outcomes = [each for each in Outcome if each is Outcome.NEW or any(tally.of(step, each) for step in Step)]
    cells: dict[str, list[object]] = {"Step": [step.capitalize() for step in Step]}
    for outcome in outcomes:
        cells[outcome.capitalize()] = [tally.of(step, outcome) for step in Step]
    for name, percent in (("p50", 50.0), ("p99", 99.0), ("Longest", 100.0)):
        cells[name] = [_took(tally.latencies[step].percentile(percent)) for step in Step]
    cells = {name: column for name, column in cells.items() if any(cell != "" for cell in column)}
    rows = list(zip(*cells.values(), strict=True))
    numbers = list(cells)[1:]
    show_table(list(cells), rows, right=numbers, whole=("Step",), spare=("Longest", "p50", "p99"))
    say("")
    show_record(_facts(result))
    _list_differences(result.findings.differences)
    say(f"\nAgain, adding nothing twice:\n  {again}")


def as_document(result: Result) -> dict[str, Any]:
    """Return the same for programs; latencies are in milliseconds."""
    tally, options, findings = result.tally, result.options, result.findings
    return {
        "seed": options.seed,
        "users": options.users,
        "threads": options.threads,
        "transactions": options.transactions,
        "interrupted": result.interrupted,
        "took_s": round(result.took_s, 3),
        "recording_s": round(tally.took_s, 3),
        "recorded_per_s": round(tally.rate, 1),
        "steps": {
            _word(step): {
                **{_word(outcome): tally.of(step, outcome) for outcome in Outcome},
                "latency_ms": tally.latencies[step].summary(),
            }
            for step in Step
        },
        "asked_again": tally.again,
        "failed": tally.reasons,
        "verdict": {
            "all_accounted_for": _accounted_for(result),
            "people": findings.people,
            "transactions": findings.transactions,
            "balances": findings.balances,
            "unknown_recorded": findings.unknown_recorded,
            "unknown_absent": findings.unknown_absent,
            **{_word(fault): count for fault, count in findings.by_fault().items()},
            "differences": [
                {"username": each.username, "fault": each.fault, "what": each.what} for each in findings.differences
            ],
        },
    }


def show_result(result: Result, again: str, *, json: bool) -> None:
    """Print a result one way or the other.

    Raises:
        Failure: something differs, failed, is not known, or was not done; the sentence says which.
    """
    if json:
        show_json(as_document(result))
    else:
        show_summary(result, again)
    if failure := _failure(result):
        raise failure


def _accounted_for(result: Result) -> bool:
    return not result.findings.differences and result.all_read


def _failure(result: Result) -> Failure | None:
    tally, findings = result.tally, result.findings
    refused = sum(tally.of(step, Outcome.REFUSED) for step in Step)
    if findings.differences:
        return Failure(f"what was sent and what is there differ: {_counted_faults(findings)}")
    if result.interrupted:
        return Failure("interrupted; the summary is of what was done until then", ExitCode.INTERRUPTED)
    if result.gave_up is not None:
        return Failure(f"given up: {result.gave_up}", result.gave_up.code)
    if refused:
        return Failure(f"{refused} failed; the summary says why", ExitCode.REFUSED)
    if findings.unknown_absent:
        return Failure(
            f"{findings.unknown_absent} transactions were sent and are not there yet; repeat the run to see them",
            ExitCode.PENDING,
        )
    return None


def _facts(result: Result) -> dict[str, object]:
    tally, findings = result.tally, result.findings
    rate = f"{tally.rate:.0f} per second ({tally.done(Step.RECORDED)} in {tally.took_s:.1f} s, {_threads(result)})"
    compared = (
        f"{_many(findings.transactions, 'transaction')} and {_many(findings.balances, 'balance')} of "
        f"{_many(findings.people, 'person', 'people')}"
    )
    unknown = f"{findings.unknown_recorded} without an answer were recorded, {findings.unknown_absent} were not (yet)"
    return {
        "Rate": rate if tally.took_s else None,
        "Took": f"{result.took_s:.1f} s",
        "Asked again": _counted(tally.again) or None,
        "Failed": "\n".join(f"{count} × {why}" for why, count in tally.reasons.items()) or None,
        "Compared": f"{compared}: {_counted_faults(findings)}",
        "Unknown": unknown if findings.unknown_recorded or findings.unknown_absent else None,
        "Verdict": _verdict(result),
    }


def _verdict(result: Result) -> Text:
    findings = result.findings
    if findings.differences:
        return Text(_many(len(findings.differences), "difference"), style="bold red")
    if result.all_read:
        return Text(ACCOUNTED_FOR, style="bold green")
    signed_in = result.tally.done(Step.SIGNED_IN)
    if not signed_in:
        return Text("nobody came so far that there is something to account for", style="bold yellow")
    return Text(f"not finished: {findings.people} of {signed_in} people were read back", style="bold yellow")


def _list_differences(differences: Sequence[Difference]) -> None:
    for each in differences[:_LISTED]:
        say(f"  {each}")
    if (more := len(differences) - _LISTED) > 0:
        say(f"  … and {more} more (--json lists all)")


def _counted_faults(findings: Findings) -> str:
    counts = findings.by_fault()
    balances = counts.pop(Fault.BALANCE)
    faults = ", ".join(f"{count or 'none'} {fault}" for fault, count in counts.items())
    return f"{faults}, {_many(balances, 'balance') if balances else 'no balance'} wrong"


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} × {what}" for what, count in counts.items())


def _threads(result: Result) -> str:
    threads = min(result.options.threads, result.options.users)
    return f"{threads} threads" if threads > 1 else "one thread"


def _took(milliseconds: float | None) -> str:
    return "" if milliseconds is None else in_ms(milliseconds)


def _word(text: str) -> str:
    return text.replace(" ", "_")
