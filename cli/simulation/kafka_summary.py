"""What a run over Kafka came to, for people: speed, latencies, a chart of the lag, how events ended, the verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from cli.simulation.charts import chart
from cli.simulation.progress import in_ms
from cli.terminal.output import Output, fitting_table, say, say_bold
from infra.machine import this_machine

_CHART_LINES = 6
_CHART_WIDTH_MAX = 100


def show_summary(document: Mapping[str, Any]) -> None:
    """Print a document as people read it."""
    if document["ends"] is None:
        say("Nothing was sent.")
        return
    _show_attempts(document)
    _show_speed(document)
    _show_lag(document)
    _show_ends(document)
    _show_verdict(document)


def _show_attempts(document: Mapping[str, Any]) -> None:
    highest = document["highest_rate"]
    if highest is None:
        return
    rows = [
        (
            f"{each['rate']:,.0f}/s",
            f"{each['seconds']:.0f} s",
            f"{each['lag_s']:.1f} s",
            f"{each['growth_s']:+.1f} s",
            "yes" if each["held"] else f"no: {each['why_not']}",
        )
        for each in highest["attempts"]
    ]
    say_bold("Rates that were tried")
    _show_table(("Rate", "For", "Lag", "Growth", "Held"), rows, right=("Rate", "For", "Lag", "Growth"))
    say("")
    if highest["held_per_s"]:
        say(
            f"The highest rate held with a flat lag for {document['parameters']['duration_s']:g} s: "
            f"{highest['held_per_s']:,.0f} events per second."
        )
        say(f"On {this_machine()}; the generator on the same machine.\n")


def _show_speed(document: Mapping[str, Any]) -> None:
    throughput = document["throughput"]
    if throughput is not None:
        say(
            f"Produced {throughput['produced_per_s']:,.0f}/s for {throughput['sending_s']:.1f} s "
            f"({document['parameters']['shape']}, rate {round(throughput['wanted_per_s'], 1):,g}), "
            f"recorded {throughput['recorded_per_s']:,.0f}/s."
        )
    rows = [
        (name, *(_took(document[times][key]) for key in _PERCENTILES))
        for name, times in (("Sent to journal", "latency_ms"), ("Started late by", "late_start_ms"))
        if document[times]["max"] is not None
    ]
    if rows:
        _show_table(("From the planned moment", *_PERCENTILES), rows, right=_PERCENTILES, spare=("p99.9", "p90"))
    say("")


_PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")


def _took(milliseconds: float | None) -> str | None:
    if milliseconds is None:
        return None
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else in_ms(milliseconds)


def _show_lag(document: Mapping[str, Any]) -> None:
    course = document["course"]
    if len(course) < 2:
        return
    output = Output()
    lines = chart(
        [each["waiting"] for each in course],
        width=min(output.width, _CHART_WIDTH_MAX),
        height=_CHART_LINES,
        seconds=course[-1]["at_s"] - course[0]["at_s"],
        plain=not output.encoding.startswith("utf"),
    )
    taken = max((each["not_taken"] or 0 for each in course), default=0)
    say(f"Sent and not recorded yet (the consumer had at most {taken:,} to take):")
    for line in lines:
        say(line)
    say("")


def _show_ends(document: Mapping[str, Any]) -> None:
    ends = document["ends"]
    rows: list[tuple[object, object]] = [("Sent", f"{ends['sent']:,}"), ("Recorded once", f"{ends['recorded']:,}")]
    if ends["recorded_late_events"]:
        rows.append(("  of them late events, on their own day", f"{ends['recorded_late_events']:,}"))
    for name, total, parts in (
        ("Repeats that added nothing", "repeats_that_added_nothing", None),
        ("Refused", "refused", "refused_by_code"),
        ("Dead letters", "dead_letters", "dead_letters_by_reason"),
        ("Never arrived (not acknowledged, nowhere found)", "never_arrived", None),
        ("Without an end", "without_an_end", None),
    ):
        if ends[total]:
            rows.append((name, f"{ends[total]:,}"))
            rows += [(f"  {why}", f"{count:,}") for why, count in (ends[parts].items() if parts else ())]
    if ends["planned"] > ends["sent"]:
        rows.append(("Planned and not sent", f"{ends['planned'] - ends['sent']:,}"))
    _show_table(("Events", "Count"), rows, right=("Count",))
    repeated = document["repeated"]
    if any(repeated.values()):
        say(
            f"Came again, harmlessly: {repeated['journal_entries']:,} entries of the journal, "
            f"{repeated['dead_letters']:,} dead letters."
        )
    say("")


def _show_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str], spare: Sequence[str] = ()
) -> None:
    """Print a table as part of the whole: a pager would stop in the middle of a summary."""
    Output().print(fitting_table(columns, rows, right=right, spare=spare), soft_wrap=True)


def _show_verdict(document: Mapping[str, Any]) -> None:
    verdict = document["verdict"]
    if document["ended_because"]:
        say(f"Ended before its time: {document['ended_because']}.")
    if verdict["all_accounted_for"]:
        sentence = Text.assemble(("Verdict: every event is accounted for exactly once", "bold green"), ".")
        Output().print(sentence, soft_wrap=True)
        return
    for told in verdict["told"]:
        say(f"- {told}")
    Output().print(Text(f"Verdict: {verdict['problems']:,} not as they should be.", style="bold red"), soft_wrap=True)
