"""Commands of dead letters: the records that could not be taken. List them, look at one, send them again."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.days import read_day
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json
from cli.terminal.prompts import confirm
from contracts.dead_letters import DEFECT, MALFORMED, read_source
from contracts.messages import Source
from contracts.topics import IDENTITY_SUBMISSIONS, LEDGER_BULK, LEDGER_SUBMISSIONS

if TYPE_CHECKING:
    from cli.operating.dead_letter_search import Wanted

#: So many records are looked at unless somebody asks for more: some seconds.
LOOK_AT = 100_000


class SourceTopic(StrEnum):
    """The topics that have dead letters."""

    IDENTITY = IDENTITY_SUBMISSIONS.name
    LEDGER = LEDGER_SUBMISSIONS.name
    BULK = LEDGER_BULK.name


class Cause(StrEnum):
    """Why a record became a dead letter."""

    MALFORMED = MALFORMED
    DEFECT = DEFECT


class By(StrEnum):
    """What dead letters are counted by."""

    REASON = "reason"
    CAUSE = "cause"
    TOPIC = "topic"
    TYPE = "type"


TopicOption = Annotated[SourceTopic | None, typer.Option("--topic", help="Only records of this topic.")]
CauseOption = Annotated[
    Cause | None, typer.Option("--cause", help="malformed: it cannot be read or trusted; defect: our code broke on it.")
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="WORDS", help="Only those whose reason has these words.")
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="DAY", help="Only those given up since then: a day, yesterday, or a moment."),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `cash dead-letters list` shows it: topic/partition/offset.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    group = typer.Typer(help="Look at records that could not be taken; send them again.")
    group.command("list")(list_dead_letters)
    group.command("show")(show)
    group.command("replay")(replay)
    app.add_typer(group, name="dead-letters")


def list_dead_letters(
    topic: TopicOption = None,
    cause: CauseOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    by: Annotated[By | None, typer.Option("--by", help="Count them by this instead.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many.")] = 20,
    look_at: Annotated[
        int, typer.Option("--look-at", metavar="COUNT", min=0, help="Look at so many, the newest; 0 for all there are.")
    ] = LOOK_AT,
    json: Json = False,
) -> None:
    """List the records that could not be taken, the newest first.

    Each has its reason, and what became of its operation since: open (nothing yet), failed again (it was replayed, and
    there is a newer dead letter), recorded, or refused. They are kept for 30 days.

    Examples:
        cash dead-letters list
        cash dead-letters list --by reason --since yesterday
        cash dead-letters list --topic ledger.bulk --reason "grant had expired" --limit 5
    """
    from cli.operating.dead_letter_tables import kinds_as_json, letters_as_json, show_kinds, show_letters
    from cli.operating.dead_letter_views import count_letters, list_letters

    wanted = _wanted(topic, cause, reason, since)
    if by is not None:
        counted = count_letters(wanted, by, look_at=look_at or None)
        show_json(kinds_as_json(counted, by)) if json else show_kinds(counted, by)
    else:
        listed = list_letters(wanted, limit=limit, look_at=look_at or None)
        show_json(letters_as_json(listed)) if json else show_letters(listed)


def show(dead_letter: Id, json: Json = False) -> None:
    """Show one dead letter: the record, why, and what to do.

    A bulk grant, and what is sealed or hashed, is shown by its first letters only.

    Examples:
        cash dead-letters show ledger.submissions/3/41
    """
    from cli.operating.dead_letter_tables import letter_as_json, show_letter
    from cli.operating.dead_letter_views import open_letter

    opened = open_letter(read_id(dead_letter))
    show_json(letter_as_json(opened)) if json else show_letter(opened)


def replay(
    dead_letters: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Which, as `cash dead-letters list` shows them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that the other options leave.")] = False,
    topic: TopicOption = None,
    cause: CauseOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Send dead letters to their topic again, once mended.

    The record goes out as it was. What was recorded or refused meanwhile is left alone, so that replaying twice is
    harmless. They go a few at a time, the oldest of a partition first; when ten in a row come back, no more are sent.

    Examples:
        cash dead-letters replay ledger.submissions/3/41
        cash dead-letters replay --all --cause defect --reason ZeroDivisionError --yes
    """
    from cli.operating.replays import outcome_as_json, plan_replay, send_again, show_outcome

    if bool(dead_letters) == everything:
        fail("name dead letters by their ids, or say --all (with --topic, --cause, --reason, --since)", ExitCode.USAGE)
    if dead_letters and any((topic, cause, reason, since)):
        fail("--topic, --cause, --reason and --since go with --all, not with ids", ExitCode.USAGE)
    ids = [read_id(typed) for typed in dead_letters or ()]
    plan = plan_replay(ids or _wanted(topic, cause, reason, since))
    for sentence in plan.warnings:
        note(sentence)
    if plan.count == 0:
        show_json({"sent": 0}) if json else say("There is nothing to replay.")
        return
    if not yes and not confirm(plan.question):
        fail("nothing was sent")
    outcome = send_again(plan)
    show_json(outcome_as_json(outcome)) if json else show_outcome(outcome)
    outcome.raise_unless_good()


def read_id(typed: str) -> Source:
    """Read the id of a dead letter as somebody typed it."""
    source = read_source(typed.strip())
    if source is None:
        fail(f"'{typed}' is no id of a dead letter; it looks like ledger.submissions/3/41", ExitCode.USAGE)
    if source.topic not in tuple(SourceTopic):
        fail(f"{source.topic} has no dead letters; these have: {', '.join(SourceTopic)}", ExitCode.USAGE)
    return source


def _wanted(topic: SourceTopic | None, cause: Cause | None, reason: str | None, since: str | None) -> "Wanted":
    from cli.operating.dead_letter_search import Wanted

    now = datetime.now().astimezone()
    # A day begins where the operator is.
    moment = None if since is None else datetime.fromisoformat(read_day(since, now)).astimezone()
    topics = tuple(SourceTopic) if topic is None else (topic,)
    return Wanted(tuple(each.value for each in topics), cause and cause.value, reason, moment)
