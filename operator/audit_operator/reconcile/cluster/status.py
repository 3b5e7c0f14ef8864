"""A tenant's status, computed from what is observed now. Pure.

Nothing is advanced from step to step: whoever asks again with the same observations gets the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from audit_core.errors import AuditError, StoreUnavailable, StreamUnavailable
from audit_core.tenant import namespace, schema_name, stream_name
from audit_operator.clients.jetstream import JetStreamRefused
from audit_operator.clients.kubernetes_errors import Forbidden, KubernetesError, NamespaceTerminating
from audit_operator.clients.kubernetes_kinds import DEPLOYMENT, NAMESPACE, Object, Ref
from audit_operator.model.audittenant import AuditTenant
from audit_operator.model.conditions import ConditionType, Finding, Reason, false, merged, true, unknown
from audit_operator.model.invalid import InvalidResource
from audit_operator.reconcile.converge import Converged
from audit_operator.reconcile.durability import NotDurable, PeersUnknown
from audit_operator.reconcile.explanations import explained
from audit_operator.reconcile.stream import StreamBroken

FUNCTIONS: Final = {
    "ingest": ConditionType.INGEST_READY,
    "query": ConditionType.QUERY_READY,
}
WRITER: Final = "writer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one look found. `refusals`: what the API server refused, `trouble`: what ended provisioning early.

    `trusted`: what lies outside the cluster was not looked at, because the status tells of it and is believed.
    `functions_in` is the namespace of the pods that serve the tenant, and `live` the objects there and of the tenant.
    """

    tenant: AuditTenant
    live: Mapping[Ref, Object]
    functions_in: str
    names: Mapping[str, str]
    converged: Converged | None = None
    trouble: Exception | None = None
    refusals: tuple[KubernetesError, ...] = ()
    paused: bool = False
    read_only: bool = False
    trusted: bool = False
    endpoint: str = ""
    former: Mapping[str, Any] = field(default_factory=dict)


def status(observed: Observed, *, now: str) -> dict[str, Any]:
    """Return the status to write. `now` is RFC 3339, and appears only where a condition changed."""
    tenant, converged = observed.tenant, observed.converged
    conditions = merged(
        findings(observed),
        observed.former.get("conditions", ()),
        generation=tenant.metadata.generation,
        now=now,
    )
    told: dict[str, Any] = {
        "observedGeneration": tenant.metadata.generation,
        "conditions": [_shown(condition) for condition in conditions],
        "ingest": {"endpoint": observed.endpoint, **_replicas(observed, "ingest")},
        "query": {"ready": _replicas(observed, "query")["ready"]},
    }
    if not tenant.is_pooled:
        told["namespace"] = namespace(tenant.name)
        told["ingest"]["selector"] = "app.kubernetes.io/name=ingest"
    if converged is not None and converged.tenant_id is not None:
        told["tenantID"] = converged.tenant_id
        told["stream"] = {"name": stream_name(converged.shard_id)}
        told["database"] = {"schema": schema_name(converged.shard_id)}
    else:  # what was learnt once stays true while a server is away
        told |= {
            key: observed.former[key] for key in ("tenantID", "stream", "database") if key in observed.former
        }
    return told


def invalid_status(resource: Mapping[str, Any], invalid: InvalidResource, *, now: str) -> dict[str, Any]:
    """Return the status of a resource that cannot be applied: what was so before stays so."""
    return _kept(
        resource, [false(ConditionType.READY, Reason.INVALID, f"{invalid} (it stays as it is)")], now
    )


def terminating_status(resource: Mapping[str, Any], step: Finding, *, now: str) -> dict[str, Any]:
    """Return the status of a resource that is being deleted."""
    return _kept(resource, [false(ConditionType.READY, step.reason, step.message), step], now)


def _kept(resource: Mapping[str, Any], found: list[Finding], now: str) -> dict[str, Any]:
    former = resource.get("status", {})
    generation = resource["metadata"].get("generation", 0)
    conditions = merged(found, former.get("conditions", ()), generation=generation, now=now)
    return {
        **former,
        "observedGeneration": generation,
        "conditions": [_shown(condition) for condition in conditions],
    }


