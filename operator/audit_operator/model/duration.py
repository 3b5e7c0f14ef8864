"""Spans of time as Kubernetes and Go write them: `720h`, `1h30m`, `1.5h`. Hours, minutes and seconds only."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

HOUR_MICROSECONDS: Final = 3_600_000_000
DURATION_PATTERN: Final = r"([0-9]{1,6}(\.[0-9]{1,3})?[hms])+"
"""The form of a duration, unanchored; the CRD demands the same one."""

_PARTS: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([hms])", re.ASCII)
_FORM: Final = re.compile(DURATION_PATTERN, re.ASCII)
_MICROSECONDS: Final = {"h": HOUR_MICROSECONDS, "m": 60_000_000, "s": 1_000_000}


def duration_us(text: str) -> int:
    """Return the microseconds of a duration. Raises ValueError for anything else."""
    if _FORM.fullmatch(text) is None:
        raise ValueError("must be a duration such as 720h")
    return sum(int(Decimal(amount) * _MICROSECONDS[unit]) for amount, unit in _PARTS.findall(text))
