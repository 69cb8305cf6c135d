"""Reading record batches with header names that are not UTF-8."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecordBatch

from infra.kafka.producer import Record
from infra.kafka.tolerant_records import TolerantRecords
from tests.builders.kafka import Latin1Name, a_batch


def a_record(value: bytes, *names: str) -> Record:
    return Record("anything", b"key", value, [(name, b"1") for name in names])


GOOD = [a_record(b"first", "ce_id", "ce_type"), a_record(b"second"), a_record(b"third", "naïve")]
BAD = [GOOD[0], a_record(b"odd", "ce_id", Latin1Name("café"), "ce_type"), *GOOD[1:]]


def read(reader: Any) -> list[tuple[int, bytes, list[tuple[str, bytes]]]]:
    read = []
    while reader.has_next():
        batch = reader.next_batch()
        assert batch.validate_crc()
        read += [(record.offset, record.value, record.headers) for record in batch]
    return read


@pytest.mark.parametrize("codec", [DefaultRecordBatch.CODEC_NONE, DefaultRecordBatch.CODEC_GZIP])
@pytest.mark.parametrize("place", [0, 1])
def test_a_name_that_is_not_utf_8_is_read_with_backslashes_and_all_around_it_as_it_is(codec: int, place: int) -> None:
    batches: list[Sequence[Record]] = [GOOD, GOOD]
    batches[place] = BAD
    data = bytearray()
    for records in batches:
        batch = bytearray(a_batch(records, compression=codec))
        batch[:8] = (100 * len(data)).to_bytes(8, "big")  # the base offset, which the broker gives
        data += batch

    found = read(TolerantRecords(bytes(data)))

    assert [value for _, value, _ in found] == [record.value for records in batches for record in records]
    assert len({offset for offset, _, _ in found}) == len(found)
    odd = next(headers for _, value, headers in found if value == b"odd")
    assert odd == [("ce_id", b"1"), ("caf\\xe9", b"1"), ("ce_type", b"1")]


def test_what_aiokafka_can_read_is_read_by_it() -> None:
    data = a_batch(GOOD)

    assert read(TolerantRecords(data)) == read(MemoryRecords(data))


def test_a_batch_cut_off_at_the_end_of_an_answer_waits_for_the_next_one() -> None:
    whole, cut = a_batch(BAD), a_batch(BAD)[:-1]

    records = TolerantRecords(whole + cut)

    assert len(read(records)) == len(BAD)
    assert records.size_in_bytes() == len(whole + cut)
    assert records.next_batch() is None


def test_what_is_no_batch_at_all_is_not_read() -> None:
    assert not TolerantRecords(b"").has_next()
