"""Members of a record that have no field of their own, made to fit an event's metadata and never dropped.

A member that nests too deep is kept with its depths as JSON text; one that holds what no event may hold (NUL, half
a surrogate pair, an integer beyond 64 bits) or does not decode is kept as text, just as it was sent; and while all
is too large, the largest is replaced by its length, its SHA-256 over the bytes as sent, and its beginning.
`kept_as` names each of these members and what became of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from audit_core.canonical import canonical_json
from audit_core.flaws import holds_unfit
from audit_core.mappings.fitting import flattened
from audit_core.refusal import READ_ERRORS

KEPT_AS: Final = "kept_as"
_BEGINNING_CHARS: Final = 512
_NOTE_BYTES: Final = 1024
"""Room for `kept_as` itself."""


class Member(NamedTuple):
    """One member as it was sent, and its value if an event may hold it."""

    raw: bytes
    value: Any
    is_readable: bool


def member(raw: bytes) -> Member:
    """Read one member."""
    try:
        value = msgspec.json.decode(raw)
        canonical_json(value)
    except (*READ_ERRORS, ValueError, OverflowError):
        return Member(raw, None, False)
    return Member(raw, None, False) if holds_unfit({"": value}) else Member(raw, value, True)


def kept(members: Mapping[str, Member], max_bytes: int) -> dict[str, Any]:
    """Return the members as metadata of at most `max_bytes`, unless their very beginnings are more."""
    values: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for name, found in members.items():
        values[name] = flattened(found.value) if found.is_readable else text_of(found.raw)
        if not found.is_readable:
            notes[name] = "text as sent"
        elif values[name] != found.value:
            notes[name] = "JSON text where too deep"
    sizes = {name: len(canonical_json(value)) for name, value in values.items()}
    total = sum(sizes.values()) + sum(len(name.encode()) + 4 for name in sizes) + _NOTE_BYTES
    for largest in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if total <= max_bytes:
            break
        values[largest] = excerpt(members[largest].raw, _BEGINNING_CHARS)
        notes[largest] = "hash"
        total += len(canonical_json(values[largest])) - sizes[largest]
    return {**values, KEPT_AS: notes} if notes else values


def excerpt(raw: bytes, chars: int) -> dict[str, Any]:
    """Return what stands for bytes that are too many."""
    told = {"truncated": True, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    return {**told, "beginning": text_of(raw[: 4 * chars])[:chars]} if chars else told


def text_of(raw: bytes) -> str:
    """Return bytes as a text that an event may hold; what is no UTF-8, or NUL, is written as its escape."""
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
