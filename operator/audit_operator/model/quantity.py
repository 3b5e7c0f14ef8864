"""Amounts as Kubernetes writes them: `10Gi`, `500M`, `1.5Gi`, `250m`, `1e9`, or a plain integer."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

_NUMBER: Final = r"([0-9]{1,20}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})"
BYTES_PATTERN: Final = _NUMBER + r"([KMGTPE]i|[kMGTPE]|[eE][+-]?[0-9]{1,2})?"
RESOURCE_PATTERN: Final = _NUMBER + r"([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?"
"""The forms of both quantities, unanchored; the CRD demands the same ones."""

_BYTES: Final = re.compile(BYTES_PATTERN, re.ASCII)
_RESOURCE: Final = re.compile(RESOURCE_PATTERN, re.ASCII)
_MAX_BYTES: Final = (1 << 63) - 1
_POWERS: Final = "KMGTPE"
_PARTS: Final = {"m": Decimal("1e-3"), "u": Decimal("1e-6"), "n": Decimal("1e-9")}


class ByteQuantity(int):
    """A number of bytes, decoded from a quantity."""

    __slots__ = ()


class ResourceQuantity(str):
    """An amount of processors or memory, as it was written: `250m`, `1`, `512Mi`."""

    __slots__ = ()

    @property
    def amount(self) -> Decimal:
        """The number that it stands for: processors, or bytes."""
        form = _RESOURCE.fullmatch(self)
        assert form is not None, "it is made by resource_quantity"
        return Decimal(form[1]) * _factor(form[2] or "")


def resource_quantity(value: object) -> ResourceQuantity:
    """Return the quantity of a container's resource. Raises ValueError for anything else."""
    if type(value) not in (int, str) or _RESOURCE.fullmatch(str(value)) is None:
        raise ValueError("must be a quantity such as 500m or 512Mi")
    return ResourceQuantity(value)


def byte_quantity(value: object) -> ByteQuantity:
    """Return the bytes that a quantity stands for, rounded up. Raises ValueError for anything else.

    Kubernetes also knows milli, micro and nano; of bytes there are none, so they are refused.
    """
    form = _BYTES.fullmatch(str(value)) if type(value) in (int, str) else None
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
    if suffix in _PARTS:
        return _PARTS[suffix]
    if len(suffix) > 1:
        return Decimal(10) ** int(suffix[1:])
    return Decimal(1000) ** (1 + _POWERS.index(suffix.upper())) if suffix else Decimal(1)
