"""Whether a writer that found another at work should take over. Pure; times are of one monotonic clock.

The fence makes two writers safe and this makes them cheap: the second looks on, and goes on itself when the offset has
not moved for a while although the stream has more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TAKE_OVER_SECONDS: Final = 5.0
"""Without progress for so long. With the lock's timeout of 8 s behind it, a take-over stays below 15 s."""


@dataclass(slots=True)
class Onlooker:
    """Watches another writer's offset."""

    sequence: int
    since: float

    def sees(self, sequence: int, last: int, now: float) -> bool:
        """Take note of the offset and of the stream's last sequence; tell whether to take over."""
        if sequence != self.sequence or last <= sequence:
            self.sequence, self.since = sequence, now
        return now - self.since >= TAKE_OVER_SECONDS

    def blind(self, now: float) -> None:
        """Take note that nothing could be seen: what the other does meanwhile does not count against it."""
        self.since = now
