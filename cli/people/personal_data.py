"""The command that saves a copy of everything that is held about a person: one ZIP file of JSON."""

import json as jsons
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.books.naming import SHORT
from cli.connection.client import Client, connect
from cli.connection.pages import list_pages
from cli.connection.servers import UrlOption
from cli.terminal.output import Json, note, say, show_json, telling_progress
from cli.terminal.whole_files import refuse_in_the_way, whole_file

Tell = Callable[[str], None]

_README = """\
What cash-flow holds about {username}, as of {moment} UTC
from {server}

person.json      your user: name, e-mail address, home currency and time zone,
                 and when you registered; every session, open and ended; the
                 mails that were sent to you; invitations of you into ledgers;
                 what you asked about yourself (signing in, another password)
                 in the last 45 days
operations.json  what you asked of ledgers in the last 45 days, and what
                 became of it
ledgers.json     the ledgers you are a member of

In ledgers/, a folder for each of them:

accounts.json      accounts and categories, closed ones too, with balances
transactions.json  every transaction that stands, the oldest day first
changes.json       who did what, the newest first; with each change how the
                   thing stood after it, so deleted and earlier versions of
                   transactions are here
assertions.json    statements that were held against the books
rates.json         exchange rates that were entered
members.json       who else reads or writes these books
invitations.json   who was invited into them, where you are their owner

Amounts are decimal text with a currency (ISO 4217), moments are UTC (RFC
3339), a null says that there is nothing. Your password and the tokens of your
sessions are not here: of both only what proves them is stored, and nobody can
read that back.
"""
#: Lists of a ledger: the file, the end of the path, and what to ask for.
_LISTS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("transactions", "/transactions", {"sort": "date"}),
    ("changes", "/changes", {}),
    ("assertions", "/assertions", {}),
    ("rates", "/rates", {}),
)


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("my-data")(save)


def save(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Where to; cash-flow-NAME-DAY.zip in this folder when left out."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Save a copy of everything that is held about you.

    One ZIP file of JSON, with a README.txt that says what each is: you, your sessions and mails, what you asked for,
    and your ledgers whole. It gets its name when all of it is there, and is readable by you only.

    Examples:
        cash my-data
        cash my-data ~/cash-flow.zip --force
    """
    with connect(url) as client:
        target = file or Path(f"cash-flow-{client.remembered_session().username}-{datetime.now(UTC):%Y-%m-%d}.zip")
        counts = save_personal_data(client, target, replace=force)
    if json:
        show_json({"file": str(target), **counts})
    else:
        # Every noun of them loses its last letter where there is one.
        found = (f"{count:,} {noun if count != 1 else noun[:-1]}" for noun, count in counts.items())
        say(f"{target} has what is held about you: {', '.join(found)}.")
        note("Whoever has the file can read all of it; keep it where only you can.")


def save_personal_data(client: Client, target: Path, *, replace: bool = False) -> dict[str, int]:
    """Save what is held about whoever is signed in as a ZIP file, and return how many there are of each kind."""
    refuse_in_the_way(target, replace=replace)
    with (
        telling_progress("asking for what is held about you") as tell,
        whole_file(target, replace=replace) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        return _save(client, _Archive(archive, tell))


class _Archive:
    """A ZIP file that is being written."""

    def __init__(self, archive: zipfile.ZipFile, tell: Tell) -> None:
        self._archive = archive
        self._tell = tell

    def add_text(self, name: str, text: str) -> None:
        """Add a text file."""
        self._archive.writestr(name, text)

    def add(self, name: str, value: object) -> None:
        """Add a JSON document."""
        self.add_text(name, jsons.dumps(value, ensure_ascii=False, indent=2) + "\n")

    def add_list(self, name: str, items: Iterable[object]) -> int:
        """Add a JSON list as its items come, one a line; return how many there were."""
        count = 0
        listed = zipfile.ZipInfo(name, datetime.now().timetuple()[:6])  # noqa: DTZ005  # ZIP has no zones
        listed.compress_type, listed.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
        with self._archive.open(listed, "w", force_zip64=True) as entry:
            for count, item in enumerate(items, start=1):
                entry.write(b"[\n" if count == 1 else b",\n")
                entry.write(jsons.dumps(item, ensure_ascii=False).encode())
                if count % 100 == 0:
                    self._tell(f"{name}: {count:,}")
            entry.write(b"\n]\n" if count else b"[]\n")
        return count


def _save(client: Client, archive: _Archive) -> dict[str, int]:
    person = client.call("GET", "/auth/data").body
    moment = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    readme = _README.format(username=person["user"]["username"], moment=moment, server=client.server.url)
    archive.add_text("README.txt", readme)
    archive.add("person.json", person)
    operations = archive.add_list("operations.json", _all(client, "/operations"))
    ledgers = client.call("GET", "/ledgers").body["items"]
    archive.add("ledgers.json", ledgers)
    counts = {"ledgers": len(ledgers), "transactions": 0, "changes": 0}
    for ledger in ledgers:
        path, folder = f"/ledgers/{ledger['id']}", f"ledgers/{_folder_name(ledger)}"
        accounts = client.call("GET", f"{path}/accounts", parameters={"closed": "true"}).body["items"]
        archive.add(f"{folder}/accounts.json", accounts)
        archive.add(f"{folder}/members.json", client.call("GET", f"{path}/members").body["items"])
        if ledger["role"] == "owner":
            archive.add(f"{folder}/invitations.json", client.call("GET", f"{path}/invitations").body["items"])
        for name, end, wanted in _LISTS:
            count = archive.add_list(f"{folder}/{name}.json", _all(client, f"{path}{end}", wanted))
            if name in counts:
                counts[name] += count
    return {**counts, "operations": operations, "sessions": len(person["sessions"]), "mails": len(person["mails"])}


def _all(client: Client, path: str, wanted: Mapping[str, str] | None = None) -> Iterator[Any]:
    for page in list_pages(client, path, None, None, wanted):
        yield from page["items"]


def _folder_name(ledger: Mapping[str, Any]) -> str:
    """Return a name that every system can unpack, and that is no other ledger's."""
    readable = re.sub(r"[^\w-]+", "-", ledger["name"])[:40].strip("-")
    return f"{readable}-{ledger['id'][:SHORT]}".lstrip("-")
