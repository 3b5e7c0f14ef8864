"""Answers as bytes: what was stored is put in as it is, so that no event is decoded and encoded again.

    {"id", "tenant", "sequence", "received_at", "envelope", canonical fields …, "user_id", "resource_id", …}

An event whose payload is gone keeps its place, id and times, and lacks the rest.
"""

from __future__ import annotations

import msgspec

from audit_core.public import public_event
from audit_core.rfc3339 import time_text
from audit_functions.query.service import Page, StoredEvent


def page_answer(page: Page, tenant: str) -> bytes:
    """Return `{"logs":[…],"next_cursor":…}`. `tenant` is the tenant's name."""
    logs = b",".join([event_answer(event, tenant) for event in page.events])
    return b'{"logs":[%b],"next_cursor":%b}' % (logs, msgspec.json.encode(page.next_cursor))


def event_answer(event: StoredEvent, tenant: str) -> bytes:
    """Return one event: what the server knows of it first, then the caller's fields and their flat names."""
    known = b'{"id":%b,"tenant":%b,"sequence":%d,"received_at":"%b"' % (
        msgspec.json.encode(event.id),
        msgspec.json.encode(tenant),
        event.sequence,
        time_text(event.received_at).encode(),
    )
    if event.envelope is not None:
        known += b',"envelope":' + event.envelope.encode()
    if event.body is None:
        return known + b"}"
    return known + b"," + public_event(event.body.encode())[1:]
