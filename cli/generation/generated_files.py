"""Files that a command makes in somebody's folder: written whole, never over what somebody else wrote or changed."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from cli.terminal.output import fail
from infra.local.home import write_whole

_RECORD = ".cash-flow-files.json"
_DRAFT_PREFIX = ".cash-flow-draft-"


class GeneratedFiles:
    """A folder with files of ours, which remembers which they are and how they were when they were written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / _RECORD
        # Digests by path: of the file as it was, and as it is about to be, because a kill may come between the two.
        self._known: dict[str, list[str]] = self._read()

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """Lend an empty folder on the same disk to write into; it is gone after the block, whatever happens."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(f"{_DRAFT_PREFIX}*"):
                shutil.rmtree(left, ignore_errors=True)
            draft = Path(tempfile.mkdtemp(prefix=_DRAFT_PREFIX, dir=self.folder))
        except OSError as error:
            fail(f"{self.folder} cannot be written to ({error.strerror}); name another folder with --out")
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def take(self, draft: Path, whole: Collection[str] = ()) -> list[Path]:
        """Move a draft's files to their places and return where they are now, relative to the folder.

        Nothing is moved where one of them would replace a file that is not ours, or that somebody changed since.

        Args:
            draft: the folder with the files.
            whole: folders of which the draft has every file; what was ours there and is not made any more is deleted.
        """
        made = {str(file.relative_to(draft)): _digest(file) for file in sorted(draft.rglob("*")) if file.is_file()}
        gone = [name for name in self._known if name.partition("/")[0] in whole and name not in made]
        for name in (*made, *gone):
            self._check(name)
        self._remember(self._known | {name: [*self._known.get(name, ()), digest] for name, digest in made.items()})
        for name in made:
            place = self.folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (draft / name).replace(place)
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)
        kept = {name: digests for name, digests in self._known.items() if name not in gone}
        self._remember(kept | {name: [digest] for name, digest in made.items()})
        return [Path(name) for name in made]

    def _check(self, name: str) -> None:
        place = self.folder / name
        if not place.exists() and not place.is_symlink():
            return
        if name not in self._known:
            fail(f"{place} exists and was not written by this command; move it away, or name another folder with --out")
        if not place.is_file() or _digest(place) not in self._known[name]:
            fail(f"{place} was changed since it was written; move it away, or name another folder with --out")

    def _read(self) -> dict[str, list[str]]:
        try:
            read: Any = json.loads(self._record.read_text("utf-8"))
            return {str(name): [str(digest) for digest in digests] for name, digests in read.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError):
            fail(f"{self._record} is not readable any more; name another folder with --out")

    def _remember(self, known: dict[str, list[str]]) -> None:
        write_whole(self._record, json.dumps(known, indent=1, sort_keys=True) + "\n", mode=0o666 & ~_umask())
        self._known = known


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
