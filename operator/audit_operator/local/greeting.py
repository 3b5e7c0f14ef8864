"""What `up` prints when everything runs: where, with which key, with which call, and what one machine cannot promise.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from audit_operator.local.endpoints import Endpoints
from audit_operator.model.quantity import shown
from audit_operator.reconcile.converge import Converged

_EVENT: Final = (
    '{"event_type":"user_login","user_id":"user-42","resource_id":"app-7",'
    '"metadata":{"ip_address":"203.0.113.7","user_agent":"curl"}}'
)


def greeting(url: str, endpoints: Endpoints) -> Iterator[str]:
    """Yield the calls that work when pasted, for each tenant."""
    for name, endpoint in sorted(endpoints.tenants.items()):
        logs = f"{endpoint.url}/api/v1/audit/logs"
        bearer = f"-H 'Authorization: Bearer {endpoint.key}'"
        yield ""
        yield f"{name}  {logs}  key {endpoint.key}"
        yield f"  curl -sS {logs} {bearer} -H 'Content-Type: application/json' -d '{_EVENT}'"
        yield f"  curl -sS '{logs}?event_type=user_login&limit=10' {bearer}"
    yield ""
    yield f"API page: {url}/docs"


def limits_of_one_machine(converged: Mapping[str, Converged]) -> Iterator[str]:
    """Yield what a cluster would do better."""
    yield "Replicas are 1 here: losing this disk loses the log. In a cluster every stream has 3."
    for name, each in sorted(converged.items()):
        if each.stream is not None:
            yield f"Stream of {name}: {_size(each.stream.config.max_bytes, each.asked_bytes)}"
    yield "AUDIT_BACKUP=none: what PostgreSQL has committed may be trimmed from the stream, backed up or not."


def _size(size: int, asked: int) -> str:
    if size >= asked:
        return f"max_bytes {shown(size)}"
    return f"max_bytes {shown(size)} of the {shown(asked)} asked for: JetStream reserves it on this disk"
