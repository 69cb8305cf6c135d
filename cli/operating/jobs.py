"""Commands of jobs: when each is asked for, how its last runs ended, and asking for one now."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cli.operating.operator_settings import settings_of
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json, show_table

if TYPE_CHECKING:
    from redis import Redis

    from infra.redis.jobs import Beat, Run

_COLOURS = {"done": "green", "unavailable": "yellow", "failed": "bold red"}
_ASK_EVERY_S = 0.1
#: Beat ticks every two seconds at least; what it should have asked for so long ago, it does not ask for.
_LATE_S = 15.0

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `cash jobs` shows it.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    app.command("jobs")(list_jobs)
    group = typer.Typer(help="Run a job now, or look at its last runs.")
    group.command("run")(run)
    group.command("show")(show)
    app.add_typer(group, name="job")


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the schedule: how often and when it is asked for next, and how its last run ended."""

    name: str
    every: str
    next_at: datetime
    last: "Run | None"


def list_jobs(json: Json = False) -> None:
    """List the jobs: how often, how the last run ended, when next.

    The outcome is done, unavailable (a server it needs was down) or failed (a defect); below the table stands why.

    Examples:
        cash jobs
        cash jobs --output json
    """
    jobs = find_jobs()
    show_json({"items": [_as_json(job) for job in jobs]}) if json else show_jobs(jobs)


def show(name: Name, json: Json = False) -> None:
    """Show the last runs of a job, the newest first.

    Examples:
        cash job show tidy
    """
    from infra.redis.jobs import list_runs

    with _redis() as redis:
        job = _pick(name, find_beats(redis))
        runs = list_runs(redis, job)
    if json:
        show_json({"items": [asdict_of(run) for run in runs]})
    elif not runs:
        say(f"{job} has not run yet, as far as is remembered.")
    else:
        show_table(
            ["Started (UTC)", "Took", "Outcome", "Why"],
            [
                (f"{run.started_at:%Y-%m-%d %H:%M:%S}", _seconds(run.seconds), _coloured(run), run.failure)
                for run in runs
            ],
            right=["Took"],
            whole=["Started (UTC)", "Outcome"],
        )


def run(
    name: Name,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for its end.")] = 30.0,
    json: Json = False,
) -> None:
    """Run a job now, beside its schedule, and wait for its end.

    It is asked for as beat asks for it: a worker takes it when it is free. Jobs may run twice; nothing happens twice.

    Examples:
        cash job run tidy
    """
    ended = run_job(name, wait_s=wait)
    if json:
        show_json(asdict_of(ended))
    elif not ended.failure:
        say(f"{ended.job}: done, in {_seconds(ended.seconds)}.")
    if ended.failure:
        fail(f"{ended.job}: {ended.outcome.value}: {ended.failure}")


def find_jobs() -> list[Job]:
    """Return the jobs of the schedule with their last runs, by name; raise ``Failure`` where Redis does not answer."""
    from infra.redis.jobs import list_runs

    with _redis() as redis:
        return [
            Job(beat.job, beat.every, beat.next_at, next(iter(list_runs(redis, beat.job, 1)), None))
            for beat in sorted(find_beats(redis), key=lambda beat: beat.job)
        ]


def show_jobs(jobs: Sequence[Job]) -> None:
    """Show jobs in a table, and below it why a last run did not end well."""
    now = datetime.now(UTC)
    show_table(
        ["Job", "Every", "Last run", "Took", "Outcome", "Next run"],
        [
            (
                job.name,
                job.every,
                job.last and f"{_span((now - job.last.started_at).total_seconds())} ago",
                job.last and _seconds(job.last.seconds),
                job.last and _coloured(job.last),
                _until((job.next_at - now).total_seconds()),
            )
            for job in jobs
        ],
        right=["Every", "Took"],
        whole=["Job", "Outcome", "Last run", "Next run"],
        spare=["Took", "Every"],
    )
    for job in jobs:
        if job.last and job.last.failure:
            note(f"{job.name}: {job.last.failure}")
    if jobs and all((now - job.next_at).total_seconds() > _LATE_S for job in jobs):
        note("Every job is overdue: does celery-beat run? See `cash status`.")


def run_job(name: str, *, wait_s: float = 30.0) -> "Run":
    """Ask for a job and return how its run ended.

    Raises:
        Failure: there is no such job, Redis does not answer, or no worker ended it in time.
    """
    from celery import Celery
    from kombu.exceptions import OperationalError

    from infra.redis.jobs import broker_settings, list_runs
    from infra.settings import RedisSettings

    with _redis() as redis:
        job = _pick(name, find_beats(redis))
        asking = Celery("cash")
        asking.conf.update(broker_settings(settings_of(RedisSettings)))
        try:
            # It is of no use to anybody who has stopped waiting; beat asks again.
            asked_as = asking.send_task(job, retry=False, expires=max(wait_s, 1.0)).id
        except (OperationalError, OSError) as error:
            fail(f"Redis does not answer ({error}); see `cash status`, then try again", ExitCode.UNREACHABLE)
        finally:
            asking.close()
        until = time.monotonic() + wait_s
        while True:
            for ended in list_runs(redis, job):
                if ended.asked_as == asked_as:
                    return ended
            if time.monotonic() > until:
                fail(
                    f"{job} was asked for, and no worker ended it in {wait_s:g} s; see `cash queues` and `cash status`",
                    ExitCode.PENDING,
                )
            time.sleep(_ASK_EVERY_S)


def find_beats(redis: "Redis") -> "list[Beat]":
    """Return the schedule; raise ``Failure`` where there is none yet."""
    from infra.redis.jobs import list_beats

    beats = list_beats(redis)
    if not beats:
        fail("no job is scheduled: celery-beat has not run here yet; see `cash status`", ExitCode.NOT_READY)
    return beats


@contextmanager
def _redis() -> "Iterator[Redis]":
    from redis.exceptions import RedisError

    from infra.redis.connection import connect_blocking
    from infra.settings import RedisSettings

    redis = connect_blocking(settings_of(RedisSettings))
    try:
        yield redis
    except (RedisError, OSError) as error:
        fail(f"Redis does not answer ({error}); see `cash status`, then try again", ExitCode.UNREACHABLE)
    finally:
        redis.close()


def _pick(typed: str, beats: "Sequence[Beat]") -> str:
    names = [beat.job for beat in beats]
    wanted = typed.strip().lower().replace("-", "_").replace(" ", "_")
    if wanted not in names:
        fail(f"there is no job '{typed}'; there are: {', '.join(sorted(names))}", ExitCode.NOT_FOUND)
    return wanted


def _as_json(job: Job) -> dict[str, Any]:
    return asdict(job) | {"last": job.last and asdict_of(job.last)}


def asdict_of(run: "Run") -> dict[str, Any]:
    """Return a run for programs."""
    import msgspec

    return msgspec.structs.asdict(run)


def _coloured(run: "Run") -> Text:
    return Text(run.outcome.value, style=_COLOURS[run.outcome.value])


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _until(seconds: float) -> str:
    if seconds >= 0:
        return f"in {_span(seconds)}"
    return f"overdue {_span(-seconds)}" if -seconds > _LATE_S else "now"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
