"""The filter grammar: what it reads, that it reads back what it wrote, and that nonsense is refused at its place."""

import string
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.filters import (
    DEPTH_MAX,
    LENGTH_MAX,
    TERMS_MAX,
    WORD_LENGTH_MAX,
    Amounts,
    And,
    Days,
    Field,
    Filter,
    FilterError,
    Is,
    Not,
    Or,
    Says,
    Status,
    filter_text,
    parse_filter,
    search_words,
    terms_of,
)
from contracts.transactions import TransactionKind

GROCERIES = Is(Field.CATEGORY, "Groceries")
HOLIDAY = Is(Field.TAG, "holiday")
MILK = Says("milk")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("account:Cash", Is(Field.ACCOUNT, "Cash")),
        ('category:"Eating out"', Is(Field.CATEGORY, "Eating out")),
        ("CATEGORY:Groceries", GROCERIES),
        ("payee:Café-Rossi", Is(Field.PAYEE, "Café-Rossi")),
        ("tag:holiday", HOLIDAY),
        ("external:bank:2026/1", Is(Field.EXTERNAL, "bank:2026/1")),
        ("status:Reconciled", Is(Field.STATUS, "reconciled")),
        ("currency:eur", Is(Field.CURRENCY, "EUR")),
        ("kind:transfer", Is(Field.KIND, "transfer")),
        ("milk", MILK),
        ("text:milk", MILK),
        ('"milk and bread"', Says("milk and bread")),
        ("12:30", Says("12:30")),
        ('"and"', Says("and")),
        ('"tag:x"', Says("tag:x")),
        (r'"say \"hi\" \\ there"', Says(r'say "hi" \ there')),
        (r"C:\Receipts", None),
        (r"text:C:\Receipts", Says(r"C:\Receipts")),
        ("amount:10", Amounts(Decimal(10), Decimal(10))),
        ("amount:>10", Amounts(Decimal(10), None, beyond=True)),
        ("amount:>=10.50", Amounts(Decimal("10.5"), None)),
        ("amount:<10", Amounts(None, Decimal(10), beyond=True)),
        ("amount:<=10", Amounts(None, Decimal(10))),
        ("amount:10..20", Amounts(Decimal(10), Decimal(20))),
        ("amount:10..", Amounts(Decimal(10), None)),
        ("amount:..20", Amounts(None, Decimal(20))),
        ("date:2026-03-31", Days(date(2026, 3, 31), date(2026, 3, 31))),
        ("date:2026-03", Days(date(2026, 3, 1), date(2026, 3, 31))),
        ("date:2024-02", Days(date(2024, 2, 1), date(2024, 2, 29))),
        ("date:2026", Days(date(2026, 1, 1), date(2026, 12, 31))),
        ("date:9999-12", Days(date(9999, 12, 1), date(9999, 12, 31))),
        ("date:2026-01..2026-03", Days(date(2026, 1, 1), date(2026, 3, 31))),
        ("date:2026-01-05..2026", Days(date(2026, 1, 5), date(2026, 12, 31))),
        ("date:>2026-03", Days(date(2026, 4, 1), None)),
        ("date:>=2026-03", Days(date(2026, 3, 1), None)),
        ("date:<2026-03", Days(None, date(2026, 2, 28))),
        ("date:<=2026-03", Days(None, date(2026, 3, 31))),
        ("tag:holiday milk", And((HOLIDAY, MILK))),
        ("tag:holiday AND milk", And((HOLIDAY, MILK))),
        ("tag:holiday and milk category:Groceries", And((HOLIDAY, MILK, GROCERIES))),
        ("tag:holiday OR milk", Or((HOLIDAY, MILK))),
        ("tag:holiday milk or category:Groceries", Or((And((HOLIDAY, MILK)), GROCERIES))),
        ("tag:holiday (milk or category:Groceries)", And((HOLIDAY, Or((MILK, GROCERIES))))),
        ("tag:holiday(milk)", None),
        ("-milk", Not(MILK)),
        ("--milk", Not(Not(MILK))),
        ("NOT milk tag:holiday", And((Not(MILK), HOLIDAY))),
        ("not(milk or tag:holiday)", Not(Or((MILK, HOLIDAY)))),
        ("-(milk tag:holiday)", Not(And((MILK, HOLIDAY)))),
        (" ( ( milk ) ) ", MILK),
        ("oranges", Says("oranges")),
        ("android", Says("android")),
        ("notes", Says("notes")),
        ("pay-day", Says("pay-day")),
    ],
)
def test_a_filter_is_read_as_it_is_meant(text: str, expected: Filter | None) -> None:
    if expected is None:
        with pytest.raises(FilterError):
            parse_filter(text)
    else:
        assert parse_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("", 0, "missing here"),
        ("   ", 3, "missing here"),
        ("milk tag:", 9, "Nothing stands after tag:"),
        ("milk tag: x", 9, "right behind the colon"),
        ("colour:red", 0, "There is no field colour"),
        ("milk (colour:red)", 6, "Fields are account, category"),
        ("http://x", 0, "to look for this as text, quote it"),
        ("(milk", 0, "never closed"),
        ("milk)", 4, "closes none"),
        ("()", 1, "missing here"),
        ("milk OR", 7, "missing here"),
        ("OR milk", 0, "OR stands between two"),
        ("milk AND OR tag:x", 9, "OR stands between two"),
        ("and", 0, "AND stands between two"),
        ("NOT", 3, "missing here"),
        ("milk - bread", 5, "right before what it leaves out"),
        ("milk -", 5, "right before what it leaves out"),
        ('tag:"holiday', 4, "never closed"),
        ('tag:""', 4, "between these quotation marks"),
        ('tag:" "', 4, "between these quotation marks"),
        ('tag:"a"b', 7, "Leave a space"),
        ('tag:a"b"', 5, "Leave a space"),
        ("tag:a(b)", 5, "Leave a space"),
        (r'"a\b"', 2, "backslash"),
        ('"a\\', 2, "backslash"),
        ("milk amount:ten", 12, "Write an amount as 10"),
        ("amount:-5", 7, "no sign"),
        ("amount:1,50", 7, "with a point"),
        ("amount:5EUR", 7, "no currency"),
        ("amount:20..10", 7, "ends before it begins"),
        ("amount:..", 7, "Write an amount"),
        ("amount:>", 7, "Write an amount"),
        ("amount:1...2", 7, "Write an amount"),
        ("amount:٣", 7, "Write an amount"),
        (f"amount:{'9' * 21}", 7, "Write an amount"),
        ("date:yesterday", 5, "Write a day as 2026-03-31"),
        ("date:2026-3", 5, "Write a day as 2026-03-31"),
        ("date:2026-02-30", 5, "no such day"),
        ("date:2026-13", 5, "no such day"),
        ("date:0000", 5, "no such day"),
        ("date:2026..2025", 5, "ends before it begins"),
        ("date:..", 5, "Write a day"),
        ("date:>9999", 5, "no day beyond"),
        ("date:<0001-01-01", 5, "no day beyond"),
        ("status:paid", 7, "one of pending, cleared or reconciled"),
        ("kind:loan", 5, "one of expense, income"),
        ("currency:EURO", 9, "three letters"),
        ("currency:XXX", 9, "three letters"),
        ("currency:ﬀ1", 9, "three letters"),
        ("!!!", 0, "one letter or digit"),
        ("text:...", 5, "one letter or digit"),
        ("milk\x00", 4, "control characters"),
        ("milk\ntag:x", 4, "control characters"),
        ("\ud800", 0, "control characters"),
    ],
)
def test_what_is_no_filter_is_refused_at_its_place(text: str, position: int, part: str) -> None:
    with pytest.raises(FilterError) as refused:
        parse_filter(text)

    assert (refused.value.position, part in refused.value.sentence) == (position, True), refused.value.sentence


