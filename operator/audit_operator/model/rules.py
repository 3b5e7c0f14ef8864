"""The rules between fields of an AuditTenant, with the messages that the CRD's own validation gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_network
from typing import Final

from audit_core.tenant import POOL_RETENTION_CLASSES, Isolation, is_id, name_problem
from audit_operator.model.audittenant import (
    AllowFrom,
    AuditTenant,
    DeletionPolicy,
    Ingest,
    Query,
    Resources,
    Spec,
    Stream,
)
from audit_operator.model.invalid import FieldProblem

MIN_STREAM_BYTES: Final = 64 << 20
"""Enough frames for a writer to be away for a moment. Zero would mean to JetStream that there is no bound."""

RESOURCE_NAMES: Final = ("cpu", "memory", "ephemeral-storage")

_KEEP: Final = re.compile(r"[1-9][0-9]{0,4}d", re.ASCII)
_PREFIX: Final = re.compile(r"^[0-9a-f.:]+/(0|[1-9][0-9]{0,2})$", re.ASCII | re.IGNORECASE)
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)


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
    yield from _broken_scaling("ingest", spec.ingest)
    yield from _broken_scaling("query", spec.query)
    if spec.ingest.resources is not None:
        yield from _broken_resources(spec.ingest.resources)
    for index, source in enumerate(spec.ingest.allow_from):
        yield from _broken_source(f"spec.ingest.allowFrom[{index}]", source)
    if tenant.is_pooled:
        yield from _broken_in_pool(tenant)


def _broken_scaling(function: str, spec: Ingest | Query) -> Iterator[tuple[str, str]]:
    scaling = spec.autoscaling
    if scaling is None:
        return
    if spec.replicas is not None:
        yield f"spec.{function}", "set either replicas or autoscaling"
    if scaling.min_replicas > scaling.max_replicas:
        yield f"spec.{function}.autoscaling", "minReplicas must not exceed maxReplicas"


def _broken_resources(resources: Resources) -> Iterator[tuple[str, str]]:
    path = "spec.ingest.resources"
    names = {*resources.requests, *resources.limits}
    if not names <= set(RESOURCE_NAMES):
        yield path, f"name only {', '.join(RESOURCE_NAMES)}"
    both = resources.requests.keys() & resources.limits.keys()
    if any(resources.requests[name].amount > resources.limits[name].amount for name in both):
        yield path, "a request must not exceed its limit"


def _broken_source(path: str, source: AllowFrom) -> Iterator[tuple[str, str]]:
    if (source.cidr is None) == (source.namespace is None):
        yield path, "set exactly one of cidr and namespace"
    if source.cidr is not None and not _is_network(source.cidr):
        yield f"{path}.cidr", "cidr must be a network such as 10.20.0.0/16, without host bits"
    if source.namespace is not None and _NAMESPACE.fullmatch(source.namespace) is None:
        yield f"{path}.namespace", "namespace must be the name of a namespace: a DNS label"


def _is_network(text: str) -> bool:
    """Tell whether `text` is a network as the API server takes it: no mask, no zone, no IPv4 in IPv6's clothes."""
    try:
        address = ip_network(text).network_address
    except ValueError:
        return False
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    return _PREFIX.search(text) is not None and not mapped


def _broken_in_pool(tenant: AuditTenant) -> Iterator[tuple[str, str]]:
    retention = tenant.spec.retention
    if retention.keep not in POOL_RETENTION_CLASSES:
        classes = ", ".join(POOL_RETENTION_CLASSES)
        yield (
            "spec.retention.keep",
            f"a Pooled tenant's retention.keep must be one of {classes}: pools share partitions",
        )
    if tenant.spec.deletion_policy is DeletionPolicy.DELETE:
        yield (
            "spec.deletionPolicy",
            "a Pooled tenant's events expire with its pool; Delete needs isolation Dedicated",
        )
    if _has_of_pool(tenant.spec):
        yield (
            "spec",
            (
                "stream, retention.partitionBy, replicas, autoscaling, resources and allowFrom belong to"
                " the pool: set them in the installation, or use isolation Dedicated"
            ),
        )


def _has_of_pool(spec: Spec) -> bool:
    """Tell whether a tenant sets what its pool decides for all."""
    of_cluster = (
        spec.ingest.replicas,
        spec.ingest.autoscaling,
        spec.ingest.resources,
        spec.query.replicas,
        spec.query.autoscaling,
    )
    return (
        spec.stream != Stream()
        or spec.retention.partition_by is not None
        or bool(spec.ingest.allow_from)
        or any(value is not None for value in of_cluster)
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
