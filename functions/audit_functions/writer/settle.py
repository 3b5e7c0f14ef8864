"""Messages in order → one transaction's worth of rows and numbers. Pure: the same stream, the same rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from audit_core.canonical import canonical_json
from audit_core.frame import ControlFrame, Frame
from audit_core.leaf import CONTROL_KINDS, Kind, salts
from audit_core.outcome import FrameOutcome
from audit_core.partitions import utc_day
from audit_functions.writer.events import Leaves, Place
from audit_functions.writer.ledger import Ledger, Touched
from audit_functions.writer.producers import Arrival, Producer, lacking, seen, under, with_missing
from audit_functions.writer.reading import Content, Letter
from audit_functions.writer.rows import NO_COLUMNS, WHOLE_MESSAGE, DeadLetter, Row
from audit_functions.writer.state import Message, Offset
from audit_functions.writer.stream_check import epoch_behind


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a batch holds, for metrics."""

    messages: int = 0
    bytes: int = 0
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    dead_letters: int = 0
    repeated_events: int = 0
    late_frames: int = 0
    missing_frames: int = 0
    foreign_epochs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One transaction: prepared for the offset `before`, it moves it to `after`.

    `outcomes` names the instance that hears what became of a frame.
    """

    before: Offset
    after: Offset
    rows: list[Row]
    dead_letters: list[DeadLetter]
    touched: Touched
    outcomes: list[tuple[bytes, FrameOutcome]]
    counts: Counts

    @property
    def opens_a_day(self) -> bool:
        """Tell whether it is the first batch of its UTC day, before which that day's dedupe slot is emptied."""
        before, after = self.before.received_at, self.after.received_at
        return after is not None and (before is None or utc_day(before) != utc_day(after))


@dataclass(slots=True, kw_only=True)
class Settling:
    """One batch in the making: `take` each message in order, then `batch`."""

    ledger: Ledger
    shard_id: str
    _offset: Offset = field(init=False)
    _leaves: Leaves = field(init=False)
    _producers: dict[bytes, Producer] = field(default_factory=dict)
    _outcomes: list[tuple[bytes, FrameOutcome]] = field(default_factory=list)
    _counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._offset = self.ledger.offset
        self._leaves = Leaves(ledger=self.ledger)

    def take(self, message: Message, content: Content, received_at: int) -> None:
        """Settle one message, the next of the stream."""
        epoch = self._offset.epoch
        place = Place(stream_sequence=message.sequence, received_at=received_at)
        if isinstance(content, Frame):
            self._frame(content, place)
        elif isinstance(content, ControlFrame):
            self._whole_message(CONTROL_KINDS[content.action], content.tenant_id, message, place, content)
            if content.tenant_id == self.shard_id:
                epoch = epoch_behind(self._offset, content) or epoch
        else:
            self._letter(message, content, place)
        self._offset = Offset(
            epoch=epoch,
            stream_sequence=message.sequence,
            received_at=received_at,
            frame_sha256=message.sha256(),
            trimmed_through=self._offset.trimmed_through,
        )
        self._counts.messages += 1
        self._counts.bytes += len(message.data)

    def lack(self, instance: bytes, epoch: bytes, acknowledged: int) -> None:
        """Record which frames of an instance never arrived, though it saw all up to `acknowledged` acknowledged."""
        known = under(epoch, instance, self._producers.get(instance) or self.ledger.producer(instance))
        numbers = lacking(known, acknowledged)
        if numbers:
            self._producers[instance] = with_missing(known, numbers)
            self._counts.missing_frames += len(numbers)

    def batch(self) -> Batch:
        """Close the batch. The ledger goes on behind it."""
        leaves, before = self._leaves, self.ledger.offset
        touched = Touched(heads=leaves.heads, remembered=leaves.remembered, producers=self._producers)
        self.ledger.settled(self._offset, touched)
        self._counts.rows = len(leaves.rows)
        self._counts.duplicates = leaves.duplicates
        self._counts.conflicts = leaves.conflicts
        self._counts.dead_letters = len(leaves.dead_letters)
        return Batch(
            before=before,
            after=self._offset,
            rows=leaves.rows,
            dead_letters=leaves.dead_letters,
            touched=touched,
            outcomes=self._outcomes,
            counts=self._counts,
        )

    def _frame(self, frame: Frame, place: Place) -> None:
        self._counts.foreign_epochs += frame.epoch != self._offset.epoch
        known = self._producers.get(frame.instance) or self.ledger.producer(frame.instance)
        judged = seen(
            under(frame.epoch, frame.instance, known),
            frame.number,
            frame.abandoned,
            stream_sequence=place.stream_sequence,
            received_at=place.received_at,
        )
        self._producers[frame.instance] = judged.producer
        self._counts.missing_frames += judged.missing
        self._counts.late_frames += judged.arrival is Arrival.LATE
        if judged.arrival is Arrival.REPEATED:
            self._counts.repeated_events += sum(len(entry.events) for entry in frame.entries)
            return
        outcomes = self._leaves.add(frame, place)
        self._outcomes.append((frame.instance, FrameOutcome(frame.number, outcomes)))

    def _letter(self, message: Message, letter: Letter, place: Place) -> None:
        sequence = self._whole_message(Kind.DEAD_LETTER, self.shard_id, message, place, None)
        self._leaves.dead_letters.append(
            DeadLetter(
                stream_sequence=place.stream_sequence,
                received_at=place.received_at,
                sequence=sequence,
                position=WHOLE_MESSAGE,
                tenant_id=self.shard_id,
                epoch=self._offset.epoch,
                reason=letter.reason,
                raw=message.data,
            )
        )

    def _whole_message(
        self, kind: Kind, tenant_id: str, message: Message, place: Place, frame: ControlFrame | None
    ) -> int:
        """Make the leaf of a message that holds no events. Without a seed, its salt derives from the message."""
        sequence = self._leaves.next_sequence(tenant_id)
        [salt] = salts(hashlib.sha256(message.data).digest(), 1)
        envelope = "" if frame is None else canonical_json({"principal": frame.principal}).decode()
        body = None if frame is None else frame.arguments.decode()
        row: Row = (
            tenant_id, sequence, place.received_at, place.stream_sequence, WHOLE_MESSAGE, int(kind), "", False,
            self._offset.epoch, salt, envelope, None, body, *NO_COLUMNS,
        )  # fmt: skip
        self._leaves.rows.append(row)
        return sequence