def findings(observed: Observed) -> list[Finding]:
    """Return every condition, Ready first."""
    parts = list(_parts(observed))
    special = []
    if observed.paused:
        special.append(
            true(ConditionType.PAUSED, Reason.PAUSED, "the annotation auditlog.dev/paused asks for it")
        )
    if degraded := _degraded(observed):
        special.append(degraded)
    return [_ready(observed, parts, degraded), *parts, *special]


def _parts(observed: Observed) -> Iterable[Finding]:
    if not observed.tenant.is_pooled:
        yield _namespace(observed)
    for function, kind in FUNCTIONS.items():
        yield _function(observed, function, kind)
    yield _stream(observed)
    yield _database(observed)
    yield _credentials(observed)


def _ready(observed: Observed, parts: Iterable[Finding], degraded: Finding | None) -> Finding:
    kind = ConditionType.READY
    if isinstance(observed.trouble, InvalidResource):
        return false(kind, Reason.INVALID, f"{observed.trouble} (it stays as it is)")
    if observed.tenant.spec.state == "Suspended":
        return false(kind, Reason.SUSPENDED, "spec.state refuses events and queries")
    for wanted in ("False", "Unknown"):
        for part in parts:
            if part.status == wanted:
                return Finding(type=kind, status=part.status, reason=part.reason, message=_named(part))
    if degraded is not None and degraded.reason is not Reason.TROUBLE:
        return false(kind, degraded.reason, degraded.message)
    if observed.tenant.spec.state == "ReadOnly":
        return true(kind, Reason.READ_ONLY, "events are refused, queries answered")
    return true(kind, Reason.READY, "events are accepted, stored and readable")


def _named(part: Finding) -> str:
    return f"{part.type.value}: {part.message}" if part.message else part.type.value


def _namespace(observed: Observed) -> Finding:
    kind = ConditionType.NAMESPACE_READY
    name = namespace(observed.tenant.name)
    found = observed.live.get(Ref(NAMESPACE, name))
    for refusal in observed.refusals:
        if isinstance(refusal, NamespaceTerminating):
            return false(kind, Reason.NAMESPACE_TERMINATING, f"namespace {name} is being deleted")
        reason = Reason.FORBIDDEN if isinstance(refusal, Forbidden) else Reason.API_REFUSED
        return false(kind, reason, refusal.message)
    if found is None:
        return unknown(kind, Reason.RECONCILING, f"namespace {name} is not there yet")
    if found.get("status", {}).get("phase") == "Terminating":
        return false(kind, Reason.NAMESPACE_TERMINATING, f"namespace {name} is being deleted")
    return true(kind, Reason.READY, f"namespace {name}, its policies and limits are in place")


def _function(observed: Observed, function: str, kind: ConditionType) -> Finding:
    found = _deployment(observed, function)
    if found is None:
        where = "the pool's" if observed.tenant.is_pooled else "its"
        name = observed.names.get(function, function)
        return unknown(kind, Reason.RECONCILING, f"{where} Deployment {name} is not there yet")
    available, wanted = _pods(found)
    message = f"{available}/{wanted} {function} pods are available"
    if wanted == 0:
        return false(kind, Reason.NO_REPLICAS, f"no {function} pods are wanted")
    if available < wanted or not _is_rolled_out(found):
        return false(kind, Reason.ROLLING_OUT, message)
    return true(kind, Reason.POOL if observed.tenant.is_pooled else Reason.READY, message)


def _stream(observed: Observed) -> Finding:
    kind = ConditionType.STREAM_READY
    for trouble in _troubles(observed):
        text = explained(trouble, observed.tenant.name)
        match trouble:
            case StreamBroken():
                return false(kind, Reason.STREAM_BROKEN, text)
            case NotDurable():
                return false(kind, Reason.NOT_DURABLE, text)
            case JetStreamRefused():
                return false(kind, Reason.STREAM_REFUSED, text)
            case PeersUnknown() | StreamUnavailable():
                return unknown(kind, Reason.STREAM_UNAVAILABLE, text)
            case _:
                continue
    if observed.converged is None:
        return _not_looked(observed, kind)
    return true(kind, Reason.READY, stream_name(observed.converged.shard_id))


