"""A stream of bytes as numbered members of an archive, and such members as a stream again."""

import asyncio
from collections.abc import AsyncIterator

from infra.backups.archive import ArchiveReader, ArchiveWriter

#: So much of a stream is in memory at once, and in one member before it is compressed.
CHUNK_BYTES = 4 * 1024 * 1024


class ChunkWriter:
    """Takes the pieces of a stream as they come."""

    def __init__(self, archive: ArchiveWriter, folder: str) -> None:
        """Write below this folder of the archive."""
        self._archive = archive
        self._folder = folder
        self._pieces = bytearray()
        self._number = 0

    async def take(self, piece: bytes) -> None:
        """Take the next piece."""
        self._pieces += piece
        if len(self._pieces) >= CHUNK_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Write what is left."""
        if self._pieces:
            self._number += 1
            content, self._pieces = bytes(self._pieces), bytearray()
            # Compressing, and a slow disk or reader, must not keep the servers' answers waiting.
            await asyncio.to_thread(self._archive.add_packed, f"{self._folder}/{self._number:06}", content)


async def read_chunks(archive: ArchiveReader, folder: str) -> AsyncIterator[bytes]:
    """Yield a stream's chunks, each as it was flushed."""
    for name in archive.names(folder):
        yield await asyncio.to_thread(archive.unpack, name)
