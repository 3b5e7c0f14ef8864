"""A place for what another OS user must reach: below `/var/lib`, because the state folder is closed to it.

The state folder holds secrets, and the project may stand below a home that nobody else can enter. No permission of a
folder that is not ours is ever changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from audit_operator.local.errors import CannotRun
from audit_operator.local.private_files import write_private

OUTSIDE: Final = Path("/var/lib/audit-log")
_COPY: Final = "server-"
_OWNER: Final = "owner"


def place_of(note: Path) -> Path:
    """Return the place that is written down in `note`; the first time, choose one and write it down.

    A place is never used again after its note was deleted: data without its password would be there. Raises CannotRun
    when the note is a copy of another one that is still there.
    """
    if not note.exists():
        write_private(note, f"{OUTSIDE / f'{_mark(note)}-{secrets.token_hex(4)}'}\n")
    place = Path(note.read_text().strip())
    owner = place / _OWNER
    if owner.exists() and (other := Path(owner.read_text().strip())) != note.resolve() and other.exists():
        raise CannotRun(f"{place} belongs to {other.parent}", f"delete {note.parent}, which is a copy of it")
    return place


def make_place(place: Path, note: Path) -> None:
    """Make a place and say whose it is. Raises CannotRun when nothing can be written there."""
    try:
        OUTSIDE.mkdir(mode=0o755, parents=True, exist_ok=True)
        with _alone():
            place.mkdir(mode=0o700, exist_ok=True)
        write_private(place / _OWNER, f"{note.resolve()}\n")
    except OSError as error:
        raise CannotRun(
            f"cannot write {place} ({error.strerror})",
            "run as another user than root, who needs no such place",
        ) from error


def remove_places(note: Path) -> None:
    """Delete every place of the state folder that `note` stands in; copied servers go with the last place of all."""
    if not OUTSIDE.exists():
        return
    with _alone():
        noted = [Path(note.read_text().strip())] if note.exists() else []
        for place in {*noted, *OUTSIDE.glob(f"{_mark(note)}-*")}:
            shutil.rmtree(place, ignore_errors=True)
        if all(entry.name.startswith((_COPY, ".")) for entry in OUTSIDE.iterdir()):
            for copy in OUTSIDE.glob(f"{_COPY}*"):
                shutil.rmtree(copy, ignore_errors=True)


def copied(folders: tuple[Path, ...], stamp: str) -> Path:
    """Copy folders to where any user can read them, once per stamp; return the folder that they stand in."""
    home = OUTSIDE / f"{_COPY}{stamp}"
    with _alone():
        if not home.exists():
            draft = OUTSIDE / f".{_COPY}{stamp}"
            shutil.rmtree(draft, ignore_errors=True)
            for folder in folders:
                shutil.copytree(
                    folder, draft / folder.name, ignore=shutil.ignore_patterns("include", "*.py*")
                )
            for path in (draft, *draft.rglob("*")):
                path.chmod(
                    path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444)
                )
            draft.rename(home)
    return home


def reachable(path: Path) -> bool:
    """Tell whether any user may enter every folder on the way to `path`, and read and run `path` itself."""
    resolved = path.resolve()
    on_the_way = all(part.stat().st_mode & 0o001 for part in resolved.parents)
    return on_the_way and resolved.stat().st_mode & 0o005 == 0o005


def _mark(note: Path) -> str:
    return hashlib.sha256(str(note.parent.resolve()).encode()).hexdigest()[:16]


@contextmanager
def _alone() -> Iterator[None]:
    """Keep out other stacks of this machine that come and go at the same moment."""
    with (OUTSIDE / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
