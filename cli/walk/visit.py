"""Who walks: somebody signed in, in an environment, with their own books."""

import os
from dataclasses import dataclass

from cli.books.ledger_choice import Ledger, personal_ledger
from cli.connection.client import Client
from cli.connection.servers import local_server
from cli.environments import Environment
from cli.terminal.output import Failure

#: What names an operator's servers where they are not those of the local stack.
_NAMED_BY = ("CASH_KAFKA_BOOTSTRAP_SERVERS", "CASH_REDIS_HOST", "CASH_USERS_DB_HOST", "CASH_LEDGER_DB_HOST")


@dataclass(frozen=True)
class Visit:
    """What every menu behind the login needs."""

    client: Client
    environment: Environment

    @property
    def books(self) -> Ledger:
        """The personal ledger of who is signed in."""
        return personal_ledger(self.client.remembered_session())

    def find_obstacle(self) -> str | None:
        """Return why an operator's commands would not reach this environment's servers from here, if so."""
        if self._is_local() or all(name in os.environ for name in _NAMED_BY):
            return None
        return (
            f"the servers behind {self.environment.server.url} are not reached from here, unless "
            f"{', '.join(_NAMED_BY)} and what goes with them say where they are"
        )

    def _is_local(self) -> bool:
        server = self.environment.server
        try:
            return server.local or server.url == local_server("gateway").url
        except Failure:
            return False
