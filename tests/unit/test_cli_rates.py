"""Commands of exchange rates without a server: a file is sent as a whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.books.rates import read_rates
from cli.terminal.output import ExitCode
from tests.builders.api import Api, a_page, an_api, cells

HEADER = "date,currency,quote,rate"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as api:
        yield api.on("POST", "rates", a_page())


def a_file(folder: Path, *lines: str, header: str = HEADER) -> str:
    file = folder / "rates.csv"
    file.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return str(file)


def test_a_rate_is_entered_and_taken_away(api: Api) -> None:
    assert api.cash("rates", "add", "usd", "EUR", "0.92", "--date", "2026-03-01").out == (
        "From 2026-03-01 on, 1 USD is 0.92 EUR.\n"
    )
    assert "no rate of USD in EUR of 2026-03-01 any more" in (
        api.cash("rates", "remove", "USD", "eur", "--date", "2026-03-01").out
    )
    rate = {"currency": "USD", "quote": "EUR", "date": "2026-03-01"}
    assert api.sent("POST") == [{"rates": [{**rate, "rate": "0.92"}]}, {"rates": [{**rate, "rate": None}]}]


def test_rates_are_listed(api: Api) -> None:
    rate = {"currency": "USD", "quote": "EUR", "date": "2026-03-01", "rate": "0.92"}
    api.on("GET", "rates", a_page(rate, next_cursor=None))

    assert cells(api.cash("rates", "list", "--currency", "usd").out)[1] == ["2026-03-01", "USD", "0.92", "EUR"]
    assert api.asked() == {"limit": "20", "currency": "USD"}
    api.on("GET", "rates", a_page())
    assert "No rates were entered" in api.cash("rates", "list").out


def test_a_file_is_sent_in_parts_whose_content_is_their_key(api: Api, tmp_path: Path) -> None:
    lines = [f"2026-{month:02d}-{day:02d},USD,EUR,0.9{day:02d}" for month in range(1, 13) for day in range(1, 29)]
    lines += [f"2027{line[4:]}" for line in lines]
    file = a_file(tmp_path, *lines)

    first = api.cash("rates", "import", file)
    again = api.cash("rates", "import", "-", lines=Path(file).read_text())

    assert first.out == again.out == "Entered 672 rates from 2026-01-01 to 2027-12-28.\n"
    assert [len(body["rates"]) for body in api.sent("POST")] == [500, 172, 500, 172]
    keys = [request.headers["Idempotency-Key"] for request in api.requests]
    assert keys[:2] == keys[2:]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n2026-03-01,usd,EUR,0.92\n",
        f"{HEADER}\r\n2026-03-01,USD,EUR,0.92\r\n\r\n",
        'rate,QUOTE,"Currency",date\n0.92,EUR,USD,2026-03-01',
        f"{HEADER}\n 2026-03-01 , USD, EUR , 0.92\n2026-03-01,USD,EUR,0.92\n",
    ],
)
def test_files_differ_in_what_does_not_matter(text: str) -> None:
    rate = {"date": "2026-03-01", "currency": "USD", "quote": "EUR", "rate": "0.92"}
    assert read_rates(iter(text.splitlines(keepends=True))) == ([rate], [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2026-03-01,USD,EUR", "there are 3 values instead of 4"),
        ("2026-03-01,USD,EUR,0,92", "there are 5 values instead of 4"),
        ("01.03.2026,USD,EUR,0.92", "'01.03.2026' is not a day like 2026-03-31"),
        ("2026-02-30,USD,EUR,0.92", "'2026-02-30' is not a day like 2026-03-31"),
        ("20260301,USD,EUR,0.92", "'20260301' is not a day like 2026-03-31"),
        ("2026-03-01,ZZZ,EUR,0.92", "'ZZZ' is not a currency of ISO 4217"),
        ("2026-03-01,USD,,0.92", "'' is not a currency of ISO 4217"),
        ("2026-03-01,USD,usd,1", "the two currencies are the same"),
        ("2026-03-01,USD,EUR,0.00", "'0.00' is not a rate"),
        ("2026-03-01,USD,EUR,-1", "'-1' is not a rate"),
        ("2026-03-01,USD,EUR,1e3", "'1e3' is not a rate"),
        ("2026-01-01,USD,EUR,0.93", "line 2 has another rate for the same day"),
        ('2026-03-01,USD,EUR,"0.92', "not readable as CSV"),
    ],
)
def test_every_line_that_is_wrong_is_named_and_nothing_is_sent(api: Api, tmp_path: Path, line: str, said: str) -> None:
    file = a_file(tmp_path, "2026-01-01,USD,EUR,0.92", "x", line)

    ended = api.cash("rates", "import", file)

    assert (ended.code, ended.out, api.requests) == (ExitCode.USAGE, "", [])
    first, second, error = ended.err.splitlines()
    assert first == "line 3: there are 1 values instead of 4"
    assert second.startswith(f"line 4: {said}")
    assert error == "error: nothing was sent: correct the 2 lines named above"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: the header is date,currency,quote,rate"),
        (b"2026-03-01,USD,EUR,0.92\n", "line 1: the header is date,currency,quote,rate"),
        (b"date;currency;quote;rate\n", "line 1: the header is date,currency,quote,rate"),
        (HEADER.encode(), "there is no rate in"),
        (b"\xff\xfe", "is not text in UTF-8"),
    ],
)
def test_a_file_of_something_else_is_refused(api: Api, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "rates.csv").write_bytes(content)

    ended = api.cash("rates", "import", str(tmp_path / "rates.csv"))

    assert ended.code == ExitCode.USAGE
    assert said in ended.err
    assert api.requests == []


def test_a_byte_order_mark_is_no_part_of_the_header(api: Api, tmp_path: Path) -> None:
    file = a_file(tmp_path, "2026-03-01,USD,EUR,0.92", header=f"\ufeff{HEADER}")

    assert api.cash("rates", "import", file).code == ExitCode.OK
    assert api.cash("rates", "import", str(tmp_path / "none.csv")).err.startswith("error: ")


def test_an_import_that_was_cut_says_that_it_may_be_repeated(api: Api, tmp_path: Path) -> None:
    api.on("POST", "rates", httpx.ReadTimeout("slow"))

    ended = api.cash("rates", "import", a_file(tmp_path, "2026-03-01,USD,EUR,0.92"))

    assert ended.code == ExitCode.UNREACHABLE
    assert "look with `cash rates list`, or repeat the command" in ended.err
