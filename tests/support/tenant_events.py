"""Events sent to and read from a tenant as its callers do, and what PostgreSQL holds of all tenants."""

from __future__ import annotations

import hashlib
import http.client
import json
from typing import Any, Final

from tests.support.operator import Installation
from tests.support.postgres import connected

EVENTS: Final = 40


def ask(port: int, key: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            method,
            path,
            body=None if body is None else json.dumps(body),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def send(port: int, key: str) -> None:
    logs = [{"event_type": "order.approve", "user_id": f"u-{n}", "id": f"e-{n}"} for n in range(EVENTS)]
    status, answer = ask(port, key, "POST", "/api/v1/audit/logs/batch", {"logs": logs})
    assert (status, answer["accepted"]) == (202, EVENTS)


def stored(port: int, key: str) -> list[str]:
    status, answer = ask(port, key, "GET", f"/api/v1/audit/logs?limit={EVENTS * 2}")
    assert status == 200
    return [event["id"] for event in answer["logs"]]


async def bodies(installation: Installation) -> dict[str, str]:
    """Return a hash over all stored bodies of each shard."""
    found = {}
    async with connected(installation.dsn) as admin:
        for [schema] in await admin.fetch(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'shard\\_%' ORDER BY 1"
        ):
            rows = await admin.fetch(
                f"SELECT body FROM {schema}.event ORDER BY tenant_id, received_at, sequence"
            )
            found[schema] = hashlib.sha256("\n".join(row["body"] for row in rows).encode()).hexdigest()
    return found
