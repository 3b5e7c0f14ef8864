"""One stack per state folder: a lock that its process holds and that no crash leaves behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from audit_operator.local.errors import CannotRun

_NAME: Final = "lock"


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold the state folder. Raises CannotRun when another process does."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / _NAME).open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotRun(
                f"{state} is in use by process {holder(state)}", "stop it first: make down"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def holder(state: Path) -> int | None:
    """Return the process that holds a state folder, None when nobody does."""
    try:
        with (state / _NAME).open("r", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0)
    except FileNotFoundError:
        pass
    return None
