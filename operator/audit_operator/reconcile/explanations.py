"""What to tell a person about what provisioning met. Pure."""

from __future__ import annotations

from typing import Final

from audit_core.errors import StoreUnavailable, StreamUnavailable
from audit_core.tenant import stream_name
from audit_operator.clients.jetstream import JetStreamRefused
from audit_operator.reconcile.durability import NotDurable, PeersUnknown
from audit_operator.reconcile.stream import StreamBroken

_NO_STORAGE: Final = 10047
_BROKEN: Final = {
    "vanished": "is gone",
    "replaced": "carries another epoch than its events",
    "shrank": "ends before what was committed from it",
    "recovering": "is in the middle of a recovery",
}


def explained(trouble: Exception, name: str) -> str:
    """Return one sentence about what happened to the tenant, and what helps."""
    match trouble:
        case StreamBroken():
            return (
                f"its stream {stream_name(trouble.shard_id)} {_BROKEN[trouble.reason]}, and is left as it is."
                f" To go on behind what is stored: python -m audit_operator.local recover-stream {name} --confirm"
            )
        case NotDurable():
            servers = ", ".join(trouble.servers)
            return f"sync_interval is not 'always' on NATS server {servers}: no event is taken until it is"
        case PeersUnknown():
            return f"NATS servers did not say whether they fsync: {', '.join(trouble.servers) or 'all'}"
        case JetStreamRefused(code=code) if code == _NO_STORAGE:
            return "there is no room left for its stream; make others smaller (spec.stream.maxBytes) or free disk"
        case StoreUnavailable() | StreamUnavailable():
            server = "PostgreSQL" if isinstance(trouble, StoreUnavailable) else "NATS"
            return f"{server} does not answer ({trouble.reason})"
        case _:
            return f"{type(trouble).__name__}: {trouble}"
