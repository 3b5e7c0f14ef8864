"""The arguments of the control frames that a writer acts on, as canonical JSON.

`gap` accepts that stream sequences are missing. `epoch` is the first message of a stream that takes the place of
another: it names the place where the old one ended, so that a writer can tell an ordered change from an accident.
Both are an operator's decision and belong to the shard's own log.
"""

from __future__ import annotations

from typing import Final

import msgspec

from audit_core.canonical import CANONICAL_ORDER
from audit_core.errors import Undecodable
from audit_core.frame import Bytes16, Bytes32, ControlFrame, Count

GAP: Final = "gap"
EPOCH: Final = "epoch"


class GapArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stream sequences `first` to `last`, both included, may be missing."""

    first: Count = msgspec.field(name="from")
    last: Count = msgspec.field(name="through")

    def covers(self, first: int, last: int) -> bool:
        """Tell whether every sequence from `first` to `last` is accepted as missing."""
        return self.first <= first and last <= self.last


class EpochArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stream of `epoch` continues the one of `previous_epoch` behind `offset`.

    `frame_sha256` is the hash of the last committed message, None where none was.
    """

    epoch: Bytes16
    frame_sha256: Bytes32 | None
    offset: Count
    previous_epoch: Bytes16


class _EpochInHex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    epoch: str
    frame_sha256: str
    offset: Count
    previous_epoch: str


_encoder: Final = msgspec.json.Encoder(order=CANONICAL_ORDER)


def gap_frame(shard_id: str, arguments: GapArguments, principal: str) -> ControlFrame:
    """Return the control frame by which `principal` accepts a gap in a shard's stream."""
    return ControlFrame(GAP, shard_id, _encoder.encode(arguments), principal)


def epoch_frame(shard_id: str, arguments: EpochArguments, principal: str) -> ControlFrame:
    """Return the control frame that opens a shard's stream of a new epoch."""
    in_hex = _EpochInHex(
        epoch=arguments.epoch.hex(),
        frame_sha256=(arguments.frame_sha256 or b"").hex(),
        offset=arguments.offset,
        previous_epoch=arguments.previous_epoch.hex(),
    )
    return ControlFrame(EPOCH, shard_id, _encoder.encode(in_hex), principal)


def gap_arguments(frame: ControlFrame) -> GapArguments:
    """Return the arguments of a `gap` control frame. Raises Undecodable."""
    try:
        return msgspec.json.decode(frame.arguments, type=GapArguments)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable(str(error)) from error


def epoch_arguments(frame: ControlFrame) -> EpochArguments:
    """Return the arguments of an `epoch` control frame. Raises Undecodable."""
    try:
        in_hex = msgspec.json.decode(frame.arguments, type=_EpochInHex)
        return msgspec.convert(
            {
                "epoch": bytes.fromhex(in_hex.epoch),
                "frame_sha256": bytes.fromhex(in_hex.frame_sha256) or None,
                "offset": in_hex.offset,
                "previous_epoch": bytes.fromhex(in_hex.previous_epoch),
            },
            EpochArguments,
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise Undecodable(str(error)) from error
