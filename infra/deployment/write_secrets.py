"""Write the secrets of a system in containers: ``python -m infra.deployment.write_secrets FOLDER``.

The folder has a folder for each process and server that is to be given secrets (compose mounts a volume at each), and
one called ``generated``, which keeps them all. What is there stays as it is; what is missing, or about to end, is made.
To renew a secret, delete its file in ``generated`` and run this again.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.deployment.containers import GENERATED, complete, files_by_owner

#: Who reads the files: the users that the images of the servers have; our own image's for all others.
OURS = 10001
_USERS: Mapping[str, int] = {"kafka": 1000, "redis": 999, "user-db": 999, "tx-db": 999, "grafana": 472}
_UNFINISHED = ".new"


class Refused(Exception):
    """The folder is not one to write secrets to; the sentence says what to do."""


def write_secrets(folder: Path) -> list[str]:
    """Bring every folder in ``folder`` up to date; return the names of those in which something changed.

    Raises:
        Refused: there is no place to keep them, or what is kept there is damaged.
    """
    kept = folder / GENERATED
    if not kept.is_dir():
        raise Refused(f"{kept} is not there, so what is made could not be kept; make that folder, or mount a volume")
    secrets = complete(_read(kept), key_id="deployed-1")
    changed = []
    # What is kept comes first: whoever is stopped in the middle goes on with the same secrets.
    owners = files_by_owner(secrets)
    for owner in (GENERATED, *(each for each in owners if each != GENERATED)):
        place = folder / owner
        if place.is_dir() and _bring_up_to_date(place, owners[owner], None if owner == GENERATED else user_of(owner)):
            changed.append(owner)
    return changed


def user_of(owner: str) -> int:
    """Return the number of the user that reads the secrets of a process, step or server."""
    return _USERS.get(owner, OURS)


def _read(kept: Path) -> dict[str, str]:
    known = {}
    for path in kept.iterdir():
        if path.name.endswith(_UNFINISHED) or not path.is_file():
            continue
        known[path.name] = path.read_text("utf-8")
        if not known[path.name].strip():
            raise Refused(f"{path} is empty; put a copy back, or delete it to have a new one made")
    return known


def _bring_up_to_date(place: Path, files: Mapping[str, str], uid: int | None) -> bool:
    """Write what differs, and delete what nobody is to have there any more; return whether anything did."""
    changed = False
    # Closed to its owner, too, between two times: nobody but us writes there.
    place.chmod(0o700)
    for name, content in files.items():
        path = place / name
        if not path.is_file() or path.read_text("utf-8") != content:
            _write_whole(path, content, uid)
            changed = True
    for left_over in set(place.iterdir()) - {place / name for name in files}:
        if left_over.is_file():
            left_over.unlink()
            changed = True
    place.chmod(0o500 if uid is not None else 0o700)
    if uid is not None:
        os.chown(place, uid, uid)
    return changed


def _write_whole(path: Path, content: str, uid: int | None) -> None:
    unfinished = path.with_name(path.name + _UNFINISHED)
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if uid is not None:
        os.chown(unfinished, uid, uid)
    unfinished.rename(path)


def main(arguments: Sequence[str]) -> int:
    """Write the secrets, saying whose changed and never what they are."""
    if len(arguments) != 1:
        print("Say where: python -m infra.deployment.write_secrets FOLDER", file=sys.stderr)
        return os.EX_USAGE
    try:
        changed = write_secrets(Path(arguments[0]))
    except Refused as error:
        print(f"No secret was written: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The secrets could not be written ({error}); see who may write there, then try again", file=sys.stderr)
        return 1
    print(f"secrets written for {', '.join(changed)}" if changed else "secrets as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
