"""Times as callers write and read them (RFC 3339 with a zone), and as µs since 1970."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
EARLIEST_US: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
LATEST_US: Final = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - _EPOCH) // _MICROSECOND

# Longest form that the fast path takes: six digits of fraction behind Z. It would round further ones.
_FAST_CHARS: Final = 27
_FORM: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{1,9}))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_LAST_MINUTE: Final = 23 * 60 + 59


def microseconds(text: str) -> int | None:
    """Return the µs since 1970 of an RFC 3339 time, or None when it is none or states no zone.

    Digits beyond the µs are cut off, not rounded. A leap second (23:59:60 UTC) is the second that follows it. A
    zone that moves the time out of the years 1 to 9999 gives the nearest µs inside them.
    """
    moment = _moment(text)
    whole = _slowly(text) if moment is None else (moment - _EPOCH) // _MICROSECOND
    if whole is None or EARLIEST_US <= whole <= LATEST_US:
        return whole
    return EARLIEST_US if whole < EARLIEST_US else LATEST_US


def is_time(text: str) -> bool:
    """Tell whether `microseconds` gives a number."""
    return _moment(text) is not None or _slowly(text) is not None


def time_text(at: int) -> str:
    """Return the RFC 3339 form of a time in µs since 1970: in UTC, with all six digits, so that texts sort as times do."""
    seconds, microsecond = divmod(at, 1_000_000)
    return f"{_seconds_text(seconds)}.{microsecond:06d}Z"


@lru_cache(maxsize=1024)
def _seconds_text(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:-6]


def _moment(text: str) -> datetime | None:
    """Decode the common form, which ends in Z (the decoder reads other zones too leniently); None says nothing."""
    if len(text) > _FAST_CHARS or text[-1:] != "Z":
        return None
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None


def _slowly(text: str) -> int | None:
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    east = (int(zone_hour) * 60 + int(zone_minute)) * (-1 if sign == "-" else 1) if sign else 0
    minutes = int(hour) * 60 + int(minute) - east
    if second == "60" and minutes % (24 * 60) != _LAST_MINUTE:
        return None
    seconds = days * 86_400 + minutes * 60 + int(second)
    return seconds * 1_000_000 + int((fraction or "0")[:6].ljust(6, "0"))
