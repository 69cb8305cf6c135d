"""Exports and the copy of one's data without a server: whole files or none, and what stands in them."""

import csv
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from cli.terminal.output import ExitCode, Failure
from cli.terminal.whole_files import whole_file
from tests.builders.api import (
    ACCOUNT,
    LEDGER,
    TRANSACTION,
    Api,
    a_change,
    a_page,
    a_problem,
    a_transaction,
    an_account,
    an_api,
)
from tests.builders.beancount import load

FOOD = "aaaaaaaa-0000-4000-8000-000000000002"
CASH = {"id": ACCOUNT, "name": "Cash"}


def a_split(number: int) -> dict[str, Any]:
    postings = [
        {"source": CASH, "destination": {"id": FOOD, "name": name}, "amount": amount, "currency": "EUR"}
        for name, amount in (("Food", "12.30"), ("Food", "30.00"))
    ]
    tags = ["holiday", 'with "marks", and a comma']
    return a_transaction(id=f"{TRANSACTION[:-1]}{number}", postings=postings, tags=tags, description="=1+1\u2028x")


PAGES = a_page(a_split(1), a_split(2), next_cursor="more"), a_page(a_transaction())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def api(tmp_path: Path, folder: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        api.on("GET", "accounts", {"items": [an_account("Cash")]})
        api.on("GET", f"accounts/{FOOD}", an_account("Food", id=FOOD, kind="expense", currency=None))
        # The account of the usual transaction's category has the id of Cash.
        api.on("GET", "transactions", *PAGES)
        yield api


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_csv_has_a_line_for_each_posting_and_comes_back_as_it_was(api: Api, folder: Path) -> None:
    ended = api.cash("export", "books.csv")

    assert (ended.out, ended.err) == ("", "3 transactions written to books.csv.\n")
    with (folder / "books.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["transaction"], row["posting"], row["amount"]) for row in rows[:3]] == [
        (f"{TRANSACTION[:-1]}1", "1", "12.30"),
        (f"{TRANSACTION[:-1]}1", "2", "30.00"),
        (f"{TRANSACTION[:-1]}2", "1", "12.30"),
    ]
    assert len(rows) == 5
    assert next(csv.reader([rows[0]["tags"]])) == a_split(1)["tags"]
    assert (rows[0]["description"], rows[4]["tags"], rows[4]["payee"]) == ("=1+1\u2028x", "", "")
    assert mode_of(folder / "books.csv") == 0o600


def test_json_is_one_document_as_the_api_answers(api: Api) -> None:
    document = api.cash("export", "-", "--format", "json").json

    assert document["ledger"]["id"] == LEDGER
    assert document["transactions"] == [a_split(1), a_split(2), a_transaction()]


def test_an_account_that_is_new_since_the_beginning_is_asked_for(api: Api) -> None:
    api.on("GET", "transactions", a_page(a_split(1)))

    directives, errors = load(api.cash("export", "--format", "beancount").out)

    assert errors == []
    assert len(directives) == 3


@pytest.mark.parametrize(
    ("name", "begins"), [("b.journal", ";"), ("b.BEAN", "option"), ("b.json", "{"), ("b", "trans")]
)
def test_the_name_says_the_format(api: Api, folder: Path, name: str, begins: str) -> None:
    assert api.cash("export", name).code == ExitCode.OK
    assert (folder / name).read_text("utf-8").startswith(begins)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), None),
        (("-", "milk"), "milk"),
        (("category:Eating out", "milk"), 'category:"Eating out" milk'),
        (("-", "--filter", "milk OR bread", "date:2026"), "(milk OR bread) (date:2026)"),
    ],
)
def test_what_follows_the_file_is_a_filter_and_so_is_a_first_word_that_says_so(
    api: Api, folder: Path, words: tuple[str, ...], wanted: str | None
) -> None:
    api.on("GET", "transactions", a_page())

    assert api.cash("export", *words).code == ExitCode.OK

    assert (api.asked().get("filter"), api.asked()["sort"]) == (wanted, "date")
    assert list(folder.iterdir()) == []


