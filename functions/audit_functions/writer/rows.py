"""The rows that a batch leaves in PostgreSQL, as tuples in the order of the landing table's columns."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from audit_core.columns import COLUMNS, Promoted, promoted

Row = tuple[Any, ...]
"""`PLACE_COLUMNS`, then the promoted ones. Times are int µs; a tuple, because ten thousand are made at a time."""

PLACE_COLUMNS: Final = (
    "tenant_id", "sequence", "received_at", "stream_sequence", "position", "kind", "id", "id_from_client", "epoch",
    "salt", "envelope", "body_sha256", "body",
)  # fmt: skip
LANDING_COLUMNS: Final = PLACE_COLUMNS + tuple(
    "occurred_at" if name == "occurred_at_us" else name for name in COLUMNS
)
WHOLE_MESSAGE: Final = 0
"""The position of a leaf that stands for a message."""

_EPOCH: Final = PLACE_COLUMNS.index("epoch")
_BODY: Final = PLACE_COLUMNS.index("body")
_ESCAPED_NUL: Final = b"\\u0000"  # a NUL as it is makes no JSON
NO_COLUMNS: Final[tuple[None, ...]] = (None,) * len(COLUMNS)


class DeadLetter(NamedTuple):
    """One row of `dead_letter`, its fields in the order of the statement."""

    stream_sequence: int
    received_at: int
    sequence: int
    position: int
    tenant_id: str
    epoch: bytes
    reason: str
    raw: bytes


Stored = tuple[str | None, Promoted | tuple[None, ...], str | None]
"""What of an event's body is stored: the text and its columns, or nothing of both and the flaw that forbids it."""


def stored(body: bytes) -> Stored:
    """Return what can be stored of a body. One that is no canonical event is kept as a dead letter."""
    try:
        text = body.decode()
        columns = promoted(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, NO_COLUMNS, type(error).__name__
    # The first look is for one byte, which is ten times as fast and nearly always enough.
    if b"\\" in body and _ESCAPED_NUL in body and _has_nul(columns):
        return None, NO_COLUMNS, "NUL"
    return text, columns, None


def _has_nul(columns: Promoted) -> bool:
    return any("\0" in value for value in columns if isinstance(value, str))


def without_body(row: Row) -> Row:
    """Return the row of an event that PostgreSQL refused: its leaf, and nothing to search by."""
    return (*row[:_BODY], None, *NO_COLUMNS)


def dead_letter(row: Row, reason: str, raw: bytes) -> DeadLetter:
    """Return where the body of an event that cannot be stored is kept."""
    tenant_id, sequence, received_at, stream_sequence, position, *_ = row
    return DeadLetter(
        stream_sequence=stream_sequence,
        received_at=received_at,
        sequence=sequence,
        position=position,
        tenant_id=tenant_id,
        epoch=row[_EPOCH],
        reason=reason,
        raw=raw,
    )


def body(row: Row) -> bytes:
    """Return the body of a row, empty where it has none."""
    return (row[_BODY] or "").encode()
