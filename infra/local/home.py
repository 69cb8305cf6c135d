"""Where the local stack keeps its state, its logs and what it downloaded."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs


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
    def secrets(self) -> Path:
        return self.root / "secrets.env"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def mail(self) -> Path:
        return self.root / "mail"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def create(self) -> None:
        """Make the folders; what is private inside them has its own file modes.

        The root may be entered, not listed, by others: started as root, PostgreSQL runs as a user who must pass through it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o711)
            for folder in (self.redis, self.kafka, self.mail, self.logs, self.run):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise StackError(
                f"{self.root} cannot be used as data folder ({error.strerror}); set CASH_HOME to another"
            ) from error


def cache_folder() -> Path:
    """Return where downloaded servers lie, shared by all stacks of this user: ``CASH_CACHE`` or the user's cache folder."""
    chosen = os.environ.get("CASH_CACHE")
    return Path(chosen or platformdirs.user_cache_dir("cash-flow", appauthor=False)).expanduser().absolute()


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a half."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, waiting for whoever has it; the kernel lets go when a holder dies."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