def _database(observed: Observed) -> Finding:
    kind = ConditionType.DATABASE_READY
    for trouble in _troubles(observed):
        text = explained(trouble, observed.tenant.name)
        if isinstance(trouble, StoreUnavailable):
            return unknown(kind, Reason.DATABASE_UNAVAILABLE, text)
        if isinstance(trouble, asyncpg.PostgresError):
            return false(kind, Reason.DATABASE_REFUSED, text)
    if observed.converged is None:
        return _not_looked(observed, kind)
    return true(kind, Reason.READY, schema_name(observed.converged.shard_id))


def _credentials(observed: Observed) -> Finding:
    kind = ConditionType.CREDENTIALS_READY
    for trouble in _troubles(observed):
        if isinstance(trouble, KubernetesError):
            return false(kind, Reason.ROTATION_FAILED, trouble.message)
    if observed.converged is None:
        return _not_looked(observed, kind)
    return true(kind, Reason.READY, "credentials and the first key are handed out")


def _not_looked(observed: Observed, kind: ConditionType) -> Finding:
    """Return what stands for a part that nobody looked at: where nothing may be changed, what was found before."""
    if observed.paused or observed.read_only or observed.trusted:
        for each in observed.former.get("conditions", ()):
            if each["type"] == kind.value and each["reason"] in Reason.__members__.values():
                return Finding(
                    type=kind, status=each["status"], reason=Reason(each["reason"]), message=each["message"]
                )
    return unknown(kind, Reason.RECONCILING)


def _degraded(observed: Observed) -> Finding | None:
    """Return what is wrong and has no condition of its own."""
    kind = ConditionType.DEGRADED
    writer = _deployment(observed, WRITER)
    if writer is not None and not observed.paused:
        available, wanted = _pods(writer)
        if wanted == 0:
            return true(kind, Reason.NO_REPLICAS, "no writer pod is wanted: events are taken and not stored")
        if available == 0:
            return true(
                kind, Reason.ROLLING_OUT, "no writer pod is available: events are taken and not stored yet"
            )
    known = (StreamBroken, NotDurable, JetStreamRefused, PeersUnknown, StreamUnavailable, StoreUnavailable)
    others = [
        trouble
        for trouble in _troubles(observed)
        if not isinstance(trouble, (*known, asyncpg.PostgresError, KubernetesError, InvalidResource))
    ]
    if others:
        return true(kind, Reason.TROUBLE, "; ".join(explained(each, observed.tenant.name) for each in others))
    return None


def _troubles(observed: Observed) -> tuple[Exception, ...]:
    noted: tuple[AuditError, ...] = observed.converged.troubles if observed.converged is not None else ()
    return noted if observed.trouble is None else (*noted, observed.trouble)


def _deployment(observed: Observed, function: str) -> Object | None:
    name = observed.names.get(function)  # the pool's are known once they were seen
    return None if name is None else observed.live.get(Ref(DEPLOYMENT, name, observed.functions_in))


def _pods(deployment: Object) -> tuple[int, int]:
    """Return how many pods are available and how many are wanted."""
    wanted = deployment["spec"].get("replicas", 1)
    return deployment.get("status", {}).get("availableReplicas", 0), wanted


def _is_rolled_out(deployment: Object) -> bool:
    found = deployment.get("status", {})
    observed = int(found.get("observedGeneration", 0))
    updated = int(found.get("updatedReplicas", 0))
    wanted = int(deployment["spec"].get("replicas", 1))
    return observed >= int(deployment["metadata"].get("generation", 0)) and updated >= wanted


def _replicas(observed: Observed, function: str) -> dict[str, Any]:
    found = _deployment(observed, function)
    if found is None:
        return {"ready": "0/0"} if function == "query" else {"ready": "0/0", "replicas": 0}
    available, wanted = _pods(found)
    return {"ready": f"{available}/{wanted}", "replicas": found.get("status", {}).get("replicas", 0)}


def _shown(condition: Any) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition_time,
    }
