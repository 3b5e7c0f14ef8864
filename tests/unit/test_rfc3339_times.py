"""A time is RFC 3339 with a zone and becomes µs since 1970, cut off below the µs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.rfc3339 import EARLIEST_US, LATEST_US, is_time, microseconds, time_text

DAY_US = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GRAMMAR = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.integers(EARLIEST_US + 2 * DAY_US, LATEST_US - 2 * DAY_US)


@given(moments, zones)
def test_a_time_of_any_zone_is_counted_from_1970(expected: int, zone: timezone) -> None:
    moment = (EPOCH + timedelta(microseconds=expected)).astimezone(zone)
    assert microseconds(moment.isoformat()) == expected


@given(
    st.datetimes(timezones=st.just(UTC)), st.integers(0, 9), st.sampled_from(["Z", "z", "+00:00", "-00:00"])
)
def test_digits_below_the_microsecond_are_cut_off(moment: datetime, digits: int, zone: str) -> None:
    fraction = f"{moment.microsecond:06d}999"[:digits]
    text = moment.replace(microsecond=0, tzinfo=None).isoformat() + (f".{fraction}" if digits else "") + zone
    expected = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    assert microseconds(text) == (expected - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01 01:00:00+01:00", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1969-12-31T23:59:60Z", 0),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800_500_000),
        ("2017-01-01T05:29:60+05:30", 1_483_228_800_000_000),
        ("0001-01-01T00:00:00Z", EARLIEST_US),
        ("9999-12-31T23:59:59.999999Z", LATEST_US),
        ("0001-01-01T00:00:00+14:00", EARLIEST_US),
        ("9999-12-31T23:59:59-00:01", LATEST_US),
        ("9999-12-31T23:59:60Z", LATEST_US),
    ],
)
def test_edges_of_the_calendar(text: str, expected: int) -> None:
    assert microseconds(text) == expected


@given(
    st.one_of(
        st.text(max_size=40),
        st.from_regex(GRAMMAR, fullmatch=True),
        st.from_regex(
            r"[0-9]{4}-[0-1][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9][.]?[0-9]{0,10}[Z+0-9:-]{0,6}"
        ),
    )
)
def test_only_what_the_grammar_allows_is_a_time(text: str) -> None:
    assert is_time(text) == (microseconds(text) is not None)
    if is_time(text):
        assert GRAMMAR.fullmatch(text)
        datetime.fromisoformat(text[:10])  # a day of the calendar


@given(st.datetimes(timezones=st.none()))
def test_a_time_without_a_zone_is_none(moment: datetime) -> None:
    assert microseconds(moment.isoformat()) is None


@given(st.integers(EARLIEST_US, LATEST_US))
def test_a_time_is_written_in_utc_with_all_six_digits_and_reads_back(at: int) -> None:
    text = time_text(at)
    assert microseconds(text) == at
    assert datetime.fromisoformat(text) == EPOCH + timedelta(microseconds=at)
    assert len(text) == len("2026-01-31T09:30:00.123456Z")


@given(st.integers(EARLIEST_US, LATEST_US), st.integers(EARLIEST_US, LATEST_US))
def test_written_times_sort_as_the_times_do(one: int, other: int) -> None:
    assert (time_text(one) < time_text(other)) == (one < other)
