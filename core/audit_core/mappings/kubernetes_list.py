"""An EventList (audit.k8s.io/v1) as its events, each as its own bytes."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from audit_core.errors import InvalidEvent
from audit_core.mappings.json_pieces import items, members
from audit_core.refusal import READ_ERRORS


class _List(msgspec.Struct):
    items: list[Raw] | UnsetType = UNSET


_lists: Final = msgspec.json.Decoder(_List)


def records_in(body: bytes) -> list[bytes]:
    """Return the records of a list. Raises InvalidEvent where there is no list of them.

    A text inside a record that no decoder takes does not spoil the list: it is then cut at its brackets alone.
    """
    try:
        found: Any = _lists.decode(body).items
        return _demanded(None if isinstance(found, UnsetType) else [bytes(record) for record in found])
    except READ_ERRORS:
        return _demanded(_cut(body))


def _cut(body: bytes) -> list[bytes] | None:
    try:
        found = members(body).get("items")
        return None if found is None else items(found)
    except ValueError:
        return None


def _demanded(records: list[bytes] | None) -> list[bytes]:
    if records is None:
        raise InvalidEvent("/items", "must be the list of events of an EventList")
    if not records:
        raise InvalidEvent("/items", "empty")
    return records
