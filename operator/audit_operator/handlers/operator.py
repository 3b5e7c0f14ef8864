"""The operator as a whole, for as long as it leads: watches in, a work queue, looks out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import kopf

from audit_operator.clients.informer import Informer
from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_kinds import (
    AUDIT_TENANT,
    AUTOSCALER,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    LIMIT_RANGE,
    NAMESPACE,
    NETWORK_POLICY,
    RESOURCE_QUOTA,
    ROLE_BINDING,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Object,
)
from audit_operator.handlers.tenant import Seen, registry
from audit_operator.reconcile.cluster.children import is_child
from audit_operator.reconcile.cluster.tenant import TenantLook
from audit_operator.reconcile.queue import WorkQueue
from audit_operator.resources.metadata import MANAGED_BY, NAME, OPERATOR, PART_OF
from audit_operator.resources.scale import FUNCTIONS

CHILD_KINDS: Final = (
    NAMESPACE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    RESOURCE_QUOTA,
    LIMIT_RANGE,
    NETWORK_POLICY,
    SERVICE,
    DEPLOYMENT,
    AUTOSCALER,
    DISRUPTION_BUDGET,
)
SILENCE_SECONDS: Final = 180.0
"""A watch that has heard nothing for so long is dead: the server sends a bookmark every minute."""
LAG_SECONDS: Final = 60.0
"""How long kopf may be behind our own watch of the same resources."""
SHARD_SECONDS: Final = 60.0
_SYNC_SECONDS: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Operator:
    """Watches, queues and looks. `run` returns never; it raises when a part of it dies."""

    api: Kubernetes
    look: TenantLook
    tenants: WorkQueue
    shards: WorkQueue
    namespace: str
    has_routes: bool = False
    kopf_started: Callable[[], None] = lambda: None
    """Called once kopf runs: by then it has put signal handlers of its own in the place of others'."""
    _informers: list[Informer] = field(default_factory=list)
    _unseen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def problem(self) -> str | None:
        """Return what is wrong with the watches, None when nothing is or this process does not lead."""
        now = time.monotonic()
        for informer in self._informers:
            if now - informer.last_progress > SILENCE_SECONDS:
                return (
                    f"the watch of {informer.kind.plural} is silent for {now - informer.last_progress:.0f} s"
                )
        for name, (version, since) in list(self._unseen.items()):
            known = self.look.resources.get(name)
            if known is not None and int(known["metadata"]["resourceVersion"]) >= version:
                del self._unseen[name]
            elif now - since > LAG_SECONDS:
                return f"kopf has not told of AuditTenant {name} for {now - since:.0f} s"
        return None

    def silence_seconds(self) -> float:
        """Return the time since the quietest watch was last heard, 0 when there is none."""
        now = time.monotonic()
        return max((now - informer.last_progress for informer in self._informers), default=0.0)

    async def run(self) -> None:
        """Work until cancelled."""
        self._informers = [*self._children(), self._pool(), self._witness()]
        stop, ready = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run(), name=f"watch {informer.kind.plural}")
            async with asyncio.timeout(_SYNC_SECONDS):
                for informer in self._informers:
                    await informer.synced.wait()
            group.create_task(self._watch_tenants(stop, ready), name="kopf")
            group.create_task(self._told_of_start(ready), name="kopf's start")
            group.create_task(self.tenants.run(), name="tenants")
            group.create_task(self.shards.run(), name="shards")

    async def _watch_tenants(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        settings = kopf.OperatorSettings()
        settings.scanning.disabled = True
        settings.posting.enabled = False
        settings.watching.server_timeout = 300
        await kopf.operator(
            registry=registry(),
            settings=settings,
            memo=Seen(self.look.resources, self.tenants),
            clusterwide=True,
            standalone=True,
            stop_flag=stop,
            ready_flag=ready,
        )
        raise RuntimeError("kopf ended by itself")

    async def _told_of_start(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self.kopf_started()

    def _children(self) -> list[Informer]:
        kinds = (*CHILD_KINDS, HTTP_ROUTE) if self.has_routes else CHILD_KINDS
        return [self._child(kind) for kind in kinds]

    def _child(self, kind: Kind) -> Informer:
        def seen(found: Object) -> None:
            if is_child(found):
                self.tenants.add(self.look.children.seen(found))

        def gone(found: Object) -> None:
            if is_child(found):
                self.tenants.add(self.look.children.gone(found))

        return Informer(self.api, kind, seen=seen, gone=gone, labels={MANAGED_BY: OPERATOR})

    def _pool(self) -> Informer:
        """Watch the pooled functions, which the chart made: they are looked at, and never touched."""

        def seen(found: Object) -> None:
            self._note_pool(found)
            self.look.children.take_pool(found)
            self._pooled_again()

        def gone(found: Object) -> None:
            self.look.children.drop_pool(found)
            self._pooled_again()

        return Informer(
            self.api,
            DEPLOYMENT,
            seen=seen,
            gone=gone,
            labels={PART_OF: "audit-log"},
            namespace=self.namespace,
        )

    def _note_pool(self, found: Object) -> None:
        function = pooled_function(found)
        if function is not None:
            self.look.pooled_names[function] = found["metadata"]["name"]

    def _pooled_again(self) -> None:
        for name, resource in self.look.resources.items():
            if resource["spec"].get("isolation") == "Pooled":
                self.tenants.add(name)

    def _witness(self) -> Informer:
        """Watch the same resources as kopf does, to know when kopf's watch has died."""

        def seen(found: Object) -> None:
            version = int(found["metadata"]["resourceVersion"])
            self._unseen[found["metadata"]["name"]] = (version, time.monotonic())

        def gone(found: Object) -> None:
            self._unseen.pop(found["metadata"]["name"], None)

        return Informer(self.api, AUDIT_TENANT, seen=seen, gone=gone)


def pooled_function(found: Object) -> str | None:
    """Return which function of the pool a Deployment of the chart runs, None for the operator's own."""
    function = found["metadata"].get("labels", {}).get(NAME)
    return str(function) if function in FUNCTIONS else None


def looked(look: TenantLook, shards: WorkQueue) -> Callable[[str], Awaitable[float | None]]:
    """Return the handler of the queue of tenants: a look, after which the tenant's shard is looked after too."""

    async def handler(name: str) -> float | None:
        again = await look(name)
        for shard_id in look.provisioning.shards:
            shards.add_after(shard_id, SHARD_SECONDS)
        return again

    return handler


def kept(look: TenantLook) -> Callable[[str], Awaitable[float | None]]:
    """Return the handler of the queue of shards: repair, and the attestation without which ingest stops in a day."""

    async def handler(shard_id: str) -> float | None:
        if shard_id not in look.provisioning.shards:
            return None
        await look.provisioning.keep_shard(shard_id)
        return SHARD_SECONDS

    return handler
