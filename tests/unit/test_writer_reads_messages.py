"""What a message says, whoever sent it and whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.control import EpochArguments, GapArguments, epoch_frame, gap_frame
from audit_core.errors import UnknownVersion
from audit_core.frame import ControlFrame, Frame, FrameEntry, FrameEvent, encode_control, encode_frame
from audit_core.tenant import control_subject, ingest_subject
from audit_functions.writer.reading import Letter, content
from audit_functions.writer.state import Message

SHARD, ACME = "s" * 16, "a" * 16
EPOCH = b"e" * 16
GAP = gap_frame(SHARD, GapArguments(first=1, last=2), "ops")


def read(data: bytes, *, control: bool = False) -> object:
    subject = control_subject(SHARD) if control else ingest_subject(SHARD)
    return content(Message(1, 0, subject, data), SHARD)


def a_frame(
    *, tenant: str = ACME, envelope: bytes = b"{}", event_id: str = "1", body: bytes = b"{}"
) -> bytes:
    entry = FrameEntry(tenant, envelope, [FrameEvent(event_id, True, body)])
    return encode_frame(EPOCH, b"i" * 16, 1, [], b"s" * 32, [entry])


def test_frames_and_control_frames_are_read() -> None:
    assert isinstance(read(a_frame()), Frame)
    assert read(encode_control(GAP), control=True) == GAP


def test_a_control_frame_on_the_subject_of_events_is_no_order() -> None:
    assert isinstance(read(encode_control(GAP)), Letter)


def test_events_on_the_control_subject_are_no_events() -> None:
    assert isinstance(read(a_frame(), control=True), Letter)


@pytest.mark.parametrize(
    "frame",
    [
        a_frame(tenant="acme"),
        a_frame(tenant=SHARD),
        a_frame(envelope=b"\xff"),
        a_frame(envelope=b"{\0}"),
        a_frame(event_id="a\0b"),
        a_frame(event_id="x" * 129),
        b"",
        b"AF",
        b"garbage",
        a_frame()[:-1],
        a_frame() + b"x",
    ],
    ids=range(11),
)
def test_what_ingest_can_never_have_meant_is_a_dead_letter(frame: bytes) -> None:
    assert isinstance(read(frame), Letter)


@pytest.mark.parametrize(
    "frame",
    [
        ControlFrame("sing", SHARD, b"{}", "ops"),
        ControlFrame("hold", "no log", b"{}", "ops"),
        ControlFrame("hold", ACME, b"\xff", "ops"),
        ControlFrame("hold", ACME, b"{}", "o\0ps"),
        ControlFrame("gap", SHARD, b'{"from":1}', "ops"),
        ControlFrame("epoch", SHARD, b'{"epoch":"zz"}', "ops"),
    ],
    ids=range(6),
)
def test_an_order_that_nobody_can_follow_is_a_dead_letter(frame: ControlFrame) -> None:
    assert isinstance(read(encode_control(frame), control=True), Letter)


@pytest.mark.parametrize("version", [2, 4])
def test_a_message_of_a_later_version_is_never_guessed_at(version: int) -> None:
    data = bytearray(a_frame())
    data[version] = 9
    with pytest.raises(UnknownVersion):
        read(bytes(data))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_dead_letter_or_of_an_unknown_version(data: bytes) -> None:
    for head in (b"", b"AF\1\1\1", b"AC\1\1\1"):
        for control in (False, True):
            try:
                read(head + data, control=control)
            except UnknownVersion:
                assert data[:2] in (b"AF", b"AC")
                assert not head


def test_an_epoch_says_what_was_put_into_it() -> None:
    from audit_core.control import epoch_arguments, gap_arguments

    for digest in (b"h" * 32, None):
        arguments = EpochArguments(epoch=b"n" * 16, frame_sha256=digest, offset=7, previous_epoch=EPOCH)
        assert epoch_arguments(epoch_frame(SHARD, arguments, "ops")) == arguments
    assert gap_arguments(GAP) == GapArguments(first=1, last=2)
