"""Ids for events that came without one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from audit_core.ids import uuid7

_RANDOM_BITS: Final = 74
_STEP_BITS: Final = 32
_STEP_BYTES: Final = 4
_SUPPLY_STEPS: Final = 512


class IdMint:
    """Mints UUIDv7s that grow: within a millisecond by a random step, and when the clock goes back not at all behind it."""

    def __init__(self, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._ms = 0
        self._random = 0
        self._steps = b""
        self._used = 0

    def new(self) -> str:
        """Return the next id."""
        ms = self._now_ms()
        if ms > self._ms:
            self._ms = ms
            # The top bit is left free, so that a millisecond holds two thousand billion steps.
            self._random = int.from_bytes(self._random_bytes(10), "big") & ((1 << (_RANDOM_BITS - 1)) - 1)
        else:
            self._random += 1 + self._step()
            if self._random >> _RANDOM_BITS:
                self._ms += 1
                self._random = self._step()
        return uuid7(self._ms, self._random)

    def _step(self) -> int:
        if self._used == len(self._steps):
            self._steps = self._random_bytes(_STEP_BYTES * _SUPPLY_STEPS)
            self._used = 0
        start = self._used
        self._used = start + _STEP_BYTES
        return int.from_bytes(self._steps[start : start + _STEP_BYTES], "big")
