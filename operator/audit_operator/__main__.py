"""`python -m audit_operator`: reconcile AuditTenants while holding the Lease, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from typing import Final

import asyncpg
import msgspec
from prometheus_client import CollectorRegistry

from audit_core.errors import StoreUnavailable
from audit_operator.clients.cluster import Cluster
from audit_operator.clients.database import ensure_database, provision_database
from audit_operator.clients.events import Events
from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_kinds import LEASE, Ref
from audit_operator.clients.kubernetes_transport import configuration
from audit_operator.clients.lease import LeadershipLost, Lease
from audit_operator.clients.nats_jwt import Authority
from audit_operator.clients.postgres import connected
from audit_operator.handlers.operator import Operator, kept, looked
from audit_operator.health import serving
from audit_operator.reconcile.cluster.children import Children
from audit_operator.reconcile.cluster.credentials import SecretCredentials, SecretKeyring, dsn_like
from audit_operator.reconcile.cluster.deletion import Deletion
from audit_operator.reconcile.cluster.provisioning import Provisioning
from audit_operator.reconcile.cluster.secrets import SecretPlace
from audit_operator.reconcile.cluster.tenant import TenantLook
from audit_operator.reconcile.converge import Reconciler
from audit_operator.reconcile.installation import Installation
from audit_operator.reconcile.keys import FirstKey
from audit_operator.reconcile.queue import WorkQueue
from audit_operator.reconcile.shard import ShardReconciler
from audit_operator.resources.platform import Egress, Gateway, Platform
from audit_operator.settings import InvalidSettings, Settings, settings_from
from audit_operator.telemetry import KubernetesTelemetry, QueueTelemetry, TenantTelemetry

STATEMENT_SECONDS: Final = 30.0
"""How long a look waits for the database to answer. One that waited for ever would keep its tenant from repairs."""
LEASE_NAME: Final = "audit-operator"

_log = logging.getLogger("audit_operator")


def main() -> None:
    """Read the settings and run. Exits with 1 when leading had to end: the next start begins anew."""
    try:
        settings = settings_from(os.environ)
        authority = msgspec.json.decode(settings.nats_credentials.read_bytes(), type=Authority)
    except InvalidSettings as error:
        sys.exit(f"audit_operator: {error}")
    except (OSError, msgspec.DecodeError) as error:
        sys.exit(f"audit_operator: AUDIT_NATS_CREDENTIALS: {error}")
    logging.basicConfig(
        level=settings.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        asyncio.run(_run(settings, authority))
    except LeadershipLost:
        sys.exit(1)


async def _run(settings: Settings, authority: Authority) -> None:
    registry = CollectorRegistry()
    telemetry = TenantTelemetry(registry)
    requests = KubernetesTelemetry(registry)
    queues = QueueTelemetry(registry)
    found = await configuration(os.environ.get("KUBECONFIG"))
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(Kubernetes(found, telemetry=requests))
        lease = Lease(
            own,
            Ref(LEASE, LEASE_NAME, settings.namespace),
            identity=settings.pod_name,
            seconds=settings.lease_seconds,
        )
        api = await stack.enter_async_context(
            Kubernetes(found, telemetry=requests, read_only=settings.read_only, may_write=lease.leading)
        )
        events = await stack.enter_async_context(Events(api, instance=settings.pod_name))
        cluster = await stack.enter_async_context(Cluster(lambda: settings.nats_url, authority, os.urandom))
        provisioning = _provisioning(settings, authority, api, cluster)
        look = TenantLook(
            api=api,
            events=events,
            platform=_platform(settings),
            provisioning=provisioning,
            deletion=Deletion(api=api, provisioning=provisioning),
            children=Children(),
            telemetry=telemetry,
            resync_seconds=settings.resync_seconds,
            read_only=settings.read_only,
        )
        shards = WorkQueue("shard", kept(look), concurrency=settings.concurrency, telemetry=queues)
        tenants = WorkQueue(
            "tenant", looked(look, shards), concurrency=settings.concurrency, telemetry=queues
        )
        provisioning.doubted = tenants.add
        operator = Operator(
            api=api,
            look=look,
            tenants=tenants,
            shards=shards,
            namespace=settings.namespace,
            has_routes=bool(settings.gateway_name),
        )
        telemetry.leading.set_function(lambda: float(lease.leading()))
        telemetry.silence.set_function(operator.silence_seconds)
        await stack.enter_async_context(
            serving(settings.address, settings.port, registry, problem=operator.problem)
        )

        async def led() -> None:
            if not settings.read_only:
                await _prepare_database(settings)
            await operator.run()

        leading = asyncio.ensure_future(lease.lead(led))

        def take_signals() -> None:
            for each in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(each, leading.cancel)

        take_signals()
        operator.kopf_started = take_signals
        await _until_told(leading)


async def _until_told(leading: asyncio.Future[None]) -> None:
    """Lead until this is cancelled; by then the Lease was handed over."""
    try:
        await leading
    except asyncio.CancelledError:
        _log.info("operator_stopped")


async def _prepare_database(settings: Settings) -> None:
    """Make the database and migrate the control schema, however long the server is away at first."""
    while True:
        try:
            await ensure_database(settings.postgres_dsn)
            async with connected(settings.postgres_dsn) as connection:
                await provision_database(connection)
        except (StoreUnavailable, asyncpg.PostgresError, OSError, TimeoutError) as error:
            _log.warning("database_not_ready error=%r", error)
        else:
            return
        await asyncio.sleep(2)


def _provisioning(
    settings: Settings, authority: Authority, api: Kubernetes, cluster: Cluster
) -> Provisioning:
    dsn = dsn_like(settings.postgres_dsn)
    place = SecretPlace(api, settings.namespace)
    shards = ShardReconciler(
        installation=Installation(
            stream_replicas=settings.stream_replicas,
            stream_max_bytes=settings.stream_max_bytes,
            pool_max_bytes=settings.pool_max_bytes,
        ),
        cluster=cluster,
        credentials=SecretCredentials(
            place=place,
            name=lambda function: f"audit-pool-{function}",
            authority=authority,
            dsn=dsn,
            random=os.urandom,
        ),
        clock=microseconds_now,
    )
    first_key = FirstKey(
        keyring=SecretKeyring(place=place, name="audit-first-key"), clock=microseconds_now, random=os.urandom
    )
    reconciler = Reconciler(
        database=lambda: connected(settings.postgres_dsn, statement_seconds=STATEMENT_SECONDS),
        shards=shards,
        first_key=first_key,
        random=os.urandom,
    )
    return Provisioning(
        reconciler=reconciler,
        api=api,
        namespace=settings.namespace,
        authority=authority,
        dsn=dsn,
        random=os.urandom,
    )


def _platform(settings: Settings) -> Platform:
    gateway = None
    if settings.gateway_name:
        gateway = Gateway(
            name=settings.gateway_name,
            namespace=settings.gateway_namespace or settings.namespace,
            domain=settings.domain,
        )
    return Platform(
        image=settings.image,
        image_pull_policy=settings.image_pull_policy,
        image_pull_secrets=settings.image_pull_secrets,
        installation=settings.installation,
        nats_url=settings.nats_url,
        log_level=settings.log_level,
        backup=settings.backup,
        operator_namespace=settings.namespace,
        operator_service_account=settings.service_account,
        secrets_cluster_role=settings.secrets_cluster_role,
        gateway=gateway,
        egress=Egress(
            cidrs=settings.egress_cidrs,
            namespaces=settings.egress_namespaces,
            nats_port=settings.nats_port,
            postgres_port=settings.postgres_port,
        ),
    )


def microseconds_now() -> int:
    """Return the time in µs since 1970."""
    return time.time_ns() // 1000


if __name__ == "__main__":
    main()
