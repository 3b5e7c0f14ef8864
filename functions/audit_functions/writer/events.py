"""The events of one frame → rows, dead letters and outcomes. Stands on the path of every event.

Every leaf takes the next sequence of its tenant's log. An event whose id its client chose is a duplicate if the last
event leaf of that id is less than W old: with the same bytes it leaves nothing, with other bytes a conflict leaf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from audit_core.frame import DEDUPE_WINDOW_US, Frame, FrameEvent
from audit_core.leaf import Kind, salts
from audit_core.outcome import EventOutcome, Fate
from audit_functions.writer.ledger import EventKey, Ledger
from audit_functions.writer.rows import DeadLetter, Row, dead_letter, stored
from audit_functions.writer.state import Remembered

_EVENT: Final = int(Kind.EVENT)
_CONFLICT: Final = int(Kind.CONFLICT)

Report = Callable[[EventOutcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the stream a frame stands."""

    stream_sequence: int
    received_at: int


@dataclass(slots=True, kw_only=True)
class Leaves:
    """The leaves of one batch, as they are made."""

    ledger: Ledger
    rows: list[Row] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    heads: dict[str, int] = field(default_factory=dict)
    remembered: dict[EventKey, Remembered] = field(default_factory=dict)
    duplicates: int = 0
    conflicts: int = 0

    def next_sequence(self, tenant_id: str) -> int:
        """Take the next index of a tenant's log."""
        sequence = self.size(tenant_id)
        self.heads[tenant_id] = sequence + 1
        return sequence

    def size(self, tenant_id: str) -> int:
        """Return how many leaves a tenant's log has by now."""
        size = self.heads.get(tenant_id)
        return self.ledger.size(tenant_id) if size is None else size

    def add(self, frame: Frame, place: Place) -> list[EventOutcome]:
        """Make the leaves of a frame; return what became of its events, by position."""
        received_at, stream_sequence, epoch = place.received_at, place.stream_sequence, frame.epoch
        salt_of = salts(frame.seed, sum(len(entry.events) for entry in frame.entries))
        outcomes: list[EventOutcome] = []
        position = 0
        for entry in frame.entries:
            tenant_id, envelope = entry.tenant_id, entry.envelope.decode()
            sequence = self.size(tenant_id)
            for event in entry.events:
                kind, digest = _EVENT, None
                if event.id_from_client:
                    judged = self._judged(tenant_id, event, sequence, received_at)
                    if isinstance(judged, EventOutcome):
                        outcomes.append(judged)
                        position += 1
                        continue
                    kind, digest = judged
                text, columns, flaw = stored(event.body)
                placed = (
                    tenant_id, sequence, received_at, stream_sequence, position, kind, event.id,
                    event.id_from_client, epoch, salt_of[position], envelope, digest, text,
                )  # fmt: skip
                row = placed + columns
                self.rows.append(row)
                if flaw is not None:
                    self.dead_letters.append(dead_letter(row, flaw, event.body))
                outcomes.append(
                    EventOutcome(Fate.COMMITTED if kind == _EVENT else Fate.CONFLICT, sequence, received_at)
                )
                position += 1
                sequence += 1
            self.heads[tenant_id] = sequence
        return outcomes

    def _judged(
        self, tenant_id: str, event: FrameEvent, sequence: int, received_at: int
    ) -> tuple[int, bytes | None] | EventOutcome:
        """Return the kind of an event's leaf, with the hash to remember it by, or the event that it repeats."""
        key = (tenant_id, event.id)
        earlier = self.remembered.get(key) or self.ledger.remembered(key)
        digest = hashlib.sha256(event.body).digest()
        if earlier is None or earlier.received_at <= received_at - DEDUPE_WINDOW_US:
            self.remembered[key] = Remembered(received_at, sequence, digest)
            return _EVENT, digest
        if earlier.body_sha256 == digest:
            self.duplicates += 1
            return EventOutcome(Fate.DUPLICATE, earlier.sequence, earlier.received_at)
        self.conflicts += 1
        return _CONFLICT, None
