from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.partitions import (
    DAY_MICROSECONDS,
    Partition,
    PartitionBy,
    dedupe_slot,
    partition_of,
    partitions_from,
    utc_day,
)

instants = st.integers(min_value=0, max_value=253_370_764_799_999_999)  # until the end of 9998


def _at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("received_at", "by", "expected"),
    [
        ("2025-11-24T16:00", PartitionBy.MONTH, ("event_202511", "2025-11-01", "2025-12-01")),
        ("2025-12-31T23:59", PartitionBy.MONTH, ("event_202512", "2025-12-01", "2026-01-01")),
        ("2026-01-01T00:00", PartitionBy.MONTH, ("event_202601", "2026-01-01", "2026-02-01")),
        ("2024-02-29T12:00", PartitionBy.DAY, ("event_20240229", "2024-02-29", "2024-03-01")),
        ("2025-12-31T23:59", PartitionBy.DAY, ("event_20251231", "2025-12-31", "2026-01-01")),
    ],
)
def test_an_instant_has_one_partition(
    received_at: str, by: PartitionBy, expected: tuple[str, str, str]
) -> None:
    name, lower, upper = expected
    assert partition_of(_at(received_at), by) == Partition(name=name, lower=_at(lower), upper=_at(upper))


@given(instants, st.sampled_from(PartitionBy))
def test_a_partition_covers_its_instants_and_ends_where_the_next_begins(
    received_at: int, by: PartitionBy
) -> None:
    first, second = islice(partitions_from(received_at, by), 2)
    assert first.lower <= received_at < first.upper == second.lower
    assert partition_of(first.lower, by) == partition_of(first.upper - 1, by) == first
    assert first.name < second.name


@given(instants)
def test_two_days_in_a_row_never_share_a_dedupe_slot(received_at: int) -> None:
    assert dedupe_slot(received_at) != dedupe_slot(received_at + DAY_MICROSECONDS)
    assert dedupe_slot(received_at) == dedupe_slot(received_at + 2 * DAY_MICROSECONDS)


def test_a_utc_day_begins_at_midnight_to_the_microsecond() -> None:
    midnight = _at("2025-11-25")
    assert utc_day(midnight) == utc_day(midnight - 1) + 1
