"""An operator that has nothing to do writes nothing, and one that may not write does not.

What it asked for is read from the API server's audit log. AUDIT_IDLE_SECONDS sets how long it is watched doing nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.request
from typing import Any, Final

import pytest

from tests.support.api import TENANTS
from tests.support.operator import LEASE_SECONDS, Installation
from tests.support.shard_state import attested_at
from tests.support.tenant_objects import namespace_path, objects_of, path_of

WINDOW_SECONDS: Final = float(os.environ.get("AUDIT_IDLE_SECONDS", "60"))
NAMES: Final = ("idle-1", "idle-2", "idle-paused")
SMALL: Final[dict[str, Any]] = {"ingest": {"replicas": 1}, "query": {"replicas": 1}}
QUIET_SECONDS: Final = 3.0
ATTESTED_SECONDS: Final = 180.0
"""An attestation is looked after every minute, and renewed when it is a minute old."""


restarts: Final[list[int]] = []
"""When the operator was stopped, in µs since 1970."""


def settle(installation: Installation) -> None:
    """Return when nothing was written for a while: the last change has echoed."""
    log = installation.audit_log()
    installation.eventually(lambda: not log.wait(QUIET_SECONDS), "nothing is written any more", 120.0)


def metric(installation: Installation, metric_name: str, /, **labels: str) -> float:
    """Return the sum over an operator's series of a metric that have these labels."""
    url = f"http://127.0.0.1:{installation.ports['operator-0']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if re.match(rf"{metric_name}[ {{]", line) and all(each in line for each in wanted)
    )


def synced(installation: Installation) -> None:
    """Return when an operator leads and has looked at every tenant."""
    installation.eventually(
        lambda: (
            "leadership_acquired" in installation.log().read_text().rpartition("restarted")[2]
            and metric(installation, "audit_operator_tenant_ready") >= len(NAMES) - 1
        ),
        "every tenant was looked at",
    )


def restart(installation: Installation, **settings: str) -> None:
    """Stop the operator and start another one in its place."""
    installation.stop()
    restarts.append(time.time_ns() // 1000)
    with installation.log().open("a") as log:
        log.write("restarted\n")
    installation.start(**settings)
    synced(installation)


@pytest.fixture(scope="module")
def idle(standing: Installation) -> Installation:
    for name in NAMES:
        standing.tenant(name, **SMALL)
    standing.tenant("idle-pooled", isolation="Pooled", retention={"keep": "90d"})
    for name in NAMES:
        standing.settled(name)
    standing.patch("idle-paused", {"metadata": {"annotations": {"auditlog.dev/paused": "true"}}})
    standing.eventually(lambda: bool(standing.condition("idle-paused", "Paused")), "it is paused")
    settle(standing)
    return standing


def test_a_restarted_operator_writes_nothing(idle: Installation) -> None:
    log = idle.audit_log()
    restart(idle)
    written = log.wait(QUIET_SECONDS * 2)
    assert not written, "\n".join(map(str, written))


def test_an_operator_that_has_nothing_to_do_writes_nothing(idle: Installation) -> None:
    log = idle.audit_log()
    time.sleep(WINDOW_SECONDS)
    asked = log.read()
    renewals = [each for each in asked if each.resource == "leases" and each.is_write]
    assert len(renewals) > WINDOW_SECONDS / LEASE_SECONDS, (
        "it does not even renew its Lease: the log tells nothing"
    )
    written = [str(each) for each in asked if each.is_write and each.resource != "leases"]
    reads = [each for each in asked if not each.is_write and each.resource != "leases"]
    print(f"{WINDOW_SECONDS:.0f} s: {len(written)} writes, {len(renewals)} renewals, {len(reads)} reads")
    assert written == []


async def test_a_paused_tenant_is_attested_after_a_restart(idle: Installation) -> None:
    """Ingest takes nothing whose durability was not attested for a day, and a pause may last longer."""
    deadline = time.monotonic() + ATTESTED_SECONDS
    while await attested_at(idle, "idle-paused") <= restarts[0]:
        assert time.monotonic() < deadline, "it was not attested again"
        await asyncio.sleep(1)


def test_a_look_that_is_due_writes_nothing(idle: Installation) -> None:
    """Every tenant is looked at again and again, as after the time that a resync is due."""
    restart(idle, AUDIT_RESYNC_SECONDS="1")
    adds = metric(idle, "workqueue_adds_total", name="tenant")
    log = idle.audit_log()
    written = log.wait(QUIET_SECONDS)
    assert metric(idle, "workqueue_adds_total", name="tenant") >= adds + 3 * (len(NAMES) - 1)
    assert not written, "\n".join(map(str, written))


def test_an_operator_that_may_only_read_counts_what_it_would_write(idle: Installation) -> None:
    idle.stop()
    name = NAMES[0]
    idle.api.delete(path_of(name, "Service", "query"))
    idle.api.merge(path_of(name, "PodDisruptionBudget", "ingest"), {"spec": {"maxUnavailable": 0}})
    idle.patch(NAMES[1], {"spec": {"ingest": {"replicas": 3}}})
    idle.tenant("idle-new", **SMALL)
    before = {each: objects_of(idle.api, each) for each in NAMES}
    statuses = {each: idle.get(each)["status"] for each in NAMES}
    log = idle.audit_log()
    idle.start(AUDIT_READ_ONLY="true")
    idle.eventually(
        lambda: "change_withheld verb=apply object=Service" in idle.log().read_text(),
        "it tells what it would do",
    )
    written = log.wait(QUIET_SECONDS)
    assert not written, "\n".join(map(str, written))
    assert {each: objects_of(idle.api, each) for each in NAMES} == before
    assert {each: idle.get(each)["status"] for each in NAMES} == statuses
    assert idle.api.find(namespace_path("idle-new")) is None
    assert "finalizers" not in idle.api.get(f"{TENANTS}/idle-new")["metadata"]
    for kind in ("Service", "PodDisruptionBudget", "Deployment", "Namespace"):
        assert metric(idle, "audit_operator_changes_total", kind=kind, withheld="true") >= 1, kind
    assert metric(idle, "audit_operator_changes_total", withheld="false") == 0
    restart(idle)
    for each in (NAMES[0], NAMES[1], "idle-new"):
        idle.settled(each)
    assert idle.api.find(path_of(name, "Service", "query")) is not None
