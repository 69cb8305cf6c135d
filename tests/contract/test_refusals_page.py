"""The page of refusals lists exactly the codes there are, each with its sentence."""

import re

from contracts.export import REFUSALS, ROOT
from contracts.refusals import MEANINGS, RefusalCode

ROWS = re.findall(r"^\| `(\w+)` \| (.+) \|$", (ROOT / REFUSALS).read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_page_lists_exactly_the_codes_there_are() -> None:
    assert [code for code, _ in ROWS] == sorted(RefusalCode)
    assert set(MEANINGS) == set(RefusalCode)


def test_each_code_has_a_sentence_of_its_own() -> None:
    sentences = [sentence for _, sentence in ROWS]

    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert re.fullmatch(r"[A-Z].*[^.]\.", sentence), sentence
