"""Commands of backups: make one while the system runs, look whether it is whole, make a system from it again."""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

from cli.operating.operator_settings import is_elsewhere, quiet_kafka, settings_of
from cli.terminal.output import ExitCode, Failure, Json, fail, note, say, show_json, show_table
from cli.terminal.prompts import confirm
from cli.terminal.whole_files import whole_file
from infra.backups.losses import Lost
from infra.local.home import Home

# The rest is imported by the command that needs it, as in `stack.py`.
if TYPE_CHECKING:
    from infra.backups.archive import ArchiveReader
    from infra.backups.making import Servers
    from infra.backups.manifest import Manifest
    from infra.backups.restoring import Outcome

T = TypeVar("T")

STANDARD = "-"
_SAY_EVERY_S = 2.0
_PREFIX, _SUFFIX = "cash-flow-", ".tar"

ArchiveFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup; - reads it from standard input.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    group = typer.Typer(help="Keep a copy of everything the system knows; bring it back.")
    for command in (create, verify, restore):
        group.command()(command)
    group.command("list")(list_backups)
    app.add_typer(group, name="backup")


def create(
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A new file, a folder to put one in, or - for standard output."),
    ],
    keep: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="In a folder: keep the newest N backups and delete older ones."),
    ] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave out the keys of the local stack; keep them elsewhere.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a backup of the whole system while it runs.

    Both databases, the journal and, of the local stack, its keys. Whoever reads the file reads everything: addresses,
    password hashes, transactions. Encrypt what you give away, for example with age.

    Of the local stack, or of the servers that CASH_KAFKA_BOOTSTRAP_SERVERS, CASH_USERS_DB_HOST, CASH_LEDGER_DB_HOST
    and their companions name.

    Examples:
        cash backup create monday.tar
        cash backup create /mnt/backups --keep 14
        cash backup create - | age -p > monday.tar.age
    """
    from infra.backups.archive import ArchiveNotWritten
    from infra.backups.making import BackupFailed, make

    if keep is not None and not target.is_dir():
        fail("--keep is for a folder; name one that is there", ExitCode.USAGE)
    servers = _servers("operator")
    keys = {} if without_keys else _local_keys()
    began_at = time.monotonic()
    try:
        with _written(target) as (stream, path):
            manifest, size = _run(make(servers, stream, keys, note))
    except BackupFailed as error:
        fail(str(error))
    except (ArchiveNotWritten, OSError) as error:
        # The second where the rest of a file could not be written when it was closed.
        fail(f"the backup could not be written ({error}); make room, or name another place")
    told = _told(manifest, size) | {"file": path and str(path), "seconds": round(time.monotonic() - began_at, 1)}
    for ledger_id in manifest.journal.lacking[:3]:
        note(f"The journal lacks the last entries of ledger {ledger_id}; see docs/rebuild.md.")
    deleted = _delete_older(target, keep) if keep else []
    if target == Path(STANDARD):
        note(f"{_sentence(manifest, size)}.")
    elif json:
        show_json(told | {"deleted": [str(each) for each in deleted]})
    else:
        say(f"{path}: {_sentence(manifest, size)}.")
        say("It opens everything; keep it where only you can read it.")
        for each in deleted:
            say(f"Deleted {each}.")


def verify(file: ArchiveFile, json: Json = False) -> None:
    """Read every byte of a backup; show what is in it.

    Exit code 1 where it is damaged or cut short. It shows that the file is as it was written, which a restore begins
    with, too; that it can be restored, only a restore shows (docs/backup.md has the drill).

    Examples:
        cash backup verify monday.tar
    """
    with _opened(file) as archive:
        _verify(archive)
        manifest, size = archive.manifest, archive.size
    if json:
        show_json(_told(manifest, size))
        return
    say(f"{file} is whole: {_sentence(manifest, size)}.")
    rows = [[part.name, table.name, table.rows] for part in manifest.databases for table in part.tables if table.rows]
    show_table(["database", "table", "rows"], rows, right=["rows"])


def list_backups(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where backups are.")], json: Json = False
) -> None:
    """List the backups in a folder, the newest first.

    Only the end of each is read; `cash backup verify` reads it whole.

    Examples:
        cash backup list /mnt/backups
    """
    from infra.backups.archive import ArchiveDamaged, opened

    if not folder.is_dir():
        fail(f"there is no folder '{folder}'", ExitCode.NOT_FOUND)
    found: list[dict[str, object]] = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            with opened(path) as archive:
                found.append({"file": path.name, **_told(archive.manifest, archive.size), "problem": None})
        except (ArchiveDamaged, OSError) as error:
            found.append({"file": path.name, "bytes": path.stat().st_size, "problem": str(error)})
    found.sort(key=lambda each: str(each.get("made_at", "")), reverse=True)
    if json:
        show_json({"items": found})
        return
    columns = ["file", "made at", "users", "transactions", "MB", ""]
    rows = [
        [
            each["file"],
            each.get("made_at"),
            each.get("users"),
            each.get("transactions"),
            _megabytes(each),
            each["problem"],
        ]
        for each in found
    ]
    show_table(columns, rows, right=["users", "transactions", "MB"], whole=["made at"])


def restore(
    file: ArchiveFile,
    only: Annotated[
        Lost | None,
        typer.Option(
            help="What alone was lost: users (Kafka is still there), or journal (Kafka is gone, databases are there)."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what the system has first; without it, it must be empty.")
    ] = False,
    keep_sessions: Annotated[
        bool,
        typer.Option(
            "--keep-sessions", help="Leave people signed in, as they were; without it everybody signs in anew."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Make a system from a backup again.

    The system must be empty (or --replace) and at rest. The local stack is started and stopped as needed; elsewhere
    stop every process first, and have the tables and topics made. Killed or failed on the way, run it again.

    A ledger database that alone was lost needs no backup: `cash ledger rebuild --switch-over` loses nothing.

    Examples:
        cash backup restore monday.tar
        cash backup restore monday.tar --only users
        cash backup restore - --yes < monday.tar
    """
    from infra.backups.restoring import Options

    with _opened(file) as archive:
        _verify(archive)
        lost = f"Delete what {_place()} has{'' if only is None else f' ({only})'} and put the backup in its place?"
        if replace and not yes and not confirm(lost):
            fail("nothing was changed")
        outcome = _restore(archive, Options(only=only, replace=replace, keep_sessions=keep_sessions))
    for warning in outcome.warnings:
        note(f"warning: {warning}")
    if json:
        show_json(
            {
                "rows": outcome.rows,
                "entries": outcome.entries,
                "ledgers": outcome.ledgers,
                "seconds": round(outcome.seconds, 1),
                "warnings": outcome.warnings,
            }
        )
        return
    what = [f"{rows:,} rows of {name}" for name, rows in outcome.rows.items()]
    what += [f"{outcome.entries:,} entries of the journal"] if only != "users" else []
    say(f"Restored in {outcome.seconds:.1f} s: {', '.join(what)}.")
    say("Look at it with `cash ledger verify`, then compare it with its journal: `cash ledger rebuild`.")


