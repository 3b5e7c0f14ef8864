"""One look at one AuditTenant: observe everything, change what differs, tell how it stands.

Parts fail independently: what the API server refuses does not keep PostgreSQL from being provisioned, nor the other way
round. A look that met trouble is repeated, later each time; one that met none is repeated when something changes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from asyncpg import InterfaceError, PostgresError

from audit_core.errors import AuditError, StoreUnavailable
from audit_core.tenant import namespace
from audit_operator.clients.events import Events
from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_errors import KubernetesError, NotFound
from audit_operator.clients.kubernetes_kinds import AUDIT_TENANT, NAMESPACE, ROLE_BINDING, Object, Ref, ref_of
from audit_operator.model.audittenant import API_VERSION, KIND, AuditTenant
from audit_operator.model.decoding import audit_tenant
from audit_operator.model.invalid import InvalidResource
from audit_operator.reconcile.cluster.children import POOL, Children
from audit_operator.reconcile.cluster.deletion import Deletion, Ending
from audit_operator.reconcile.cluster.provisioning import Provisioning
from audit_operator.reconcile.cluster.status import (
    Observed,
    invalid_status,
    status,
    terminating_status,
)
from audit_operator.reconcile.converge import Converged
from audit_operator.resources.platform import Platform
from audit_operator.resources.tenant import manifests
from audit_operator.telemetry import TenantTelemetry

FINALIZER: Final = "auditlog.dev/release"
PAUSED: Final = "auditlog.dev/paused"
_CALM: Final = ("Reconciling", "RollingOut")
"""Reasons for not being ready that pass by themselves."""
_LEARNT: Final = frozenset({"tenantID", "stream", "database"})
"""What a status holds once a tenant was provisioned."""
TURN_SECONDS: Final = 0.1
"""How far apart, on average, tenants that were ready before a start are looked at outside the cluster."""
_JITTER: Final = 0.1
_log = logging.getLogger(__name__)


class LookAgain(AuditError):
    """The look met `troubles` that may pass; the status says which."""

    __slots__ = ("troubles",)

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = troubles


@dataclass(slots=True, kw_only=True)
class TenantLook:
    """What the work queue calls for each tenant. `resources` holds each AuditTenant as it was last seen, by name."""

    api: Kubernetes
    events: Events
    platform: Platform
    provisioning: Provisioning
    deletion: Deletion
    children: Children
    telemetry: TenantTelemetry
    resync_seconds: float
    read_only: bool = False
    pooled_names: dict[str, str] = field(default_factory=dict)
    resources: dict[str, Object] = field(default_factory=dict)
    monotonic: Callable[[], float] = time.monotonic
    _due: dict[str, float] = field(default_factory=dict)
    """When what lies outside the cluster is looked at first, of tenants that were ready before this process began."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def __call__(self, name: str) -> float | None:
        """Look at a tenant; return in how many seconds it wants to be looked at again. Raises what may pass."""
        resource = self.resources.get(name)
        if resource is None:
            self.telemetry.forget(name)
            self._due.pop(name, None)
            return None
        if "deletionTimestamp" in resource["metadata"]:
            return await self._end(name, resource)
        if resource["metadata"].get("annotations", {}).get(PAUSED) == "true":
            await self._pause(resource)
            return None
        return await self._look(name, resource)

    async def _look(self, name: str, resource: Object) -> float:
        try:
            tenant = audit_tenant(resource)
        except InvalidResource as invalid:
            await self._tell_invalid(resource, invalid)
            return self._resync()
        try:
            await self._hold(resource)
            trusted = self._is_trusted(tenant, resource)
            refusals, (converged, trouble) = await self._apply(tenant, trusted=trusted)
        except NotFound as gone:  # it was deleted while we looked; the watch tells the rest
            raise LookAgain(gone) from gone
        observed = self._observed(
            tenant,
            resource,
            converged=converged,
            trouble=trouble,
            refusals=tuple(refusals),
            trusted=trusted,
        )
        await self._tell(resource, observed)
        self.telemetry.looked(name, self._is_ready(name))
        troubles = [*refusals, *([trouble] if trouble else []), *(converged.troubles if converged else ())]
        if [each for each in troubles if not isinstance(each, InvalidResource)]:
            raise LookAgain(*troubles)
        if trusted and converged is None:
            return max(0.0, self._due[name] - self.monotonic())
        return self._resync()

    def _is_trusted(self, tenant: AuditTenant, resource: Object) -> bool:
        """Tell whether a tenant's status is believed for a while: it was ready before this process knew anything.

        After a start all tenants are held against their objects at once; what lies outside the cluster is looked at in
        turn, within the period in which it would have been looked at anyway.
        """
        status, name = resource.get("status", {}), tenant.name
        if self.provisioning.known(name) is not None or self.read_only:
            return False
        if str(_first(status).get("status")) != "True" or not status.keys() >= _LEARNT:
            return False
        if status.get("observedGeneration") != tenant.metadata.generation:
            return False
        turns = min(self.resync_seconds, len(self.resources) * TURN_SECONDS)
        due = self._due.setdefault(name, self.monotonic() + random.uniform(0, turns))  # noqa: S311 - no secret
        return self.monotonic() < due

    async def _hold(self, resource: Object) -> None:
        """Have the resource wait for us when it is deleted, before anything is made for it."""
        metadata = resource["metadata"]
        if FINALIZER in metadata.get("finalizers", ()):
            return
        ref = Ref(AUDIT_TENANT, metadata["name"])
        held = await self.api.add_finalizer(ref, FINALIZER, uid=metadata["uid"])
        metadata["finalizers"] = held["metadata"].get("finalizers", [])

    async def _apply(
        self, tenant: AuditTenant, *, trusted: bool
    ) -> tuple[list[KubernetesError], tuple[Converged | None, Exception | None]]:
        """Apply the objects and provision at the same time, but what provisioning stands on before it."""
        wanted = manifests(tenant, self.platform)
        plan = self.children.plan(tenant.name, wanted)
        refusals: list[KubernetesError] = []
        ground = [each for each in plan.apply if _is_ground(each)]
        for manifest in ground:
            await self._apply_one(manifest, refusals)
        if refusals:
            return refusals, (None, None)
        async with asyncio.TaskGroup() as group:
            provisioned = group.create_task(
                self._provision(tenant, anew=bool(ground), trusted=trusted), name=f"provision {tenant.name}"
            )
            for manifest in plan.apply:
                if manifest not in ground:
                    group.create_task(self._apply_one(manifest, refusals))
            for found in plan.delete:
                group.create_task(self._delete_one(found, refusals))
        return refusals, provisioned.result()

    async def _apply_one(self, manifest: Object, refusals: list[KubernetesError]) -> None:
        self._count("apply", manifest)
        try:
            answer = await self.api.apply(manifest)
        except KubernetesError as refusal:
            refusals.append(refusal)
            return
        if not self.read_only:
            self.children.applied(manifest, answer)

    async def _delete_one(self, found: Object, refusals: list[KubernetesError]) -> None:
        self._count("delete", found)
        try:
            await self.api.delete(ref_of(found), uid=found["metadata"]["uid"])
        except KubernetesError as refusal:
            refusals.append(refusal)

    def _count(self, verb: str, what: Object) -> None:
        self.telemetry.changes.labels(verb, what["kind"], str(self.read_only).lower()).inc()
        if self.read_only:
            _log.info("change_withheld verb=%s object=%s", verb, ref_of(what))

    async def _provision(
        self, tenant: AuditTenant, *, anew: bool, trusted: bool
    ) -> tuple[Converged | None, Exception | None]:
        """Provision, unless that was done; `anew`: its namespace was not there, and so its Secrets are not."""
        if self.read_only or (trusted and not anew):
            return None, None
        sound = None if anew else self.provisioning.sound(tenant, within_seconds=self.resync_seconds / 2)
        if sound is not None:
            return sound, None
        try:
            return await self.provisioning.converge(tenant), None
        except TimeoutError as slow:  # NATS tells of its own; what is left is the database
            _log.warning("provisioning_failed tenant=%s error=%r", tenant.name, slow)
            return None, StoreUnavailable("TimeoutError")
        except (AuditError, PostgresError, InterfaceError, OSError) as trouble:
            _log.warning("provisioning_failed tenant=%s error=%r", tenant.name, trouble)
            return None, trouble

    async def _pause(self, resource: Object) -> None:
        try:
            tenant = audit_tenant(resource)
        except InvalidResource as invalid:
            await self._tell_invalid(resource, invalid)
            return
        former = self.provisioning.known(tenant.name)
        await self._tell(resource, self._observed(tenant, resource, converged=former, paused=True))
        if former is None and not self.read_only:
            await self.provisioning.keep(tenant.name)

    async def _end(self, name: str, resource: Object) -> float | None:
        if FINALIZER not in resource["metadata"].get("finalizers", ()):
            return None
        if self.read_only:
            self._count("end", resource)
            return self._resync()
        step = await self.deletion.advance(resource, self.children.of(name))
        if step.finding is None:
            await self.api.remove_finalizer(
                Ref(AUDIT_TENANT, name), FINALIZER, uid=resource["metadata"]["uid"]
            )
            return None
        await self._tell_terminating(resource, step)
        return step.again_seconds

    def _observed(self, tenant: AuditTenant, resource: Object, **what: Any) -> Observed:
        pooled = tenant.is_pooled
        return Observed(
            tenant=tenant,
            live={**self.children.of(tenant.name), **self.children.of(POOL)},
            functions_in=self.platform.operator_namespace if pooled else namespace(tenant.name),
            names=self.pooled_names if pooled else {name: name for name in ("ingest", "query", "writer")},
            endpoint=self.platform.endpoint(tenant),
            former=resource.get("status", {}),
            read_only=self.read_only,
            **what,
        )

    async def _tell(self, resource: Object, observed: Observed) -> None:
        await self._write_status(resource, status(observed, now=self._rfc3339()))

    async def _tell_invalid(self, resource: Object, invalid: InvalidResource) -> None:
        await self._write_status(resource, invalid_status(resource, invalid, now=self._rfc3339()))

    async def _tell_terminating(self, resource: Object, step: Ending) -> None:
        assert step.finding is not None, "it has not ended"
        await self._write_status(resource, terminating_status(resource, step.finding, now=self._rfc3339()))

    async def _write_status(self, resource: Object, wanted: dict[str, Any]) -> None:
        """Write the status unless it stands there already; tell of it by an Event when readiness changed."""
        former = resource.get("status", {})
        if former == wanted:
            return
        name = resource["metadata"]["name"]
        self._count("status", resource)
        manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "status": wanted}
        answer = await self.api.apply_status(manifest)
        if self.read_only:
            return
        resource["status"] = answer.get("status", wanted)
        before, after = _first(former), _first(wanted)
        if (before.get("status"), before.get("reason")) != (after["status"], after["reason"]):
            calm = after["status"] == "True" or after["reason"] in _CALM
            await self.events.post(
                resource,
                type="Normal" if calm else "Warning",
                reason=after["reason"],
                message=after["message"],
            )

    def _is_ready(self, name: str) -> bool:
        resource = self.resources.get(name)
        return resource is not None and str(_first(resource.get("status", {})).get("status")) == "True"

    def _resync(self) -> float:
        return self.resync_seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret

    def _rfc3339(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_ground(manifest: Object) -> bool:
    """Tell whether others need the object to be there first: the namespace, and the right to Secrets in it."""
    return manifest["kind"] in (NAMESPACE.name, ROLE_BINDING.name)


def _first(found: dict[str, Any]) -> dict[str, Any]:
    conditions = found.get("conditions") or [{}]
    return next((each for each in conditions if each.get("type") in ("Ready", "Terminating")), conditions[0])
