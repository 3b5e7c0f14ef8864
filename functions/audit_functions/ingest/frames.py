"""Group commit: while one frame is being written, what arrives becomes the next.

A frame has a number, its message id is `<instance>:<number>`, and all who are in it wait for one acknowledgement. The
rules that keep the promise stand in `_stored` and `_settle`:

- a number that certainly was not stored is used again, since nobody can have seen it;
- after an unknown result the same bytes are sent again under the same message id, and only then may the stream call
  them a duplicate;
- what is unknown at the deadline is refused (503), its number never used again and declared in the next frame.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from audit_core.errors import Overloaded, StreamUnavailable, Unavailable
from audit_core.frame import MAX_FRAME_BYTES, encode_frame
from audit_core.outcome import FrameOutcome
from audit_functions.ingest.outcomes import Outcomes
from audit_functions.ingest.ports import FrameStream, Publication, Refused, Stored, Unknown
from audit_functions.ingest.shared import Shared
from audit_functions.logs import Log
from audit_functions.telemetry import Telemetry

PUBLISH_DEADLINE_SECONDS: Final = 5.0
_TRY_SECONDS: Final = 2.0
_RESEND_PAUSE_SECONDS: Final = 0.1
_HEAD_BYTES: Final = 16 * 1024
MAX_ENTRY_BYTES: Final = MAX_FRAME_BYTES - _HEAD_BYTES
"""What one request may add to a frame; the rest is for the frame's head with its abandoned numbers."""
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Packed entries that wait for their frame, per shard."""
_MAX_ABANDONED: Final = 1000

_log: Final = Log("frames")


class Acknowledged(NamedTuple):
    """The frame is in the stream."""

    number: int
    sequence: int


class NotAcknowledged(NamedTuple):
    """Nothing is promised of the frame."""

    reason: str
    retry_after_seconds: float

    def error(self) -> StreamUnavailable:
        """Return a new error: one that many raise would collect the trace of each."""
        return StreamUnavailable(self.reason, self.retry_after_seconds)


class LastAcknowledged(NamedTuple):
    """What the stream last promised this instance."""

    epoch: bytes
    number: int
    sequence: int
    sha256: bytes


class Frame:
    """A frame that fills, until it is its turn."""

    __slots__ = ("acked", "entries", "events", "outcome", "size", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.acked: Shared[Acknowledged | NotAcknowledged] = Shared(loop=loop)
        self.outcome: Shared[FrameOutcome] | None = None
        self.waiters: list[Callable[[Acknowledged | NotAcknowledged], None]] = []
        self.entries: list[msgspec.Raw] = []
        self.size = 0
        self.events = 0

    async def acknowledged(self) -> Acknowledged:
        """Wait for the stream. Raises StreamUnavailable."""
        result = await self.acked
        if isinstance(result, NotAcknowledged):
            raise result.error()
        return result

    def settle(self, result: Acknowledged | NotAcknowledged) -> None:
        """Tell everybody who is in it."""
        self.acked.set_result(result)
        for waiter in self.waiters:
            try:
                waiter(result)
            except Exception as error:  # noqa: BLE001 - one client's connection must not keep the others' answers
                _log.failure("answer_failed", error)


class Frames:
    """The frames of one instance and shard."""

    def __init__(
        self,
        stream: FrameStream,
        instance: bytes,
        outcomes: Outcomes,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float],
        deadline_seconds: float = PUBLISH_DEADLINE_SECONDS,
    ) -> None:
        self.last: LastAcknowledged | None = None
        self._stream = stream
        self._instance = instance
        self._outcomes = outcomes
        self._telemetry = telemetry
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._filling: deque[Frame] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._used_numbers = 0
        self._abandoned: list[int] = []
        self._silent_since: float | None = None
        self._closed = False

    def obstacle(self) -> Unavailable | None:
        """Return why nothing can be taken now, or None."""
        if self._closed:
            return StreamUnavailable("this process stops", 1.0)
        if self._silent_since is not None and self._stream.answered_at <= self._silent_since:
            return StreamUnavailable("the stream does not answer", 2.0)
        return self._stream.obstacle()

    def join(self, entry: msgspec.Raw, events: int, *, wants_outcome: bool = False) -> tuple[Frame, int]:
        """Add one request's share (at most MAX_ENTRY_BYTES) to the next frame; return it and the first event's position.

        Raises Unavailable when nothing can be taken, Overloaded when too much waits.
        """
        obstacle = self.obstacle()
        if obstacle is not None:
            raise obstacle
        size = len(entry)
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise Overloaded("bytes that wait for the stream")
        frame = self._filling[-1] if self._filling else None
        if frame is None or frame.size + size > MAX_ENTRY_BYTES:
            frame = Frame(asyncio.get_running_loop())
            self._filling.append(frame)
            self._idle.clear()
            self._arrived.set()
        position = frame.events
        frame.entries.append(entry)
        frame.size += size
        frame.events = position + events
        self._waiting_bytes += size
        if wants_outcome and frame.outcome is None:
            frame.outcome = Shared(loop=asyncio.get_running_loop())
        return frame, position

    def demand_room(self) -> None:
        """Raise Overloaded while so much waits that a stream of events had better not be read on."""
        if self._waiting_bytes > MAX_WAITING_BYTES // 2:
            raise Overloaded("bytes that wait for the stream", 0.1)

    async def run(self) -> None:
        """Publish one frame after the other, for ever."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._filling:
                    await self._publish(self._filling.popleft())
                self._idle.set()
        finally:
            self._closed = True
            self._refuse_waiting("this process stops")

    async def drained(self, wait_seconds: float) -> bool:
        """Take nothing more and wait until every frame is settled; return whether that was so in time."""
        self._closed = True
        try:
            async with asyncio.timeout(wait_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _publish(self, frame: Frame) -> None:
        self._waiting_bytes -= frame.size
        settled = False
        try:
            await self._publish_in_epoch(frame)
            settled = True
        finally:
            if not settled:  # cancelled or broken in the middle: whoever waits must not wait for ever
                self._refuse(frame, "interrupted")

    async def _publish_in_epoch(self, frame: Frame) -> None:
        epoch = self._stream.epoch
        if epoch is None:
            self._refuse(frame, "the stream's epoch is not known")
            return
        if len(self._abandoned) > _MAX_ABANDONED:
            raise RuntimeError("too many frames were abandoned without one being stored")
        number = self._used_numbers + 1
        payload = encode_frame(epoch, self._instance, number, self._abandoned, os.urandom(32), frame.entries)
        if frame.outcome is not None:
            self._outcomes.expect(number, frame.outcome)
        started = self._clock()
        result = await self._stored(payload, number)
        self._telemetry.frame(frame.events, len(payload), self._clock() - started)
        self._settle(frame, number, payload, epoch, result)

    async def _stored(self, payload: bytes, number: int) -> Publication:
        """Publish until the result is certain or the deadline has passed."""
        deadline = self._clock() + self._deadline_seconds
        message_id = f"{self._instance.hex()}:{number}"
        unknown: Unknown | None = None
        while True:
            left = max(deadline - self._clock(), 0.0)
            result = await self._stream.publish(payload, message_id, wait_seconds=min(left, _TRY_SECONDS))
            match result:
                case Stored(duplicate=True) if unknown is None:
                    _log.error("frame_taken_for_duplicate", instance=self._instance.hex(), number=number)
                    return Unknown("the stream took the frame for another one")
                case Stored():
                    return result
                case Refused() if unknown is None:
                    return result
                case Refused():
                    pass  # this try was in vain, an earlier one may still have got through
                case Unknown():
                    unknown = result
            if self._clock() >= deadline - _RESEND_PAUSE_SECONDS:
                return unknown or Unknown("no result in time")
            await asyncio.sleep(_RESEND_PAUSE_SECONDS)

    def _settle(self, frame: Frame, number: int, payload: bytes, epoch: bytes, result: Publication) -> None:
        match result:
            case Stored(sequence=sequence):
                self._used_numbers = number
                self._abandoned.clear()
                self._silent_since = None
                self.last = LastAcknowledged(epoch, number, sequence, hashlib.sha256(payload).digest())
                frame.settle(Acknowledged(number, sequence))
            case Refused(reason=reason):
                self._outcomes.forget(number)
                self._refuse(frame, reason)
            case Unknown(reason=reason):
                self._used_numbers = number
                self._abandoned.append(number)
                self._outcomes.forget(number)
                self._silent_since = self._clock()
                self._telemetry.frames_abandoned += 1
                _log.warning(
                    "frame_abandoned",
                    instance=self._instance.hex(),
                    number=number,
                    events=frame.events,
                    reason=reason,
                )
                self._refuse(frame, reason)
                self._refuse_waiting("the stream does not answer")

    def _refuse_waiting(self, reason: str) -> None:
        while self._filling:
            frame = self._filling.popleft()
            self._waiting_bytes -= frame.size
            self._refuse(frame, reason)
        self._idle.set()

    def _refuse(self, frame: Frame, reason: str) -> None:
        if not frame.acked.done():
            frame.settle(NotAcknowledged(reason, 1.0))
