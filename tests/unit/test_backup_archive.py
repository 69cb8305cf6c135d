"""The archive: what is written is read again, and whatever is changed or missing is found."""

import io
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, dictionaries, integers, lists, text

from infra.backups.archive import ABOUT, ArchiveDamaged, ArchiveNotWritten, ArchiveReader, ArchiveWriter, opened
from infra.backups.chunks import CHUNK_BYTES, ChunkWriter, read_chunks
from infra.backups.journal import Heights, JournalRecord
from infra.backups.manifest import VERSION, About, DatabasePart, JournalPart, Manifest, TablePart

ABOUT_IT = About(UUID(int=7), datetime(2026, 11, 29, 2, 30, tzinfo=UTC), "1.2.3")
LEDGER = UUID(int=1)


def closed(archive: ArchiveWriter) -> None:
    tables = [TablePart("users", ("id", "email"), 2)]
    archive.close(
        Manifest(
            archive.about,
            [DatabasePart("users", "0001", archive.about.made_at, tables)],
            JournalPart(3),
            {"identity-consumer": {0: 12}},
            (),
            archive.members,
        )
    )


def an_archive(members: dict[str, bytes] | None = None, about: About = ABOUT_IT) -> bytes:
    stream = io.BytesIO()
    archive = ArchiveWriter(stream, about)
    for name, content in (members or {"users/users/000001": b"1\tada\n2\tbob\n", "keys": b"secret"}).items():
        archive.add_packed(name, content)
    closed(archive)
    assert archive.size == len(stream.getvalue())
    return stream.getvalue()


def read(content: bytes) -> ArchiveReader:
    archive = ArchiveReader(io.BytesIO(content), "it")
    assert list(archive.verify())
    return archive


NAMES = text("abcdefghijklmnopqrstuvwxyz_/0123456789", min_size=1, max_size=60).filter(lambda name: name[-1] != "/")


@given(dictionaries(NAMES, binary(max_size=2000), max_size=5))
@settings(max_examples=40)
def test_what_was_written_is_read(members: dict[str, bytes]) -> None:
    archive = read(an_archive(members) if members else an_archive())

    for name, content in members.items():
        assert archive.unpack(f"{name}.gz") == content
    assert archive.manifest.about == ABOUT_IT
    assert archive.manifest.database("users").rows_of("users") == 2
    assert archive.manifest.offsets == {"identity-consumer": {0: 12}}


WHOLE = an_archive()


@given(integers(0, len(WHOLE) - 1), integers(1, 255))
@settings(max_examples=300)
def test_every_changed_byte_is_found(place: int, change: int) -> None:
    changed = bytearray(WHOLE)
    changed[place] ^= change

    with pytest.raises(ArchiveDamaged):
        read(bytes(changed))


@given(integers(0, len(WHOLE) - 1))
@settings(max_examples=100)
def test_every_missing_end_is_found(size: int) -> None:
    with pytest.raises(ArchiveDamaged):
        read(WHOLE[:size])


def test_more_behind_the_end_is_found() -> None:
    with pytest.raises(ArchiveDamaged, match="does not end as it should"):
        read(WHOLE + b"\0")


def test_swapped_members_are_found() -> None:
    one, other = an_archive({"a": b"1", "b": b"2"}), an_archive({"b": b"2", "a": b"1"})
    about = one[: 512 * 2]
    assert one[:1024] == other[:1024] == about

    with pytest.raises(ArchiveDamaged, match="manifest lists"):
        read(one[: 512 * 6].replace(one[1024 : 512 * 6], other[1024 : 512 * 6]) + one[512 * 6 :])


def test_other_files_are_no_backups(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("somebody's"), io.BytesIO())
    for content in (b"", b"hello", bytes(1024), stream.getvalue()):
        path = tmp_path / "other.tar"
        path.write_bytes(content)
        with pytest.raises(ArchiveDamaged, match=r"other\.tar is no backup of cash-flow"), opened(path):
            pass


def test_a_newer_form_is_refused_by_name() -> None:
    newer = msgspec.structs.replace(ABOUT_IT, version=VERSION + 1, program="9.0")

    with pytest.raises(ArchiveDamaged, match=r"made by cash-flow 9\.0, in a form that this version does not know"):
        read(an_archive(about=newer))


def test_a_full_disk_is_no_server_that_has_gone() -> None:
    with Path("/dev/full").open("wb", buffering=0) as stream, pytest.raises(ArchiveNotWritten, match="No space left"):
        ArchiveWriter(stream, ABOUT_IT)


def test_tar_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(WHOLE)

    listed = subprocess.run(["tar", "tf", path], check=True, capture_output=True, text=True)

    assert listed.stderr == ""
    names = listed.stdout.splitlines()
    assert names[:3] == [ABOUT, "users/users/000001.gz", "keys.gz"]
    assert names[3].startswith("manifest-")


async def test_a_stream_comes_back_in_chunks_of_bounded_size() -> None:
    stream = io.BytesIO()
    archive = ArchiveWriter(stream, ABOUT_IT)
    chunks = ChunkWriter(archive, "ledger/postings")
    pieces = [bytes([number]) * 700_000 for number in range(20)]
    for piece in pieces:
        await chunks.take(piece)
    await chunks.flush()
    closed(archive)

    found = [chunk async for chunk in read_chunks(read(stream.getvalue()), "ledger/postings")]

    assert b"".join(found) == b"".join(pieces)
    assert max(map(len, found)) < CHUNK_BYTES + len(pieces[0])


def entry(sequence: int, ledger_id: UUID = LEDGER) -> JournalRecord:
    return JournalRecord(0, str(ledger_id).encode(), [], b'{"sequence": %d, "more": 1}' % sequence)


@given(lists(integers(1, 6), max_size=30))
def test_each_entry_is_next_once_and_only_behind_the_one_before(sequences: list[int]) -> None:
    heights = Heights()
    taken = [sequence for sequence in sequences if heights.is_next(entry(sequence))]

    assert taken == list(range(1, len(taken) + 1))
    assert heights.get(LEDGER, 0) == len(taken)
    assert heights.lacking({LEDGER: len(taken) + 1}) == [LEDGER]
    assert heights.lacking({LEDGER: len(taken)}) == []


def test_what_is_no_entry_is_passed_over() -> None:
    heights = Heights()

    assert not heights.is_next(JournalRecord(0, b"", [], b""))
    assert not heights.is_next(JournalRecord(0, str(LEDGER).encode(), [], b"[]"))
    assert heights == {}
