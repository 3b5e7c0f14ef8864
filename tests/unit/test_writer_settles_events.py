"""What becomes of the events of a stream: numbers, duplicates and conflicts, as a function of the stream alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from audit_core.control import EpochArguments, GapArguments, epoch_frame, gap_frame
from audit_core.frame import (
    DEDUPE_WINDOW_US,
    ControlFrame,
    FrameEntry,
    FrameEvent,
    encode_control,
    encode_frame,
)
from audit_core.leaf import Kind, salts
from audit_core.outcome import EventOutcome, Fate, FrameOutcome
from audit_core.tenant import control_subject, ingest_subject
from audit_functions.writer.ledger import Found, Ledger
from audit_functions.writer.reading import content
from audit_functions.writer.rows import LANDING_COLUMNS
from audit_functions.writer.settle import Batch, Settling
from audit_functions.writer.state import Message, Offset, Remembered

SHARD, ACME, GLOBEX = "s" * 16, "a" * 16, "b" * 16
EPOCH, INSTANCE, SEED = b"e" * 16, b"i" * 16, b"s" * 32
NOON = 1_764_072_000_000_000
LOGIN, LOGOUT = b'{"event_type":"user.login"}', b'{"event_type":"user.logout"}'


@dataclass
class Shard:
    """A shard's writer, reduced to what it decides."""

    ledger: Ledger = field(default_factory=lambda: Ledger(Offset(epoch=EPOCH)))
    stored: dict[tuple[str, str], Remembered] = field(default_factory=dict)
    number: int = 0

    def frame(self, *events: FrameEvent, tenant: str = ACME, at: int = NOON) -> tuple[bytes, int]:
        self.number += 1
        return encode_frame(
            EPOCH, INSTANCE, self.number, [], SEED, [FrameEntry(tenant, b"{}", list(events))]
        ), at

    def settled(self, *messages: tuple[bytes, int], control: bool = False) -> Batch:
        """Settle messages as one batch, and store it."""
        wanted = self.ledger.wanted({SHARD, ACME, GLOBEX}, set(self.stored), {INSTANCE})
        self.ledger.learn(wanted, Found(heads={}, remembered=dict(self.stored), producers={}))
        settling = Settling(ledger=self.ledger, shard_id=SHARD)
        subject = control_subject(SHARD) if control else ingest_subject(SHARD)
        first = self.ledger.offset.stream_sequence + 1
        for sequence, (data, at) in enumerate(messages, first):
            message = Message(sequence, at * 1000 + 999, subject, data)
            settling.take(message, content(message, SHARD), at)
        batch = settling.batch()
        self.stored |= batch.touched.remembered
        return batch

    def ordered(self, frame: ControlFrame) -> Batch:
        return self.settled((encode_control(frame), NOON), control=True)


def an_event(event_id: str = "order-1", body: bytes = LOGIN, *, from_client: bool = True) -> FrameEvent:
    return FrameEvent(event_id, from_client, body)


def cells(batch: Batch, *names: str) -> list[tuple[object, ...]]:
    return [tuple(dict(zip(LANDING_COLUMNS, row, strict=True))[name] for name in names) for row in batch.rows]


def fates(batch: Batch) -> list[Fate]:
    return [event.fate for _, frame in batch.outcomes for event in frame.events]


def test_every_leaf_takes_the_next_number_of_its_log() -> None:
    shard = Shard()
    first = shard.settled(
        shard.frame(an_event("1"), an_event("2")),
        shard.frame(an_event("1"), tenant=GLOBEX),
        shard.frame(an_event("3")),
    )
    second = shard.settled(shard.frame(an_event("4")))
    assert cells(first, "tenant_id", "sequence", "stream_sequence", "position") == [
        (ACME, 0, 1, 0), (ACME, 1, 1, 1), (GLOBEX, 0, 2, 0), (ACME, 2, 3, 0),
    ]  # fmt: skip
    assert cells(second, "sequence", "stream_sequence") == [(3, 4)]
    assert first.touched.heads == {ACME: 3, GLOBEX: 1}


