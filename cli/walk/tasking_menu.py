"""The walk's tasks: what the system does by itself, what waits, what failed, what I asked for."""

import contextlib
from collections.abc import Callable

from cli.connection.pages import list_pages, read_pages
from cli.operating.jobs import find_jobs, run_job, show_jobs
from cli.operating.queues import look, show_queues
from cli.people.operations import find_operation, ledger_names, show_operation, show_operations
from cli.terminal.output import fail
from cli.walk.dead_letters_menu import dead_letters_menu
from cli.walk.menus import Menu, show_success
from cli.walk.questions import Back, ask_for, tell
from cli.walk.visit import Visit

_NEWEST = 20


def tasking_menu(visit: Visit) -> Menu:
    """Return the menu of what is done in the background; most of it is asked of the servers themselves."""

    def operating(action: Callable[[], object]) -> Callable[[], object]:
        def act() -> object:
            if obstacle := visit.find_obstacle():
                fail(obstacle)
            return action()

        return act

    return Menu(
        "Select an option:",
        {
            "Job schedule": operating(lambda: show_jobs(find_jobs())),
            "Queue lengths and consumer lag": operating(lambda: show_queues(look())),
            "Trigger a job now": operating(_run_job),
            "Dead letters": operating(dead_letters_menu().run),
            "My operations": lambda: _show_operations(visit),
            "Back": None,
        },
    )


def _run_job() -> None:
    names = {str(number): job.name for number, job in enumerate(find_jobs(), start=1)}
    for number, name in names.items():
        tell(f"{number}. {name}")
    ended = ask_for("Enter the job, its number or name", lambda typed: run_job(names.get(typed, typed)))
    if ended.failure:
        fail(f"{ended.job}: {ended.outcome.value}: {ended.failure}")
    show_success(f"{ended.job}: done, in {ended.seconds:.2f} s")


def _show_operations(visit: Visit) -> None:
    """Show what somebody asked for and what became of it, and one of them whole."""
    items, _ = read_pages(list_pages(visit.client, "/operations", _NEWEST))
    if not items:
        tell("You have asked for nothing yet; create a transaction.")
        return
    names = ledger_names(visit.client)
    show_operations(items, names)
    with contextlib.suppress(Back):
        whole = ask_for(
            "Enter the ID of one to see it whole (nothing goes back)", lambda typed: find_operation(visit.client, typed)
        )
        show_operation(whole, names)
