"""What the numbers of an ingest process's frames say: which arrived, which were given up, which are missing.

An instance numbers its frames from 1, publishes one at a time, and names in each the numbers that it gave up since
the one before (their callers were told 503). So every number below the last one is stored, given up or lost, and
each kind of late arrival has one right answer. A pure function of the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

import msgspec

OPEN_NUMBERS: Final = 1_000
"""How many given-up or missing numbers are remembered of one instance. Those forgotten first are the lowest."""


class Producer(msgspec.Struct, frozen=True, kw_only=True):
    """One ingest process under one epoch.

    `abandoned` and `missing` are numbers up to `last_frame` that did not arrive, ascending; a watermark may name
    missing ones beyond it. `last_seen` is the received_at (µs) of its last frame.
    """

    epoch: bytes
    instance: bytes
    last_frame: int = 0
    abandoned: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    last_stream_sequence: int = 0
    last_seen: int = 0


class Arrival(Enum):
    """What to do with a frame."""

    NEXT = "next"
    LATE = "late"
    """Given up or missed before, and here after all: its events are taken."""
    REPEATED = "repeated"
    """Stored before, so the stream's own recognition of a resend failed: its events are skipped."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The producer after a frame, and how many numbers were found missing by it."""

    producer: Producer
    arrival: Arrival
    missing: int = 0


def seen(
    producer: Producer, number: int, abandoned: Sequence[int], *, stream_sequence: int, received_at: int
) -> Seen:
    """Judge the frame `number` that names `abandoned` as given up."""
    at = {"last_stream_sequence": stream_sequence, "last_seen": received_at}
    if number == producer.last_frame + 1 and not abandoned and not producer.missing:
        after = msgspec.structs.replace(producer, last_frame=number, **at)
        return Seen(producer=after, arrival=Arrival.NEXT)
    return _judged(producer, number, frozenset(abandoned), at)


def _judged(producer: Producer, number: int, declared: frozenset[int], at: dict[str, int]) -> Seen:
    last = producer.last_frame
    abandoned, missing = set(producer.abandoned), set(producer.missing)
    arrival = _arrival(number, last, abandoned | missing)
    lost = range(last + 1, number)
    unexplained = len(lost) - sum(number in lost for number in declared | missing)
    missing |= {lacking for lacking in lost[-OPEN_NUMBERS:] if lacking not in declared}
    # A number that arrived before it was given up stays what it is: stored.
    abandoned |= {given_up for given_up in declared if given_up in lost or given_up in missing}
    missing -= abandoned
    abandoned.discard(number)
    missing.discard(number)
    after = msgspec.structs.replace(
        producer,
        last_frame=max(last, number),
        abandoned=_kept(abandoned),
        missing=_kept(missing),
        **(at if arrival is not Arrival.REPEATED else {}),
    )
    return Seen(producer=after, arrival=arrival, missing=unexplained)


def _arrival(number: int, last: int, awaited: set[int]) -> Arrival:
    if number > last:
        return Arrival.NEXT
    return Arrival.LATE if number in awaited else Arrival.REPEATED


def lacking(producer: Producer, acknowledged: int) -> range:
    """Return the numbers up to `acknowledged`, which the instance saw acknowledged, that are not known here at all."""
    known = max((producer.last_frame, *producer.missing[-1:]))
    return range(known + 1, acknowledged + 1)


def with_missing(producer: Producer, numbers: range) -> Producer:
    """Return the producer with `numbers` recorded as missing."""
    return msgspec.structs.replace(producer, missing=_kept({*producer.missing, *numbers[-OPEN_NUMBERS:]}))


def under(epoch: bytes, instance: bytes, known: Producer | None) -> Producer:
    """Return an instance under `epoch`: it goes on numbering where the epoch before ended, or starts at zero."""
    if known is None:
        return Producer(epoch=epoch, instance=instance)
    return known if known.epoch == epoch else msgspec.structs.replace(known, epoch=epoch, missing=())


def _kept(numbers: set[int]) -> tuple[int, ...]:
    return tuple(sorted(numbers))[-OPEN_NUMBERS:]
