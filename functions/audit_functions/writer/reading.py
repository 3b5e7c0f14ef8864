"""From a message to what it says, whoever sent it: a frame, a control frame, or a dead letter with its reason.

A message of an unknown version is the one thing that cannot be settled: it freezes the shard, because a later
release will read it. Everything else gets a leaf, so no message can hold up a shard.
"""

from __future__ import annotations

from typing import Final

import msgspec

from audit_core.control import EPOCH, GAP, epoch_arguments, gap_arguments
from audit_core.errors import Undecodable
from audit_core.frame import ControlFrame, Frame, FrameEntry, decode_message
from audit_core.leaf import CONTROL_KINDS
from audit_core.tenant import control_subject, ingest_subject, is_id
from audit_functions.writer.state import Message

MAX_ID_CHARS: Final = 128
MAX_TEXT_CHARS: Final = 1024


class Letter(msgspec.Struct, frozen=True):
    """A message of a known version that cannot be taken as what it pretends to be."""

    reason: str


Content = Frame | ControlFrame | Letter


def content(message: Message, shard_id: str) -> Content:
    """Return what a message says. Raises UnknownVersion."""
    try:
        decoded = decode_message(message.data)
        _check_sender(message.subject, decoded, shard_id)
        if isinstance(decoded, ControlFrame):
            _check_control(decoded)
        else:
            for entry in decoded.entries:
                _check_entry(entry, shard_id)
    except Undecodable as error:
        return Letter(error.reason)
    return decoded


def _check_sender(subject: str, decoded: Frame | ControlFrame, shard_id: str) -> None:
    """Subjects are what permissions are about: without this, ingest could accept gaps and erase."""
    expected = control_subject(shard_id) if isinstance(decoded, ControlFrame) else ingest_subject(shard_id)
    if subject != expected:
        raise Undecodable(f"{type(decoded).__name__} on another's subject")


def _check_entry(entry: FrameEntry, shard_id: str) -> None:
    if not is_id(entry.tenant_id) or entry.tenant_id == shard_id:
        raise Undecodable("an entry for no tenant")
    _text(entry.envelope)
    for event in entry.events:
        if len(event.id) > MAX_ID_CHARS or "\0" in event.id:
            raise Undecodable("an event id that no event can have")


def _check_control(frame: ControlFrame) -> None:
    if frame.action not in CONTROL_KINDS:
        raise Undecodable("an unknown action")
    if not is_id(frame.tenant_id):
        raise Undecodable("an action for no log")
    if "\0" in frame.principal or len(frame.principal) > MAX_TEXT_CHARS:
        raise Undecodable("a principal that no one can have")
    _text(frame.arguments)
    if frame.action == GAP:
        gap_arguments(frame)
    elif frame.action == EPOCH:
        epoch_arguments(frame)


def _text(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise Undecodable("text that is not UTF-8") from None
    if b"\0" in data:
        raise Undecodable("text with NUL")
