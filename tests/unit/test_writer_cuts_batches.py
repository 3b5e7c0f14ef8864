"""How messages that have arrived are cut into batches: in order, bounded, never over midnight."""

from __future__ import annotations

import pytest
from msgspec import structs

from audit_core.frame import FrameEntry, FrameEvent, encode_frame
from audit_core.partitions import DAY_MICROSECONDS
from audit_core.tenant import ingest_subject
from audit_functions.writer.intake import FULL_BYTES, MAX_BYTES, MAX_ROWS, Intake, Jump, Read
from audit_functions.writer.state import Freeze, Gap, Message, Offset, Reason

SHARD = "s" * 16
MIDNIGHT = 20_418 * DAY_MICROSECONDS
OFFSET = Offset(epoch=b"e" * 16, stream_sequence=5, received_at=MIDNIGHT - 100, frame_sha256=b"h" * 32)


def a_message(
    sequence: int, at: int = MIDNIGHT - 50, *, events: int = 1, body: bytes = b"{}", version: int = 1
) -> Message:
    entry = FrameEntry("a" * 16, b"{}", [FrameEvent(str(n), False, body) for n in range(events)])
    data = bytearray(encode_frame(b"e" * 16, b"i" * 16, sequence, [], b"s" * 32, [entry]))
    data[2] = version
    return Message(sequence, at * 1000 + 7, ingest_subject(SHARD), bytes(data))


def an_intake(*messages: Message) -> Intake:
    intake = Intake(SHARD, OFFSET)
    intake.add(messages)
    return intake


def places(reads: list[Read]) -> list[tuple[int, int]]:
    return [(read.message.sequence, read.received_at) for read in reads]


async def test_messages_come_in_order_with_the_streams_time() -> None:
    intake = an_intake(a_message(6), a_message(7, MIDNIGHT - 49))
    assert places(await intake.cut()) == [(6, MIDNIGHT - 50), (7, MIDNIGHT - 49)]
    assert await intake.cut() == []


async def test_time_never_goes_back_though_the_streams_clock_does() -> None:
    intake = an_intake(a_message(6, MIDNIGHT - 500), a_message(7, MIDNIGHT - 40), a_message(8, MIDNIGHT - 60))
    assert places(await intake.cut()) == [(6, MIDNIGHT - 100), (7, MIDNIGHT - 40), (8, MIDNIGHT - 40)]


async def test_what_is_committed_already_is_dropped() -> None:
    intake = an_intake(a_message(4), a_message(5), a_message(6))
    assert [sequence for sequence, _ in places(await intake.cut())] == [6]


async def test_a_batch_ends_at_midnight() -> None:
    intake = an_intake(
        a_message(6), a_message(7, MIDNIGHT - 1), a_message(8, MIDNIGHT), a_message(9, MIDNIGHT)
    )
    assert [len(await intake.cut()) for _ in range(3)] == [2, 2, 0]


async def test_a_batch_that_is_not_full_expects_what_follows_in_the_stream() -> None:
    last, followed = a_message(6), structs.replace(a_message(6), behind=1)
    large = structs.replace(a_message(7, body=b" " * FULL_BYTES), behind=1)
    assert [
        an_intake(*messages).expects_more for messages in ([], [last], [followed], [followed, large])
    ] == [
        False,
        False,
        True,
        False,
    ]


async def test_a_batch_is_bounded_in_rows_and_in_bytes() -> None:
    rows = an_intake(*(a_message(sequence, events=MAX_ROWS // 4) for sequence in range(6, 16)))
    assert [len(await rows.cut()) for _ in range(3)] == [4, 4, 2]
    body = b'"%s"' % (b"x" * (MAX_BYTES // 8))
    size = an_intake(*(a_message(sequence, body=body) for sequence in range(6, 16)))
    assert [len(await size.cut()) for _ in range(2)] == [8, 2]
    assert size.bytes == 0


async def test_a_gap_ends_the_batch_before_it_and_is_named_when_it_is_next() -> None:
    intake = an_intake(a_message(6), a_message(9))
    assert [sequence for sequence, _ in places(await intake.cut())] == [6]
    with pytest.raises(Jump) as jump:
        await intake.cut()
    assert jump.value.gap == Gap(7, 8)
    intake.skip(jump.value.gap)
    assert [sequence for sequence, _ in places(await intake.cut())] == [9]


async def test_an_unknown_version_ends_the_batch_before_it_and_stays() -> None:
    intake = an_intake(a_message(6), a_message(7, version=2), a_message(8))
    assert [sequence for sequence, _ in places(await intake.cut())] == [6]
    for _ in range(2):
        with pytest.raises(Freeze) as freeze:
            await intake.cut()
        assert (freeze.value.reason, freeze.value.evidence) == (
            Reason.UNKNOWN_VERSION, {"sequence": 7, "what": "frame", "version": 2},
        )  # fmt: skip
