"""What this machine remembers of a person: who is signed in where, and a registration that is not finished yet."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from cli.connection.folders import config_folder
from cli.terminal.output import fail
from infra.local.home import locked, write_whole


class Session(BaseModel):
    """A signed-in session and its tokens; ``access_expires_at`` is by this machine's clock."""

    session_id: str
    user_id: str
    username: str
    ledger_id: str
    base_currency: str
    time_zone: str
    access_token: str = Field(repr=False)
    access_expires_at: AwareDatetime
    refresh_token: str = Field(repr=False)


class PendingRegistration(BaseModel):
    """A registration that is not yet a user; ``code`` once it was accepted, since the last step needs it again."""

    registration_id: str
    email: str
    started_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    code: str | None = Field(None, repr=False)


class Remembered(BaseModel):
    """What is remembered of one server. Tokens of one server are never shown to another."""

    session: Session | None = None
    registration: PendingRegistration | None = None


class Credentials(BaseModel):
    """The whole file: what is remembered by server address, and the server last signed in to with ``--url``."""

    server: str | None = None
    servers: dict[str, Remembered] = Field(default_factory=dict)

    def at(self, url: str) -> Remembered:
        """Return what is remembered of a server, to be read or changed in place."""
        return self.servers.setdefault(url, Remembered())


_Content = TypeVar("_Content", bound=BaseModel)


class PrivateFile:
    """A small JSON file in the user's config folder that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, content: type[_Content]) -> _Content:
        """Return the content; an absent file reads as an empty one.

        Refuses a file that others can read: whoever shares the machine could have taken the tokens.
        """
        try:
            mode = self.path.stat().st_mode
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return content()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{self.path} cannot be read ({_reason(error)}); repair it, or remove it and sign in again")
        if mode & 0o077:
            fail(f"{self.path} can be read by others on this machine; close it first: chmod 600 '{self.path}'")
        try:
            return content.model_validate_json(text)
        except ValidationError:
            fail(f"{self.path} is damaged; remove it and sign in again: rm '{self.path}'")

    def write(self, content: BaseModel) -> None:
        """Replace the file as a whole, readable by its owner only."""
        try:
            self._create_folder()
            write_whole(self.path, content.model_dump_json(indent=2) + "\n")
        except OSError as error:
            fail(f"{self.path} cannot be written ({_reason(error)}); set CASH_CONFIG_HOME to a folder of yours")

    @contextlib.contextmanager
    def changing(self, content: type[_Content]) -> Iterator[_Content]:
        """Read, let the caller change, write; commands that run side by side take turns."""
        try:
            self._create_folder()
            turn = contextlib.ExitStack()
            turn.enter_context(locked(self.path.with_name(f".{self.path.name}.lock")))
        except OSError as error:
            fail(f"{self.path.parent} cannot be written ({_reason(error)}); set CASH_CONFIG_HOME to a folder of yours")
        with turn:
            before = self.read(content)
            after = before.model_copy(deep=True)
            yield after
            if after != before:
                self.write(after)

    def _create_folder(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def credentials_file() -> PrivateFile:
    """Return the file that keeps sessions and pending registrations."""
    return PrivateFile(config_folder() / "credentials.json")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
