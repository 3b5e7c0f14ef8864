"""How fast a stream fills, and when it will be full. Pure."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

FULL_RATIO: Final = 0.95
"""Of `max_bytes`: where ingest starts to refuse."""
_MEMORY_SECONDS: Final = 900.0


class Filling:
    """Sizes of a stream over the last quarter of an hour. A purge starts it anew."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def seen(self, now: float, size: int) -> None:
        """Take note of the stream's size in bytes at a monotonic time in seconds."""
        if self._samples and size < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, size))
        while now - self._samples[0][0] > _MEMORY_SECONDS:
            self._samples.popleft()

    def hours_to_full(self, max_bytes: int) -> float:
        """Return the hours until ingest refuses if it goes on like this, infinite when it does not grow."""
        (start, before), (now, size) = self._samples[0], self._samples[-1]
        if max_bytes <= 0 or size <= before or now <= start:
            return math.inf
        return max(0.0, FULL_RATIO * max_bytes - size) / ((size - before) / (now - start)) / 3600
