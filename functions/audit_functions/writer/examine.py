"""Looks at the stream and demands that it is the offset's, and that what is missing was accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from audit_core.control import GAP, gap_arguments
from audit_core.errors import UnknownVersion
from audit_core.frame import ControlFrame
from audit_functions.writer.ports import Stream
from audit_functions.writer.reading import Content, content
from audit_functions.writer.state import Freeze, Gap, Message, Offset, Reason, StreamState
from audit_functions.writer.stream_check import Evidence, contradiction, gap_around, opens_epoch

_SECOND_LOOK_SECONDS: Final = 0.3
_MAX_CONTROLS: Final = 1_000


class Examiner:
    """Examines one shard's stream."""

    def __init__(self, stream: Stream, shard_id: str) -> None:
        self._stream = stream
        self._shard_id = shard_id

    async def examine(self, offset: Callable[[], Offset]) -> Evidence:
        """Return what was seen. Raises Freeze.

        The stream moves on while it is looked at, so a fault counts only when a second look shows it at an offset that
        stood still in between.
        """
        while True:
            at = offset()
            seen, freeze = await self._look(at)
            if freeze is None:
                return seen
            await asyncio.sleep(_SECOND_LOOK_SECONDS)
            seen, freeze = await self._look(at)
            if freeze is None:
                return seen
            if offset() is at:
                raise freeze

    async def demand_accepted(self, gap: Gap) -> None:
        """Return if the messages of a gap are really not there and an operator accepted that. Raises Freeze."""
        if await self._stream.message(gap.first) is None and not await self._accepted(gap):
            raise _frozen(gap)

    async def _look(self, offset: Offset) -> tuple[Evidence, Freeze | None]:
        seen = await self._evidence(offset)
        freeze = contradiction(offset, seen)
        if freeze is not None:
            continues = (
                freeze.reason is Reason.EPOCH_CHANGED
                and seen.stream is not None
                and await self._continues(offset, seen.stream, seen.following)
            )
            return seen, None if continues else freeze
        gap = gap_around(offset, seen)
        return seen, None if gap is None or await self._accepted(gap) else _frozen(gap)

    async def _evidence(self, offset: Offset) -> Evidence:
        stream = await self._stream.state()
        if stream is None:
            return Evidence(stream=None, committed=None, following=None)
        committed = following = None
        if offset.frame_sha256 is not None:
            committed = await self._stream.message(offset.stream_sequence)
        if stream.last_sequence > offset.stream_sequence:
            following = await self._stream.next_message(offset.stream_sequence + 1)
        return Evidence(stream=stream, committed=committed, following=following)

    async def _continues(self, offset: Offset, stream: StreamState, first: Message | None) -> bool:
        return first is not None and opens_epoch(offset, stream, self._content(first))

    async def _accepted(self, gap: Gap) -> bool:
        """Look behind a gap for the control frame that accepts it."""
        sequence = gap.last + 1
        for _ in range(_MAX_CONTROLS):
            message = await self._stream.next_control(sequence)
            if message is None:
                return False
            found = self._content(message)
            if (
                isinstance(found, ControlFrame)
                and (found.action, found.tenant_id) == (GAP, self._shard_id)
                and gap_arguments(found).covers(*gap)
            ):
                return True
            sequence = message.sequence + 1
        return False

    def _content(self, message: Message) -> Content | None:
        try:
            return content(message, self._shard_id)
        except UnknownVersion:
            return None


def _frozen(gap: Gap) -> Freeze:
    """Return the freeze for a gap; its evidence reads as the arguments of the control frame that would accept it."""
    return Freeze(Reason.GAP, **{"from": gap.first, "through": gap.last})