def test_salts_are_the_seeds_by_position_over_all_requests_of_a_frame() -> None:
    shard = Shard()
    entries = [
        FrameEntry(ACME, b"{}", [an_event("1"), an_event("2")]),
        FrameEntry(GLOBEX, b"{}", [an_event("3")]),
    ]
    batch = shard.settled((encode_frame(EPOCH, INSTANCE, 1, [], SEED, entries), NOON))
    assert cells(batch, "salt", "position") == [(salt, n) for n, salt in enumerate(salts(SEED, 3))]


def test_a_position_counts_what_leaves_nothing_too() -> None:
    shard = Shard()
    batch = shard.settled(shard.frame(an_event("1"), an_event("1"), an_event("2")))
    assert cells(batch, "id", "position", "salt") == [
        ("1", 0, salts(SEED, 3)[0]),
        ("2", 2, salts(SEED, 3)[2]),
    ]


def test_the_same_bytes_under_the_same_id_leave_nothing() -> None:
    shard = Shard()
    shard.settled(shard.frame(an_event()))
    again = shard.settled(shard.frame(an_event(), at=NOON + 5))
    assert again.rows == []
    assert again.outcomes == [(INSTANCE, FrameOutcome(2, [EventOutcome(Fate.DUPLICATE, 0, NOON)]))]


def test_other_bytes_under_the_same_id_leave_a_conflict_each_time() -> None:
    shard = Shard()
    shard.settled(shard.frame(an_event()))
    batch = shard.settled(shard.frame(an_event(body=LOGOUT)), shard.frame(an_event(body=LOGOUT)))
    assert cells(batch, "kind", "sequence", "body", "event_type") == [
        (Kind.CONFLICT, 1, LOGOUT.decode(), "user.logout"),
        (Kind.CONFLICT, 2, LOGOUT.decode(), "user.logout"),
    ]
    assert fates(batch) == [Fate.CONFLICT, Fate.CONFLICT]
    assert batch.touched.remembered == {}


def test_after_a_conflict_the_first_bytes_are_still_a_duplicate() -> None:
    shard = Shard()
    batch = shard.settled(shard.frame(an_event(), an_event(body=LOGOUT), an_event()))
    assert fates(batch) == [Fate.COMMITTED, Fate.CONFLICT, Fate.DUPLICATE]


def test_an_id_is_free_again_after_exactly_24_hours() -> None:
    for age, fate in ((DEDUPE_WINDOW_US - 1, Fate.DUPLICATE), (DEDUPE_WINDOW_US, Fate.COMMITTED)):
        shard = Shard()
        shard.settled(shard.frame(an_event()))
        assert fates(shard.settled(shard.frame(an_event(), at=NOON + age))) == [fate]


def test_a_duplicate_does_not_prolong_the_window() -> None:
    shard = Shard()
    shard.settled(shard.frame(an_event()))
    shard.settled(shard.frame(an_event(), at=NOON + DEDUPE_WINDOW_US - 1))
    assert fates(shard.settled(shard.frame(an_event(), at=NOON + DEDUPE_WINDOW_US))) == [Fate.COMMITTED]


def test_midnight_is_no_border_of_the_window() -> None:
    shard = Shard()
    before = NOON - NOON % 86_400_000_000 + 86_400_000_000 - 1
    shard.settled(shard.frame(an_event(), at=before))
    assert fates(shard.settled(shard.frame(an_event(), at=before + 1))) == [Fate.DUPLICATE]


def test_ids_are_compared_within_one_tenant_only() -> None:
    shard = Shard()
    shard.settled(shard.frame(an_event()))
    assert fates(shard.settled(shard.frame(an_event(), tenant=GLOBEX))) == [Fate.COMMITTED]


