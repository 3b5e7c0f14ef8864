"""Processes that outlived whoever started them, found by what they leave in `/proc`, and ended.

A server that still runs on its data must be gone before another is started on the same: neither NATS nor a PostgreSQL
without its lock file would notice.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

LAST_WORD_SECONDS: Final = 5.0
_PROC: Final = Path("/proc")
_POLL_SECONDS: Final = 0.01


def note_process(path: Path, pid: int) -> None:
    """Write a process down so that it is known again, even when its number has gone to another by then."""
    path.write_text(f"{pid} {_began(pid)}\n")


def noted_process(path: Path) -> list[int]:
    """Return the process that is written down in `path` if it still runs, else nothing."""
    try:
        pid, began = path.read_text().split()
        return [int(pid)] if _began(int(pid)) == began else []
    except (FileNotFoundError, ValueError):
        return []


def processes_in(folder: Path) -> list[int]:
    """Return the living processes whose working directory is `folder`."""
    found: list[int] = []
    for entry in _PROC.glob("[0-9]*"):
        # Of other users' processes, and of zombies, it cannot be read; neither can be ours and alive.
        with contextlib.suppress(OSError):
            if (entry / "cwd").samefile(folder):
                found.append(int(entry.name))
    return found


def end(living: Callable[[], Iterable[int]], how: signal.Signals, seconds: float) -> None:
    """Ask every process that `living` returns to end; after `seconds` kill who has not. Returns when all are gone.

    Blocks. Raises TimeoutError when one survives even that.
    """
    for number, patience in ((how, seconds), (signal.SIGKILL, LAST_WORD_SECONDS)):
        for pid in living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if are_gone(living, patience):
            return
    raise TimeoutError(f"processes {list(living())} cannot be ended")


def are_gone(living: Callable[[], Iterable[int]], seconds: float) -> bool:
    """Tell whether `living` returns nothing any more within `seconds`. Blocks."""
    deadline = time.monotonic() + seconds
    while any(True for _ in living()):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _began(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks since boot; None when it has ended."""
    try:
        state, *others = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else others[18]
