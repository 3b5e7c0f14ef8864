"""What ingest was promised, held against what arrived: loss that the stream itself hides. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from audit_core.projection import Watermark
from audit_functions.writer.producers import Producer, lacking
from audit_functions.writer.state import Message, Offset


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A watermark that does not hold. `missing` counts frames that never arrived; 0: other bytes are in their place."""

    instance: bytes
    watermark: Watermark
    missing: int


def due(
    marks: Mapping[bytes, Watermark], judged: Mapping[bytes, Watermark], offset: Offset
) -> dict[bytes, Watermark]:
    """Return the watermarks that can be judged at this offset and were not yet."""
    return {
        instance: mark
        for instance, mark in marks.items()
        if mark.stream_sequence <= offset.stream_sequence and judged.get(instance) != mark
    }


def finding(
    instance: bytes, mark: Watermark, producer: Producer | None, message: Message | None
) -> Finding | None:
    """Return what is wrong with an instance, or None.

    `message` is what stands where its last acknowledged frame was stored, None where that was trimmed.
    """
    known = producer or Producer(epoch=mark.epoch, instance=instance)
    missing = len(lacking(known, mark.frame))
    differs = message is not None and message.sha256() != mark.frame_sha256
    if not missing and not differs:
        return None
    return Finding(instance=instance, watermark=mark, missing=missing)
