"""The walk from its beginning to its end: the start menu, the menus behind the login, and leaving."""

import contextlib
import threading

from cli.connection.client import Client
from cli.connection.credentials import credentials_file
from cli.environments import Environment
from cli.people.sessions import end_session
from cli.terminal.endings import ended_in_order
from cli.terminal.output import ExitCode
from cli.walk.auth_menu import auth_menu
from cli.walk.data_menu import data_menu
from cli.walk.menus import Menu, SessionOver
from cli.walk.questions import Left, complain, tell
from cli.walk.signing_in import log_in, register
from cli.walk.tasking_menu import tasking_menu
from cli.walk.transactions_menu import transactions_menu
from cli.walk.visit import Visit

#: So long somebody who leaves waits for the server to take the news.
_GOODBYE_S = 3.0


def walk(environment: Environment) -> ExitCode:
    """Lead somebody through the system until they leave; what they sign in to is over then.

    Ctrl-D and the end of standard input are a way to leave, and so is Ctrl-C, which is told by the exit code. Whoever
    closes the terminal leaves as well.

    Raises:
        Failure: nothing answers where it should begin.
    """
    client = Client(environment.server, credentials_file())
    visit = Visit(client, environment)
    code = ExitCode.OK
    with ended_in_order():
        try:
            client.greet()
            _start_menu(visit).run()
        except Left:
            tell("")
        except KeyboardInterrupt:
            tell("")
            code = ExitCode.INTERRUPTED
        finally:
            _sign_out(client)
            client.close()
    tell("Good-bye.")
    return code


def _start_menu(visit: Visit) -> Menu:
    return Menu(
        "Please choose an option:",
        {
            "Login": lambda: _walk_signed_in(visit),
            "Register": lambda: register(visit.client, visit.environment),
            "Exit": None,
        },
    )


def _walk_signed_in(visit: Visit) -> None:
    log_in(visit.client)
    menu = Menu(
        "API to test:",
        {
            "Auth": lambda: _testing("Auth", auth_menu(visit)),
            "Transactions": lambda: _testing("Transactions", transactions_menu(visit)),
            "Data Management": lambda: _testing("Data Management", data_menu(visit)),
            "Tasking": lambda: _testing("Tasking", tasking_menu(visit)),
            "Logout": None,
        },
    )
    try:
        menu.run()
    except SessionOver:
        # There is nothing left to end.
        visit.client.session = None
    else:
        _sign_out(visit.client)


def _testing(name: str, menu: Menu) -> None:
    tell(f"Testing {name} API")
    menu.run()


def _sign_out(client: Client) -> None:
    """End the session that the walk began, if there is one; a server that does not take the news is not waited for."""
    session = client.session
    if session is None:
        return
    told: list[bool] = []

    def end() -> None:
        # Whatever becomes of it, perhaps after we have left: nobody is there to be told.
        with contextlib.suppress(Exception):
            end_session(client, session.session_id)
            told.append(True)

    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    ending.join(_GOODBYE_S)
    client.session = None
    if told:
        tell(f"Signed out; {session.username}'s session is over.")
    else:
        complain("signed out here, but the server could not be told and keeps the session until it expires")
