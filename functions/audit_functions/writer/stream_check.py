"""Whether the stream is still the one that the offset belongs to. Pure.

A stream that vanished, shrank, changed its epoch, or is an older copy that has grown past the offset again must never
be read on as if nothing had happened: its sequences mean other messages.
"""

from __future__ import annotations

import msgspec

from audit_core.control import EPOCH, epoch_arguments
from audit_core.frame import ControlFrame
from audit_functions.writer.reading import Content
from audit_functions.writer.state import Freeze, Gap, Message, Offset, Reason, StreamState


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a stream: its state, the message at the offset, and the first one behind it."""

    stream: StreamState | None
    committed: Message | None
    following: Message | None

    @property
    def frame_sha256(self) -> bytes | None:
        """The hash of the message at the offset, None when it is not there."""
        return None if self.committed is None else self.committed.sha256()


def contradiction(offset: Offset, seen: Evidence) -> Freeze | None:
    """Return why the stream cannot be the offset's, or None. Messages that are missing are another question."""
    stream = seen.stream
    if stream is None:
        return Freeze(Reason.STREAM_MISSING, offset=offset.stream_sequence)
    if stream.epoch != offset.epoch:
        epoch = "none" if stream.epoch is None else stream.epoch.hex()
        return Freeze(Reason.EPOCH_CHANGED, stored=offset.epoch.hex(), stream=epoch)
    if stream.last_sequence < offset.stream_sequence:
        return Freeze(Reason.STREAM_SHRANK, offset=offset.stream_sequence, last=stream.last_sequence)
    stored, found = offset.frame_sha256, seen.frame_sha256
    if stored is not None and found is not None and stored != found:
        return Freeze(
            Reason.FRAME_DIFFERS, offset=offset.stream_sequence, stored=stored.hex(), stream=found.hex()
        )
    return None


def gap_around(offset: Offset, seen: Evidence) -> Gap | None:
    """Return the messages at the offset and right behind it that the stream lacks, or None.

    The last committed message is never trimmed: without it nothing shows that the stream is the one we know.
    """
    first = last = offset.stream_sequence
    if offset.frame_sha256 is None or seen.committed is not None:
        first += 1
    if seen.following is not None:
        last = seen.following.sequence - 1
    elif seen.stream is not None:
        last = max(last, seen.stream.last_sequence)
    return Gap(first, last) if first <= last else None


def opens_epoch(offset: Offset, stream: StreamState, first: Content | None) -> bool:
    """Tell whether a stream of another epoch continues behind the offset by order of an operator.

    `first` is its first message: an `epoch` control frame that names this very place.
    """
    if stream.first_sequence != offset.stream_sequence + 1:
        return False
    return isinstance(first, ControlFrame) and epoch_behind(offset, first) == stream.epoch


def epoch_behind(offset: Offset, frame: ControlFrame) -> bytes | None:
    """Return the epoch that a control frame opens at this place, or None when it opens none here."""
    if frame.action != EPOCH:
        return None
    named = epoch_arguments(frame)
    place = (offset.epoch, offset.stream_sequence, offset.frame_sha256)
    return named.epoch if place == (named.previous_epoch, named.offset, named.frame_sha256) else None
