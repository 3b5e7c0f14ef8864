"""Ids for events that came without one."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Final

from audit_core.ids import uuid7

RANDOM_BITS: Final = 74
_HALF: Final = (1 << (RANDOM_BITS - 1)) - 1
_SUPPLY_STEPS: Final = 512
_LOW_BITS: Final = 62
_LOW: Final = (1 << _LOW_BITS) - 1
_VARIANT: Final = 0b10 << _LOW_BITS
_HEAD_CHARS: Final = len("01937f4e-7f3b-7c07-")


class IdMint:
    """Mints UUIDv7s that grow: within a millisecond by a random step, and when the clock goes back not at all behind it.

    The text that ids of a millisecond begin with is made once for all of them.
    """

    def __init__(self, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._ms = 0
        self._head = ""
        self._random = 0
        self._steps: list[int] = []

    def new(self) -> str:
        """Return the next id."""
        ms = self._now_ms()
        if ms > self._ms:
            # The top bit is left free, so that a millisecond holds two thousand billion steps.
            self._begin(ms, int.from_bytes(self._random_bytes(10), "big") & _HALF)
        else:
            random = self._random + 1 + self._step()
            if random >> _LOW_BITS == self._random >> _LOW_BITS:
                self._random = random
            elif random >> RANDOM_BITS:
                self._begin(self._ms + 1, self._step())
            else:
                self._begin(self._ms, random)
        low = (self._random & _LOW | _VARIANT).to_bytes(8, "big").hex()
        return f"{self._head}{low[:4]}-{low[4:]}"

    def _begin(self, ms: int, random: int) -> None:
        self._ms = ms
        self._random = random
        self._head = uuid7(ms, random)[:_HEAD_CHARS]

    def _step(self) -> int:
        if not self._steps:
            supply = self._random_bytes(4 * _SUPPLY_STEPS)
            self._steps = list(struct.unpack(f">{_SUPPLY_STEPS}I", supply))
        return self._steps.pop()
