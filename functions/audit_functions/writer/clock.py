"""The clocks that a writer reads, for pauses, ages and metrics. What is stored never depends on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def _microseconds() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """`microseconds` since 1970 by the wall, `monotonic` in seconds."""

    microseconds: Callable[[], int] = _microseconds
    monotonic: Callable[[], float] = time.monotonic
