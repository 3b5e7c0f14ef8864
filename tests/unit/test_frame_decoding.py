"""Decoding survives any bytes: a message, `Undecodable` or `UnknownVersion`, never anything else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.errors import Undecodable, UnknownVersion
from audit_core.frame import (
    ControlFrame,
    Frame,
    FrameEntry,
    FrameEvent,
    decode_message,
    encode_control,
    encode_frame,
    pack_entry,
)

EPOCH, INSTANCE, SEED = b"e" * 16, b"i" * 16, b"s" * 32
ENTRY = FrameEntry("a" * 16, b"{}", [FrameEvent("id-1", True, b'{"event_type":"x"}')])
FRAME = encode_frame(EPOCH, INSTANCE, 1, [], SEED, [ENTRY])


def test_a_frame_round_trips() -> None:
    assert decode_message(FRAME) == Frame(EPOCH, INSTANCE, 1, [], SEED, [ENTRY])


def test_an_entry_packed_beforehand_gives_the_same_frame() -> None:
    packed = pack_entry(ENTRY.tenant_id, ENTRY.envelope, ENTRY.events)
    assert encode_frame(EPOCH, INSTANCE, 1, [], SEED, [packed]) == FRAME


def test_a_control_frame_round_trips() -> None:
    frame = ControlFrame("gap", "a" * 16, b'{"from":3,"through":4}', "operator")
    assert decode_message(encode_control(frame)) == frame


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(data: bytes) -> None:
    for candidate in (data, b"AF" + data, FRAME[:5] + data, b"AC\1\1\1" + data):
        try:
            decode_message(candidate)
        except (Undecodable, UnknownVersion):
            continue


@given(st.integers(0, len(FRAME) - 1), st.integers(1, 255))
def test_a_changed_byte_never_raises_anything_else(place: int, change: int) -> None:
    broken = bytearray(FRAME)
    broken[place] ^= change
    try:
        decode_message(bytes(broken))
    except (Undecodable, UnknownVersion):
        return


@pytest.mark.parametrize("place", [2, 3, 4])
def test_a_foreign_version_is_told_apart_from_broken_bytes(place: int) -> None:
    foreign = bytearray(FRAME)
    foreign[place] = 2
    with pytest.raises(UnknownVersion) as caught:
        decode_message(bytes(foreign))
    assert caught.value.version == 2


@pytest.mark.parametrize(
    "data",
    [
        b"", b"A", b"AF", b"AF\1\1", b"XX\1\1\1", FRAME[:-1], FRAME + b"\0",
        encode_frame(EPOCH[:15], INSTANCE, 1, [], SEED, [ENTRY]),
        encode_frame(EPOCH, INSTANCE, 0, [], SEED, [ENTRY]),
        b"AF\1\1\1" + b"\x91" * 100_000,
        FRAME[:5] + msgspec.msgpack.encode([EPOCH, INSTANCE, 1, [], SEED, [["t", b"", [["id", True, b"", 1]]]]]),
    ],
)  # fmt: skip
def test_broken_content_of_a_known_version_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_message(data)
