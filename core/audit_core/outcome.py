"""What became of one frame: the message a writer sends to the ingest process that waits for it.

Sent over core NATS after the commit, so it may be lost: a waiter falls back to the durable answer at its deadline.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec


class Fate(IntEnum):
    """How an event of a frame ended."""

    COMMITTED = 0
    DUPLICATE = 1
    CONFLICT = 2


class EventOutcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event's end. For a duplicate, `sequence` and `received_at` (µs) are those of the event it repeats."""

    fate: Fate
    sequence: int
    received_at: int


class FrameOutcome(msgspec.Struct, frozen=True, array_like=True):
    """One committed frame; `events` by position."""

    number: int
    events: list[EventOutcome]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(FrameOutcome)


def encode_outcome(outcome: FrameOutcome) -> bytes:
    """Return the message's bytes."""
    return _encoder.encode(outcome)


def decode_outcome(data: bytes) -> FrameOutcome:
    """Return the message in `data`. Raises msgspec.DecodeError for anything else."""
    return _decoder.decode(data)