def _restore(archive: "ArchiveReader", options: Any) -> "Outcome":
    """Restore into the system that the environment names, or into the local stack, which is brought to rest for it."""
    from infra.backups.archive import ArchiveDamaged
    from infra.backups.restoring import Restore, RestoreFailed

    with contextlib.ExitStack() as entered:
        rest = None
        if not is_elsewhere():
            from cli.operating.local_rest import at_rest

            rest = entered.enter_context(at_rest({} if options.only == "journal" else _keys_of(archive)))
        try:
            outcome = _run(Restore(_servers("restore"), archive, options, note).run())
        except (RestoreFailed, ArchiveDamaged) as error:
            if rest:
                # Each says so before anything was changed, but for an archive that changes while it is read.
                rest.is_over = isinstance(error, RestoreFailed)
            fail(str(error))
        if rest:
            rest.is_over = True
        return outcome


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run work on the servers; fail with a sentence where one does not answer."""
    import uvloop

    from infra.errors import Unavailable

    quiet_kafka()
    try:
        return uvloop.run(work)
    except Unavailable as error:
        why = f"{error} ({error.__cause__})" if error.__cause__ else str(error)
        raise Failure(
            f"a server does not answer, or refuses: {why}; then run this again", ExitCode.UNREACHABLE
        ) from None


def _servers(process: str) -> "Servers":
    from infra.backups.making import Servers
    from infra.settings import KafkaSettings, LedgerDatabaseSettings, UsersDatabaseSettings

    return Servers(
        users=settings_of(UsersDatabaseSettings, process),
        ledger=settings_of(LedgerDatabaseSettings, process),
        kafka=settings_of(KafkaSettings, process),
    )


def _local_keys() -> Mapping[str, str]:
    """Return the keys of the local stack; those of a system elsewhere are not an operator's to read."""
    if is_elsewhere():
        return {}
    from infra.deployment.secrets import DATA_KEYS
    from infra.local.secrets import read_secrets

    secrets = read_secrets(Home.default())
    return {name: secrets[name] for name in DATA_KEYS}


