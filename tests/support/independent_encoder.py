"""Canonical bytes by other means than ours: the standard library's JSON, and a list of what is dropped.

Takes the canonical field names; aliases are another matter. What it says of an event, any verifier can say.
"""

from __future__ import annotations

import json
from typing import Any, Final

# Objects of the schema, where a null means that the field is absent. Elsewhere a null is a value.
_OBJECTS: Final = ("actor", "source", "context", "producer")
_NOT_IN_BYTES: Final = ("id", "tenant_id")


def independently_encoded(event: dict[str, Any] | bytes) -> bytes:
    """Return the canonical bytes of a valid event in canonical field names."""
    body = json.loads(event) if isinstance(event, bytes) else event
    kept = {name: value for name, value in body.items() if name not in _NOT_IN_BYTES}
    kept = _without_nulls(kept)
    for name in _OBJECTS:
        if name in kept:
            kept[name] = _without_nulls(kept[name])
    if "on_behalf_of" in kept.get("actor", {}):
        kept["actor"]["on_behalf_of"] = _without_nulls(kept["actor"]["on_behalf_of"])
    if "targets" in kept:
        kept["targets"] = [_without_nulls(target) for target in kept["targets"]]
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if inner is not None}
