"""The commands of backups where no server is needed: looking at files, and what is typed wrongly."""

import io
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from cli.operating.backups import _delete_older
from cli.terminal.output import ExitCode
from infra.backups.archive import ArchiveWriter
from infra.backups.manifest import About, DatabasePart, JournalPart, Manifest, TablePart
from tests.builders.terminal import Terminal

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal({"CASH_HOME": str(tmp_path / "home"), "CASH_CONFIG_HOME": str(tmp_path / "config")})


def an_archive(path: Path, made_at: datetime = NOON) -> Path:
    with path.open("wb") as stream:
        archive = ArchiveWriter(stream, About(UUID(int=7), made_at, "1.2.3"))
        archive.add_packed("users/users/000001", b"1\tada\n")
        parts = [
            DatabasePart("ledger", "0001", made_at, [TablePart("transactions", ("id",), 1234)]),
            DatabasePart("users", "0001", made_at, [TablePart("users", ("id", "name"), 1)]),
        ]
        archive.close(Manifest(archive.about, parts, JournalPart(1300), {}, (), archive.members))
    return path


def test_a_whole_backup_is_shown(terminal: Terminal, tmp_path: Path) -> None:
    ended = terminal.cash("backup", "verify", str(an_archive(tmp_path / "monday.tar")))

    assert ended.code == ExitCode.OK
    assert "is whole: 1 user, 0 ledgers, 1,234 transactions, 1,300 journal entries, without keys" in ended.out
    shown = terminal.cash("backup", "verify", str(tmp_path / "monday.tar"), "--json").json
    assert (shown["id"], shown["users"], shown["transactions"]) == (str(UUID(int=7)), 1, 1234)


def test_a_damaged_backup_is_no_backup(terminal: Terminal, tmp_path: Path) -> None:
    path = an_archive(tmp_path / "monday.tar")
    content = bytearray(path.read_bytes())
    content[1540] ^= 1
    path.write_bytes(content)

    for words in (("verify", str(path)), ("restore", str(path), "--yes")):
        ended = terminal.cash("backup", *words)
        assert ended.code == ExitCode.FAILED
        assert "monday.tar is damaged" in ended.err
    # It was refused before anything was started for it.
    assert not (tmp_path / "home").exists()


def test_backups_of_a_folder_are_listed_newest_first_damaged_ones_too(terminal: Terminal, tmp_path: Path) -> None:
    an_archive(tmp_path / "old.tar", NOON.replace(day=1))
    an_archive(tmp_path / "new.tar")
    (tmp_path / "half.tar").write_bytes((tmp_path / "new.tar").read_bytes()[:3000])

    items = terminal.cash("backup", "list", str(tmp_path), "--json").json["items"]

    assert [item["file"] for item in items] == ["new.tar", "old.tar", "half.tar"]
    assert [item["problem"] is None for item in items] == [True, True, False]
    assert "cut short" in terminal.cash("backup", "list", str(tmp_path)).out


def test_the_newest_are_kept_and_what_has_another_name(tmp_path: Path) -> None:
    names = [f"cash-flow-2026112{day}T021700Z.tar" for day in range(5)]
    for name in (*names, "monday.tar", "cash-flow-notes.tar"):
        (tmp_path / name).touch()

    deleted = _delete_older(tmp_path, 2)

    assert {path.name for path in deleted} == set(names[:3])
    assert {path.name for path in tmp_path.iterdir()} == {*names[3:], "monday.tar", "cash-flow-notes.tar"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create", "here.tar", "--keep", "3"), ExitCode.USAGE, "--keep is for a folder"),
        (("create", "here.tar"), ExitCode.NOT_READY, "the local stack is not running"),
        (("verify", "nowhere.tar"), ExitCode.NOT_FOUND, "there is no file 'nowhere.tar'"),
        (("list", "nowhere"), ExitCode.NOT_FOUND, "there is no folder 'nowhere'"),
    ],
)
def test_what_cannot_be_done_is_said(
    terminal: Terminal,
    words: tuple[str, ...],
    code: ExitCode,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    ended = terminal.cash("backup", *words)

    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert not (tmp_path / "here.tar").exists()


def test_a_backup_is_read_from_a_pipe(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = an_archive(tmp_path / "monday.tar").read_bytes()

    class Pipe(io.StringIO):
        buffer = io.BytesIO(content)

    monkeypatch.setattr(io, "StringIO", lambda *_: Pipe())

    ended = terminal.cash("backup", "verify", "-")

    assert ended.code == ExitCode.OK, ended.err
