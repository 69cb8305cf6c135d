"""The walk's dead letters: the records that could not be taken; list them, look at one, send one again."""

from cli.operating.dead_letters import LOOK_AT, read_id
from cli.walk.menus import Menu
from cli.walk.questions import Back, ask_for, ask_yes, tell
from contracts.messages import Source

_NEWEST = 20

# What reads Kafka is imported by what needs it: the walk begins without it.


def dead_letters_menu() -> Menu:
    """Return the menu of dead letters."""
    return Menu(
        "Dead letters:",
        {"List": _list_newest, "Show": _show, "Replay": _replay, "Back": None},
    )


def _list_newest() -> None:
    from cli.operating.dead_letter_search import Wanted
    from cli.operating.dead_letter_tables import show_letters
    from cli.operating.dead_letter_views import list_letters

    show_letters(list_letters(Wanted(), limit=_NEWEST, look_at=LOOK_AT))


def _show() -> None:
    from cli.operating.dead_letter_tables import show_letter
    from cli.operating.dead_letter_views import open_letter

    show_letter(open_letter(_asked_id()))


def _replay() -> None:
    from cli.operating.replays import plan_replay, send_again, show_outcome

    plan = plan_replay([_asked_id()])
    for sentence in plan.warnings:
        tell(sentence)
    if not ask_yes(plan.question, default=False):
        raise Back
    outcome = send_again(plan)
    show_outcome(outcome)
    outcome.raise_unless_good()


def _asked_id() -> Source:
    return ask_for("Enter the ID, such as ledger.submissions/3/41", read_id)
