"""Whether a stream is the one that the offset belongs to, judged by what is seen of it."""

from __future__ import annotations

import msgspec
import pytest

from audit_core.control import EpochArguments, GapArguments, epoch_frame
from audit_core.frame import ControlFrame
from audit_functions.writer.state import Gap, Message, Offset, Reason, StreamState
from audit_functions.writer.stream_check import Evidence, contradiction, gap_around, opens_epoch

LAST = Message(10, 0, "audit.in.x", b"frame")
OFFSET = Offset(epoch=b"e" * 16, stream_sequence=10, received_at=1, frame_sha256=LAST.sha256())
STREAM = StreamState(
    epoch=b"e" * 16, created="", first_sequence=5, last_sequence=20, messages=16, bytes=1, max_bytes=100
)
SEEN = Evidence(stream=STREAM, committed=LAST, following=Message(11, 0, "audit.in.x", b"next"))


def seen(*, committed: Message | None = LAST, following: int | None = 11, **stream: object) -> Evidence:
    state = msgspec.structs.replace(STREAM, **stream)
    next_message = None if following is None else Message(following, 0, "audit.in.x", b"next")
    return Evidence(stream=state, committed=committed, following=next_message)


def reason(evidence: Evidence, offset: Offset = OFFSET) -> Reason | None:
    found = contradiction(offset, evidence)
    return None if found is None else found.reason


def test_the_stream_that_we_know_is_fine() -> None:
    assert (contradiction(OFFSET, SEEN), gap_around(OFFSET, SEEN)) == (None, None)


def test_a_new_shard_with_an_empty_stream_is_fine() -> None:
    offset = Offset(epoch=b"e" * 16)
    evidence = seen(committed=None, following=None, first_sequence=0, last_sequence=0, messages=0)
    assert (contradiction(offset, evidence), gap_around(offset, evidence)) == (None, None)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(stream=None, committed=None, following=None), Reason.STREAM_MISSING),
        (seen(epoch=b"x" * 16), Reason.EPOCH_CHANGED),
        (seen(epoch=None), Reason.EPOCH_CHANGED),
        (seen(last_sequence=9, committed=None, following=None), Reason.STREAM_SHRANK),
        (seen(committed=Message(10, 0, "audit.in.x", b"other")), Reason.FRAME_DIFFERS),
    ],
)
def test_a_stream_that_is_another_is_found_out(evidence: Evidence, expected: Reason) -> None:
    assert reason(evidence) is expected


@pytest.mark.parametrize(
    ("evidence", "gap"),
    [
        (seen(following=14), Gap(11, 13)),
        (seen(following=None), Gap(11, 20)),
        (seen(committed=None), Gap(10, 10)),
        (seen(committed=None, following=14, first_sequence=14), Gap(10, 13)),
        (seen(committed=None, following=None, first_sequence=21), Gap(10, 20)),
        (seen(following=None, last_sequence=10), None),
    ],
)
def test_what_is_missing_around_the_offset_is_named(evidence: Evidence, gap: Gap | None) -> None:
    assert gap_around(OFFSET, evidence) == gap


def epoch(**changes: object) -> ControlFrame:
    arguments = EpochArguments(
        epoch=b"n" * 16, frame_sha256=OFFSET.frame_sha256, offset=10, previous_epoch=OFFSET.epoch
    )
    return epoch_frame("s" * 16, msgspec.structs.replace(arguments, **changes), "ops")


NEW = msgspec.structs.replace(STREAM, epoch=b"n" * 16, first_sequence=11)


def test_a_new_epoch_that_continues_here_by_order_is_followed() -> None:
    assert opens_epoch(OFFSET, NEW, epoch())


@pytest.mark.parametrize(
    ("stream", "first"),
    [
        (NEW, None),
        (NEW, epoch(offset=9)),
        (NEW, epoch(previous_epoch=b"y" * 16)),
        (NEW, epoch(frame_sha256=b"z" * 32)),
        (NEW, epoch(epoch=b"m" * 16)),
        (msgspec.structs.replace(NEW, first_sequence=12), epoch()),
        (NEW, ControlFrame("gap", "s" * 16, b'{"from":1,"through":2}', "ops")),
    ],
)
def test_any_other_new_epoch_is_not(stream: StreamState, first: ControlFrame | None) -> None:
    assert not opens_epoch(OFFSET, stream, first)


@pytest.mark.parametrize(
    ("first", "last", "covered"), [(3, 9, True), (4, 8, True), (2, 9, False), (3, 10, False)]
)
def test_a_gap_is_accepted_as_a_whole_or_not(first: int, last: int, covered: bool) -> None:
    assert GapArguments(first=3, last=9).covers(first, last) is covered