def test_every_term_knows_its_place() -> None:
    found = parse_filter('milk (tag:x OR -category:"Eating out") amount:>10')

    assert [term.position for term in terms_of(found)] == [0, 10, 25, 46]


def test_a_filter_has_an_end() -> None:
    parse_filter("x" * LENGTH_MAX)
    parse_filter(" ".join("x" * TERMS_MAX))
    parse_filter("-" * DEPTH_MAX + "x")
    parse_filter("(" * DEPTH_MAX + "x" + ")" * DEPTH_MAX)
    for text, position in [
        ("x" * (LENGTH_MAX + 1), LENGTH_MAX),
        (" ".join("x" * (TERMS_MAX + 1)), 2 * TERMS_MAX),
        ("-" * (DEPTH_MAX + 1) + "x", DEPTH_MAX),
        ("(" * (DEPTH_MAX + 1) + "x", DEPTH_MAX),
        ("(" * 900, DEPTH_MAX),
        ("NOT " * 240, 4 * DEPTH_MAX),
    ]:
        with pytest.raises(FilterError) as refused:
            parse_filter(text)
        assert refused.value.position == position


LETTERS = st.characters(exclude_categories=["Cc", "Cs"])
VALUES = st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: not text.isspace())
DECIMALS = st.decimals(0, 10**12, places=4)
DAYS = st.dates()


