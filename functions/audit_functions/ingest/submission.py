"""Events on their way: which were refused, which are in which frame, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from audit_core.errors import AuditError, StreamUnavailable
from audit_core.outcome import EventOutcome, FrameOutcome
from audit_functions.ingest.frames import Frame

COMMIT_WAIT_SECONDS: Final = 5.0


class Sent(NamedTuple):
    """One event that went into a frame: where it stood in the request, counted from 0, and its id."""

    place: int
    id: str


@dataclass(slots=True)
class Part:
    """What one request has in one frame; the events stand there from `position` on."""

    frame: Frame
    position: int
    events: list[Sent]
    body_bytes: int


@dataclass(slots=True)
class Submission:
    """One request's events. Filled by the service, settled by whoever answers."""

    parts: list[Part] = field(default_factory=list)
    refused: list[tuple[int, AuditError]] = field(default_factory=list)

    async def settled(self) -> Settled:
        """Wait until every frame of it is acknowledged or refused."""
        settled = Settled(refused=list(self.refused))
        for part in self.parts:
            try:
                await part.frame.acknowledged()
            except StreamUnavailable as error:
                settled.refused += [(sent.place, error) for sent in part.events]
            else:
                settled.accepted.append(part)
        settled.refused.sort(key=lambda item: item[0])
        return settled


@dataclass(slots=True)
class Settled:
    """What became of a submission's events in the stream."""

    accepted: list[Part] = field(default_factory=list)
    refused: list[tuple[int, AuditError]] = field(default_factory=list)

    @property
    def accepted_events(self) -> int:
        """How many events are in the stream."""
        return sum(len(part.events) for part in self.accepted)

    async def committed(self, until: float) -> dict[int, EventOutcome]:
        """Wait until `until` (loop time) for the writer; return what it told, by index in the request."""
        told: dict[int, EventOutcome] = {}
        for part in self.accepted:
            outcome = await heard(part.frame, until)
            if outcome is not None:
                told.update(_of_part(part, outcome))
        return told


async def heard(frame: Frame, until: float) -> FrameOutcome | None:
    """Wait until `until` (loop time) for a frame's outcome; None when it was not heard."""
    if frame.outcome is None:
        return None
    left = until - asyncio.get_running_loop().time()
    if not frame.outcome.done() and left > 0:
        await asyncio.wait({frame.outcome}, timeout=left)
    return frame.outcome.result() if frame.outcome.done() else None


def _of_part(part: Part, outcome: FrameOutcome) -> Iterator[tuple[int, EventOutcome]]:
    mine = outcome.events[part.position : part.position + len(part.events)]
    return zip((sent.place for sent in part.events), mine, strict=False)
