"""What a run over Kafka came to, as one document: the report, the tables and the charts show what stands in it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cli.simulation.accounting import Verdict
from cli.simulation.following import Sample
from cli.simulation.kafka_run import Result
from contracts.messages import utc_text
from infra.machine import this_machine

#: Of the course of a run so many points are kept, the last of each stretch.
_POINTS_MAX = 600


def as_document(result: Result) -> dict[str, Any]:
    """Return a run for programs. Times are seconds, latencies milliseconds; moments of the course count from its begin.

    ``highest_rate`` is there where it was looked for, ``verdict`` where anything was sent.
    """
    options, verdict, stage = result.options, result.verdict, result.stage
    return {
        "simulator": "kafka",
        "started_at": utc_text(result.started_at),
        "machine": asdict(this_machine()),
        "parameters": {
            "seed": options.seed,
            "rate": options.rate if options.rate is not None else "max",
            "duration_s": options.duration_s,
            "shape": options.shape.value,
            "topic": options.road.value,
            "users": options.users,
            "ledgers": options.ledgers,
            "duplicates_percent": options.duplicates,
            "bad_percent": options.bad,
            "late_percent": options.late,
        },
        "interrupted": result.stopped,
        "ended_because": result.why_over,
        "highest_rate": _highest_rate(result),
        "throughput": _throughput(result),
        "latency_ms": stage.latencies.summary() if stage else None,
        "late_start_ms": stage.starts.summary() if stage else None,
        "latency_curve": [{"percent": percent, "ms": ms} for percent, ms in stage.latencies.curve()] if stage else [],
        "course": _course(result.samples),
        "ends": _ends(verdict) if verdict else None,
        "repeated": {"journal_entries": result.journal_repeats, "dead_letters": result.letter_repeats},
        "verdict": {
            "all_accounted_for": verdict.is_good,
            "problems": verdict.problem_count,
            "told": list(verdict.problems),
        }
        if verdict
        else None,
    }


def _highest_rate(result: Result) -> Mapping[str, Any] | None:
    if result.options.rate is not None:
        return None
    return {
        "held_per_s": result.attempts[-1].rate if result.holds else None,
        "attempts": [{**asdict(attempt), "held": attempt.held} for attempt in result.attempts],
    }


def _throughput(result: Result) -> Mapping[str, Any] | None:
    """Return what of the last stage was produced and recorded, each from its beginning to its last."""
    stage = result.stage
    samples = [each for each in result.samples if stage and each.at >= stage.began]
    if stage is None or not samples:
        return None
    # An event is sent for as long as it is to the next one.
    sending_s = stage.ended - stage.began + (1 / stage.rate if stage.sent == len(stage.schedule) else 0)
    recorded = samples[-1].recorded - stage.recorded_before
    recording_s = max(next(each.at for each in samples if each.recorded == samples[-1].recorded) - stage.began, 1e-3)
    return {
        "wanted_per_s": stage.rate,
        "sending_s": round(sending_s, 3),
        "produced_per_s": round(stage.sent / sending_s, 1) if sending_s else 0.0,
        "recording_s": round(recording_s, 3),
        "recorded_per_s": round(recorded / recording_s, 1),
        "waiting_at_most": max(each.waiting for each in samples),
        "not_taken_at_most": max(each.behind or 0 for each in samples),
    }


def _course(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    if not samples:
        return []
    step = max(1, -(-len(samples) // _POINTS_MAX))
    return [
        {
            "at_s": round(each.at - samples[0].at, 2),
            "sent": each.sent,
            "accepted": each.accepted,
            "recorded": each.recorded,
            "waiting": each.waiting,
            "not_taken": each.behind,
        }
        for each in samples[step - 1 :: step]
    ]


def _ends(verdict: Verdict) -> Mapping[str, Any]:
    counts = verdict.counts
    return {
        "planned": counts.sent + counts.not_sent,
        "sent": counts.sent,
        "recorded": counts.recorded,
        "recorded_late_events": counts.late_recorded,
        "repeats_that_added_nothing": counts.repeats,
        "refused": counts.refused,
        "refused_by_code": _by_count(counts.refusals),
        "dead_letters": counts.dead,
        "dead_letters_by_reason": _by_count(counts.dead_letters),
        "never_arrived": counts.never_arrived,
        "without_an_end": counts.open,
        "not_acknowledged_in_time": counts.unknown,
    }


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda counted: (-counted[1], counted[0])))
