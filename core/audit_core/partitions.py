"""Which partition holds an instant, and which of the two dedupe slots. All times are µs since 1970, all days UTC.

The database makes partitions by the same rule (`ensure_partition`); one test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

import msgspec

DAY_MICROSECONDS: Final = 86_400_000_000
DEDUPE_SLOTS: Final = 2
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class PartitionBy(Enum):
    """How much time one partition of `event` covers. The values are PostgreSQL's names of these units."""

    MONTH = "month"
    DAY = "day"


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of `event`: rows with `lower` <= received_at < `upper`."""

    name: str
    lower: int
    upper: int


def partition_of(received_at: int, by: PartitionBy) -> Partition:
    """Return the partition that holds `received_at`."""
    midnight = _EPOCH + timedelta(days=utc_day(received_at))
    if by is PartitionBy.DAY:
        return _partition(f"event_{midnight:%Y%m%d}", midnight, midnight + timedelta(days=1))
    lower = midnight.replace(day=1)
    upper = lower.replace(year=lower.year + lower.month // 12, month=lower.month % 12 + 1)
    return _partition(f"event_{midnight:%Y%m}", lower, upper)


def partitions_from(received_at: int, by: PartitionBy) -> Iterator[Partition]:
    """Yield the partition that holds `received_at` and then, without end, the ones that follow it."""
    while True:
        partition = partition_of(received_at, by)
        yield partition
        received_at = partition.upper


def utc_day(received_at: int) -> int:
    """Return the number of the UTC day, counted from 1970-01-01."""
    return received_at // DAY_MICROSECONDS


def dedupe_slot(received_at: int) -> int:
    """Return the slot of `dedupe` for rows of that day. A slot is reused after two days, twice the window."""
    return utc_day(received_at) % DEDUPE_SLOTS


def _partition(name: str, lower: datetime, upper: datetime) -> Partition:
    return Partition(
        name=name, lower=(lower - _EPOCH) // _MICROSECOND, upper=(upper - _EPOCH) // _MICROSECOND
    )
