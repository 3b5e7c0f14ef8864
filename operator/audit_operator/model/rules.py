"""The rules between fields of an AuditTenant, with the messages that the CRD's own validation gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from audit_core.tenant import POOL_RETENTION_CLASSES, Isolation, is_id, name_problem
from audit_operator.model.audittenant import AuditTenant
from audit_operator.model.invalid import FieldProblem

MIN_STREAM_BYTES: Final = 64 << 20
"""Enough frames for a writer to be away for a moment. Zero would mean to JetStream that there is no bound."""

_KEEP: Final = re.compile(r"[1-9][0-9]{0,4}d", re.ASCII)


def broken_rules(tenant: AuditTenant) -> list[FieldProblem]:
    """Return every rule that the resource breaks by itself."""
    return [FieldProblem(path=path, reason=reason) for path, reason in _broken(tenant)]


def _broken(tenant: AuditTenant) -> Iterator[tuple[str, str]]:
    spec = tenant.spec
    if reason := name_problem(tenant.name):
        yield "metadata.name", reason
    if spec.ingest.limits.burst < spec.ingest.limits.events_per_second:
        yield "spec.ingest.limits", "burst must be at least eventsPerSecond"
    if spec.stream.max_bytes is not None and spec.stream.max_bytes < MIN_STREAM_BYTES:
        yield "spec.stream.maxBytes", "must be at least 64Mi"
    if spec.retention.keep != "forever" and _KEEP.fullmatch(spec.retention.keep) is None:
        yield "spec.retention.keep", "keep must be a number of days such as 365d, or forever"
    if spec.adopt is not None and not is_id(spec.adopt):
        yield "spec.adopt", "must be a tenantID: 16 characters of a-z and 2-7"
    if tenant.is_pooled:
        yield from _broken_in_pool(tenant)


def _broken_in_pool(tenant: AuditTenant) -> Iterator[tuple[str, str]]:
    retention = tenant.spec.retention
    if retention.keep not in POOL_RETENTION_CLASSES:
        classes = ", ".join(POOL_RETENTION_CLASSES)
        yield (
            "spec.retention.keep",
            f"a Pooled tenant's retention.keep must be one of {classes}: pools share partitions",
        )
    if tenant.spec.stream.max_bytes is not None or retention.partition_by is not None:
        yield (
            "spec",
            (
                "stream.maxBytes and retention.partitionBy belong to the pool:"
                " set them in the installation, or use isolation Dedicated"
            ),
        )


def broken_transitions(
    tenant: AuditTenant, *, isolation: Isolation, retention_class: str | None, partition_by: str
) -> list[FieldProblem]:
    """Return every rule that the resource breaks against what its log was made with."""
    if tenant.spec.isolation is not isolation:
        reason = "isolation cannot be changed; create a new tenant and import"
        return [FieldProblem(path="spec.isolation", reason=reason)]
    problems = []
    if tenant.retention_class != retention_class:
        reason = "a Pooled tenant's retention cannot be changed; create a new tenant and import"
        problems.append(FieldProblem(path="spec.retention.keep", reason=reason))
    wanted = tenant.spec.retention.partition_by
    if wanted is not None and wanted.value != partition_by:
        reason = "partitionBy cannot be changed; create a new tenant and import"
        problems.append(FieldProblem(path="spec.retention.partitionBy", reason=reason))
    return problems
