"""One request fails, or the operator is killed at it, whichever request it is: what comes of it is the same.

AUDIT_FAULT_STEP=1 tries every request of a tenant's life instead of every sixth.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from typing import Any, Final

import pytest

from tests.support.api import TENANTS
from tests.support.faulty_api import Call, Fault, FaultyApi, faulty_api
from tests.support.operator import Installation
from tests.support.tenant_objects import namespace_path, objects_of

STEP: Final = int(os.environ.get("AUDIT_FAULT_STEP", "6"))
WRITES_BETWEEN_KILLS: Final = {"create": 12, "change": 3, "delete": 2}
MADE: Final[dict[str, Any]] = {"ingest": {"replicas": 1}, "query": {"replicas": 1}}
CHANGED: Final[dict[str, Any]] = {
    "ingest": {"replicas": None, "autoscaling": {"maxReplicas": 4}, "allowFrom": [{"namespace": "web"}]},
    "query": {"replicas": 2},
}
LONG_SECONDS: Final = 150.0


@pytest.fixture(scope="module")
def faulty(standing: Installation) -> Iterator[FaultyApi]:
    standing.stop()
    with faulty_api(standing.cluster) as way:
        standing.api_url = way.url
        standing.start()
        yield way
        standing.end()


def life(installation: Installation, names: list[str], phase: Callable[[str], None] = lambda _: None) -> None:
    """Make tenants, change them, delete them; `phase` is told what begins. What they are is compared before the end."""
    phase("create")
    for name in names:
        installation.tenant(name, **MADE)
    for name in names:
        settled(installation, name)
    phase("change")
    for name in names:
        installation.patch(name, {"spec": CHANGED})
    for name in names:
        settled(installation, name)
        installation.eventually(
            partial(is_like_the_reference, installation, name),
            f"{name} is like the one without faults",
            LONG_SECONDS,
            name,
        )
    phase("delete")
    for name in names:
        installation.api.delete(f"{TENANTS}/{name}")
    for name in names:
        installation.eventually(partial(is_gone, installation, name), f"{name} is gone", LONG_SECONDS)


def settled(installation: Installation, name: str) -> None:
    """Return when a tenant is Ready; an operator that is not there is started again meanwhile."""

    def holds() -> bool:
        revived(installation)
        found = installation.get(name)
        status = found.get("status", {})
        ready = [each["status"] for each in status.get("conditions", ()) if each["type"] == "Ready"]
        return ready == ["True"] and status["observedGeneration"] == found["metadata"]["generation"]

    installation.eventually(holds, f"{name} is settled", LONG_SECONDS, name)


def is_like_the_reference(installation: Installation, name: str) -> bool:
    return anonymous(installation, name) == anonymous(installation, "reference")


def is_gone(installation: Installation, name: str) -> bool:
    revived(installation)
    return (
        installation.api.find(f"{TENANTS}/{name}") is None
        and installation.api.find(namespace_path(name)) is None
    )


def revived(installation: Installation) -> None:
    """Start the operator again if it was killed."""
    process = installation.operators["operator-0"]
    if process.poll() is not None:
        installation.start()


def anonymous(installation: Installation, name: str) -> dict[str, Any]:
    """Return a tenant's objects as they would be if it had no name."""
    found: dict[str, Any] = json.loads(json.dumps(objects_of(installation.api, name)).replace(name, "NAME"))
    return found


@pytest.fixture(scope="module")
def requests_of_a_life(standing: Installation, faulty: FaultyApi) -> int:
    """Return how many requests a life takes. The tenant `reference` stays, changed, to compare others with."""
    counts = Counter[str]()

    def count(call: Call) -> None:
        counts[call.tenant] += 1

    standing.tenant("reference", **MADE)
    settled(standing, "reference")
    standing.patch("reference", {"spec": CHANGED})
    settled(standing, "reference")
    time.sleep(2)
    faulty.decide = count
    life(standing, ["counted"])
    faulty.decide = lambda _call: None
    return counts["counted"]


def test_any_request_may_fail(standing: Installation, faulty: FaultyApi, requests_of_a_life: int) -> None:
    faults = cycle(Fault)
    planned = {
        f"fault-{number:03d}": (number, next(faults)) for number in range(1, requests_of_a_life + 1, STEP)
    }
    counts = Counter[str]()
    injected: dict[str, str] = {}

    def decide(call: Call) -> Fault | None:
        counts[call.tenant] += 1
        number, fault = planned.get(call.tenant, (0, None))
        if counts[call.tenant] != number or fault is None:
            return None
        injected[call.tenant] = f"{fault.name} {call.method} {call.path}"
        return fault

    faulty.decide = decide
    began = time.monotonic()
    life(standing, list(planned))
    faulty.decide = lambda _call: None
    by_fault = Counter(each.split()[0] for each in injected.values())
    print(
        f"{requests_of_a_life} requests in a life; {len(injected)} of {len(planned)} faults met"
        f" in {time.monotonic() - began:.0f} s: {dict(by_fault)}"
    )
    assert len(injected) >= len(planned) - 2, "the last requests of a life are not always the same number"
    assert set(by_fault) == {each.name for each in Fault}


def test_the_operator_may_be_killed_at_any_write(
    standing: Installation, faulty: FaultyApi, requests_of_a_life: int
) -> None:
    kills: list[str] = []
    phases, writes = ["create"], [0]

    def phase(name: str) -> None:
        phases.append(name)
        writes.append(0)

    def decide(call: Call) -> Fault | None:
        if call.tenant != "killed" or not call.is_write:
            return None
        writes[-1] += 1
        if writes[-1] % WRITES_BETWEEN_KILLS[phases[-1]]:
            return None
        kills.append(f"{phases[-1]} {call.method} {call.path}")
        standing.operators["operator-0"].send_signal(signal.SIGKILL)
        return Fault.CUT_BEFORE if len(kills) % 2 else Fault.CUT_AFTER

    faulty.decide = decide
    began = time.monotonic()
    life(standing, ["killed"], phase)
    faulty.decide = lambda _call: None
    by_phase = Counter(each.split()[0] for each in kills)
    print(f"{len(kills)} kills in {time.monotonic() - began:.0f} s: {dict(by_phase)}")
    assert set(by_phase) == set(WRITES_BETWEEN_KILLS), "no kill in one of the phases"
