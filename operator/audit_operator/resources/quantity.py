"""Amounts of processors and memory as the API server writes them back, so that nothing seems to change."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from audit_operator.model.quantity import ResourceQuantity

_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = ("", "k", "M", "G", "T", "P", "E")
_PARTS: Final = ("n", "u", "m")
_MOST: Final = (1 << 63) - 1


def canonical(quantity: ResourceQuantity) -> str:
    """Return the one form in which the API server keeps a quantity: `1024Mi` as `1Gi`, `0.5` as `500m`."""
    amount = quantity.amount
    if quantity.endswith("i") and amount >= 1024 and amount == int(amount):
        return in_bytes(amount)
    exponent = "e" in quantity.lower() and not quantity.endswith("E")
    return _in_thousands(amount, exponent=exponent)


def in_bytes(amount: Decimal) -> str:
    """Return bytes in the largest binary unit that leaves a whole number of them; a part of a byte counts as one."""
    whole, power = min(math.ceil(amount), _MOST), 0
    while whole and whole % 1024 == 0 and power < len(_BINARY) - 1:
        whole, power = whole // 1024, power + 1
    return f"{whole}{_BINARY[power]}"


def in_processors(amount: Decimal) -> str:
    """Return processors in thousandths, or whole ones where that is exact."""
    return _in_thousands(Decimal(math.ceil(amount * 1000)) / 1000, exponent=False)


def _in_thousands(amount: Decimal, *, exponent: bool) -> str:
    """Return the largest power of a thousand that leaves a whole number; what is below a billionth is rounded up."""
    billionths, power = math.ceil(amount * 10**9), -3
    while billionths and billionths % 1000 == 0 and power < len(_DECIMAL) - 1:
        billionths, power = billionths // 1000, power + 1
    if not billionths or power == 0:
        return str(billionths)
    if exponent:
        return f"{billionths}e{power * 3}"
    return f"{billionths}{_PARTS[power] if power < 0 else _DECIMAL[power]}"
