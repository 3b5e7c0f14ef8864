"""What ingest answers, as shapes and as bytes."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from audit_core.errors import AuditError, Conflict
from audit_core.outcome import EventOutcome, Fate
from audit_core.rfc3339 import time_text
from audit_functions.ingest.submission import Settled
from audit_functions.web.problem import Problem, problem_of

ACCEPTED: Final = 202
COMMITTED: Final = 201
DUPLICATE: Final = 200


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """One event that the stream has fsynced."""

    id: str


class Committed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event in the database. For a duplicate, `sequence` and `received_at` are those of the event it repeats."""

    id: str
    sequence: int
    received_at: str
    duplicate: bool = False


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a batch. `status` is what a request with this event alone would have been answered."""

    index: int
    id: str | None = None
    status: int
    sequence: int | None = None
    received_at: str | None = None
    duplicate: bool = False
    error: Problem | None = None


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, item by item in the order sent."""

    accepted: int
    rejected: int
    results: list[Item]


class ListAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A list of another system's events, all of them in the stream. `unmapped`: kept, and not understood."""

    accepted: int
    unmapped: int


class RejectedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a stream that was refused; lines count from 1."""

    line: int
    status: int
    error: Problem


class StreamedChunk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a stream: every line up to `through_line` is accepted or listed, in this answer line or an earlier one.

    `error` says why nothing was read behind it.
    """

    through_line: int
    accepted: int
    rejected: list[RejectedLine]
    error: Problem | None = None


_encoder: Final = msgspec.json.Encoder()


def encoded(answer: BatchAnswer | ListAnswer | StreamedChunk) -> bytes:
    """Return an answer as JSON."""
    return _encoder.encode(answer)


def single_answer(event_id: str, told: EventOutcome | None) -> tuple[int, bytes]:
    """Return status and body for one event. Raises Conflict when that is what became of it."""
    if told is None:
        return ACCEPTED, b'{"id":"%b"}' % event_id.encode("ascii")
    if told.fate is Fate.CONFLICT:
        raise Conflict(event_id, told.sequence)
    answer = Committed(
        id=event_id,
        sequence=told.sequence,
        received_at=time_text(told.received_at),
        duplicate=told.fate is Fate.DUPLICATE,
    )
    return DUPLICATE if answer.duplicate else COMMITTED, _encoder.encode(answer)


def batch_answer(settled: Settled, told: dict[int, EventOutcome]) -> tuple[int, BatchAnswer]:
    """Return status and answer of a batch: 202 if anything was acknowledged, 503 if that may come, 422 if not."""
    items = [_refused_item(index, error) for index, error in settled.refused]
    for part in settled.accepted:
        items += [_accepted_item(sent.place, sent.id, told.get(sent.place)) for sent in part.events]
    items.sort(key=lambda item: item.index)
    rejected = sum(1 for item in items if item.error is not None)
    answer = BatchAnswer(accepted=len(items) - rejected, rejected=rejected, results=items)
    if settled.accepted:
        return ACCEPTED, answer
    return (503 if any(item.status == 503 for item in items) else 422), answer


def _refused_item(index: int, error: AuditError) -> Item:
    problem = problem_of(error)
    return Item(index=index, status=problem.status, error=problem)


def _accepted_item(index: int, event_id: str, told: EventOutcome | None) -> Item:
    if told is None:
        return Item(index=index, id=event_id, status=ACCEPTED)
    error = problem_of(Conflict(event_id, told.sequence)) if told.fate is Fate.CONFLICT else None
    status: Literal[200, 201, 409] = 409 if error is not None else 200 if told.fate is Fate.DUPLICATE else 201
    return Item(
        index=index,
        id=event_id,
        status=status,
        sequence=told.sequence,
        received_at=time_text(told.received_at),
        duplicate=told.fate is Fate.DUPLICATE,
        error=error,
    )


def chunk_answer(settled: Settled, through_line: int, error: Exception | None = None) -> StreamedChunk:
    """Return the answer line of a piece of a stream. Indices of its events are lines counted from 0."""
    rejected = []
    for index, refusal in settled.refused:
        problem = problem_of(refusal)
        rejected.append(RejectedLine(line=index + 1, status=problem.status, error=problem))
    return StreamedChunk(
        through_line=through_line,
        accepted=settled.accepted_events,
        rejected=rejected,
        error=None if error is None else problem_of(error),
    )
