"""Where the local stack keeps its state, its logs and what it downloaded."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import platformdirs

# Told what happens, a sentence at a time.
Say = Callable[[str], None]


class StackError(Exception):
    """The local stack cannot do what was asked; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Home:
    """The data folder of one local stack; two stacks never share one."""

    root: Path

    @classmethod
    def default(cls) -> "Home":
        """Return ``CASH_HOME``, else the user's data folder for cash-flow."""
        chosen = os.environ.get("CASH_HOME")
        return cls(Path(chosen or platformdirs.user_data_dir("cash-flow", appauthor=False)).expanduser().absolute())

    @property
    def marker(self) -> Path:
        """The file that says a folder is cash-flow's; only such a folder is filled, or emptied."""
        return self.root / ".cash-flow"

    @property
    def secrets(self) -> Path:
        """Passwords and keys."""
        return self.root / "secrets.env"

    @property
    def ports(self) -> Path:
        """The remembered ports."""
        return self.root / "ports.json"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's folder, or a link to it."""
        return self.root / "postgres"

    @property
    def kafka(self) -> Path:
        """Kafka's folder."""
        return self.root / "kafka"

    @property
    def redis(self) -> Path:
        """Redis' folder."""
        return self.root / "redis"

    @property
    def mail(self) -> Path:
        """The mailbox's Maildir."""
        return self.root / "mail"

    @property
    def logs(self) -> Path:
        """A file for each process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What the supervisor knows."""
        return self.root / "run"

    def log(self, process: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{process}.log"

    def create(self) -> None:
        """Make the folders, or raise where the root is not ours; what is private inside them has its own file modes."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check_ours()
            self.marker.touch()
            if os.geteuid() == 0:
                # To be entered, not listed, by others: PostgreSQL's user passes through.
                self.root.chmod(self.root.stat().st_mode & 0o7777 | 0o011)
            for folder in (self.redis, self.kafka, self.mail, self.logs, self.run):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise StackError(
                f"{self.root} cannot be used as data folder ({error.strerror}); set CASH_HOME to another"
            ) from error

    def check_ours(self) -> None:
        """Raise for a folder of another user, and for one that somebody filled before cash-flow came."""
        try:
            owner = self.root.stat().st_uid
            # What root makes or gives away in somebody's folder, its owner cannot use any more.
            if owner != os.geteuid():
                raise StackError(f"{self.root} belongs to uid {owner}; start as that user, or set CASH_HOME to another")
            # In this order: the marker is the first thing somebody makes who starts at the same moment.
            if any(self.root.iterdir()) and not self.marker.exists():
                raise StackError(
                    f"{self.root} holds files that are not cash-flow's; set CASH_HOME to a new or an empty folder"
                    f" (or, if an older cash-flow made it, run `touch '{self.marker}'`)"
                )
        except FileNotFoundError:
            return


def cache_folder() -> Path:
    """Return where downloads lie, shared by all stacks of this user: ``CASH_CACHE`` or the user's cache folder."""
    chosen = os.environ.get("CASH_CACHE")
    return Path(chosen or platformdirs.user_cache_dir("cash-flow", appauthor=False)).expanduser().absolute()


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a half."""
    with whole_file(path, mode) as file:
        file.write(text.encode())


@contextlib.contextmanager
def whole_file(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Lend a file that gets its name when the block ends well; otherwise nothing is left of it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, waiting for whoever has it; the kernel lets go when a holder dies."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
