"""The list of an API server, whole way: through HTTP, stream and writer into the database and out again, once."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.kubernetes_audit import AUDIT_ID, EXPECTED, an_audit_event, an_event_list
from tests.support.running import RunningStack, running_stack


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[RunningStack]:
    async with running_stack(tmp_path) as running:
        yield running


def call(stack: RunningStack, path: str, body: bytes | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {stack.key('acme')}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{stack.port}{path}", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, json.loads(answer.read())


async def test_a_list_is_read_back_and_sending_it_again_adds_nothing(stack: RunningStack) -> None:
    named = {
        f"audit-{number}": (record, expected) for number, (record, expected) in enumerate(EXPECTED.values())
    }
    records = [{**record, "auditID": audit_id} for audit_id, (record, _) in named.items()]
    body = an_event_list(*records, {"not": "an audit event"})
    told = {"accepted": len(records) + 1, "unmapped": 1}
    assert await asyncio.to_thread(call, stack, "/api/v1/audit/kubernetes", body) == (202, told)
    await stack.drained("acme")
    assert await stack.count("acme") == len(records) + 1

    for audit_id, (record, expected) in named.items():
        event_id = f"{audit_id}:{record['stage']}"
        _, event = await asyncio.to_thread(call, stack, f"/api/v1/audit/logs/{event_id}")
        wanted = json.loads(json.dumps(expected).replace(AUDIT_ID, audit_id))
        assert {name: event.get(name) for name in wanted} == wanted
    _, found = await asyncio.to_thread(call, stack, "/api/v1/audit/logs?event_type=k8s.unmapped")
    assert [event["metadata"]["record"] for event in found["logs"]] == ['{"not":"an audit event"}']

    for _ in range(2):
        assert await asyncio.to_thread(call, stack, "/api/v1/audit/kubernetes", body) == (202, told)
    await stack.drained("acme")
    async with stack.database() as connection:
        kinds = await connection.fetch(
            f"SELECT kind, count(*) FROM {stack.schema('acme')}.event GROUP BY kind"
        )
    assert {row["kind"]: row["count"] for row in kinds if row["kind"] in (1, 2)} == {1: len(records) + 1}


async def test_an_audit_id_that_a_client_chose_twice_hides_nothing(stack: RunningStack) -> None:
    """A client may send its own Audit-ID; the second request under one is a conflict and keeps its body."""
    for verb in ("get", "delete"):
        body = an_event_list(an_audit_event(auditID="chosen", verb=verb))
        status, _ = await asyncio.to_thread(call, stack, "/api/v1/audit/kubernetes", body)
        assert status == 202
    await stack.drained("acme")
    async with stack.database() as connection:
        rows = await connection.fetch(
            f"SELECT kind, body::json ->> 'action' AS action FROM {stack.schema('acme')}.event"
            " WHERE id = 'chosen:ResponseComplete' ORDER BY sequence"
        )
    assert [(row["kind"], row["action"]) for row in rows] == [(1, "get"), (2, "delete")]
