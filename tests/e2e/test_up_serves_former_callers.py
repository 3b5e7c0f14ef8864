"""Every call and body that callers of the earlier API send works with real curl, and reads back equal."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_stack import LocalStack

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

_numbers = count()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Run one stack for all tests of this file; each uses event types of its own."""
    running = LocalStack(tmp_path_factory.mktemp("up"))
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        running.close()


def a_type(name: str = "user_login") -> str:
    return f"{name}_{next(_numbers)}"


def test_an_event_reads_back_under_its_flat_names(stack: LocalStack) -> None:
    body = {
        "event_type": a_type(),
        "user_id": "user-1",
        "resource_id": "res-9",
        "metadata": {
            "ip_address": "192.0.2.4",
            "user_agent": "curl/8",
            "n": 1.5,
            "deep": {"ok": [True, None]},
        },
    }
    posted = stack.post(body)
    assert posted.status == 202
    assert list(posted.json) == ["id"]
    [event] = stack.logs(f"event_type={body['event_type']}&limit=10", expected=1)
    assert {name: event[name] for name in body} == body
    assert (event["id"], event["tenant"]) == (posted.json["id"], "acme")
    assert stack.curl(f"/api/v1/audit/logs/{posted.json['id']}").json == event


@pytest.mark.parametrize("event_type", ["user_login", "user_logout", "document.viewed"])
def test_only_the_event_type_need_be_there(stack: LocalStack, event_type: str) -> None:
    body = {"event_type": a_type(event_type)}
    assert stack.post(body).status == 202
    [event] = stack.logs(f"event_type={body['event_type']}", expected=1)
    assert event["event_type"] == body["event_type"]


@pytest.mark.parametrize("field", ["logs", "events", "audit_logs"])
def test_a_batch_is_taken_under_each_of_its_names(stack: LocalStack, field: str) -> None:
    event_type = a_type()
    items: list[dict[str, Any]] = [
        {"event_type": event_type, "user_id": "u1", "metadata": {"a": 1}},
        {"event_type": event_type, "user_id": "u2", "resource_id": "r2"},
        {"event_type": event_type},
    ]
    answer = stack.post({field: items}, "/api/v1/audit/logs/batch")
    assert answer.status == 202
    assert (answer.json["accepted"], answer.json["rejected"]) == (3, 0)
    assert [result["index"] for result in answer.json["results"]] == [0, 1, 2]
    events = stack.logs(f"event_type={event_type}&order=asc", expected=3)
    assert [{name: event[name] for name in item} for event, item in zip(events, items, strict=True)] == items
    assert [event["id"] for event in events] == [result["id"] for result in answer.json["results"]]


def test_field_names_of_old_are_understood(stack: LocalStack) -> None:
    event_type = a_type()
    body = {
        "event_type": event_type,
        "tenant_id": "acme",
        "timestamp": "2024-05-06T07:08:09Z",
        "status": "success",
        "service_name": "billing",
        "correlation_id": "c-1",
        "session_id": "s-1",
        "ip_address": "192.0.2.7",
        "user_agent": "old/1",
    }
    assert stack.post(body).status == 202
    [event] = stack.logs(f"event_type={event_type}&outcome=success&service=billing", expected=1)
    assert event["occurred_at"] == "2024-05-06T07:08:09Z"
    assert event["context"] == {
        "correlation_id": "c-1",
        "ip": "192.0.2.7",
        "session_id": "s-1",
        "user_agent": "old/1",
    }


def test_the_name_of_another_tenant_in_the_body_is_refused(stack: LocalStack) -> None:
    assert stack.post({"event_type": a_type(), "tenant_id": "globex"}).status == 403


def test_a_list_is_filtered_and_limited(stack: LocalStack) -> None:
    event_type = a_type()
    for number in range(12):
        assert stack.post({"event_type": event_type, "user_id": f"u{number}"}).status == 202
    stack.logs(f"event_type={event_type}", expected=12)
    page = stack.curl(f"/api/v1/audit/logs?event_type={event_type}&limit=10").json
    assert [event["user_id"] for event in page["logs"]] == [f"u{number}" for number in range(11, 1, -1)]
    rest = stack.curl(
        f"/api/v1/audit/logs?event_type={event_type}&limit=10&cursor={page['next_cursor']}"
    ).json
    assert [event["user_id"] for event in rest["logs"]] == ["u1", "u0"]


