"""Reading what a fetch brought: one header whose name is not UTF-8 must not hold up a partition.

A header's name is bytes on the wire, Kafka takes any, and aiokafka raises on one that is no text before our code sees
the record: the partition would stand still, and what was fetched with it could be passed over.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import _DefaultRecordBatchPy

#: Base offset, and the length of what follows these two: how every batch begins (Kafka protocol, Record Batch).
_BEGINNING = struct.Struct(">qi")


def tolerate_any_header_name() -> None:
    """Make every consumer of this process read header names that are not UTF-8, with backslashes for such bytes."""
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords:
    """Stands in for aiokafka's ``MemoryRecords`` in its fetcher: the batches of one partition in one answer."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first batch."""
        self._data = data
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """Return how much there is, whole batches or not."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Return whether another whole batch is there."""
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        """Return the next batch."""
        batch = self._records.next_batch()
        return None if batch is None else _TolerantBatch(batch, self._data)


class _TolerantBatch:
    """One batch; what is asked of it besides its records, aiokafka's own answers."""

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        count = 0
        try:
            for record in self._batch:
                yield record
                count += 1
        except UnicodeDecodeError:
            # Read again by aiokafka's Python, which is slower but can be told how to decode.
            batch = _DefaultRecordBatchPy(self._bytes())
            batch._maybe_uncompress()
            batch._buffer = _Lenient(batch._buffer)
            yield from islice(batch, count, None)

    def _bytes(self) -> bytes:
        at = 0
        while True:
            base_offset, length = _BEGINNING.unpack_from(self._data, at)
            end = at + _BEGINNING.size + length
            if base_offset == self._batch.base_offset:
                return self._data[at:end]
            at = end


class _Lenient(bytearray):
    """Bytes whose parts decode whatever is in them."""

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        return _Lenient(part) if isinstance(place, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
