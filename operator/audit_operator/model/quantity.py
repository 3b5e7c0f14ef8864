"""Amounts of bytes as Kubernetes writes them: `10Gi`, `500M`, `1.5Gi`, `1e9`, or a plain integer."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

_FORM: Final = re.compile(
    r"(\d{1,20}(?:\.\d{1,9})?|\.\d{1,9})([KMGTPE]i|[kMGTPE]|[eE][+-]?\d{1,2})?", re.ASCII
)
_MAX_BYTES: Final = (1 << 63) - 1
_POWERS: Final = "KMGTPE"


class ByteQuantity(int):
    """A number of bytes, decoded from a quantity."""

    __slots__ = ()


def byte_quantity(value: object) -> ByteQuantity:
    """Return the bytes that a quantity stands for, rounded up. Raises ValueError for anything else.

    Kubernetes also knows milli, micro and nano; of bytes there are none, so they are refused.
    """
    form = _FORM.fullmatch(str(value)) if type(value) in (int, str) else None
    if form is None:
        raise ValueError("must be a quantity such as 10Gi")
    amount = math.ceil(Decimal(form[1]) * _factor(form[2] or ""))
    if amount > _MAX_BYTES:
        raise ValueError("must be less than 8Ei")
    return ByteQuantity(amount)


def shown(amount: int) -> str:
    """Return bytes as people read them: the largest binary unit that leaves at least one, to one decimal."""
    for power in range(len(_POWERS), 0, -1):
        unit = 1 << 10 * power
        if amount >= unit:
            return f"{amount / unit:.1f}".removesuffix(".0") + f" {_POWERS[power - 1]}iB"
    return f"{amount} B"


def _factor(suffix: str) -> Decimal:
    if suffix.endswith("i"):
        return Decimal(1 << 10 * (1 + _POWERS.index(suffix[0])))
    if len(suffix) > 1:
        return Decimal(10) ** int(suffix[1:])
    return Decimal(1000) ** (1 + _POWERS.index(suffix.upper())) if suffix else Decimal(1)
