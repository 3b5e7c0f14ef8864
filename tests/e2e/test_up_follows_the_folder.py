"""Tenants follow their manifests while everything runs; what is broken in one file concerns nobody else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.local_stack import LocalStack

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Run one stack for all tests of this file; each works on tenants of its own."""
    running = LocalStack(tmp_path_factory.mktemp("up"))
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        running.close()


def a_manifest(name: str, spec: str = "{}") -> str:
    return f"apiVersion: auditlog.dev/v1alpha1\nkind: AuditTenant\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def add(stack: LocalStack, name: str, spec: str = "{isolation: Pooled, retention: {keep: 30d}}") -> str:
    """Add a tenant and return its key, as soon as it works."""
    (stack.tenants / f"{name}.yaml").write_text(a_manifest(name, spec))
    stack.until(lambda: name in stack.endpoints())
    key = stack.endpoints()[name]["key"]
    stack.until(lambda: stack.post({"event_type": "first"}, key=key).status == 202)
    return key


def test_a_new_manifest_is_served_without_a_restart(stack: LocalStack) -> None:
    for name, spec in (("umbrella", "{}"), ("stark", "{isolation: Pooled, retention: {keep: 365d}}")):
        key = add(stack, name, spec)
        [event] = stack.logs("event_type=first", expected=1, key=key)
        assert event["tenant"] == name


def test_an_edited_limit_takes_effect_without_a_restart(stack: LocalStack) -> None:
    key = add(stack, "limited")
    stack.edit("limited", ingest={"limits": {"eventsPerSecond": 1, "burst": 1}})
    stack.until(lambda: stack.post({"event_type": "many"}, key=key).status == 429)
    assert "tenant limited: spec.ingest.limits.eventsPerSecond: 1000 → 1" in stack.output
    stack.edit("limited", ingest={"limits": {"eventsPerSecond": 1000, "burst": 5000}})
    stack.until(lambda: all(stack.post({"event_type": "many"}, key=key).status == 202 for _ in range(5)))


def test_a_suspended_tenant_neither_writes_nor_reads(stack: LocalStack) -> None:
    key = add(stack, "halted")
    stack.edit("halted", state="ReadOnly")
    stack.until(lambda: stack.post({"event_type": "x"}, key=key).status == 403)
    assert stack.curl("/api/v1/audit/logs", key=key).status == 200
    stack.edit("halted", state="Suspended")
    stack.until(lambda: stack.curl("/api/v1/audit/logs", key=key).status == 403)
    stack.edit("halted", state="Active")
    stack.until(lambda: stack.post({"event_type": "x"}, key=key).status == 202)


def test_a_broken_manifest_is_named_and_breaks_nothing(stack: LocalStack) -> None:
    key = add(stack, "careless")
    path = stack.tenants / "careless.yaml"
    for text, reason in (
        (
            a_manifest("careless", "{ingest: {limits: {burst: many}}}"),
            "spec.ingest.limits.burst: must be int",
        ),
        ("metadata: {name: careless", "line 1: expected"),
        (a_manifest("careless", "{isolation: Dedicated}"), "isolation cannot be changed"),
    ):
        path.write_text(text)
        stack.says(reason)
        assert stack.post({"event_type": "x"}, key=key).status == 202
        assert stack.post({"event_type": "x"}, tenant="acme").status == 202
    added = add(stack, "neighbour")
    assert stack.post({"event_type": "x"}, key=added).status == 202
    assert "careless" in stack.endpoints()


def test_two_files_with_one_name_are_named_and_the_tenant_stays(stack: LocalStack) -> None:
    key = add(stack, "twin")
    other = stack.tenants / "twin-again.yaml"
    other.write_text(a_manifest("twin", "{state: Suspended, isolation: Pooled, retention: {keep: 30d}}"))
    stack.until(lambda: "twin is described in" in stack.output)
    assert stack.post({"event_type": "x"}, key=key).status == 202
    other.unlink()


def test_a_removed_manifest_closes_the_endpoint_and_keeps_the_log(stack: LocalStack) -> None:
    key = add(stack, "leaver")
    stack.logs("event_type=first", expected=1, key=key)
    path = stack.tenants / "leaver.yaml"
    text = path.read_text()
    path.unlink()
    stack.until(lambda: "leaver" not in stack.endpoints())
    stack.until(lambda: stack.post({"event_type": "x"}, key=key).status in (401, 403))
    assert stack.curl("/api/v1/audit/logs", key=key).status in (401, 403)
    [line] = [line for line in stack.output.splitlines() if line.startswith("tenant leaver: its manifest")]
    tenant_id = line.rpartition(" ")[2]

    path.write_text(text.replace("spec: {", f"spec: {{adopt: {tenant_id}, "))
    stack.until(lambda: "leaver" in stack.endpoints())
    assert stack.endpoints()["leaver"]["key"] == key
    stack.until(lambda: stack.post({"event_type": "second"}, key=key).status == 202)
    [first] = stack.logs("event_type=first", expected=1, key=key)
    [second] = stack.logs("event_type=second", expected=1, key=key)
    assert first["sequence"] < second["sequence"]


def test_a_tenant_made_again_begins_with_an_empty_log(stack: LocalStack) -> None:
    first = add(stack, "phoenix")
    path = stack.tenants / "phoenix.yaml"
    path.unlink()
    stack.until(lambda: "phoenix" not in stack.endpoints())
    second = add(stack, "phoenix")
    assert second != first
    [event] = stack.logs("event_type=first", expected=1, key=second)
    assert event["sequence"] == 0
    assert stack.post({"event_type": "x"}, key=first).status in (401, 403)


def test_a_replaced_file_is_no_removal(stack: LocalStack) -> None:
    """Editors write another file and put it in the place of the old one."""
    key = add(stack, "edited")
    path = stack.tenants / "edited.yaml"
    path.rename(stack.folder / "backup")
    shutil.copy(stack.folder / "backup", path)
    add(stack, "later")
    assert stack.endpoints()["edited"]["key"] == key
    assert stack.post({"event_type": "x"}, key=key).status == 202
