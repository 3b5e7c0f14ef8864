"""What PostgreSQL and the stream tell a writer, decoded: the values between the pure modules and the ports."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import NamedTuple

import msgspec

from audit_core.errors import AuditError, IntegrityError


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a shard's stream. `timestamp_ns` is the stream's; `behind` is how many followed it when it was sent."""

    sequence: int
    timestamp_ns: int
    subject: str
    data: bytes
    behind: int = 0

    def sha256(self) -> bytes:
        """Return the hash by which the offset remembers its last message."""
        return hashlib.sha256(self.data).digest()


class Offset(msgspec.Struct, frozen=True, kw_only=True):
    """A shard's place in its stream, as its row `shard_offset` says.

    `received_at` (µs) and `frame_sha256` are those of the last committed message, None before the first; the stream
    may lack messages up to and including `trimmed_through`.
    """

    epoch: bytes
    stream_sequence: int = 0
    received_at: int | None = None
    frame_sha256: bytes | None = None
    trimmed_through: int = 0

    def is_at(self, other: Offset) -> bool:
        """Tell whether both are the same place, however far the stream was trimmed since."""
        return msgspec.structs.replace(self, trimmed_through=other.trimmed_through) == other


class Remembered(NamedTuple):
    """The event leaf that an id from a client made last. `received_at` in µs."""

    received_at: int
    sequence: int
    body_sha256: bytes


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of a stream. `epoch` is None without our metadata; `created` tells two streams apart."""

    epoch: bytes | None
    created: str
    first_sequence: int
    last_sequence: int
    messages: int
    bytes: int
    max_bytes: int


class Reason(StrEnum):
    """Why a shard is frozen. The values stand in KV, in metrics and in runbooks."""

    STREAM_MISSING = "stream_missing"
    STREAM_SHRANK = "stream_shrank"
    EPOCH_CHANGED = "epoch_changed"
    FRAME_DIFFERS = "frame_differs"
    GAP = "gap"
    UNKNOWN_VERSION = "unknown_version"
    STORE_CONTRADICTS = "store_contradicts"


class Freeze(IntegrityError):
    """The shard must stop: its stream, its database or its release contradict each other. A person decides."""

    __slots__ = ("evidence", "reason")

    def __init__(self, reason: Reason, **evidence: str | int) -> None:
        self.reason = reason
        self.evidence = evidence


class FenceLost(AuditError):
    """Another writer moved the offset: nothing of the batch was stored. The fields are stream sequences."""

    __slots__ = ("found", "prepared_for")

    def __init__(self, prepared_for: int, found: int) -> None:
        self.prepared_for = prepared_for
        self.found = found


class RowsRefused(AuditError):
    """PostgreSQL refuses something in a batch, and will again: `code` is its SQLSTATE. Nothing was stored."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code


class Gap(NamedTuple):
    """Stream sequences `first` to `last`, both included, that are not there."""

    first: int
    last: int
