"""Canonical JSON, version 1: sorted keys, no white space, UTF-8 unescaped, floats in their shortest form.

The same value gives the same bytes on every machine, for ever: they are hashed, and nobody encodes them again.
A float is written as Python's `repr` writes it (the shortest digits that read back equal, an exponent of at least
two digits outside 1e-4 … 1e16), so a dozen lines of standard library in any verifier reproduce it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

CANONICAL_ORDER: Final = "deterministic"
"""msgspec's name for: keys of objects sorted, fields of structs as declared (which is alphabetical here)."""

_encoder: Final = msgspec.json.Encoder(order=CANONICAL_ORDER)
_SMALL: Final = 1e-4
_LARGE: Final = 1e16


def canonical_float(text: str) -> float | msgspec.Raw:
    """Decode a number with a fraction or an exponent to what encodes as its canonical form.

    A `float_hook` for msgspec's decoders. Its encoder writes 1e22 and 0.00001 where the canonical form is 1e+22
    and 1e-05, and agrees between 1e-4 and 1e16. Raises ValueError for what no float64 holds.
    """
    value = float(text)
    if _SMALL <= abs(value) < _LARGE or value == 0:
        return value
    if math.isinf(value):
        raise ValueError("a number beyond the range of a 64-bit float")
    return msgspec.Raw(repr(value).encode())


_reader: Final = msgspec.json.Decoder(float_hook=canonical_float)


def canonical_json(value: Any) -> bytes:
    """Return the canonical bytes of a value made of dicts, lists, strings, numbers, booleans and None."""
    return _encoder.encode(_reader.decode(_encoder.encode(value)))
