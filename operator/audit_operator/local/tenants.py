"""The tenants of a folder, provisioned and kept so: what the operator's work queue is in a cluster."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg
from nats.errors import Error as NatsError

from audit_core.errors import AuditError
from audit_operator.clients.shards import shards
from audit_operator.clients.tenants import tenants
from audit_operator.local.differences import cluster_only, differences
from audit_operator.local.folder_watch import FolderWatch
from audit_operator.local.notices import Notices
from audit_operator.model.audittenant import AuditTenant
from audit_operator.model.invalid import InvalidResource
from audit_operator.reconcile.converge import Converged, Reconciler
from audit_operator.reconcile.explanations import explained

ROUND_SECONDS: Final = 1.0
RESYNC_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0

_PASSING: Final = (
    AuditError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    NatsError,
    OSError,
    TimeoutError,
)
"""What may pass by itself. Anything else is a mistake of ours, and shown with its traceback."""


@dataclass(slots=True)
class _Attempt:
    """A tenant as it was last tried. `due`: when to try again, by the monotonic clock; None: not before it changes."""

    tenant: AuditTenant
    due: float | None = None
    pause: float = FIRST_PAUSE_SECONDS


class TenantFolder:
    """Keep provisioned what a folder asks for. `on_change` gets the live tenants (name → id) when they may be others."""

    def __init__(
        self,
        watch: FolderWatch,
        reconciler: Reconciler,
        notices: Notices,
        on_change: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._watch = watch
        self._reconciler = reconciler
        self._notices = notices
        self._on_change = on_change
        self._attempts: dict[str, _Attempt] = {}
        self._applied: dict[str, AuditTenant] = {}
        self._resync_due = 0.0
        self.live: dict[str, str] = {}
        self.converged: dict[str, Converged] = {}

    async def start(self) -> None:
        """Learn who is there and apply the folder once."""
        async with self._reconciler.database() as connection:
            stored = await tenants(connection)
        self.live = {tenant.name: tenant.tenant_id for tenant in stored if tenant.removed_at is None}
        self._on_change(self.live)
        await self.round()

    async def run(self) -> None:
        """Go on with rounds until cancelled."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self.round()

    async def round(self) -> None:
        """Look at the folder once and do what it takes."""
        wanted = await self._watch.look(self.live)
        if wanted is not None:
            for name, tenant in wanted.tenants.items():
                if self._is_due(name, tenant):
                    await self._converge(tenant)
            for name in self._watch.gone():
                await self._retire(name)
        if time.monotonic() >= self._resync_due:
            await self._resync()

    def _is_due(self, name: str, tenant: AuditTenant) -> bool:
        attempt = self._attempts.get(name)
        if attempt is None or attempt.tenant != tenant:
            return True
        return attempt.due is not None and time.monotonic() >= attempt.due

    async def _converge(self, tenant: AuditTenant) -> None:
        name, subject = tenant.name, f"tenant {tenant.name}"
        attempt = self._attempts.get(name) or _Attempt(tenant)
        self._attempts[name] = attempt
        attempt.tenant, attempt.due = tenant, None
        try:
            converged = await self._reconciler.converge(tenant)
        except InvalidResource as invalid:
            self._notices.wrong(subject, f"{invalid} (it stays as it is)")
            return
        except Exception as trouble:  # noqa: BLE001 - what one tenant meets, a mistake of ours too, stops no other
            self._postpone(attempt)
            news = self._notices.wrong(subject, explained(trouble, name))
            if news and not isinstance(trouble, _PASSING):
                self._notices.say(traceback.format_exc())
            return
        self._note(tenant, converged)
        if converged.troubles:
            self._postpone(attempt)
            self._notices.wrong(
                subject, "; ".join(explained(trouble, name) for trouble in converged.troubles)
            )
        else:
            attempt.pause = FIRST_PAUSE_SECONDS

    def _note(self, tenant: AuditTenant, converged: Converged) -> None:
        """Remember and tell what is so now."""
        name, former = tenant.name, self._applied.get(tenant.name)
        self._applied[name] = tenant
        self.converged[name] = converged
        assert converged.tenant_id is not None, "it was done for a tenant"
        if self.live.get(name) != converged.tenant_id:
            self.live[name] = converged.tenant_id
            self._notices.well(f"tenant {name}", f"new, log {converged.tenant_id}{_unserved(tenant)}")
        elif former is not None and former != tenant:
            self._notices.well(f"tenant {name}", ", ".join(differences(former, tenant)))
        elif not converged.troubles:
            self._notices.well(f"tenant {name}")
        self._on_change(self.live)

    async def _retire(self, name: str) -> None:
        try:
            await self._reconciler.retire(name)
        except _PASSING as trouble:
            self._notices.wrong(f"tenant {name}", explained(trouble, name))
            self._resync_due = 0.0  # it may be noted as removed and not yet be told to the functions
            return
        tenant_id = self.live.pop(name)
        for known in (self._attempts, self._applied, self.converged):
            known.pop(name, None)
        self._notices.well(
            f"tenant {name}",
            f"its manifest is gone: the endpoint is closed, the log is kept. To take it back: spec.adopt: {tenant_id}",
        )
        self._on_change(self.live)

    def _postpone(self, attempt: _Attempt) -> None:
        attempt.due = time.monotonic() + attempt.pause
        attempt.pause = min(attempt.pause * 2, LONGEST_PAUSE_SECONDS)

    async def _resync(self) -> None:
        """Do everything again, whether or not anything seems to have changed: drift is found here, and attested."""
        self._resync_due = time.monotonic() + RESYNC_SECONDS
        for name, tenant in list(self._applied.items()):
            if self._attempts[name].tenant == tenant:
                await self._converge(tenant)
        try:
            async with self._reconciler.database() as connection:
                everyone = await shards(connection)
        except _PASSING as trouble:
            self._notices.wrong("resync", explained(trouble, "resync"))
            return
        self._notices.well("resync")
        for shard in everyone:
            await self._resync_shard(shard.shard_id)

    async def _resync_shard(self, shard_id: str) -> None:
        subject = f"shard {shard_id}"
        try:
            converged = await self._reconciler.converge_shard(shard_id)
        except _PASSING as trouble:
            self._notices.wrong(subject, explained(trouble, shard_id))
            return
        if shard_id in {each.shard_id for each in self.converged.values()}:
            return  # its troubles were told with a tenant's name
        if converged.troubles:
            self._notices.wrong(subject, "; ".join(explained(each, shard_id) for each in converged.troubles))
        else:
            self._notices.well(subject)


def _unserved(tenant: AuditTenant) -> str:
    fields = cluster_only(tenant)
    return f" (in a cluster only: {', '.join(fields)})" if fields else ""
