"""The event as readers get it: the canonical fields, and the flat names beside them."""

from __future__ import annotations

from typing import Final

import msgspec

_ABSENT: Final = msgspec.Raw()


class _Named(msgspec.Struct, frozen=True, gc=False):
    id: msgspec.Raw = _ABSENT
    type: msgspec.Raw = _ABSENT


_NOBODY: Final = _Named()


class _Flat(msgspec.Struct, frozen=True, gc=False):
    actor: _Named = _NOBODY
    targets: tuple[_Named, ...] = ()


_decoder: Final = msgspec.json.Decoder(_Flat)


def public_event(body: bytes) -> bytes:
    """Return canonical bytes with `user_id`, `resource_id` and `resource_type` put in at the end.

    The fields of the event are not decoded: what was stored is what is shown. None of the flat names can be a
    field of a canonical event, so no key appears twice.
    """
    event = _decoder.decode(body)
    target = event.targets[0] if event.targets else _NOBODY
    parts = [body[:-1]]
    if event.actor.id:
        parts += b',"user_id":', event.actor.id
    if target.id:
        parts += b',"resource_id":', target.id
    if target.type:
        parts += b',"resource_type":', target.type
    parts.append(b"}")
    return b"".join(parts)
