"""The end of a tenant, in steps that can be seen and repeated: close, drain, release the namespace, keep or drop.

What was acknowledged is stored before the functions go. Where that cannot be waited for, it stays in the stream, which
is kept with the log and drained when it is adopted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from audit_core.tenant import namespace
from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_kinds import NAMESPACE, Object, Ref
from audit_operator.model.conditions import ConditionType, Finding, Reason, true
from audit_operator.reconcile.cluster.children import is_going
from audit_operator.reconcile.cluster.provisioning import Provisioning

CLOSED_AFTER: Final = timedelta(seconds=8)
"""After this long no function takes an event for a tenant whose keys were withdrawn: configuration is 5 s old at most."""
DRAIN_AT_MOST: Final = timedelta(minutes=5)
LOOK_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How far the end has come: `finding` None when nothing is left to do."""

    finding: Finding | None
    again_seconds: float = LOOK_SECONDS


@dataclass(slots=True, kw_only=True)
class Deletion:
    """Takes a tenant one step towards its end at each call."""

    api: Kubernetes
    provisioning: Provisioning
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _draining: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Of each tenant that was closed: its shard, and when."""
    _dropping: set[str] = field(default_factory=set)
    """Tenants of which it was told that their log is being dropped: nobody should learn it afterwards."""

    async def advance(self, resource: Object, live: Mapping[Ref, Object]) -> Ending:
        """Do what can be done now; return what is under way. Raises what provisioning raises."""
        name = resource["metadata"]["name"]
        pooled = resource["spec"].get("isolation") == "Pooled"
        if await self.provisioning.is_known(name):
            closed = await self.provisioning.retire(name, pooled=pooled)
            if closed is not None:
                self._draining[name] = (closed.shard_id, self.now())
        if not pooled and (waiting := await self._drain(name, resource)) is not None:
            return waiting
        drops = not pooled and resource["spec"].get("deletionPolicy") == "Delete"
        if not pooled and (waiting := await self._release_namespace(name, live, drops=drops)) is not None:
            return waiting
        if drops and (waiting := await self._drop(name, resource)) is not None:
            return waiting
        await self.provisioning.release(name, pooled=pooled)
        self._draining.pop(name, None)
        self._dropping.discard(name)
        return Ending(finding=None)

    async def _drain(self, name: str, resource: Object) -> Ending | None:
        shard_id, closed_at = self._draining.get(name, (_shard_of(resource), None))
        if shard_id is None:
            return None  # it never had a stream
        since = closed_at or _time(resource["metadata"]["deletionTimestamp"])
        waited = self.now() - since
        if waited < CLOSED_AFTER:
            return _under_way(Reason.STOPPING_INGEST, "the endpoint is being closed")
        if waited < DRAIN_AT_MOST and not await self.provisioning.is_drained(shard_id):
            return _under_way(Reason.DRAINING, "what was acknowledged is being stored")
        return None

    async def _drop(self, name: str, resource: Object) -> Ending | None:
        """Delete the log, when nothing writes or reads it any more: the functions went with the namespace."""
        shard_id = self._shard_of(name, resource)
        if shard_id is None:
            return None  # it never had a log
        if name not in self._dropping:
            self._dropping.add(name)
            return _under_way(Reason.DROPPING, "the log is being deleted, as deletionPolicy Delete says", 0.0)
        if not await self.provisioning.drop(name, shard_id):
            _log.error("log_not_dropped tenant=%s shard=%s: it is not that tenant's", name, shard_id)
        return None

    def _shard_of(self, name: str, resource: Object) -> str | None:
        closed = self._draining.get(name)
        return _shard_of(resource) if closed is None else closed[0]

    async def _release_namespace(
        self, name: str, live: Mapping[Ref, Object], *, drops: bool
    ) -> Ending | None:
        ref = Ref(NAMESPACE, namespace(name))
        found = live.get(ref)
        if found is None:
            return None
        if not is_going(found):
            await self.api.delete(ref, uid=found["metadata"]["uid"])
        then = "dropped next" if drops else "kept"
        return _under_way(Reason.RELEASING, f"namespace {ref.name} is being deleted; the log is {then}")


def _under_way(reason: Reason, message: str, again_seconds: float = LOOK_SECONDS) -> Ending:
    return Ending(finding=true(ConditionType.TERMINATING, reason, message), again_seconds=again_seconds)


def _shard_of(resource: Mapping[str, Any]) -> str | None:
    stream = resource.get("status", {}).get("stream", {}).get("name")
    return str(stream).removeprefix("AUDIT_") if stream else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