def _keys_of(archive: "ArchiveReader") -> dict[str, str]:
    import msgspec

    from infra.backups.making import KEYS

    return msgspec.json.decode(archive.read(KEYS), type=dict[str, str]) if archive.manifest.keys else {}


def _place() -> str:
    return "the system" if is_elsewhere() else f"the stack in {Home.default().root}"


@contextlib.contextmanager
def _written(target: Path) -> Iterator[tuple[BinaryIO, Path | None]]:
    """Lend what to write a backup to, and its path; a file gets its name when it is whole."""
    if target == Path(STANDARD):
        if sys.stdout.isatty():
            fail("a backup is nothing to look at; send it to a file or a program: cash backup create - > FILE")
        yield sys.stdout.buffer, None
        return
    path = target / f"{_PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}{_SUFFIX}" if target.is_dir() else target
    with whole_file(path) as stream:
        yield stream, path


@contextlib.contextmanager
def _opened(file: Path) -> Iterator["ArchiveReader"]:
    """Open a backup; what comes from standard input is put aside first, since it is read twice."""
    from infra.backups.archive import ArchiveDamaged, ArchiveReader, opened

    try:
        if file == Path(STANDARD):
            with tempfile.TemporaryFile() as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream)
                yield ArchiveReader(stream, "standard input")
        else:
            with opened(file) as archive:
                yield archive
    except ArchiveDamaged as error:
        fail(str(error))
    except FileNotFoundError:
        fail(f"there is no file '{file}'", ExitCode.NOT_FOUND)
    except OSError as error:
        fail(f"'{file}' cannot be read ({error.strerror})")


def _verify(archive: "ArchiveReader") -> None:
    said_at = time.monotonic()
    for read in archive.verify():
        if time.monotonic() - said_at > _SAY_EVERY_S:
            said_at = time.monotonic()
            note(f"{read / 1e6:,.0f} of {archive.size / 1e6:,.0f} MB are as they were written")


def _delete_older(folder: Path, keep: int) -> list[Path]:
    """Delete the backups that were put into a folder before the newest ones; what has another name stays."""
    older = sorted(folder.glob(f"{_PREFIX}*Z{_SUFFIX}"), reverse=True)[keep:]
    for path in older:
        path.unlink()
    return older


def _told(manifest: "Manifest", size: int) -> dict[str, object]:
    users, ledger = manifest.database("users"), manifest.database("ledger")
    return {
        "id": str(manifest.about.id),
        "made_at": manifest.about.made_at.isoformat(timespec="seconds"),
        "program": manifest.about.program,
        "bytes": size,
        "revisions": {part.name: part.revision for part in manifest.databases},
        "users": users.rows_of("users"),
        "ledgers": ledger.rows_of("ledgers"),
        "transactions": ledger.rows_of("transactions"),
        "entries": manifest.journal.records,
        "keys": list(manifest.keys),
        "lacking": list(manifest.journal.lacking),
    }


def _sentence(manifest: "Manifest", size: int) -> str:
    told = _told(manifest, size)
    ones = {"users": "user", "ledgers": "ledger", "transactions": "transaction", "entries": "journal entry"}
    many = {**{name: name for name in ones}, "entries": "journal entries"}
    counts = [f"{told[name]:,} {one if told[name] == 1 else many[name]}" for name, one in ones.items()]
    with_keys = "with keys" if manifest.keys else "without keys"
    return f"{', '.join(counts)}, {with_keys}; {size / 1e6:,.1f} MB"


def _megabytes(told: Mapping[str, object]) -> str:
    return f"{int(str(told['bytes'])) / 1e6:,.1f}"
