"""What the writer needs of the world, as its use cases see it. Adapters fill these in `run`; errors are our own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from audit_core.outcome import FrameOutcome
from audit_core.projection import Frozen, Watermark
from audit_functions.writer.clock import Clock
from audit_functions.writer.ledger import Found, Wanted
from audit_functions.writer.rows import Row
from audit_functions.writer.settle import Batch
from audit_functions.writer.state import Message, Offset, StreamState
from audit_functions.writer.telemetry import WriterTelemetry


class Landed(Protocol):
    """A batch on the server, not stored yet."""

    @property
    def batch(self) -> Batch:
        """What has landed."""
        ...

    async def commit(self) -> None:
        """Store it behind the fence. Raises FenceLost, RowsRefused, StoreUnavailable."""
        ...


class Store(Protocol):
    """A shard's tables. Raises StoreUnavailable."""

    async def offset(self) -> Offset:
        """Return the shard's place, as it is committed."""
        ...

    async def look_up(self, wanted: Wanted, *, since: int) -> Found:
        """Return what a batch wants to know; of events those that came after `since` (µs)."""
        ...

    async def ensure_partition(self, received_at: int) -> None:
        """Make the partition that holds an instant, unless it is there."""
        ...

    async def land(self, batch: Batch) -> Landed:
        """Send a batch to the server, without a lock. Raises RowsRefused."""
        ...

    def give_up(self) -> None:
        """Forget whatever has landed and is not committed."""
        ...

    async def refused(self, rows: Sequence[Row]) -> str | None:
        """Try to store rows and take them back; return the SQLSTATE with which they are refused, or None."""
        ...

    async def mark_trimmed(self, through: int, epoch: bytes) -> int | None:
        """Allow the stream to lack messages up to `through`; None unless they are all committed."""
        ...

    async def missing_frames(self) -> int:
        """Return how many frames were acknowledged and never arrived."""
        ...

    async def wal_files(self) -> tuple[str, str | None]:
        """Return the WAL file that holds everything committed so far, and the last one archived."""
        ...


class Inflow(Protocol):
    """Messages in stream order."""

    async def take(self, wait_seconds: float) -> list[Message]:
        """Return what has arrived, waiting so long for the first. Raises StreamUnavailable."""
        ...


class Stream(Protocol):
    """A shard's stream. Raises StreamUnavailable."""

    async def state(self) -> StreamState | None:
        """Return what the stream holds, or None when there is no such stream."""
        ...

    async def message(self, sequence: int) -> Message | None:
        """Return the message at a sequence, or None when it is not there."""
        ...

    async def next_message(self, sequence: int) -> Message | None:
        """Return the first message at `sequence` or behind it."""
        ...

    async def next_control(self, sequence: int) -> Message | None:
        """Return the first control message at `sequence` or behind it."""
        ...

    async def sequence_at(self, at: int) -> int:
        """Return the first sequence that is not older than `at` (µs); the next one when all are."""
        ...

    def consumer(self, sequence: int) -> AbstractAsyncContextManager[Inflow]:
        """Consume from `sequence` on, in order."""
        ...

    async def purge(self, through: int) -> int:
        """Delete every message up to and including `through`; return how many there were."""
        ...


class Board(Protocol):
    """Where a writer says what others must know of its shard, and reads what ingest was promised.

    Raises StreamUnavailable.
    """

    async def frozen(self) -> Frozen | None:
        """Return why the shard is frozen, or None."""
        ...

    async def freeze(self, frozen: Frozen) -> None:
        """Say that the shard is frozen."""
        ...

    async def thaw(self) -> None:
        """Say that the shard goes on."""
        ...

    async def reads_frame_version(self, version: int) -> None:
        """Say which frames this shard's writers read."""
        ...

    async def trimmed(self, through: int) -> None:
        """Say that the stream may lack messages up to `through`; returns only when it is said."""
        ...

    async def watermarks(self) -> dict[bytes, Watermark]:
        """Return the last watermark of every instance."""
        ...


class Teller(Protocol):
    """Tells ingest processes what became of their frames. Nothing is promised."""

    async def tell(self, instance: bytes, outcome: FrameOutcome) -> None:
        """Tell the instance that published a frame what became of its events."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One shard with everything that its writer needs of the world."""

    shard_id: str
    store: Store
    stream: Stream
    board: Board
    teller: Teller
    telemetry: WriterTelemetry
    clock: Clock
