"""`make bench-operator`: many tenants on a real API server, PostgreSQL and NATS, by one operator with the chart's rights.

Sizes come from AUDIT_BENCH_POOLED, AUDIT_BENCH_DEDICATED and AUDIT_BENCH_RESIDENT. Requests are counted in the API
server's own audit log. Figures are printed and written to build/bench-operator.json; nothing is asserted but that all
tenants get there.
"""

from __future__ import annotations

import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bench.results import Results
from tests.support.api import TENANTS
from tests.support.audit_log import Asked
from tests.support.chart import render
from tests.support.operator import Installation

POOLED: Final = int(os.environ.get("AUDIT_BENCH_POOLED", "1000"))
DEDICATED: Final = int(os.environ.get("AUDIT_BENCH_DEDICATED", "200"))
RESIDENT: Final = int(os.environ.get("AUDIT_BENCH_RESIDENT", "3000"))
PATIENCE_SECONDS: Final = 3600.0
QUIET_SECONDS: Final = 5.0
_OUT: Final = Path(__file__).parents[2] / "build" / "bench-operator.json"


@pytest.fixture(scope="module")
def results() -> Iterator[Results]:
    found = Results()
    yield found
    found.write(_OUT)


@pytest.fixture(scope="module")
def many(bare: Installation) -> Installation:
    """Give an installation whose pool of functions is there, and no operator yet."""
    bare.install()
    bare.apply(*(each for each in render().values() if _is_of_pool(each)))
    return bare


def _is_of_pool(manifest: dict[str, Any]) -> bool:
    return (manifest["kind"], manifest["metadata"]["name"] == "audit-operator") == ("Deployment", False)


def make(installation: Installation, names: Sequence[str], **spec: object) -> None:
    """Create tenants, one request for each."""
    for name in names:
        manifest = {"apiVersion": "auditlog.dev/v1alpha1", "kind": "AuditTenant"}
        installation.api.create(TENANTS, {**manifest, "metadata": {"name": name}, "spec": spec})


def ready(installation: Installation, prefix: str) -> int:
    """Return how many tenants whose names begin so are Ready."""
    found = 0
    for each in installation.api.get(TENANTS)["items"]:
        conditions = each.get("status", {}).get("conditions", ())
        mine = each["metadata"]["name"].startswith(prefix)
        found += mine and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return found


def until_ready(installation: Installation, prefix: str, wanted: int) -> None:
    """Return when so many are Ready."""
    began = told = time.monotonic()
    while (now := ready(installation, prefix)) < wanted:
        assert time.monotonic() - began < PATIENCE_SECONDS, f"{now} of {wanted} {prefix} are ready"
        if time.monotonic() - told > 15:
            told = time.monotonic()
            print(f"  {now} of {wanted} after {told - began:.0f} s", flush=True)
        time.sleep(0.5)


def resident_mib(installation: Installation) -> float:
    """Return the resident memory of the operator."""
    (process,) = installation.operators.values()
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def per_tenant(asked: Sequence[Asked], tenants: int) -> str:
    """Return what was asked for each tenant, most often first."""
    kinds = Counter(f"{each.verb} {each.resource}" for each in asked if each.resource != "leases")
    return ", ".join(f"{kind} {count / tenants:.2f}" for kind, count in kinds.most_common(30))


def requests(asked: Sequence[Asked]) -> int:
    return sum(each.resource != "leases" and each.verb != "watch" for each in asked)


def test_cold(many: Installation, results: Results) -> None:
    """Tenants that are there before the operator is: it makes them all."""
    for prefix, count, spec in (
        ("pooled-", POOLED, {"isolation": "Pooled", "retention": {"keep": "90d"}}),
        ("dedicated-", DEDICATED, {"stream": {"maxBytes": "64Mi"}}),
    ):
        names = [f"{prefix}{number}" for number in range(count)]
        log, began = many.audit_log(), time.monotonic()
        if many.operators:
            make(many, names, **spec)
        else:
            make(many, names, **spec)
            began = time.monotonic()
            many.start()
        until_ready(many, prefix, count)
        took = time.monotonic() - began
        time.sleep(QUIET_SECONDS)
        asked = log.read()
        kind = prefix.removesuffix("-")
        results.add(f"cold_{kind}", took, "s", goal="<= 60" if count == 1000 else "", note=f"{count} tenants")
        results.add(f"cold_{kind}_rate", count / took, "tenants/s")
        results.add(
            f"requests_per_{kind}", requests(asked) / count, "requests", note=per_tenant(asked, count)
        )


def test_restart(many: Installation, results: Results) -> None:
    """An operator that finds everything as it should be, and writes nothing."""
    many.stop()
    log, began, wanted = many.audit_log(), time.monotonic(), POOLED + DEDICATED
    many.start()
    while (looked := _looked(many)) < wanted:
        assert time.monotonic() - began < PATIENCE_SECONDS, f"{looked} of {wanted} were looked at"
        time.sleep(0.2)
    took = time.monotonic() - began
    time.sleep(QUIET_SECONDS)
    results.add(
        "restart", took, "s", goal="<= 10", note=f"{wanted} tenants, until the objects of each were looked at"
    )
    written = log.writes()
    results.add("restart_writes", len(written), "requests", goal="0", note=", ".join(map(str, written[:5])))


def test_memory(many: Installation, results: Results) -> None:
    """How much an operator holds that keeps many tenants."""
    results.add("resident", resident_mib(many), "MiB", note=f"{POOLED + DEDICATED} tenants")
    more = max(0, RESIDENT - POOLED - DEDICATED)
    if more:
        make(
            many, [f"more-{number}" for number in range(more)], isolation="Pooled", retention={"keep": "90d"}
        )
        until_ready(many, "more-", more)
    results.add("resident_full", resident_mib(many), "MiB", goal="<= 200", note=f"{RESIDENT} tenants")


def _looked(installation: Installation) -> int:
    """Return at how many tenants the operator has looked since it started; 0 while it does not answer."""
    (port,) = (installation.ports[name] for name in installation.operators)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    return sum(line.startswith("audit_operator_tenant_ready{") for line in lines)