TERMS: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Is, st.sampled_from([Field.ACCOUNT, Field.CATEGORY, Field.PAYEE, Field.TAG, Field.EXTERNAL]), VALUES),
    st.builds(Is, st.just(Field.STATUS), st.sampled_from(Status).map(str)),
    st.builds(Is, st.just(Field.KIND), st.sampled_from(TransactionKind).map(str)),
    st.builds(Is, st.just(Field.CURRENCY), st.sampled_from(["EUR", "JPY", "BHD"])),
    st.builds(Says, VALUES.filter(lambda text: bool(search_words(text)))),
    st.builds(Amounts, DECIMALS, st.none(), st.booleans()),
    st.builds(Amounts, st.none(), DECIMALS, st.booleans()),
    st.lists(DECIMALS, min_size=2, max_size=2).map(lambda ends: Amounts(min(ends), max(ends))),
    st.builds(Days, DAYS, st.none()),
    st.builds(Days, st.none(), DAYS),
    st.lists(DAYS, min_size=2, max_size=2).map(lambda ends: Days(min(ends), max(ends))),
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    TERMS,
    lambda parts: st.one_of(
        st.lists(parts, min_size=2, max_size=4).map(lambda each: And(tuple(each))),
        st.lists(parts, min_size=2, max_size=4).map(lambda each: Or(tuple(each))),
        parts.map(Not),
    ),
    max_leaves=8,
)


@given(FILTERS)
def test_a_filter_reads_as_it_was_written(what: Filter) -> None:
    text = filter_text(what)
    try:
        found = parse_filter(text)
    except FilterError as refused:
        # Only what is longer than anybody may type.
        assert len(text) > LENGTH_MAX or refused.sentence.startswith("Parentheses and NOT")
        return

    assert found == what
    assert filter_text(found) == text


PIECES = st.sampled_from(
    [
        "(",
        ")",
        '"',
        "-",
        " ",
        "\\",
        ":",
        "..",
        ">",
        "<=",
        "AND",
        "or",
        "not",
        "tag:",
        "amount:",
        "date:",
        "2026",
        "x",
        "é",
    ]
)


@given(st.one_of(st.text(max_size=1200), st.lists(PIECES, max_size=60).map("".join)))
@example('"\\')
@example("date:9999-12-31..")
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    try:
        found = parse_filter(text)
    except FilterError as refused:
        assert 0 <= refused.position <= len(text)
        assert refused.sentence.endswith(".")
        return
    assert parse_filter(filter_text(found)) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Milk/Bread", ["milk", "bread"]),
        ("ann@example.org", ["ann", "example", "org"]),
        ("Weekly  shop, no. 12.50", ["weekly", "shop", "no", "12", "50"]),
        ("snake_case O'Brien", ["snake", "case", "o", "brien"]),
        ("Straße ÄRGER ﬁne", ["strasse", "ärger", "fine"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("東京・大阪", ["東京", "大阪"]),
        ("…", []),
        ("", []),
        (None, []),
        ("x" * 300, ["x" * WORD_LENGTH_MAX]),
    ],
)
def test_words_are_cut_where_people_see_their_ends(text: str | None, words: list[str]) -> None:
    assert search_words(text) == words


@given(st.text(LETTERS, max_size=40), st.text(string.printable, max_size=40))
def test_the_words_of_texts_are_the_words_of_each(one: str, other: str) -> None:
    assert search_words(one, None, other) == search_words(one) + search_words(other)
    assert all(word and not word.isspace() for word in search_words(one))
