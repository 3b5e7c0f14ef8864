"""Leaves and commitments, version 1: what a tenant's log proves about an event.

A leaf is 42 fixed bytes: u8 version, u8 kind, i64 received_at (µs), commitment32. The commitment hides everything
personal, so payload and salt can be erased and every proof stays valid. All integers are big-endian.
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from typing import Final

from audit_core.frame import LEAF_VERSION

_COMMITMENT_LABEL: Final = b"audit-log/commitment/v1"
_LEAF: Final = struct.Struct(">BBq32s")
_LENGTH: Final = struct.Struct(">I")
_PLACE: Final = struct.Struct(">I16sIQII")
SALT_BYTES: Final = 16


class Kind(IntEnum):
    """What a leaf stands for. The numbers are part of the wire format."""

    EVENT = 1
    CONFLICT = 2
    DEAD_LETTER = 3
    ERASURE = 4
    RETENTION = 5
    HOLD = 6
    KEY = 7
    GAP = 8
    EPOCH = 9


CONTROL_KINDS: Final = {
    "erasure": Kind.ERASURE,
    "retention": Kind.RETENTION,
    "hold": Kind.HOLD,
    "key": Kind.KEY,
    "gap": Kind.GAP,
    "epoch": Kind.EPOCH,
}
"""Which leaf a control frame's action makes."""


def salts(seed: bytes, count: int) -> list[bytes]:
    """Return the salts of a frame's events by position: consecutive 16-byte pieces of shake_128(seed)."""
    stream = hashlib.shake_128(seed).digest(SALT_BYTES * count)
    return [stream[start : start + SALT_BYTES] for start in range(0, len(stream), SALT_BYTES)]


def commitment(
    *,
    salt: bytes,
    body: bytes,
    id: str,  # noqa: A002 - the field's name in the wire format
    envelope: bytes,
    epoch: bytes,
    stream_sequence: int,
    position: int,
) -> bytes:
    """Return SHA-256 over the label and the seven fields, each with its u32 length in front."""
    encoded_id = id.encode()
    length = _LENGTH.pack
    place = _PLACE.pack(16, epoch, 8, stream_sequence, 4, position)
    parts = (
        length(len(_COMMITMENT_LABEL)), _COMMITMENT_LABEL,
        length(len(salt)), salt,
        length(len(body)), body,
        length(len(encoded_id)), encoded_id,
        length(len(envelope)), envelope,
        place,
    )  # fmt: skip
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(kind: Kind, received_at: int, commitment32: bytes) -> bytes:
    """Return the 42 bytes of a leaf. `received_at` in µs since 1970."""
    return _LEAF.pack(LEAF_VERSION, kind, received_at, commitment32)


def received_at(stream_timestamp_ns: int, previous: int) -> int:
    """Return a message's received_at in µs: its stream time, but never before the shard's previous one."""
    return max(stream_timestamp_ns // 1000, previous)
