"""JSON pointers (RFC 6901): how a refusal names the field it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_POINTER_CHARS: Final = 256
"""A pointer names keys of the caller's; beyond this it is cut and ends in `…`, so that an answer stays small."""


def pointer(parts: Iterable[str | int]) -> str:
    """Return the pointer that leads along `parts`; empty for the body itself. Always encodable as UTF-8."""
    whole = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    shown = whole if len(whole) <= MAX_POINTER_CHARS else whole[: MAX_POINTER_CHARS - 1] + "…"
    return shown.encode("utf-8", "replace").decode()
