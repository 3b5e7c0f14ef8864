"""Time as PostgreSQL sends it: µs since 2000-01-01, where ours are µs since 1970-01-01.

Both sides of the codec that every connection of ours sets for `timestamptz`, so that no value passes through a
datetime and no microsecond is rounded.
"""

from __future__ import annotations

from typing import Final

POSTGRES_EPOCH: Final = 946_684_800_000_000


def to_postgres(microseconds: int) -> tuple[int]:
    """Return the wire tuple of a time in µs since 1970."""
    return (microseconds - POSTGRES_EPOCH,)


def from_postgres(wire: tuple[int]) -> int:
    """Return the time in µs since 1970 of a wire tuple."""
    return wire[0] + POSTGRES_EPOCH
