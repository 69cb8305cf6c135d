"""The archive: a tar file that is written as it comes, and read with no byte of it taken on trust.

Members are small (some megabytes, compressed one by one), so that neither side ever holds a table in memory and a
pipe will do for writing. The last member is the manifest. It lists every other one with its SHA-256, and is named after
its own; headers and padding can only be as they are written here. So whichever byte is changed or missing, it is found,
and `tar` and `zcat` can read an archive all the same.
"""

import gzip
import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from infra.backups.manifest import KIND, VERSION, About, Manifest, Member

ABOUT = "about.json"
_BLOCK = 512
_END = bytes(2 * _BLOCK)
#: No member is near it; a damaged header must not have gigabytes read.
_MEMBER_BYTES_MAX = 256 * 1024 * 1024
#: Quick, and tables shrink to a fifth: the next level takes twice the time for a tenth less [measured].
_COMPRESSION = 1


class ArchiveDamaged(Exception):
    """This is no whole archive of ours; the message is one sentence that says why."""


class ArchiveNotWritten(Exception):
    """The disk is full, or whoever read the pipe has gone; the message says which."""


class ArchiveWriter:
    """Writes an archive, a member at a time; raises :class:`ArchiveNotWritten` where that is not possible."""

    def __init__(self, stream: BinaryIO, about: About) -> None:
        """Begin an archive."""
        self._stream = stream
        self._made_at = int(about.made_at.timestamp())
        self.about = about
        self.members: list[Member] = []
        self.size = 0
        self.add(ABOUT, msgspec.json.encode(about))

    def add(self, name: str, content: bytes) -> None:
        """Add a member."""
        self._write(name, content)
        self.members.append(Member(name, len(content), hashlib.sha256(content).hexdigest()))

    def add_packed(self, name: str, content: bytes) -> None:
        """Add a member, compressed."""
        self.add(f"{name}.gz", gzip.compress(content, _COMPRESSION, mtime=0))

    def close(self, manifest: Manifest) -> None:
        """End the archive with its manifest."""
        encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        self._write(_manifest_name(encoded), encoded)
        self._put(_END)

    def _write(self, name: str, content: bytes) -> None:
        self._put(_header(name, len(content), self._made_at) + content + bytes(-len(content) % _BLOCK))

    def _put(self, content: bytes) -> None:
        try:
            self._stream.write(content)
            self._stream.flush()
        except OSError as error:
            # Said here: around us, an error of this kind is a server that has gone.
            raise ArchiveNotWritten(error.strerror or str(error)) from error
        self.size += len(content)


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    offset: int
    size: int


class ArchiveReader:
    """Reads an archive from a file that can be sought in."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Find the members and read the manifest; ``name`` is for sentences.

        Raises:
            ArchiveDamaged: this is no archive, it is cut short, or a newer version has made it.
        """
        self._stream = stream
        self.name = name
        places = list(self._walk())
        *content, last = places
        encoded = self._content(last)
        if last.name != _manifest_name(encoded):
            raise ArchiveDamaged(f"{name} is damaged: its manifest is not as it was written")
        self.manifest = msgspec.json.decode(encoded, type=Manifest)
        self._places = {place.name: place for place in content}
        listed = [(member.name, member.size) for member in self.manifest.members]
        if listed != [(place.name, place.size) for place in content]:
            raise ArchiveDamaged(f"{name} is damaged: its members are not those that its manifest lists")
        self._digests = {member.name: member.sha256 for member in self.manifest.members}

    @property
    def size(self) -> int:
        """How many bytes the archive has."""
        return self._stream.seek(0, 2)

    def names(self, folder: str) -> list[str]:
        """Return the names of the members in a folder, in their order."""
        return [name for name in self._places if name.startswith(f"{folder}/")]

    def read(self, name: str) -> bytes:
        """Return a member as it is stored.

        Raises:
            ArchiveDamaged: it is not as it was written.
        """
        content = self._content(self._places[name])
        if hashlib.sha256(content).hexdigest() != self._digests[name]:
            raise ArchiveDamaged(f"{self.name} is damaged: {name} is not as it was written")
        return content

    def unpack(self, name: str) -> bytes:
        """Return what is in a compressed member."""
        return gzip.decompress(self.read(name))

    def verify(self) -> Iterator[int]:
        """Read every byte; yield how many were read after each member.

        Raises:
            ArchiveDamaged: one is not as it was written.
        """
        for name, place in self._places.items():
            self.read(name)
            yield place.offset + place.size

    def _walk(self) -> Iterator[_Place]:
        """Yield where each member lies, and see that what is between them is as it is written."""
        self._stream.seek(0)
        first = True
        made_at = 0
        while True:
            header = self._stream.read(_BLOCK)
            if header == bytes(_BLOCK) and not first:
                if self._stream.read(_BLOCK + 1) != bytes(_BLOCK):
                    raise ArchiveDamaged(f"{self.name} is damaged: it does not end as it should")
                return
            info = self._parse(header, first=first)
            if first:
                made_at = int(info.mtime)
            if not 0 <= info.size <= _MEMBER_BYTES_MAX or header != _header(info.name, info.size, made_at):
                raise self._broken(info.name)
            place = _Place(info.name, self._stream.tell(), info.size)
            if first:
                self._read_about(place)
            first = False
            self._stream.seek(place.offset + place.size)
            padding = bytes(-place.size % _BLOCK)
            found = self._stream.read(len(padding))
            if len(found) < len(padding):
                raise self._cut_short(info.name)
            if found != padding:
                raise self._broken(info.name)
            yield place

    def _parse(self, header: bytes, *, first: bool) -> tarfile.TarInfo:
        if len(header) < _BLOCK and not first:
            raise ArchiveDamaged(f"{self.name} is cut short: it has no end; make or fetch it once more")
        try:
            info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
        except (tarfile.HeaderError, ValueError):
            if first:
                raise ArchiveDamaged(f"{self.name} is no backup of cash-flow") from None
            raise ArchiveDamaged(f"{self.name} is damaged: what should be a member's header is none") from None
        if first and info.name != ABOUT:
            raise ArchiveDamaged(f"{self.name} is no backup of cash-flow")
        return info

    def _read_about(self, place: _Place) -> None:
        try:
            about = msgspec.json.decode(self._content(place), type=About)
        except (msgspec.MsgspecError, ValueError):
            raise self._broken(ABOUT) from None
        if about.kind != KIND:
            raise ArchiveDamaged(f"{self.name} is no backup of cash-flow")
        if about.version > VERSION:
            raise ArchiveDamaged(
                f"{self.name} was made by cash-flow {about.program}, in a form that this version does not know;"
                " use that version or a newer one"
            )

    def _content(self, place: _Place) -> bytes:
        self._stream.seek(place.offset)
        content = self._stream.read(place.size)
        if len(content) < place.size:
            raise self._cut_short(place.name)
        return content

    def _cut_short(self, member: str) -> ArchiveDamaged:
        return ArchiveDamaged(f"{self.name} is cut short in {member}; make or fetch it once more")

    def _broken(self, member: str) -> ArchiveDamaged:
        return ArchiveDamaged(f"{self.name} is damaged at {member}")


@contextmanager
def opened(path: Path) -> Iterator[ArchiveReader]:
    """Open the archive in a file.

    Raises:
        ArchiveDamaged: it is none, or not whole.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        yield ArchiveReader(stream, path.name)


def _header(name: str, size: int, made_at: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, made_at, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _manifest_name(encoded: bytes) -> str:
    return f"manifest-{hashlib.sha256(encoded).hexdigest()}.json"