def test_an_id_that_ingest_made_is_never_a_duplicate() -> None:
    shard = Shard()
    batch = shard.settled(shard.frame(an_event(from_client=False), an_event(), an_event(from_client=False)))
    assert fates(batch) == [Fate.COMMITTED] * 3
    assert list(batch.touched.remembered) == [(ACME, "order-1")]


def test_a_batch_on_its_way_is_remembered_though_the_database_does_not_know_it() -> None:
    shard = Shard()
    shard.settled(shard.frame(an_event()))
    shard.stored.clear()
    assert fates(shard.settled(shard.frame(an_event()))) == [Fate.DUPLICATE]


def test_only_events_from_clients_are_remembered_in_the_row() -> None:
    shard = Shard()
    batch = shard.settled(shard.frame(an_event(), an_event(body=LOGOUT), an_event("x", from_client=False)))
    assert cells(batch, "body_sha256") == [(hashlib.sha256(LOGIN).digest(),), (None,), (None,)]


def test_one_batch_or_many_give_the_same_rows() -> None:
    def frames(shard: Shard) -> Sequence[tuple[bytes, int]]:
        return [
            shard.frame(an_event("1"), an_event("2")),
            shard.frame(an_event("1"), an_event("2", LOGOUT), at=NOON + 7),
            shard.frame(an_event("3"), tenant=GLOBEX, at=NOON + 9),
        ]

    whole, pieces = Shard(), Shard()
    in_one = whole.settled(*frames(whole)).rows
    in_many = [row for frame in frames(pieces) for row in pieces.settled(frame).rows]
    assert in_one == in_many


def test_a_body_that_is_no_event_keeps_its_leaf_and_its_bytes() -> None:
    for body in (b"\xff", b"[]", b"{", b'{"event_type":"a\\u0000b"}', b'{"event_type":7}'):
        batch = Shard().settled(Shard().frame(an_event("bad", body), an_event("good")))
        assert cells(batch, "kind", "sequence", "id", "body", "event_type") == [
            (Kind.EVENT, 0, "bad", None, None),
            (Kind.EVENT, 1, "good", LOGIN.decode(), "user.login"),
        ]
        assert [
            (letter.tenant_id, letter.sequence, letter.position, letter.raw) for letter in batch.dead_letters
        ] == [(ACME, 0, 0, body)]


def test_a_control_frame_leaves_one_leaf_of_its_kind() -> None:
    shard = Shard()
    batch = shard.ordered(gap_frame(SHARD, GapArguments(first=3, last=5), "ops@example"))
    assert cells(batch, "tenant_id", "sequence", "kind", "id", "body", "envelope", "position") == [
        (SHARD, 0, Kind.GAP, "", '{"from":3,"through":5}', '{"principal":"ops@example"}', 0)
    ]


def test_an_epoch_that_names_this_place_is_followed_and_any_other_is_only_recorded() -> None:
    shard = Shard()
    place = shard.settled(shard.frame(an_event())).after
    wrong = EpochArguments(epoch=b"n" * 16, frame_sha256=place.frame_sha256, offset=7, previous_epoch=EPOCH)
    recorded = shard.ordered(epoch_frame(SHARD, wrong, "ops")).after
    assert recorded.epoch == EPOCH
    right = EpochArguments(
        epoch=b"n" * 16, frame_sha256=recorded.frame_sha256, offset=2, previous_epoch=EPOCH
    )
    batch = shard.ordered(epoch_frame(SHARD, right, "ops"))
    assert (batch.after.epoch, cells(batch, "kind", "epoch")) == (b"n" * 16, [(Kind.EPOCH, EPOCH)])


def test_the_first_batch_of_a_day_says_so() -> None:
    shard = Shard()
    day = 86_400_000_000
    opens = [
        shard.settled(shard.frame(an_event(str(at)), at=at)).opens_a_day
        for at in (NOON, NOON + 1, NOON + day)
    ]
    assert opens == [True, False, True]
