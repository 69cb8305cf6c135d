"""The command that simulates people, over HTTP or straight through Kafka."""

from datetime import date
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from cli.connection.servers import UrlOption
from cli.environments import EnvironmentOption, find_environment
from cli.preferences import option
from cli.simulation.kafka_options import KafkaOptions, Road, Shape, read_rate
from cli.terminal.output import ExitCode, Json, fail

# The runs themselves are imported by the command: they bring libraries that other commands do without, and time.

USERS, TRANSACTIONS, THREADS = 10, 3, 3
KAFKA_USERS = 3
_USERS_MAX, _THREADS_MAX, _TRANSACTIONS_MAX = 10_000, 200, 20_000
#: Each is remembered until the end, and read back.
_ALL_MAX = 1_000_000
_KAFKA = "With --via kafka"


class Via(StrEnum):
    """Which way into the system."""

    HTTP = "http"
    KAFKA = "kafka"


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("sim", rich_help_panel="Try it out")(simulate)


def simulate(
    context: typer.Context,
    users: Annotated[
        int | None,
        typer.Option(
            "--users",
            "-u",
            min=1,
            max=_USERS_MAX,
            help=f"How many people. [default: {USERS}; {KAFKA_USERS} with --via kafka]",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", "-t", min=1, max=_THREADS_MAX, help="How many of them at once.")
    ] = THREADS,
    transactions: Annotated[
        int,
        typer.Option("--transactions", "-x", min=1, max=_TRANSACTIONS_MAX, help="How many transactions each records."),
    ] = TRANSACTIONS,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Repeats a run: the same people and transactions, and what is there already is not added again. "
            "A new one for each run when left out.",
        ),
    ] = None,
    environment: EnvironmentOption = None,
    url: UrlOption = None,
    via: Annotated[Via, typer.Option(help="Over HTTP as people do, or events produced straight to Kafka.")] = Via.HTTP,
    rate: Annotated[
        str, typer.Option(metavar="N", help="Events per second; max for the most it holds.", rich_help_panel=_KAFKA)
    ] = "500",
    duration: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="How long.", rich_help_panel=_KAFKA)] = 30.0,
    ledgers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Over how many ledgers.", rich_help_panel=_KAFKA)
    ] = 12,
    shape: Annotated[
        Shape, typer.Option(help="How events are spread over time and ledgers.", rich_help_panel=_KAFKA)
    ] = Shape.STEADY,
    road: Annotated[Road, typer.Option("--topic", help="Where they go.", rich_help_panel=_KAFKA)] = Road.BULK,
    duplicates: Annotated[
        float, typer.Option(metavar="PERCENT", min=0, max=100, help="Sent twice.", rich_help_panel=_KAFKA)
    ] = 0.0,
    bad: Annotated[
        float, typer.Option(metavar="PERCENT", min=0, max=100, help="Not as they should be.", rich_help_panel=_KAFKA)
    ] = 0.0,
    late: Annotated[
        float,
        typer.Option(metavar="PERCENT", min=0, max=100, help="Long after their day.", rich_help_panel=_KAFKA),
    ] = 0.0,
    report: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Write a report, .json or .html; may be repeated.", rich_help_panel=_KAFKA),
    ] = None,
    json: Json = False,
) -> None:
    """Simulate people who register and record; read it all back.

    People are made up, register, verify the mailed code, sign in and record believable transactions, THREADS of them
    at once. At the end everything that was accepted is read back and compared with what was sent: the verdict. A first
    Ctrl-C ends the run with the summary and the verdict of what was done until then, a second one leaves at once.

    With --via kafka events are produced straight to Kafka at a rate, and followed until each is accounted for.

    Examples:
      cash sim
      cash sim -u 15 -t 5 -x 20
      cash sim -u 15 -t 5 -x 20 --seed 20261128-7c1f --json
      cash sim --via kafka --rate 500 --duration 30 --report run.html
    """
    from cli.simulation.people import checked_seed, new_seed

    _refuse_options_of_the_other(context, via)
    # Their own calendar, not the system's.
    chosen_seed = new_seed(date.today()) if seed is None else checked_seed(seed)  # noqa: DTZ011
    if via is Via.KAFKA:
        from cli.simulation.kafka_run import run

        events = KafkaOptions(
            rate=_rate(rate),
            duration_s=duration,
            users=users or KAFKA_USERS,
            ledgers=ledgers,
            shape=shape,
            road=road,
            duplicates=duplicates,
            bad=bad,
            late=late,
            seed=chosen_seed,
            reports=tuple(report or ()),
            json=json,
        )
        with find_environment(environment, url) as found:
            run(events, found)
        return
    from cli.simulation.http_run import HttpOptions, HttpRun
    from cli.simulation.summary import show_result

    count = users or USERS
    if count * transactions > _ALL_MAX:
        fail(f"that is more than {_ALL_MAX:,} transactions; simulate fewer people, or less of each", ExitCode.USAGE)
    people = HttpOptions(
        users=count, threads=threads, transactions=transactions, seed=chosen_seed, repeats=seed is not None
    )
    with find_environment(environment, url) as found:
        result = HttpRun(people, found).run()
    place = "".join((f" -e {environment}" if environment else "", f" --url {quote(url)}" if url else "", option()))
    show_result(result, f"cash sim -u {count} -t {threads} -x {transactions} --seed {chosen_seed}{place}", json=json)


def _rate(typed: str) -> float | None:
    try:
        return read_rate(typed)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)


#: Options that only one way has, by the names of their parameters.
_OWN = {
    Via.HTTP: ("threads", "transactions"),
    Via.KAFKA: ("rate", "duration", "ledgers", "shape", "road", "duplicates", "bad", "late", "report"),
}


def _refuse_options_of_the_other(context: typer.Context, via: Via) -> None:
    """Refuse an option that would do nothing: who typed it expects something of it."""
    other = Via.KAFKA if via is Via.HTTP else Via.HTTP
    for name in _OWN[other]:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            fail(f"--{name.replace('road', 'topic')} goes with --via {other}", ExitCode.USAGE)