def test_a_filter_that_is_wrong_is_pointed_at_and_leaves_no_file(api: Api, folder: Path) -> None:
    errors = [{"field": "filter", "detail": "No.", "position": 7}]
    api.on("GET", "transactions", a_problem(400, "No.", errors=errors))

    ended = api.cash("export", "x.csv", "amount:>x")

    assert ended.err.startswith("amount:>x\n       ^\n")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "failing", [httpx.ReadError("cut"), KeyboardInterrupt(), OSError(28, "No space left on device")]
)
@pytest.mark.parametrize("words", [("export", "x.csv"), ("my-data", "x.zip")])
def test_what_is_cut_leaves_nothing_and_what_was_there_stays(
    api: Api, folder: Path, failing: BaseException, words: tuple[str, ...]
) -> None:
    everything(api)
    api.on("GET", "transactions", PAGES[0], failing)
    (folder / words[1]).write_text("before")

    ended = api.cash(*words, "--force")

    assert ended.code not in (ExitCode.OK, ExitCode.DEFECT)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {words[1]: "before"}


@pytest.mark.parametrize("command", ["export", "my-data"])
@pytest.mark.parametrize("name", ["taken", "missing/x", ".", "pipe"])
def test_a_file_in_the_way_is_said_before_anything_is_asked(api: Api, folder: Path, command: str, name: str) -> None:
    (folder / "taken").write_text("before")
    os.mkfifo(folder / "pipe")

    ended = api.cash(command, name)

    assert (ended.code, ended.err.count("\n"), api.requests) == (ExitCode.USAGE, 1, [])
    assert (folder / "taken").read_text() == "before"


def test_a_folder_nobody_may_write_to_is_said(folder: Path) -> None:
    with (
        mock.patch("tempfile.mkstemp", side_effect=PermissionError(13, "Permission denied")),
        pytest.raises(Failure, match=r"cannot be written \(Permission denied\)"),
        whole_file(folder / "x"),
    ):
        pass


def test_a_link_stays_one(folder: Path) -> None:
    (folder / "target").write_text("before")
    (folder / "link").symlink_to("target")

    with whole_file(folder / "link", replace=True) as file:
        file.write(b"after")

    assert (folder / "link").is_symlink()
    assert (folder / "target").read_text() == "after"


PERSON = {
    "user": {"id": "u", "username": "ann", "email": "ann@example.org"},
    "sessions": [{"id": "s"}],
    "mails": [],
}


def everything(api: Api, role: str = "owner") -> Api:
    """Answer whatever a copy of one's data asks for."""
    ledger = {"id": LEDGER, "name": "../Ours: 🍕/x", "role": role, "base_currency": "EUR"}
    api.on("GET", "/auth/data", PERSON).on("GET", "/ledgers", {"items": [ledger]})
    api.on("GET", "/operations", a_page({"id": "o"}))
    for name in ("changes", "assertions", "rates"):
        api.on("GET", name, a_page(*([a_change(1)] if name == "changes" else [])))
    for name in ("members", *(["invitations"] if role == "owner" else [])):
        api.on("GET", name, {"items": []})
    return api


@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_a_copy_has_everything_in_it_and_says_what_each_is(api: Api, folder: Path, role: str) -> None:
    ended = everything(api, role).cash("my-data", "mine.zip", "--json")

    counts = {"ledgers": 1, "transactions": 3, "changes": 1, "operations": 1, "sessions": 1, "mails": 0}
    assert ended.json == {"file": "mine.zip", **counts}
    assert mode_of(folder / "mine.zip") == 0o600
    with zipfile.ZipFile(folder / "mine.zip") as archive:
        names = set(archive.namelist())
        read = {name: json.loads(archive.read(name)) for name in names - {"README.txt"}}
        readme = archive.read("README.txt").decode()
    of_ledger = "ledgers/Ours-x-11111111"
    lists = {"accounts", "transactions", "changes", "assertions", "rates", "members"}
    lists |= {"invitations"} if role == "owner" else set()
    assert names == {
        *("README.txt", "person.json", "operations.json", "ledgers.json"),
        *(f"{of_ledger}/{name}.json" for name in lists),
    }
    assert all(name.rpartition("/")[2] in readme for name in read)
    assert read["person.json"] == PERSON
    assert read[f"{of_ledger}/transactions.json"] == [a_split(1), a_split(2), a_transaction()]
    assert read[f"{of_ledger}/rates.json"] == []


def test_without_a_name_the_copy_is_called_after_person_and_day(api: Api, folder: Path) -> None:
    ended = everything(api).cash("my-data")

    (file,) = folder.iterdir()
    assert ended.out.startswith(f"{file.name} has what is held about you: 1 ledger, 3 transactions, 1 change")
    assert file.name.startswith("cash-flow-ann-20")
