"""Commands of the operator on the ledger database: check it, and make it anew from its journal."""

import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from cli.operating.operator_settings import local_settings, settings_of
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json
from infra.local.home import Home

# The rest is imported by the command that needs it, as in `stack.py`.
if TYPE_CHECKING:
    from infra.postgres.engine import Database

#: What must not record while one database takes another one's place.
_STOPPED = ("ledger-consumer", "relay")
_SAY_EVERY_S = 2.0
_ANSWER_TIMEOUT_S = 3600.0


def register(group: typer.Typer) -> None:
    """Add these commands to ``cash ledger``."""
    for command in (verify, rebuild):
        group.command()(command)


def verify(
    ledger: Annotated[
        str | None, typer.Option("--ledger", metavar="ID", help="Check this ledger only; all of them when left out.")
    ] = None,
    json: Json = False,
) -> None:
    """Check every rule that the books must keep.

    On the live data, and say what is wrong.

    Asks the ledger database itself: that of the local stack, or the one that CASH_LEDGER_DB_HOST and its companions
    name. Reads only, and nobody has to wait for it.

    Examples:
        cash ledger verify
    """
    from infra.errors import Unavailable
    from infra.postgres.ledger_checks import Finding, check_in_slices, measure

    ledger_ids = None if ledger is None else [_as_id(ledger)]

    async def check() -> tuple[int, int, list[Finding]]:
        database = _ledger_database()
        await database.start()
        try:
            total = await measure(database, ledger_ids)
            if ledger_ids is not None and total.ledgers == 0:
                fail(f"there is no ledger {ledger}; look at its id once more", ExitCode.NOT_FOUND)
            findings: list[Finding] = []
            said_at = time.monotonic()
            ledgers = entries = 0
            async for checked in check_in_slices(database, ledger_ids):
                ledgers, entries = checked.ledgers, checked.entries
                findings += checked.findings
                if not json:
                    for finding in checked.findings:
                        say(finding.sentence)
                if time.monotonic() - said_at > _SAY_EVERY_S:
                    said_at = time.monotonic()
                    note(f"{ledgers:,} of {total.ledgers:,} ledgers, {entries:,} of {total.entries:,} entries")
            return ledgers, entries, findings
        finally:
            await database.stop()

    try:
        ledgers, entries, findings = asyncio.run(check())
    except Unavailable as error:
        fail(f"the ledger database does not answer ({error.__cause__}); see `cash status`", ExitCode.UNREACHABLE)
    if json:
        show_json({"ledgers": ledgers, "entries": entries, "findings": [asdict(finding) for finding in findings]})
    elif not findings:
        say(f"All is right: {_counted(ledgers, 'ledger')}, {_counted(entries, 'journal entry', 'journal entries')}.")
    if findings:
        fail(f"{_counted(len(findings), 'finding')}; keep a copy of the data and see docs/rebuild.md")


def rebuild(
    switch_over: Annotated[
        bool,
        typer.Option(
            "--switch-over", help="Make the rebuilt database the live one; the old one is kept under another name."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Switch over even where the journal lacks entries, which are lost then.")
    ] = False,
    json: Json = False,
) -> None:
    """Make the ledger database anew from its journal, and compare.

    Beside the live one.

    Exit code 1 where they differ. Without --switch-over nothing is changed and nobody has to wait. With it the ledger
    consumer and the relay of the local stack stand still meanwhile: what people record is kept and taken afterwards.
    Elsewhere (CASH_LEDGER_POSTGRES_HOST and its companions say where) it tells which processes to stop.

    Examples:
        cash ledger rebuild
        cash ledger rebuild --switch-over
    """
    command = [sys.executable, "-m", "consumers.rebuild"]
    command += [word for word, said in (("--switch-over", switch_over), ("--force", force), ("--json", json)) if said]
    if "CASH_LEDGER_POSTGRES_HOST" in os.environ:
        raise typer.Exit(_run(command, {}))
    settings = local_settings("rebuild")
    # After it, since it says so where there is no local stack; what that needs may not be installed then.
    from infra.local.holding import let_go
    from infra.local.processes import PROJECT

    home = Home.default()
    command += ["--stop-with", shlex.join([sys.executable, "-m", "infra.local.holding"])]
    code: int = ExitCode.FAILED
    try:
        code = _run(command, {**settings, "CASH_HOME": str(home.root)}, str(PROJECT))
    finally:
        # Whatever became of it; where the database is still gone, they cannot become ready.
        running = let_go(home, _STOPPED, wait=code == ExitCode.OK)
    if running:
        note(f"Running again: {', '.join(running)}.")
    raise typer.Exit(code)


def _run(command: Sequence[str], settings: Mapping[str, str], folder: str | None = None) -> int:
    """Run a process in our place: Ctrl-C is for it, and we wait until it has cleaned up."""
    sys.stdout.flush()
    with subprocess.Popen(command, env={**os.environ, **settings}, cwd=folder) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def _as_id(typed: str) -> UUID:
    try:
        return UUID(typed)
    except ValueError:
        fail(f"'{typed}' is no id of a ledger; `cash ledger list --json` shows yours", ExitCode.USAGE)


def _ledger_database() -> "Database":
    """Return the ledger database to check: the environment's, or the local stack's."""
    from infra.postgres.engine import Database
    from infra.settings import LedgerDatabaseSettings

    # A large ledger takes longer than what people wait for.
    return Database(settings_of(LedgerDatabaseSettings), application="verify", answer_timeout_s=_ANSWER_TIMEOUT_S)
