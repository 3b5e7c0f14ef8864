"""The message formats of a shard's stream, version 1.

A frame (`AF`) carries the events of many requests; a control frame (`AC`) one administrative action. Behind the
magic stand u8 frame version, u8 leaf version, u8 canonical version, then MessagePack arrays:

    AF  [epoch16, instance16, number, abandoned, seed32, [[tenant_id, envelope, [[id, id_from_client, body]…]]…]]
    AC  [action, tenant_id, arguments, principal]

Decoding survives any bytes: it gives a message, `Undecodable` (known version, broken content) or
`UnknownVersion`. Vectors: tests/vectors and the wire-v1 set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from audit_core.errors import Undecodable, UnknownVersion

FRAME_VERSION: Final = 1
LEAF_VERSION: Final = 1
CANONICAL_VERSION: Final = 1
MAX_FRAME_BYTES: Final = 768 * 1024
"""A frame's size limit: below the stream's `max_msg_size` and the server's `max_payload` of 1 MiB."""
DEDUPE_WINDOW_US: Final = 24 * 3600 * 1_000_000
"""W, in µs: how long an id from a client is unique. A constant of frame version 1."""

_VERSIONS: Final = bytes((FRAME_VERSION, LEAF_VERSION, CANONICAL_VERSION))
_FRAME_HEAD: Final = b"AF" + _VERSIONS
_CONTROL_HEAD: Final = b"AC" + _VERSIONS
_HEAD_BYTES: Final = 5

Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class FrameEvent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One event of a frame. `body` is its canonical bytes."""

    id: str
    id_from_client: bool
    body: bytes


class FrameEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one request added to a frame: the tenant, the server's envelope (canonical JSON) and the events."""

    tenant_id: str
    envelope: bytes
    events: list[FrameEvent]


class Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One message of events. `number` counts from 1 per instance and shard; `abandoned` since the last frame."""

    epoch: Bytes16
    instance: Bytes16
    number: Annotated[int, msgspec.Meta(ge=1)]
    abandoned: list[Count]
    seed: Bytes32
    entries: list[FrameEntry]


class ControlFrame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One administrative action. `arguments` is canonical JSON; the leaf of the action commits to it."""

    action: str
    tenant_id: str
    arguments: bytes
    principal: str


_encoder: Final = msgspec.msgpack.Encoder()
_frame_decoder: Final = msgspec.msgpack.Decoder(Frame)
_control_decoder: Final = msgspec.msgpack.Decoder(ControlFrame)


def encode_frame(
    epoch: bytes,
    instance: bytes,
    number: int,
    abandoned: Sequence[int],
    seed: bytes,
    entries: Sequence[FrameEntry | msgspec.Raw],
) -> bytes:
    """Return a frame's bytes. Entries may be packed beforehand, see `pack_entry`."""
    return _FRAME_HEAD + _encoder.encode((epoch, instance, number, abandoned, seed, entries))


def pack_entry(tenant_id: str, envelope: bytes, events: Sequence[FrameEvent]) -> msgspec.Raw:
    """Return one request's share of a frame as MessagePack, whose length is what it adds to the frame."""
    return msgspec.Raw(_encoder.encode((tenant_id, envelope, events)))


def encode_control(frame: ControlFrame) -> bytes:
    """Return a control frame's bytes."""
    return _CONTROL_HEAD + _encoder.encode(frame)


def decode_message(data: bytes) -> Frame | ControlFrame:
    """Return the message in `data`. Raises Undecodable or UnknownVersion, and nothing else, for any bytes."""
    magic, versions = data[:2], data[2:_HEAD_BYTES]
    if magic not in (b"AF", b"AC"):
        raise Undecodable("no such magic")
    if len(versions) == len(_VERSIONS) and versions != _VERSIONS:
        raise UnknownVersion(*_foreign_version(versions))
    if len(versions) != len(_VERSIONS):
        raise Undecodable("shorter than its head")
    try:
        if magic == b"AC":
            return _control_decoder.decode(data[_HEAD_BYTES:])
        return _frame_decoder.decode(memoryview(data)[_HEAD_BYTES:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(str(error)) from error


def _foreign_version(versions: bytes) -> tuple[str, int]:
    names = ("frame", "leaf", "canonical")
    found = zip(names, versions, _VERSIONS, strict=True)
    return next((name, version) for name, version, ours in found if version != ours)