@pytest.mark.parametrize("query", ["page=2", "size=10"])
def test_paging_of_old_is_refused_with_the_cursors_name(stack: LocalStack, query: str) -> None:
    answer = stack.curl(f"/api/v1/audit/logs?{query}")
    assert answer.status == 400
    assert "cursor" in answer.text


def test_the_process_tells_of_itself_without_a_key(stack: LocalStack) -> None:
    health = stack.curl("/health", tenant=None)
    assert health.status == 200
    assert isinstance(health.json, dict)
    api = stack.curl("/openapi.json", tenant=None)
    assert "/api/v1/audit/logs/batch" in api.json["paths"]
    page = stack.curl("/docs", tenant=None)
    assert page.status == 200
    assert "text/html" in page.headers
    metrics = stack.curl("/metrics", tenant=None)
    assert "\naudit_ingest_" in metrics.text
    for path in ("/healthz", "/readyz"):
        assert stack.curl(path, tenant=None).status == 200


def test_without_a_key_or_with_a_wrong_one_nothing_is_taken_or_given(stack: LocalStack) -> None:
    for key in ("", "akl_" + "0" * 36):
        assert stack.post({"event_type": "x"}, key=key).status == 401
        assert stack.curl("/api/v1/audit/logs", key=key).status == 401


def test_tenants_see_only_their_own(stack: LocalStack) -> None:
    event_type = a_type()
    for tenant in ("acme", "globex", "initech"):
        assert stack.post({"event_type": event_type, "user_id": tenant}, tenant=tenant).status == 202
    for tenant in ("acme", "globex", "initech"):
        [event] = stack.logs(f"event_type={event_type}", expected=1, tenant=tenant)
        assert (event["user_id"], event["tenant"]) == (tenant, tenant)


def test_the_printed_calls_work_when_pasted(stack: LocalStack) -> None:
    calls = [line.strip() for line in stack.output.splitlines() if line.startswith("  curl ")]
    assert len(calls) == 6
    for post, get in zip(calls[::2], calls[1::2], strict=True):
        assert "id" in json.loads(subprocess.check_output(["sh", "-c", post]))

        def is_listed(get: str = get) -> bool:
            return bool(json.loads(subprocess.check_output(["sh", "-c", get]))["logs"])

        stack.until(is_listed)


def test_the_host_of_the_tenant_works_and_that_of_another_does_not(stack: LocalStack) -> None:
    key = stack.endpoints()["acme"]["key"]
    for host, status in (("acme.localhost", 200), ("globex.localhost", 403)):
        assert stack.curl("/api/v1/audit/logs", "-H", f"Host: {host}", key=key).status == status


def test_what_one_machine_cannot_promise_is_said(stack: LocalStack) -> None:
    assert "Replicas are 1 here" in stack.output
    assert "AUDIT_BACKUP=none" in stack.output
    for tenant in ("acme", "globex", "initech"):
        assert f"Stream of {tenant}: max_bytes " in stack.output


def test_keys_are_in_a_file_that_only_we_may_read(stack: LocalStack) -> None:
    path: Path = stack.state / "endpoints.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert stack.endpoints().keys() == {"acme", "globex", "initech"}
    for endpoint in stack.endpoints().values():
        assert endpoint["url"] == f"http://localhost:{stack.port}"


def test_nobody_else_can_read_the_state(stack: LocalStack) -> None:
    assert stat.S_IMODE(stack.state.stat().st_mode) == 0o700
    secrets = [*stack.state.glob("keys/*"), *stack.state.glob("shards/*/*"), stack.state / "endpoints.json"]
    assert len(secrets) > 10
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    for log in (stack.state / "logs").iterdir():
        text = log.read_text()
        for endpoint in stack.endpoints().values():
            assert endpoint["key"] not in text
