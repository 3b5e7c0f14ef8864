"""What may be purged from a stream, and when. Pure.

Only what is committed and backed up, never the last committed message. As a rule only what is older than the replay
window, so that PostgreSQL can be restored to an earlier point and catch up; earlier when the stream fills.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from audit_functions.writer.state import Offset, StreamState

REPLAY_WINDOW_US: Final = 72 * 3600 * 1_000_000
"""How far back the stream reaches where its size allows, in µs."""
FILL_TARGET: Final = 0.7
"""Of `max_bytes`; above it, the replay window yields."""
_WAL_FILE: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{16})", re.ASCII)
_MAX_MARKS: Final = 4_096


class Backups:
    """Up to which stream sequence PostgreSQL's archive can restore what was committed.

    A WAL position read after an offset was seen committed lies behind that commit; once its file is archived, so is the
    commit.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[str, int]] = deque(maxlen=_MAX_MARKS)
        self.through = 0

    def seen(self, committed: int, current_file: str, archived_file: str | None) -> None:
        """Take note: `committed` was seen before the WAL was found in `current_file`."""
        if self._marks and _timeline(self._marks[-1][0]) != _timeline(current_file):
            self._marks.clear()  # a standby was promoted: what it lacked is not in this history
        if self._marks and self._marks[-1][0] == current_file:
            self._marks.pop()
        self._marks.append((current_file, committed))
        while self._marks and _is_archived(self._marks[0][0], archived_file):
            self.through = self._marks.popleft()[1]


def _timeline(file: str) -> str:
    return file[:8]


def _is_archived(file: str, archived: str | None) -> bool:
    """Tell whether a WAL file is archived, given the last one that was. Names of unfinished ones do not count."""
    ours, last = _WAL_FILE.fullmatch(file), _WAL_FILE.fullmatch(archived or "")
    return ours is not None and last is not None and ours[1] == last[1] and ours[2] <= last[2]


def fills(stream: StreamState) -> bool:
    """Tell whether the stream is so full that the replay window yields."""
    return stream.max_bytes > 0 and stream.bytes > FILL_TARGET * stream.max_bytes


def trim_through(offset: Offset, stream: StreamState, *, backed_up: int, window_start: int) -> int | None:
    """Return the last sequence to purge, or None when there is nothing to.

    `window_start` is the first sequence inside the replay window.
    """
    allowed = min(offset.stream_sequence, backed_up + 1) - 1
    wanted = window_start - 1
    if fills(stream):
        excess = stream.bytes - FILL_TARGET * stream.max_bytes
        wanted = max(wanted, stream.first_sequence + _messages_of(excess, stream) - 1)
    through = min(allowed, wanted)
    return through if through >= stream.first_sequence and stream.messages > 0 else None


def _messages_of(size: float, stream: StreamState) -> int:
    return -(-int(size * stream.messages) // max(stream.bytes, 1))
