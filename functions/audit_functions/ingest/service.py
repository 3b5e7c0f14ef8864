"""Accept events: validate, stamp, put into a frame. Durable once the stream has acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from audit_core.errors import (
    AuditError,
    BodyTooLarge,
    EventTooLarge,
    Forbidden,
    InvalidEvent,
    Overloaded,
    RateLimited,
    Unavailable,
)
from audit_core.event import canonical_event
from audit_core.frame import FrameEvent, pack_entry
from audit_core.outcome import EventOutcome
from audit_functions.ingest.frames import MAX_ENTRY_BYTES, Frame
from audit_functions.ingest.ids import IdMint
from audit_functions.ingest.quota import Quotas
from audit_functions.ingest.sender import Clock, Sender, Senders
from audit_functions.ingest.shard import IngestCaller, IngestShard
from audit_functions.ingest.submission import COMMIT_WAIT_SECONDS, Part, Sent, Submission, heard
from audit_functions.telemetry import Telemetry

Raw: TypeAlias = bytes | memoryview | msgspec.Raw

_YIELD_EVERY_EVENTS: Final = 64
"""A batch lets others run after so many events: about a millisecond of work."""
_HOSTILE_BYTES: Final = 2048
"""To say what is wrong with an event costs up to a microsecond a byte: a long one that is refused lets others run."""
_EVENT_OVERHEAD_BYTES: Final = 16
_ENTRY_OVERHEAD_BYTES: Final = 64
_LONGEST_PAUSE_SECONDS: Final = 0.25
EVENT_REFUSALS: Final = (InvalidEvent, EventTooLarge, Forbidden)
"""What one event of many may be refused for while its neighbours are kept."""


class Request(NamedTuple):
    """What holds for all events of one request."""

    caller: IngestCaller
    idempotency_key: str | None = None
    wants_committed: bool = False


class Placed(NamedTuple):
    """One event on its way, in a frame at a position."""

    sender: Sender
    event: FrameEvent
    frame: Frame
    position: int


class NotAtomic(AuditError):
    """A request that is all or none holds events that are refused; `refused` by index."""

    __slots__ = ("refused",)

    def __init__(self, refused: list[tuple[int, AuditError]]) -> None:
        self.refused = refused


class Ingest:
    """The use case, for every caller of a process. Built once; holds quotas and what is derived from callers."""

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._senders = Senders(telemetry)
        self._quotas = Quotas()
        self._mint = IdMint(lambda: now_ns() // 1_000_000)
        self._clock = Clock(now_ns)
        self._monotonic = monotonic

    def place(self, request: Request, raw: Raw) -> Placed:
        """Put one event into the next frame.

        Raises what the event is refused for, RateLimited, and Unavailable when nothing is promised.
        """
        caller, key, wants_committed = request
        sender = self._senders.of(caller)
        self._quotas.admit(sender.tenant_id, caller.tenant.limits, 1, self._monotonic())
        event = self._event(sender, raw, key, 0)
        entry = pack_entry(sender.tenant_id, sender.envelope(self._clock.text()), (event,))
        frame, position = caller.shard.frames.join(entry, 1, wants_outcome=wants_committed)
        return Placed(sender, event, frame, position)

    def acknowledged(self, placed: Placed) -> None:
        """Count an event that the stream has."""
        counts = placed.sender.counts
        counts.accepted += 1
        counts.bytes += len(placed.event.body)

    async def single(self, request: Request, raw: Raw) -> tuple[str, EventOutcome | None]:
        """Accept one event; return its id once the stream has it, and what the writer told when that was asked for.

        Raises as `place` does, and StreamUnavailable when the frame was not acknowledged.
        """
        until = asyncio.get_running_loop().time() + COMMIT_WAIT_SECONDS
        placed = self.place(request, raw)
        await placed.frame.acknowledged()
        self.acknowledged(placed)
        if not request.wants_committed:
            return placed.event.id, None
        return placed.event.id, await _outcome(placed.frame, placed.position, until)

    async def batch(self, request: Request, raws: Sequence[Raw], *, atomic: bool = False) -> Submission:
        """Put a batch on its way: the valid events into frames, the others aside.

        Raises RateLimited (never half), BodyTooLarge, Unavailable and, when `atomic`, NotAtomic: then nothing is sent.
        """
        caller = request.caller
        limits = caller.tenant.limits
        if len(raws) > limits.max_batch_events:
            raise BodyTooLarge(limits.max_batch_events, "events")
        self._demand_open(caller.shard)
        self._quotas.admit(caller.tenant_id, limits, len(raws), self._monotonic())
        return await self._submitted(request, list(enumerate(raws)), atomic=atomic)

    async def chunk(
        self, request: Request, raws: Sequence[tuple[int, Raw]], *, patience_seconds: float
    ) -> Submission:
        """Put a piece of a stream on its way, waiting up to `patience_seconds` for the tenant's quota and for room.

        The sender of a stream cannot do better than wait, and waiting here holds it up by not reading on.
        """
        give_up_at = self._monotonic() + patience_seconds
        caller = request.caller
        while True:
            try:
                self._demand_open(caller.shard)
                caller.shard.frames.demand_room()
                self._quotas.admit(caller.tenant_id, caller.tenant.limits, len(raws), self._monotonic())
                break
            except (RateLimited, Overloaded) as error:
                pause = min(error.retry_after_seconds, _LONGEST_PAUSE_SECONDS)
                if self._monotonic() + pause > give_up_at:
                    raise
                await asyncio.sleep(pause)
        return await self._submitted(request, raws, atomic=False)

    async def _submitted(
        self, request: Request, raws: Sequence[tuple[int, Raw]], *, atomic: bool
    ) -> Submission:
        sender = self._senders.of(request.caller)
        submission = Submission()
        events: list[tuple[int, FrameEvent]] = []
        for count, (index, raw) in enumerate(raws, 1):
            try:
                events.append((index, self._event(sender, raw, request.idempotency_key, index)))
            except EVENT_REFUSALS as error:
                submission.refused.append((index, error))
                if len(raw) > _HOSTILE_BYTES:
                    await asyncio.sleep(0)
            if count % _YIELD_EVERY_EVENTS == 0:
                await asyncio.sleep(0)
        pieces = list(_pieces(events, MAX_ENTRY_BYTES - _ENTRY_OVERHEAD_BYTES - sender.envelope_bytes))
        if atomic and submission.refused:
            raise NotAtomic(submission.refused)
        if atomic and len(pieces) > 1:
            raise BodyTooLarge(MAX_ENTRY_BYTES)
        for piece in pieces:
            self._join(request, sender, submission, piece)
        return submission

    def _join(
        self,
        request: Request,
        sender: Sender,
        submission: Submission,
        piece: list[tuple[int, FrameEvent]],
    ) -> None:
        """Put one piece into a frame. What cannot go in now is refused, unless nothing of the request went in yet."""
        shard = request.caller.shard
        entry = pack_entry(
            sender.tenant_id, sender.envelope(self._clock.text()), [event for _, event in piece]
        )
        try:
            frame, position = shard.frames.join(entry, len(piece), wants_outcome=request.wants_committed)
        except Unavailable as error:
            if not submission.parts:
                raise
            submission.refused += [(index, error) for index, _ in piece]
            return
        sent = [Sent(index, event.id) for index, event in piece]
        submission.parts.append(Part(frame, position, sent, sum(len(event.body) for _, event in piece)))

    def counted(self, caller: IngestCaller, accepted: Iterable[Part]) -> None:
        """Count what the stream acknowledged."""
        counts = self._senders.of(caller).counts
        for part in accepted:
            counts.accepted += len(part.events)
            counts.bytes += part.body_bytes

    def refused(self, caller: IngestCaller, status: int, events: int = 1) -> None:
        """Count what was refused."""
        self._senders.of(caller).counts.reject(status, events)

    def _event(self, sender: Sender, raw: Raw, key: str | None, index: int) -> FrameEvent:
        event = canonical_event(raw, sender.limits)
        if event.tenant_hint is not None:
            sender.demand_own(event.tenant_hint)
        if event.id is not None:
            return FrameEvent(event.id, True, event.body)
        if key is not None:
            return FrameEvent(sender.idempotent_id(key, index), True, event.body)
        return FrameEvent(self._mint.new(), False, event.body)

    def _demand_open(self, shard: IngestShard) -> None:
        obstacle = shard.frames.obstacle()
        if obstacle is not None:
            raise obstacle


def _pieces(events: list[tuple[int, FrameEvent]], room: int) -> Iterable[list[tuple[int, FrameEvent]]]:
    """Yield the events in pieces of at most `room` bytes, in order."""
    piece: list[tuple[int, FrameEvent]] = []
    size = 0
    for item in events:
        event = item[1]
        needed = len(event.id) + len(event.body) + _EVENT_OVERHEAD_BYTES
        if piece and size + needed > room:
            yield piece
            piece, size = [], 0
        piece.append(item)
        size += needed
    if piece:
        yield piece


async def _outcome(frame: Frame, position: int, until: float) -> EventOutcome | None:
    outcome = await heard(frame, until)
    if outcome is None or position >= len(outcome.events):
        return None
    return outcome.events[position]
