"""Making foreign values fit an event's limits without dropping them in silence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from audit_core.canonical import canonical_json

MAX_METADATA_BYTES: Final = 32768
_METADATA_LEVELS: Final = 14
"""An event may nest 16 deep; `metadata` itself stands on the second level."""
_EXCERPT_CHARS: Final = 1024


def short_text(value: Any, max_chars: int) -> str | None:
    """Return a text that is not empty and fits, else None."""
    return value if isinstance(value, str) and 0 < len(value) <= max_chars else None


def fitting_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that nest no deeper and measure no more than an event's metadata may.

    What nests deeper becomes JSON text. While the whole is too large, its largest value is replaced by its size,
    its SHA-256 and its beginning; with more keys than metadata may have, no replacing helps.
    """
    fitted = {name: flattened(value) for name, value in values.items()}
    sizes = {name: len(canonical_json(value)) for name, value in fitted.items()}
    for largest in sorted(sizes, key=lambda name: -sizes[name]):
        if len(canonical_json(fitted)) <= MAX_METADATA_BYTES:
            break
        fitted[largest] = _excerpt(fitted[largest])
    return fitted


def flattened(value: Any, levels: int = _METADATA_LEVELS) -> Any:
    """Return a value of metadata with what nests deeper than `levels` as JSON text."""
    if not isinstance(value, (dict, list)):
        return value
    if levels == 0:
        return canonical_json(value).decode()
    if isinstance(value, dict):
        return {key: flattened(inner, levels - 1) for key, inner in value.items()}
    return [flattened(inner, levels - 1) for inner in value]


def _excerpt(value: Any) -> dict[str, Any]:
    text = canonical_json(value)
    return {
        "truncated": True,
        "size": len(text),
        "sha256": hashlib.sha256(text).hexdigest(),
        "beginning": text.decode()[:_EXCERPT_CHARS],
    }
