"""What became of our frames in PostgreSQL, as the writer tells this instance over core NATS.

Hearing nothing is normal: such messages may be lost, and who waits has a deadline.
"""

from __future__ import annotations

from typing import Final

import msgspec

from audit_core.outcome import FrameOutcome, decode_outcome
from audit_functions.ingest.shared import Shared

MAX_FRAMES: Final = 4096
"""Frames whose outcome is waited for at once; further ones are answered with what is durable."""


class Outcomes:
    """Frames whose outcome somebody waits for, by number."""

    def __init__(self) -> None:
        self._waiting: dict[int, Shared[FrameOutcome]] = {}

    def expect(self, number: int, outcome: Shared[FrameOutcome]) -> None:
        """Settle `outcome` when the outcome of that frame is heard; when too many wait, forget the oldest."""
        if len(self._waiting) >= MAX_FRAMES:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[number] = outcome

    def forget(self, number: int) -> None:
        """Nobody waits for that frame any more."""
        self._waiting.pop(number, None)

    def heard(self, data: bytes) -> None:
        """Take a message of the writer. One that does not decode is left out."""
        try:
            outcome = decode_outcome(data)
        except msgspec.DecodeError:
            return
        waiting = self._waiting.pop(outcome.number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)
